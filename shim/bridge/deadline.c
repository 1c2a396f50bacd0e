/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several deadlines, one timer. It is set to the nearest of those that lie ahead: one that has passed
 * stays passed until it is cleared, and needs no further call.
 */
#include "shim/bridge/exchange_state.h"

static void arm(struct exchange *x, uint64_t now)
{
	uint64_t next = 0;

	for (int i = 0; i < DEADLINES; i++)
		if (x->deadlines[i] > now && (!next || x->deadlines[i] < next))
			next = x->deadlines[i];
	x->ops->timer(x, next ? next - now : 0);
}

void deadline_set(struct exchange *x, enum deadline which, uint64_t ms)
{
	uint64_t now = x->ops->now(x);

	x->deadlines[which] = now + ms;
	arm(x, now);
}

void deadline_clear(struct exchange *x, enum deadline which)
{
	if (!x->deadlines[which])
		return;
	x->deadlines[which] = 0;
	arm(x, x->ops->now(x));
}

bool deadline_passed(const struct exchange *x, enum deadline which)
{
	return x->deadlines[which] && x->ops->now((struct exchange *)x) >= x->deadlines[which];
}
