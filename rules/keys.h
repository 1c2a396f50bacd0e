/* SPDX-License-Identifier: Apache-2.0 */
/* What rule files may hold, from the tables that read them. */
#ifndef RULES_KEYS_H
#define RULES_KEYS_H

/*
 * Call `each` for every key that has a meaning here or is let through with a warning, message by
 * message ("ServiceEntry", "hosts"). Keys of the top level have the message "".
 */
void rules_keys(void (*each)(void *context, const char *message, const char *key), void *context);

#endif
