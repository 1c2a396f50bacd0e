# SPDX-License-Identifier: Apache-2.0
"""Programs that take rights, limits and surroundings away from themselves (failure classes 2.1, 2.4,
2.8): the connection gets an answer or an error, the program goes on, nothing leaves by the side."""

import errno

import harness
import mesh
import origin


def sandbox(t, mode, *args, plain=True, **env):
    """Run the guest without and with the library. Returns both results."""
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    argv = [t.guest('sandbox'), mode]
    wanted = None
    if plain:
        wanted = t.run([*argv, '127.0.0.1', server.plain_port, origin.BODY, *args])
        if wanted.status == 77:
            raise harness.Skip(wanted.err.strip())
        t.equal((wanted.status, wanted.err), (0, ''), 'without the library')
    seen = t.run([*argv, 'webserver', 80, origin.BODY, *args], rules=rules,
                 env={'MESHSHIM_LOG': str(t.dir / 'log'), **env})
    t.equal((seen.status, seen.err), (0, ''), 'under the library')
    return wanted, seen


@harness.test(cases=['ids', 'nobody', 'user-before', 'user-after', 'files'])
def alike(t, mode):
    """2.8: setuid in a process with threads, nobody's rights; 2.1: unshare(2) of users before and
    after the first connection, of descriptors. As without the library."""
    wanted, seen = sandbox(t, mode)
    t.equal(seen.out, wanted.out, 'stdout')


@harness.test()
def empty_network(t):
    """2.1: unshare(2) of users and network before the first connection: no network is an error like
    the kernel's; in an empty one the bridge answers for the upstream that is not there."""
    wanted, seen = sandbox(t, 'net-before')
    t.equal(wanted.out, 'no network: ENETUNREACH\nan empty network: ECONNREFUSED\n'
                        'once more: ECONNREFUSED\n', 'without the library')
    t.equal(seen.out, 'no network: ENETUNREACH\nan empty network: 503\nonce more: 503\n', 'stdout')


@harness.test()
def another_network(t):
    """2.1: unshare(2) of the network after the first connection: the bridge is not there, whatever
    is. (What is there may be a stranger: bypass.another_network.)"""
    _, seen = sandbox(t, 'net-after')
    t.equal(seen.out, 'no network: ENETUNREACH\nan empty network: ENETUNREACH\n', 'stdout')


@harness.test()
def chroot_after(t):
    """chroot(2) into an empty directory once connections were made: what was loaded stays in force,
    and the log says that it could not be read again."""
    (t.dir / 'empty').mkdir()
    # The log goes to stderr: a file of that name is not there any more.
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    argv = [t.guest('sandbox'), 'chroot-after']
    wanted = t.run([*argv, '127.0.0.1', server.plain_port, origin.BODY, t.dir / 'empty'])
    if wanted.status == 77:
        raise harness.Skip(wanted.err.strip())
    seen = t.run([*argv, 'webserver', 80, origin.BODY, t.dir / 'empty'], rules=rules)
    t.equal((seen.status, seen.out), (wanted.status, wanted.out), 'outcome')
    t.equal(seen.err.count('\n'), 1, f'lines on stderr of {seen.err!r}')
    t.contains(seen.err, 'the rules in force stay', 'stderr')


@harness.test()
def chroot_early(t):
    """chroot(2) when the rules have been read and no certificate has: an error, not less
    verification."""
    (t.dir / 'empty').mkdir()
    _, seen = sandbox(t, 'chroot-early', t.dir / 'empty')
    t.equal(seen.out, 'early: 503\nagain: 503\n', 'stdout')


# What a filter forbids; whether an answer is still due when it comes before the first connection.
CALLS = ('openat', 'newfstatat', 'clone3', 'clone', 'clone,clone3', 'eventfd2', 'close_range',
         'epoll_create1', 'epoll_ctl', 'epoll_wait', 'bind', 'listen', 'accept4', 'getsockname',
         'getsockopt', 'setsockopt', 'getrandom', 'madvise', 'prctl', 'fcntl', 'nanosleep',
         'pidfd_open', 'shutdown', 'sendto', 'recvfrom', 'mprotect', 'mmap')
HARMLESS = ('setsockopt', 'madvise', 'prctl', 'nanosleep', 'pidfd_open', 'shutdown')
NEED_OF_THE_SANITIZER = ('mmap', 'mprotect', 'clone', 'clone3', 'clone,clone3', 'openat', 'prctl')


@harness.test(timeout=60, cases=['EPERM before', 'EPERM after', 'ENOSYS before', 'ENOSYS after'])
def seccomp(t, case):
    """2.1: a filter forbids one system call that the bridge needs, before or after the first
    connection. The program gets an answer of the origin, a 503, or an error: no crash, no wait in
    vain, no connection by the side. (In a network that answers for every address, an address of the
    mesh that got out would bring another status.)"""
    error, when = case.split()
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    for call in CALLS:
        if t.san and call in NEED_OF_THE_SANITIZER:
            continue
        result = t.run([t.guest('sandbox'), f'seccomp-{when}', 'webserver', 80, origin.BODY,
                        getattr(errno, error), *call.split(',')], rules=rules,
                       env={'MESHSHIM_LOG': 'log'})
        if result.status == 77:
            raise harness.Skip(result.err.strip())
        t.equal((result.status, result.err), (0, ''), f'outcome with {call} forbidden')
        outcomes = [line.split(': ')[1] for line in result.out.splitlines()]
        t.equal(len(outcomes), 3, f'attempts with {call} forbidden')
        for outcome in outcomes:
            t.check(outcome in ('200', '503', 'ECONNRESET', 'ECONNREFUSED', error) or
                    (outcome, call) == ('ENOMEM', 'mmap'),
                    f'{outcome} with {call} forbidden')
            t.check(outcome == '200' or call not in HARMLESS, f'{outcome} without {call}')
    if case == 'ENOSYS before' and not t.san:   # as on a kernel that does not know it
        _, seen = sandbox(t, 'seccomp-before', errno.ENOSYS, 'clone3', 'pidfd_open', 'pidfd_getfd')
        t.equal(seen.out, 'before: 200\n' * 3, 'stdout without newer system calls')


@harness.test()
def seccomp_dns(t):
    """2.1: a filter forbids to read what a program with a resolver of its own asks."""
    wanted, seen = sandbox(t, 'seccomp-dns', errno.EPERM, 'recvfrom')
    t.equal((seen.out, wanted.out), ('idle\n', 'idle\n'), 'stdout')


@harness.test()
def few_processes(t):
    """2.4: no further thread can be made: an error for that connection; later it can."""
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    argv = [t.guest('sandbox'), 'few-processes']
    wanted = t.run([*argv, '127.0.0.1', server.plain_port, origin.BODY])
    t.equal(wanted.out, 'none: 200\nnone: 200\nmany: 200\n', 'without the library')
    seen = t.run([*argv, 'webserver', 80, origin.BODY], rules=rules)
    t.equal(seen.out, 'none: EAGAIN\nnone: EAGAIN\nmany: 200\n', 'stdout')
    t.equal(seen.err.count("cannot start the bridge's thread"), 2, f'lines on stderr: {seen.err!r}')


@harness.test(timeout=60)
def little_memory(t):
    """2.6: an address space with 0 to 40 MB left: an answer or an error, and no crash."""
    if t.san:
        raise harness.Skip('the sanitizer needs terabytes')
    sandbox(t, 'little-memory')
