/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rule files are watched by a fingerprint: a hash over what stat(2) says of each file, of each
 * directory's *.cfg among them. It is taken before the files are read, so that a change in
 * between is seen at the next look. Files that were @included are not watched.
 */
#include "shim/mesh.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "rules/diag.h"
#include "rules/rules.h"
#include "shim/fork.h"
#include "shim/libc.h"
#include "shim/libconfig.h"
#include "shim/log.h"
#include "shim/process.h"
#include "shim/registry.h"
#include "shim/signals.h"
#include "shim/thread.h"

#define LOOK_MS 1000 /* between two looks at the files */

/* Set by the constructor, then constant. */
static bool active;
static bool fast_lane;
static char *paths; /* absolute, colon-separated; NULL: memory ran out */

/* Guarded by `lock`. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rules *in_force;
static bool tried;             /* the files have been read at least once */
static uint64_t seen;          /* their fingerprint then */
static int64_t looked;         /* ms: when the fingerprint was last compared */
static bool loading;           /* for a child that is forked meanwhile */

/* mesh_is_open() until this moment of CLOCK_MONOTONIC_COARSE, in ms. Written under the lock. */
static _Atomic int64_t open_until;

/* ---- the environment -------------------------------------------------------------------- */

/* A copy of a colon-separated list with each relative path under the current directory, without
 * empty elements. NULL: out of memory. */
static char *make_absolute(const char *list)
{
	char here[PATH_MAX] = "";
	size_t count = 1;

	for (const char *p = list; *p; p++)
		count += *p == ':';
	if ((list[0] != '/' || strstr(list, ":")) && !getcwd(here, sizeof(here)))
		here[0] = '\0';

	char *copy = malloc(strlen(list) + count * (strlen(here) + 1) + 1);
	char *end = copy;

	if (!copy)
		return NULL;
	for (const char *p = list; *p;) {
		size_t len = strcspn(p, ":");

		if (len > 0) {
			if (end != copy)
				*end++ = ':';
			if (*p != '/') {
				end = stpcpy(end, here);
				*end++ = '/';
			}
			end = (char *)mempcpy(end, p, len);
		}
		p += len + (p[len] == ':');
	}
	*end = '\0';
	return copy;
}

void mesh_init(void)
{
	const char *rules = secure_getenv("MESHSHIM_RULES");
	const char *disable = secure_getenv("MESHSHIM_DISABLE");
	const char *level = secure_getenv("MESHSHIM_LOG_LEVEL");
	const char *lane = secure_getenv("MESHSHIM_FAST_LANE");

	if (!rules || !*rules || (disable && strcmp(disable, "1") == 0))
		return;
	int known = log_init(secure_getenv("MESHSHIM_LOG"), level);

	paths = make_absolute(rules);
	active = true;
	fast_lane = !lane || strcmp(lane, "0") != 0;
	if (known < 0)
		log_error("MESHSHIM_LOG_LEVEL: no level is called \"%s\" (error, warn, info, debug)",
			  level);
}

bool mesh_active(void)
{
	return active;
}

bool mesh_fast_lane(void)
{
	return fast_lane;
}

const char *mesh_paths(void)
{
	return paths;
}

/* ---- watching the files ----------------------------------------------------------------- */

static uint64_t hash(uint64_t value, const void *data, size_t len)
{
	const unsigned char *byte = data;

	for (size_t i = 0; i < len; i++)
		value = (value ^ byte[i]) * 1099511628211u; /* FNV-1a */
	return value;
}

/* One file or directory as it is now. */
static uint64_t hash_stat(uint64_t value, const char *path, bool *directory)
{
	struct stat st;

	*directory = false;
	if (stat(path, &st) < 0) {
		int error = errno;

		return hash(value, &error, sizeof(error));
	}
	*directory = S_ISDIR(st.st_mode);
	value = hash(value, &st.st_dev, sizeof(st.st_dev));
	value = hash(value, &st.st_ino, sizeof(st.st_ino));
	value = hash(value, &st.st_mode, sizeof(st.st_mode));
	value = hash(value, &st.st_size, sizeof(st.st_size));
	value = hash(value, &st.st_mtim.tv_sec, sizeof(st.st_mtim.tv_sec));
	return hash(value, &st.st_mtim.tv_nsec, sizeof(st.st_mtim.tv_nsec));
}

static bool is_rule_file(const char *name)
{
	size_t len = strlen(name);

	return len >= 4 && strcmp(name + len - 4, ".cfg") == 0;
}

/* The *.cfg of a directory, added up, since readdir(3) has no order. */
static uint64_t hash_directory(const char *path)
{
	static char file[PATH_MAX]; /* under the lock */
	size_t len = strlen(path);
	DIR *dir = opendir(path);
	uint64_t sum = 0;
	bool ignored;

	if (!dir)
		return (uint64_t)errno;
	for (struct dirent *entry; (entry = readdir(dir));) {
		size_t name_len = strlen(entry->d_name);

		if (!is_rule_file(entry->d_name) || len + name_len + 2 > sizeof(file))
			continue;
		memcpy(file, path, len);
		file[len] = '/';
		memcpy(file + len + 1, entry->d_name, name_len + 1);
		sum += hash_stat(hash(0, entry->d_name, name_len), file, &ignored);
	}
	closedir(dir);
	return sum;
}

static uint64_t fingerprint(void)
{
	uint64_t value = 14695981039346656037u;
	static char path[PATH_MAX]; /* under the lock; connect(2) may be called on a small stack */
	bool directory;

	for (const char *p = paths; *p;) {
		size_t len = strcspn(p, ":");

		if (len < sizeof(path)) {
			memcpy(path, p, len);
			path[len] = '\0';
			value = hash_stat(value, path, &directory);
			if (directory) {
				uint64_t sum = hash_directory(path);

				value = hash(value, &sum, sizeof(sum));
			}
		}
		p += len + (p[len] == ':');
	}
	return value;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Whether the files are to be read now. At most one look a second. */
static bool is_due(void)
{
	int64_t now = now_ms();

	if (tried && now - looked < LOOK_MS)
		return false;
	looked = now;
	uint64_t current = paths ? fingerprint() : 0;

	if (tried && current == seen)
		return false;
	tried = true;
	seen = current;
	return true;
}

/* ---- loading ---------------------------------------------------------------------------- */

/* The one line that a failed attempt gives. */
static void complain(const struct diags *diags)
{
	const char *fate = in_force ? "; the rules in force stay" : "";
	const struct diag *first = diags->first;
	static char place[PATH_MAX + 16]; /* under the lock */

	place[0] = '\0';
	while (first && first->severity != SEVERITY_REJECTED)
		first = first->next;
	if (first && first->file && first->line)
		snprintf(place, sizeof(place), "%s:%d: ", first->file, first->line);
	else if (first && first->file)
		snprintf(place, sizeof(place), "%s: ", first->file);
	const char *text = first ? first->text : "rules cannot be loaded: out of memory";

	if (diags->rejected > 1)
		log_error("%s%s (and %zu more error%s; run meshshim-check)%s", place, text,
			  diags->rejected - 1, diags->rejected > 2 ? "s" : "", fate);
	else
		log_error("%s%s%s", place, text, fate);
}

void mesh_rules_unref(struct rules *rules)
{
	fork_hold();
	rules_unref(rules);
	fork_release();
}

/* What is wrong with rules that can be used all the same. */
static void log_diags(const struct diags *diags)
{
	static char text[1024]; /* under the lock */

	for (const struct diag *diag = diags->first; diag; diag = diag->next) {
		diag_format(diag, text, sizeof(text));
		if (diag->severity == SEVERITY_ERROR)
			log_error("%s", text);
		else if (diag->severity == SEVERITY_WARNING)
			log_warn("%s", text);
		else
			log_info("%s", text);
	}
}

/* Rules that the bridge would carry out in part only are worse than none. */
static struct rules *refuse_gaps(struct rules *fresh, struct diags *diags)
{
	if (!fresh || !rules_gaps(fresh, SEVERITY_REJECTED, diags))
		return fresh;
	mesh_rules_unref(fresh);
	return NULL;
}

/* Whether descriptors or memory have run out, as far as can be told: then it is not the files that
 * are wrong. Reading them takes one descriptor for each level of @include. */
static bool is_scarce(const struct diags *diags)
{
	int fds[4], n = 0;
	bool scarce = !diags->first;

	while (n < 4 && (fds[n] = open("/", O_PATH | O_CLOEXEC)) >= 0)
		n++;
	scarce |= n < 4 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM);
	while (n > 0)
		real.close(fds[--n]);
	return scarce;
}

/* `unusable`: why libconfig cannot be used; empty text if it can. */
__attribute__((noinline)) static void load(const struct err *unusable)
{
	struct diags diags;
	struct rules *fresh = NULL;

	diags_init(&diags);
	if (!paths)
		diag_add(&diags, SEVERITY_REJECTED, NULL, "MESHSHIM_RULES: out of memory");
	else if (!*paths)
		diag_add(&diags, SEVERITY_REJECTED, NULL, "MESHSHIM_RULES names no file");
	else if (unusable->text[0])
		diag_add(&diags, SEVERITY_REJECTED, NULL, "%s", unusable->text);
	else
		fresh = refuse_gaps(rules_load(paths, &diags), &diags);

	if (fresh) {
		log_diags(&diags);
		if (registry_update(fresh) < 0)
			log_error("too many registry hosts: some have no address and cannot be reached");
		log_info("%s: %zu registry hosts", paths, rules_n_hosts(fresh));
		struct rules *old = in_force;

		in_force = fresh; /* first: a child may be forked while the old ones are freed */
		mesh_rules_unref(old);
	} else {
		complain(&diags);
		if (is_scarce(&diags))
			seen = ~seen; /* the next look finds them changed */
	}
	diags_release(&diags);
}

static void note_open(void)
{
	bool open = in_force && rules_outbound_policy(in_force) == OUTBOUND_ALLOW_ANY &&
		    !registry_has_explicit();

	atomic_store(&open_until, open ? looked + LOOK_MS : 0);
}

bool mesh_is_open(void)
{
	return now_ms() < atomic_load(&open_until);
}

struct rules *mesh_rules(void)
{
	struct err unusable = {0};
	int saved = errno;
	sigset_t signals;

	bool may_load = fork_recover() == PROCESS_OWNER;
	/* Before the lock is taken, since the loader has locks of its own (libconfig.c). A failure
	 * is kept in `unusable`, for when the files are due. */
	if (may_load && libconfig_open(&unusable) == 0)
		unusable.text[0] = '\0';

	signals_keep_off(&signals);
	signals_lock(&lock);
	if (may_load) {
		loading = true;
		if (is_due()) {
			signals_block();
			load(&unusable);
		}
		note_open();
		loading = false;
	}
	struct rules *rules = in_force ? rules_ref(in_force) : NULL;

	pthread_mutex_unlock(&lock);
	signals_let_in(&signals);
	errno = saved;
	return rules;
}

/* ---- fork ------------------------------------------------------------------------------- */

/* The rules are memory like any other and stay in force in the child. What another thread was
 * about to load is lost with that thread, and is loaded again. */
void mesh_fork_child(void)
{
	pthread_mutex_init(&lock, NULL);
	if (loading)
		tried = false;
	loading = false;
}
