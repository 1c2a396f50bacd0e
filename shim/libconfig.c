/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Debian's static libconfig is not position independent, so it cannot be linked in as OpenSSL is.
 * dlopen(3) with RTLD_DEEPBIND makes the library find its own functions before the program's, and
 * RTLD_LOCAL keeps it out of everybody else's sight. Where the allocator is not libc's the library
 * is opened without RTLD_DEEPBIND: strdup(3) takes memory from the program's allocator, and bound
 * deeply libconfig would give it to libc's free(3). (The sanitizers end a program that uses
 * RTLD_DEEPBIND at all.) What is left to go wrong then is a program that has an allocator and
 * exports functions under libconfig's names.
 *
 * No lock, not even pthread_once(3): dlopen(3) holds the loader's lock, and another thread may be
 * inside a dlopen(3) of its own whose constructors look up names through our hooks. Threads that
 * get here together each open the library; the first one's table stays.
 */
#include "shim/libconfig.h"

#include <dlfcn.h>
#include <libconfig.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "shim/fork.h"
#include "shim/libc.h"

/* The structs in libconfig.h are shared with the library, so their version has to agree. */
#if LIBCONFIG_VER_MAJOR != 1 || LIBCONFIG_VER_MINOR != 5
#error "libconfig.so.9 goes with the header of libconfig 1.5"
#endif
#define LIBRARY "libconfig.so.9"

/* Everything in libconfig.h that reads: VALUE(type, name, (parameters), (arguments), answer when
 * there is no library), and VOID for those that return nothing. */
#define FUNCTIONS                                                                                  \
	VOID(config_init, (config_t * c), (c))                                                     \
	VOID(config_destroy, (config_t * c), (c))                                                  \
	VOID(config_set_include_dir, (config_t * c, const char *dir), (c, dir))                    \
	VOID(config_set_options, (config_t * c, int options), (c, options))                        \
	VALUE(int, config_get_options, (const config_t *c), (c), 0)                                \
	VOID(config_set_auto_convert, (config_t * c, int flag), (c, flag))                         \
	VALUE(int, config_get_auto_convert, (const config_t *c), (c), 0)                           \
	VALUE(int, config_read, (config_t * c, FILE * stream), (c, stream), unreadable(c))         \
	VALUE(int, config_read_string, (config_t * c, const char *text), (c, text), unreadable(c)) \
	VALUE(int, config_read_file, (config_t * c, const char *file), (c, file), unreadable(c))   \
	VALUE(int, config_setting_get_int, (const config_setting_t *s), (s), 0)                    \
	VALUE(long long, config_setting_get_int64, (const config_setting_t *s), (s), 0)            \
	VALUE(double, config_setting_get_float, (const config_setting_t *s), (s), 0)               \
	VALUE(int, config_setting_get_bool, (const config_setting_t *s), (s), 0)                   \
	VALUE(const char *, config_setting_get_string, (const config_setting_t *s), (s), NULL)     \
	VALUE(short, config_setting_get_format, (const config_setting_t *s), (s), 0)               \
	VALUE(int, config_setting_get_int_elem, (const config_setting_t *s, int i), (s, i), 0)     \
	VALUE(long long, config_setting_get_int64_elem, (const config_setting_t *s, int i),        \
	      (s, i), 0)                                                                           \
	VALUE(double, config_setting_get_float_elem, (const config_setting_t *s, int i), (s, i),   \
	      0)                                                                                   \
	VALUE(int, config_setting_get_bool_elem, (const config_setting_t *s, int i), (s, i), 0)    \
	VALUE(const char *, config_setting_get_string_elem, (const config_setting_t *s, int i),    \
	      (s, i), NULL)                                                                        \
	VALUE(int, config_setting_lookup_int,                                                      \
	      (const config_setting_t *s, const char *name, int *out), (s, name, out), 0)          \
	VALUE(int, config_setting_lookup_int64,                                                    \
	      (const config_setting_t *s, const char *name, long long *out), (s, name, out), 0)    \
	VALUE(int, config_setting_lookup_float,                                                    \
	      (const config_setting_t *s, const char *name, double *out), (s, name, out), 0)       \
	VALUE(int, config_setting_lookup_bool,                                                     \
	      (const config_setting_t *s, const char *name, int *out), (s, name, out), 0)          \
	VALUE(int, config_setting_lookup_string,                                                   \
	      (const config_setting_t *s, const char *name, const char **out), (s, name, out), 0)  \
	VALUE(int, config_setting_index, (const config_setting_t *s), (s), -1)                     \
	VALUE(int, config_setting_length, (const config_setting_t *s), (s), 0)                     \
	VALUE(config_setting_t *, config_setting_get_elem,                                         \
	      (const config_setting_t *s, unsigned i), (s, i), NULL)                               \
	VALUE(config_setting_t *, config_setting_get_member,                                       \
	      (const config_setting_t *s, const char *name), (s, name), NULL)                      \
	VALUE(config_setting_t *, config_setting_lookup,                                           \
	      (config_setting_t * s, const char *path), (s, path), NULL)                           \
	VALUE(config_setting_t *, config_lookup, (const config_t *c, const char *path), (c, path), \
	      NULL)                                                                                \
	VALUE(int, config_lookup_int, (const config_t *c, const char *path, int *out),             \
	      (c, path, out), 0)                                                                   \
	VALUE(int, config_lookup_int64, (const config_t *c, const char *path, long long *out),     \
	      (c, path, out), 0)                                                                   \
	VALUE(int, config_lookup_float, (const config_t *c, const char *path, double *out),        \
	      (c, path, out), 0)                                                                   \
	VALUE(int, config_lookup_bool, (const config_t *c, const char *path, int *out),            \
	      (c, path, out), 0)                                                                   \
	VALUE(int, config_lookup_string, (const config_t *c, const char *path, const char **out),  \
	      (c, path, out), 0)

struct library {
#define VALUE(type, name, parameters, arguments, otherwise) type(*name) parameters;
#define VOID(name, parameters, arguments)                   void(*name) parameters;
	FUNCTIONS
#undef VALUE
#undef VOID
};

static _Atomic(struct library *) library;

/* Whether somebody took libc's place as the allocator: the program (Chromium, all with jemalloc
 * inside), a preloaded library, a sanitizer's runtime. */
static bool is_foreign_allocator(void)
{
	void *libc = real.dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	bool foreign = libc && dlsym(libc, "free") != dlsym(RTLD_DEFAULT, "free");

	if (libc)
		dlclose(libc);
	return foreign;
}

static void *open_library(void)
{
	int flags = RTLD_NOW | RTLD_LOCAL;

	if (!is_foreign_allocator())
		flags |= RTLD_DEEPBIND;
	return real.dlopen(LIBRARY, flags);
}

/* Returns the name of the function that is missing, or NULL. */
static const char *bind_all(struct library *into, void *handle)
{
#define BIND(name)                                                                                 \
	into->name = (__typeof__(into->name))dlsym(handle, #name);                                 \
	if (!into->name)                                                                           \
		return #name;
#define VALUE(type, name, parameters, arguments, otherwise) BIND(name)
#define VOID(name, parameters, arguments)                   BIND(name)
	FUNCTIONS
#undef VALUE
#undef VOID
#undef BIND
	return NULL;
}

static struct library *load(struct err *err)
{
	void *handle = open_library();

	if (!handle) {
		const char *why = dlerror();

		err_set(err, 0, "cannot load libconfig: %s", why ? why : LIBRARY);
		return NULL;
	}
	struct library *fresh = calloc(1, sizeof(*fresh));
	const char *missing = fresh ? bind_all(fresh, handle) : NULL;

	if (!fresh || missing) {
		if (missing)
			err_set(err, 0, "cannot use libconfig: %s has no %s", LIBRARY, missing);
		else
			err_set(err, 0, "cannot load libconfig: out of memory");
		free(fresh);
		dlclose(handle);
		return NULL;
	}
	return fresh;
}

int libconfig_open(struct err *err)
{
	struct library *none = NULL;

	if (atomic_load_explicit(&library, memory_order_acquire))
		return 0;
	fork_hold();
	struct library *fresh = load(err);
	fork_release();

	dlerror(); /* the program's next dlerror(3) is none of ours */
	if (!fresh)
		return -1;
	if (!atomic_compare_exchange_strong(&library, &none, fresh))
		free(fresh);
	return 0;
}

static struct library *opened(void)
{
	if (libconfig_open(NULL) < 0)
		return NULL;
	return atomic_load_explicit(&library, memory_order_acquire);
}

static int unreadable(config_t *config)
{
	config->error_type = CONFIG_ERR_FILE_IO;
	config->error_text = "libconfig is not available";
	config->error_file = NULL;
	config->error_line = 0;
	return CONFIG_FALSE;
}

/* config_init() without the library still has to leave something that can be asked. */
static void blank(config_t *config, const char *function)
{
	if (strcmp(function, "config_init") == 0)
		memset(config, 0, sizeof(*config));
}

#define VALUE(type, name, parameters, arguments, otherwise)                                        \
	__attribute__((visibility("hidden"))) type name parameters                                 \
	{                                                                                          \
		struct library *lib = opened();                                                    \
                                                                                                   \
		return lib ? lib->name arguments : (otherwise);                                    \
	}
#define VOID(name, parameters, arguments)                                                          \
	__attribute__((visibility("hidden"))) void name parameters                                 \
	{                                                                                          \
		struct library *lib = opened();                                                    \
                                                                                                   \
		if (lib)                                                                           \
			lib->name arguments;                                                       \
		else                                                                               \
			blank(c, #name);                                                           \
	}
FUNCTIONS
