# SPDX-License-Identifier: Apache-2.0
"""Promise 2: the kernel carries the data, whatever calls a program makes on its socket."""

import harness
import mesh
import origin

MODES = ('send', 'write', 'writev', 'sendmsg', 'sendmmsg', 'sendfile', 'splice', 'stdio', 'dup',
         'fork', 'epoll-level', 'epoll-edge', 'poll', 'select')


def both_ways(t, argv):
    """Run `argv(host, port)` without the shim against a plain origin, and under it with the fast
    lane allowed and forbidden against TLS; all must agree."""
    plain = origin.Nginx(t)
    wanted = t.run(argv('127.0.0.1', plain.plain_port))
    if wanted.status == 77:
        raise harness.Skip(wanted.out.strip())
    t.equal((wanted.status, wanted.out.strip(), wanted.err), (0, f'200 {origin.BODY}', ''),
            'the run without the shim')
    t.equal(plain.lines(1)[0].request, 'GET /anything?x=1 HTTP/1.1', 'request without the shim')
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    seen = t.run(argv('webserver', 80), rules=rules)
    t.equal((seen.status, seen.out, seen.err), (wanted.status, wanted.out, wanted.err),
            'the run under the shim')
    origin.check_founding(t, server.only_requests(1)[0])


@harness.test(cases=MODES)
def modes(t, mode):
    both_ways(t, lambda host, port: [t.guest('modes'), mode, host, port])


@harness.test()
def io_uring(t):
    both_ways(t, lambda host, port: [t.guest('uring'), host, port])


@harness.test()
def bash_dev_tcp(t):
    script = r'''
        exec 3<>/dev/tcp/$1/$2
        printf 'GET /anything?x=1 HTTP/1.1\r\nHost: webserver\r\nConnection: close\r\n\r\n' >&3
        IFS=' ' read -r version status reason <&3
        while IFS= read -r line && [ "$line" != $'\r' ]; do :; done <&3
        IFS= read -r body <&3
        printf '%s %s\n' "$status" "$body"
    '''
    both_ways(t, lambda host, port: [t.tool('bash'), '-c', script, 'bash', host, port])
