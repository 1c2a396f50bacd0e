# SPDX-License-Identifier: Apache-2.0
"""Web servers as origins: a long conversation in every framing, over each version of TLS. The program
has to see the same as from the server's plain port without the library."""

import os
import random

import application
import harness
import mesh
import peers

TALK = peers.HERE / 'talk.py'
SERVERS = {'nginx': peers.Nginx, 'apache': peers.Apache, 'haproxy': peers.Haproxy}
N_REQUESTS = 14


def static(t):
    path = t.dir / 'static'
    path.mkdir()
    (path / 'small').write_bytes(b'External Service 1\n')
    (path / 'large').write_bytes(random.Random(1).randbytes(8 << 20))
    for file in path.iterdir():  # Apache's ETags are weak while a file is young
        os.utime(file, (1e9, 1e9))
    return path


@harness.test(timeout=60, cases=[f'{name}-{version}' for name in SERVERS
                                 for version in peers.BOTH])
def conversation(t, case):
    name, version = case.split('-')
    files = static(t)
    server = SERVERS[name](t, version, files, application.Application(t, files).port)
    rules = t.rules(mesh.unchanged(server.port, t.pki.cert('ca')))
    wanted = t.succeed([harness.PYTHON, TALK, f'http://127.0.0.1:{server.plain_port}'])
    t.equal(len(wanted.splitlines()), N_REQUESTS, 'answers without the library')
    seen = t.succeed([harness.PYTHON, TALK, 'http://webserver'], rules=rules)
    t.equal(seen, wanted, 'what the program saw')
    lines = server.lines(N_REQUESTS)
    t.equal(len(lines), N_REQUESTS, 'requests over TLS')
    t.equal({line.tls for line in lines}, {version}, 'versions of TLS')
    t.equal(len({line.connection for line in lines}), 1, 'connections to the origin')


def same(t, name, wanted):
    t.check((t.dir / name).read_bytes() == wanted.read_bytes(), f'{name} is not what was sent')


@harness.test(timeout=60, cases=list(SERVERS))
def curl(t, name):
    """Uploads that ask whether they may (Expect: 100-continue), and several at once."""
    files = static(t)
    server = SERVERS[name](t, 'TLSv1.3', files, application.Application(t, files).port)
    rules = t.rules(mesh.unchanged(server.port, t.pki.cert('ca')))
    base = ['curl', '-sS', '--max-time', 20]
    for more in ([], ['-H', 'Transfer-Encoding: chunked']):
        t.succeed([*base, '--expect100-timeout', 15, '-H', 'Expect: 100-continue', *more,
                   '--data-binary', f'@{files}/large', '-o', 'got', 'http://webserver/echo'],
                  rules=rules)
        same(t, 'got', files / 'large')
    urls = []
    for i in range(12):
        urls += ['-o', f'many{i}', 'http://webserver/static/large']
    t.succeed([*base, '--no-progress-meter', '--parallel', *urls], rules=rules)
    for i in range(12):
        same(t, f'many{i}', files / 'large')
