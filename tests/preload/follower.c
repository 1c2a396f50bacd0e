/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that executes another with an environment of its own making, in every way that there is:
 * follower MODE [NAME=VALUE...] -- PROGRAM [ARG...]. PROGRAM has a directory in its name.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/preload/guest.h"

static char **env, **args, *path;

static void by_execve(void)
{
	execve(path, args, env);
}

static void by_execvpe(void)
{
	execvpe(path, args, env);
}

static int count(void)
{
	int n = 0;

	while (args[n])
		n++;
	return n;
}

static void by_execle(void)
{
	switch (count()) {
	case 1:
		execle(path, args[0], NULL, env);
		break;
	case 4:
		execle(path, args[0], args[1], args[2], args[3], NULL, env);
		break;
	}
}

static void by_fexecve(void)
{
	fexecve(open(path, O_PATH | O_CLOEXEC), args, env);
}

static void by_execveat(void)
{
	execveat(AT_FDCWD, path, args, env, 0);
}

static void by_syscall_execve(void)
{
	syscall(SYS_execve, path, args, env);
}

static void by_syscall_execveat(void)
{
	syscall(SYS_execveat, AT_FDCWD, path, args, env, 0);
}

/* ---- those that take the environment as it is ---------------------------------------------- */

static void by_execv(void)
{
	environ = env;
	execv(path, args);
}

static void by_execvp(void)
{
	environ = env;
	execvp(path, args);
}

static void by_execl(void)
{
	environ = env;
	if (count() == 1)
		execl(path, args[0], NULL);
	else
		execl(path, args[0], args[1], args[2], args[3], NULL);
}

static void by_execlp(void)
{
	environ = env;
	if (count() == 1)
		execlp(path, args[0], NULL);
	else
		execlp(path, args[0], args[1], args[2], args[3], NULL);
}

static void by_clearenv(void)
{
	clearenv();
	for (char **variable = env; *variable; variable++)
		putenv(*variable);
	execv(path, args);
}

/* ---- children ------------------------------------------------------------------------------ */

__attribute__((noreturn)) static void end_like(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("the child");
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 100);
}

static void by_posix_spawn(void)
{
	pid_t pid;

	errno = posix_spawn(&pid, path, NULL, NULL, args, env);
	if (!errno)
		end_like(pid);
}

static void by_posix_spawnp(void)
{
	pid_t pid;

	errno = posix_spawnp(&pid, path, NULL, NULL, args, env);
	if (!errno)
		end_like(pid);
}

/* The child shares our memory, which must be as it was: also after attempts that fail. */
static void by_vfork(void)
{
	char **volatile before = environ;
	pid_t pid = vfork();

	if (pid == 0) {
		execve("/no/such/program", args, env);
		execve(path, args, env);
		_exit(99);
	}
	if (environ != before)
		die("the child changed environ");
	end_like(pid);
}

static void handler(int number)
{
	(void)number;
	execve(path, args, env);
}

/* On a stack as small as POSIX allows for. */
static void by_handler(void)
{
	stack_t stack = {.ss_sp = malloc(16384), .ss_size = 16384};
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};

	sigaltstack(&stack, NULL);
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
}

static const struct {
	const char *name;
	void (*run)(void);
} modes[] = {
    {"execve", by_execve},
    {"execvpe", by_execvpe},
    {"execle", by_execle},
    {"fexecve", by_fexecve},
    {"execveat", by_execveat},
    {"syscall-execve", by_syscall_execve},
    {"syscall-execveat", by_syscall_execveat},
    {"execv", by_execv},
    {"execvp", by_execvp},
    {"execl", by_execl},
    {"execlp", by_execlp},
    {"clearenv", by_clearenv},
    {"posix_spawn", by_posix_spawn},
    {"posix_spawnp", by_posix_spawnp},
    {"vfork", by_vfork},
    {"handler", by_handler},
};

int main(int argc, char **argv)
{
	if (argc < 4)
		die("usage: follower MODE [NAME=VALUE...] -- PROGRAM [ARG...]");
	env = argv + 2;
	for (args = env; *args && strcmp(*args, "--") != 0; args++)
		;
	if (!args[0] || !args[1])
		die("no program");
	*args++ = NULL;
	path = args[0];
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, argv[1]) != 0)
			continue;
		modes[i].run();
		die("%s of %s", argv[1], path);
	}
	die("no mode %s", argv[1]);
}
