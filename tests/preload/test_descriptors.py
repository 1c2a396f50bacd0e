# SPDX-License-Identifier: Apache-2.0
"""Descriptors (failure class 2.4): what a program does with numbers, its own and others.

Each guest runs first without the library: the kernel is the oracle. More of this class is in
test_manners.py (closing everything in eight ways, 0-2 closed at start, `ulimit -n 16`)."""

import socket

import harness
import mesh
import origin
from test_processes import both_ways


@harness.test(cases=['close_range', 'dup-onto', 'reused-number'])
def numbers(t, mode):
    """2.4: close_range with each flag, dup2 onto ours, a connection's number closed where no hook
    sees it."""
    t.equal(both_ways(t, 'descriptors', mode).status, 0, 'status')


@harness.test()
def number_of_ours_reused(t):
    """2.4: ours is closed where no hook sees it, and its number is a file of the program's then.
    Nothing is written there; what cannot be served without it is refused, and said so."""
    env = {'MESHSHIM_LOG': 'log'}
    t.equal(both_ways(t, 'descriptors', 'reused-strangers', env=env).status, 0, 'status')
    if socket.has_ipv6:
        t.contains((t.dir / 'log').read_text(), 'has closed a descriptor of the bridge', 'log')


def under_the_library(t, mode):
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    return t.succeed([t.guest('descriptors'), mode, 'webserver', 80, origin.BODY], rules=rules,
                     env={'MESHSHIM_LOG': 'log'})


@harness.test()
def exhausted_after(t):
    """2.4: the program has one number left for its socket, and the bridge needs none of its."""
    t.equal(both_ways(t, 'descriptors', 'exhausted-after').status, 0, 'status')


@harness.test()
def exhausted_before(t):
    """2.4: no number is left for the bridge to start with: an error for that connection, and
    nothing else; it starts as soon as there is room."""
    out = under_the_library(t, 'exhausted-before')
    t.equal(out.splitlines()[-1], 'survived', 'stdout')


@harness.test()
def exhausted_unread(t):
    """2.4: no number is left to read the rules with. That passes, and is no reason to be without
    rules for good."""
    out = under_the_library(t, 'exhausted-unread')
    t.equal(out.splitlines()[-1], 'survived', 'stdout')


@harness.test()
def tiny(t):
    """2.4: tables of 4 to 16 numbers: an error or an answer, and an answer where there is room."""
    seen = dict(line.split(': ') for line in under_the_library(t, 'tiny').splitlines())
    t.equal([seen[n] for n in ('4', '12', '16')], ['error', 'answer', 'answer'], 'outcomes')


@harness.test()
def closed_late(t):
    """2.4: 0-2 are closed in the middle of everything, and are files then; the log is not written
    to them."""
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    argv = [t.guest('descriptors'), 'closed-late']
    plain = t.run([*argv, '127.0.0.1', server.plain_port, origin.BODY])
    seen = t.run([*argv, 'webserver', 80, origin.BODY], rules=rules,
                 env={'MESHSHIM_LOG_LEVEL': 'debug'})
    t.equal((plain.status, seen.status), (40, 40), 'status (20-22: taken, 30: written to)')
    t.contains(seen.err, 'connecting through the bridge', 'the log, as long as there was stderr')
