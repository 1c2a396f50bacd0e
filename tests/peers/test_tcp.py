# SPDX-License-Identifier: Apache-2.0
"""Protocols that are not HTTP, to a port of TCP for which the DestinationRule originates TLS."""

import hashlib
import random
import subprocess

import harness
import mesh
import peers


def tcp_rules(t, number, port, tls):
    """redis.example:`number`, TCP, is 127.0.0.1:`port`."""
    service = mesh.service(port, name='tcp', host='tcp.example',
                           ports=f'{{ number = {number}; name = "tcp"; protocol = "TCP"; }}',
                           endpoint_ports=f'{{ name = "tcp"; value = {port}; }}')
    rule = [mesh.destination(t.pki.cert('ca'), name='tcp', host='tcp.example', mode=tls,
                             extra=f'sni = "{mesh.HOST}"; ' + client(t, tls))] if tls else []
    return t.rules(mesh.rule_set([service], [], rule))


def client(t, mode):
    if mode != 'MUTUAL':
        return ''
    return (f'clientCertificate = "{t.pki.cert("client")}"; '
            f'privateKey = "{t.pki.key("client")}";')


CLI = ['redis-cli', '-h', 'tcp.example', '-p', 6379]


@harness.test(timeout=60, cases=[f'{mode}-{version}' for mode in ('SIMPLE', 'MUTUAL')
                                 for version in peers.BOTH])
def redis(t, case):
    """redis-cli without TLS, a server that knows nothing else."""
    mode, version = case.split('-')
    server = peers.Redis(t, version, mode == 'MUTUAL')
    rules = tcp_rules(t, 6379, server.port, mode)
    t.equal(t.succeed([*CLI, 'SET', 'key', 'value'], rules=rules), 'OK\n', 'SET')
    t.equal(t.succeed([*CLI, 'GET', 'key'], rules=rules), 'value\n', 'GET')

    big = random.Random(9).randbytes(20 << 20)
    t.equal(t.succeed([*CLI, '-x', 'SET', 'big'], rules=rules, stdin=big), 'OK\n', 'a big SET')
    with open(t.dir / 'big', 'wb') as file:
        t.start([*CLI, 'GET', 'big'], rules=rules, stdout=file).wait()
    got = (t.dir / 'big').read_bytes()
    t.equal(hashlib.sha256(got).hexdigest(), hashlib.sha256(big + b'\n').hexdigest(), 'a big GET')

    commands = b''.join(b'*3\r\n$5\r\nRPUSH\r\n$4\r\nlist\r\n$%d\r\n%d\r\n' % (len(str(i)), i)
                        for i in range(100000))
    out = t.succeed([*CLI, '--pipe'], rules=rules, stdin=commands)
    t.contains(out, 'errors: 0, replies: 100000', 'what --pipe says')
    t.equal(t.succeed([*CLI, 'LINDEX', 'list', '99999'], rules=rules), '99999\n', 'the last one')


@harness.test(timeout=60)
def redis_publishes(t):
    """A connection that only waits, and is told."""
    server = peers.Redis(t, 'TLSv1.3')
    rules = tcp_rules(t, 6379, server.port, 'SIMPLE')
    heard = t.start([*CLI, 'SUBSCRIBE', 'news'], rules=rules, stdout=subprocess.PIPE, text=True)
    t.equal([heard.stdout.readline() for _ in range(3)], ['subscribe\n', 'news\n', '1\n'],
            'the subscription')
    for text in ('one', 'two', 'x' * 100000):
        t.equal(t.succeed([*CLI, 'PUBLISH', 'news', text], rules=rules), '1\n', 'who heard it')
        t.equal([heard.stdout.readline() for _ in range(3)],
                ['message\n', 'news\n', text + '\n'], 'what was heard')


@harness.test()
def redis_wrong_certificate(t):
    """A server that is not who it should be hears nothing; the program sees a closed connection."""
    server = peers.Redis(t, 'TLSv1.3')
    service = tcp_rules(t, 6379, server.port, 'SIMPLE')
    service.write_text(service.read_text().replace(f'sni = "{mesh.HOST}"', 'sni = "other.example"'))
    result = t.run([*CLI, 'SET', 'key', 'value'], rules=service)
    t.check('OK' not in result.out, f'what redis-cli says: {result.out} {result.err}')
    rules = tcp_rules(t, 6379, server.port, 'SIMPLE')
    t.equal(t.succeed([*CLI, 'EXISTS', 'key'], rules=rules), '0\n', 'whether the key was set')


PSQL = ['psql', '-X', '-A', '-t', '-c', 'select ssl, 6 * 7 from pg_stat_ssl where pid = pg_backend_pid()']


def psql(t, rules, mode):
    return t.run([*PSQL, f'host=tcp.example port=5432 user=guest dbname=postgres sslmode={mode} '
                  'gssencmode=disable connect_timeout=10'], rules=rules)


@harness.test(timeout=60)
def postgres(t):
    """PostgreSQL's TLS begins with a question in plain text, which the library does not ask: psql
    has to do TLS itself, to a port without a DestinationRule. With one, it fails and sends nothing
    in plain text."""
    server = peers.Postgres(t)
    result = psql(t, tcp_rules(t, 5432, server.port, None), 'require')
    t.equal((result.status, result.out), (0, 't|42\n'), 'with its own TLS')
    before = server.log.read_text()
    result = psql(t, tcp_rules(t, 5432, server.port, 'SIMPLE'), 'disable')
    t.equal((result.status, result.out), (2, ''), 'with TLS of ours')
    after = server.log.read_text()[len(before):]
    t.contains(after, 'invalid length of startup packet', "PostgreSQL's log")
    t.check('no encryption' not in after, f'plain text arrived: {after}')
