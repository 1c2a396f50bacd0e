/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes and matches that no request reaches (Istio's IST0130 and IST0131).
 */
#ifndef RULES_REACH_H
#define RULES_REACH_H

struct reader;
struct virtual_service;

/* Warn of what cannot be reached in one VirtualService. */
void reach_check(struct reader *reader, const struct virtual_service *service);

#endif
