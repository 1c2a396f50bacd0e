# SPDX-License-Identifier: Apache-2.0
"""The hooks one by one: what a program asks of libc is answered for the mesh as for any host."""

import harness
import mesh
import origin


@harness.test()
def names(t):
    """Every way of asking the resolver agrees, errors and short buffers included."""
    plain = t.run([t.guest('guest_hooks_names'), 'localhost'])
    t.equal((plain.status, plain.err), (0, ''), 'the guest without the library')
    rules = t.rules(mesh.founding(1, t.pki.cert('ca')))
    out = t.succeed([t.guest('guest_hooks_names'), 'webserver'], rules=rules)
    t.check(out.startswith('240.240.'), f'the address is {out!r}')


@harness.test()
def connect(t):
    """connect(2) and its disguises, blocking or not, on sockets of every kind."""
    server = origin.Nginx(t)
    plain = t.run([t.guest('guest_hooks_connect'), '127.0.0.1', server.plain_port])
    t.equal((plain.status, plain.err), (0, ''), 'the guest without the library')
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    out = t.succeed([t.guest('guest_hooks_connect'), 'webserver', 80], rules=rules)
    t.equal(out, plain.out, 'what the guest saw')
