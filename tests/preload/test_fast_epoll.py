# SPDX-License-Identifier: Apache-2.0
"""The fast lane for sockets in epoll sets: whatever a program does there, it sees what it sees without it."""

import time

import harness
import mesh
import scripted
import test_fast

FAST, SLOW = test_fast.FAST, test_fast.SLOW


def patient(stream):
    """As test_fast.echo, and what is POSTed to /slow is read slowly."""
    slow_more, more = None, stream.more

    def slowly():
        time.sleep(0.002)
        return more()
    while (head := stream.head()) is not None:
        method, path, _ = head.split(' ', 2)
        stream.more = slowly if path.startswith('/slow') else more
        body = stream.body(head)
        stream.more = more
        respond(stream, method, path, body)


def respond(stream, method, path, body):
    _, what, arg = path.split('/', 2)
    if what == 'size':
        stream.send(test_fast.answer((test_fast.PATTERN * (int(arg) // 251 + 1))[:int(arg)]))
        return
    if what == 'wait':
        time.sleep(int(arg) / 1000)
    stream.send(test_fast.answer(b'%s %s %d %08x\n' % (method.encode(), path.encode(), len(body),
                                                       test_fast.zlib.adler32(body))))


def brief(how, seconds=0.1):
    """An origin that ends a connection on which nothing comes for so long."""
    def script(stream):
        while True:
            stream.s.settimeout(seconds)
            try:
                head = stream.head()
            except scripted.Hung:
                stream.end(how)
                return
            stream.s.settimeout(20)
            if head is None:
                return
            method, path, _ = head.split(' ', 2)
            respond(stream, method, path, stream.body(head))
    return script


def both(t, mode, *args, program='fast_epoll', script=patient, lane=None, plain=True):
    """A guest without the library, and with it. Returns what it says with it."""
    if plain:
        server = scripted.Scripted(t, script)
        t.succeed([t.guest(program), mode, '127.0.0.1', server.port, *args])
        t.equal(server.errors, [], 'what the origin failed of without the library')
    server = scripted.Scripted(t, script, 'host')
    rules = t.rules(mesh.unchanged(server.port, t.pki.cert('ca')))
    out = t.succeed([t.guest(program), mode, 'webserver', '80', *args], rules=rules, env=lane or FAST)
    t.equal(server.errors, [], 'what the origin failed of')
    return out.strip()


MANNERS = ('level', 'edge', 'edge-short', 'edge-both', 'edge-all', 'level-both', 'wait-both', 'hangup', 'to-out',
           'to-out-edge')


@harness.test(timeout=60, cases=MANNERS)
def manners(t, manner):
    """Whatever it is registered for, it takes the fast lane."""
    t.equal(both(t, 'manner', manner), '0', 'bytes that the kernel carried')


@harness.test(timeout=60)
def oneshot(t):
    both(t, 'manner', 'oneshot')


@harness.test(timeout=60, cases=['before', 'late', 'nothing'])
def registers(t, mode):
    both(t, mode)


@harness.test(timeout=60, cases=['notify', 'close', 'reset'])
def data(t, how):
    both(t, 'data', script=brief(how, 0.05), plain=False)


ROOMS = [f'{manner} {room}' for manner in ('level', 'edge', 'edge-short')
         for room in (1, 100, 4096, 16384, 65536)]


@harness.test(timeout=60, cases=ROOMS)
def bodies(t, case):
    both(t, 'bodies', *case.split())


@harness.test(timeout=60, cases=['level', 'edge', 'any-way', 'any-way-edge', 'any-way-both'])
def mixed(t, manner):
    both(t, 'mixed', manner, '2000', plain=False)


ENDS = {'close': 0, 'range': 1, 'over': 2, 'shutdown': 3, 'delete': 4, 'bare': 5, 'over3': 6}


@harness.test(timeout=60, cases=[f'{manner} {end}' for manner in ('level', 'edge-both', 'level-both')
                                 for end in ENDS])
def crowd(t, case):
    manner, end = case.split()
    both(t, 'crowd', manner, str(ENDS[end]), '3000', plain=False)


@harness.test(timeout=60, cases=[f'{manner} {how}' for manner in ('level', 'edge-both', 'hangup')
                                 for how in ('notify', 'close', 'reset')])
def idle(t, case):
    manner, how = case.split()
    both(t, 'idle', manner, script=brief(how), plain=False)


@harness.test(timeout=60)
def busy(t):
    t.equal(both(t, 'busy'), '0', 'bytes that the kernel carried')


@harness.test(timeout=60, cases=['taken', 'ended'])
def room(t, what):
    both(t, 'room', what, script=brief('notify') if what == 'ended' else patient, plain=what != 'ended')


SETS = 'fast_epoll_sets'


@harness.test(timeout=60, cases=['fork', 'copies', 'reuse', 'two', 'nested', 'numbers'])
def sets(t, mode):
    both(t, mode, program=SETS)


@harness.test(timeout=60)
def moves(t):
    t.equal(both(t, 'moves', program=SETS), '0', 'bytes that the kernel carried')


@harness.test(timeout=60)
def many_sets(t):
    t.equal(both(t, 'many', '600', program=SETS, plain=False), '0', 'bytes that the kernel carried')


@harness.test(timeout=60, cases=['write', 'both'])
def shuts(t, how):
    both(t, 'shuts', how, program=SETS)


@harness.test(timeout=60, cases=['level', 'oneshot', 'own'])
def threads(t, how):
    both(t, 'threads', how, program=SETS)
