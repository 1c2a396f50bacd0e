# SPDX-License-Identifier: Apache-2.0
"""Process life: fork, vfork, exec, exit (failure class 2.5), signals and threads (2.8).

Each guest runs first without the library against a plain origin: the kernel is the oracle. More of
these classes is in test_manners.py (forks, storms, masks), test_follow.py (environments)."""

import os
import signal
import socket

import harness
import mesh
import origin

TARGET = f'GET {mesh.TARGET}?x=1 HTTP/1.1'


def both_ways(t, guest, mode, requests=None, plain_requests=None, **options):
    """Run a guest without the library and with it: same status, same output, nothing else. As many
    requests have to arrive, if there is a number. Returns what was printed."""
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    argv = [t.guest(guest), mode]
    wanted = t.run([*argv, '127.0.0.1', server.plain_port, origin.BODY], **options)
    if wanted.status == 77:
        raise harness.Skip(wanted.err.strip())
    t.equal(wanted.err, '', 'stderr without the library')
    seen = t.run([*argv, 'webserver', 80, origin.BODY], rules=rules, **options)
    t.equal((seen.status, seen.out, seen.err), (wanted.status, wanted.out, ''),
            'outcome under the library')
    if requests:
        for line in server.lines(2 * requests):
            t.equal((line.status, line.port == str(server.port)), ('200', line.request == TARGET),
                    f'one of its requests, over TLS if rewritten: {line}')
    return wanted


@harness.test(cases=['prefork:27', 'daemon-before:2', 'daemon-after:4', 'spawn:12', 'replace:2'])
def families(t, case):
    """2.5: servers that fork their workers beforehand, daemons, spawned and replaced programs."""
    mode, requests = case.split(':')
    wanted = both_ways(t, 'families', mode, int(requests))
    t.equal(wanted.status, 0, 'status')


@harness.test(cases=['handlers', 'interrupted'])
def signals(t, mode):
    """2.8: whole requests in signal handlers, in the middle of the program's own; EINTR."""
    if t.san and mode == 'handlers':
        raise harness.Skip("the allocator is the sanitizer's, and has locks: signals_in_malloc")
    t.equal(both_ways(t, 'families', mode).status, 0, 'status')


@harness.test(cases=['8', '1'])
def signals_in_malloc(t, arenas):
    """2.8: the handler has interrupted malloc(3). With one arena, all threads share its lock."""
    if t.san:
        raise harness.Skip("the allocator is the sanitizer's")
    seen = both_ways(t, 'families', 'allocator', env={'MALLOC_ARENA_MAX': arenas})
    t.equal(seen.status, 0, 'status')


EXITS = {'exit': 3, '_exit': 4, 'half-close': 5, 'atexit': 6, 'atexit-only': 7, 'quick_exit': 8,
         'thread': 9, 'first-thread': 11, 'first-thread-after': 10}


@harness.test(cases=EXITS)
def exits(t, mode):
    """2.5: a program that ends has every answer that it waited for, and its own exit status."""
    wanted = both_ways(t, 'exits', mode)
    t.equal(wanted.status, EXITS[mode], 'status')
    t.check(wanted.out, 'nothing was answered')


@harness.test(cases=['busy-exit:12', 'busy-quick_exit:13', 'busy-return:0',
                     f'busy-signal:{-signal.SIGTERM}'])
def exits_when_busy(t, case):
    """2.5: the end comes in the middle of other threads' requests; it neither hangs nor crashes."""
    mode, status = case.split(':')
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    argv = [t.guest('exits'), mode]
    wanted = t.run([*argv, '127.0.0.1', server.plain_port, origin.BODY])
    t.equal((wanted.status, wanted.out, wanted.err), (int(status), 'answered\n', ''),
            'without the library')
    for _ in range(10):
        seen = t.run([*argv, 'webserver', 80, origin.BODY], rules=rules)
        t.equal((seen.status, seen.out, seen.err), (wanted.status, wanted.out, ''), 'under it')


@harness.test(cases=['SIGTERM', 'SIGINT', 'SIGKILL', 'handler'])
def ends_in_the_handshake(t, how):
    """2.5: an upstream that accepts and says nothing; the program is ended, by its own handler in
    one case. It ends at once."""
    silent = socket.create_server(('127.0.0.1', 0))
    t.defer(silent.close)
    rules = t.rules(mesh.founding(silent.getsockname()[1], t.pki.cert('ca')))
    script = '''
import signal, sys, urllib.request
def end(number, frame):
    print("handled")
    sys.exit(5)
if sys.argv[1] == 'handler':
    signal.signal(signal.SIGTERM, end)
urllib.request.urlopen('http://webserver/anything?x=1', timeout=20)
'''
    child = t.start([harness.PYTHON, '-c', script, how], rules=rules,
                    stderr=open(t.dir / 'err', 'w'), stdout=open(t.dir / 'out', 'w'))
    silent.settimeout(15)
    connection, _ = silent.accept()
    with connection:
        t.check(connection.recv(1), 'no handshake')
        number = signal.SIGTERM if how == 'handler' else getattr(signal, how)
        child.send_signal(number)
        status = child.wait(10)
    if how == 'SIGINT':     # python3 prints a traceback first
        t.contains((t.dir / 'err').read_text(), 'KeyboardInterrupt', 'stderr')
    else:
        t.equal((t.dir / 'err').read_text(), '', 'stderr')
    t.equal(status, 5 if how == 'handler' else -number, 'status')
    t.equal((t.dir / 'out').read_text(), 'handled\n' if how == 'handler' else '', 'stdout')
