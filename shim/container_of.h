/* SPDX-License-Identifier: Apache-2.0 */
/* From a member embedded in a structure to the structure. */
#ifndef SHIM_CONTAINER_OF_H
#define SHIM_CONTAINER_OF_H

#include <stddef.h>

#define container_of(pointer, type, member)                                                        \
	((type *)((char *)(pointer) - offsetof(type, member)))

#endif
