# SPDX-License-Identifier: Apache-2.0
"""Promise 6: TLS is really verified, and a failure is a 503 with a reason; nothing of the request
gets to who did not prove its name."""

import harness
import mesh
import origin

MARK = 'top-secret-mark'
REASON = ('upstream connect error or disconnect/reset before headers. retried and the latest reset '
          'reason: ')


def refused(t, port, ca, tls='', mode='SIMPLE'):
    """Ask; expect the 503. Returns its body."""
    rules = t.rules(mesh.founding(port, ca, tls, mode))
    out = t.succeed([*harness.FETCH, '--status', '--header', f'X-Mark: {MARK}', '--data', MARK,
                     f'http://webserver/{MARK}?x=1'], rules=rules)
    body, status = out.strip().rsplit('\n', 1)
    t.equal(status, '503', 'status that the program got')
    t.check(body.startswith(REASON) and len(body) > len(REASON), f'no reason in {body!r}')
    return body


def nothing_arrived(t, server):
    server.stop()
    t.check(server.connections, 'the origin was not contacted at all')
    for connection in server.connections:
        if server.cert:
            t.equal(connection.clear, b'', 'what arrived inside of TLS')
        t.equal(connection.raw[:1], b'\x16', 'first byte on the wire (TLS handshake)')
        for secret in (MARK, mesh.TARGET, 'HTTP/1.'):
            t.check(secret.encode() not in connection.raw, f'{secret} arrived in plain text')


@harness.test(cases=['other', 'expired', 'unknown'])
def certificate(t, which):
    """A certificate for another name, one that has expired, one by an unknown authority."""
    server = origin.Recorder(t, which)
    refused(t, server.port, t.pki.cert('ca'))
    nothing_arrived(t, server)


@harness.test()
def system_store(t):
    """Without caCertificates the system's store counts, and does not know our authority."""
    server = origin.Recorder(t, 'host')
    refused(t, server.port, 'system')
    nothing_arrived(t, server)


@harness.test()
def plaintext_server(t):
    """The TLS port answers in plain HTTP."""
    server = origin.Recorder(t, None)
    server.answer = origin.ok

    def talk(s, connection):
        connection.raw += s.recv(65536)
        connection.clear = b''
        s.sendall(origin.ok(connection, ''))
        while True:
            data = s.recv(65536)
            if not data:
                return
            connection.raw += data

    server._talk = talk
    refused(t, server.port, t.pki.cert('ca'))
    nothing_arrived(t, server)


@harness.test()
def subject_alt_names(t):
    """subjectAltNames take the server name's place: a right one is accepted, a wrong one not."""
    server = origin.Recorder(t, 'other')
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca'),
                                  'subjectAltNames = [ "nobody.example", "other.example" ];'))
    t.equal(t.succeed([*harness.FETCH, 'http://webserver/'], rules=rules),
            origin.BODY + '\n', 'with the right name')
    server.stop()
    t.equal(server.connections[0].sni, mesh.HOST, 'SNI')
    server = origin.Recorder(t, 'host')
    refused(t, server.port, t.pki.cert('ca'), 'subjectAltNames = [ "other.example" ];')
    nothing_arrived(t, server)


@harness.test()
def insecure_skip_verify(t):
    """The one field that turns verification off."""
    server = origin.Recorder(t, 'unknown')
    text = mesh.founding(server.port, 'x', 'insecureSkipVerify = true;')
    rules = t.rules(text.replace('caCertificates = "x";', ''))
    t.equal(t.succeed([*harness.FETCH, 'http://webserver/'], rules=rules),
            origin.BODY + '\n', 'what the program got')


MUTUAL = 'ssl_verify_client on; ssl_client_certificate {ca};'


@harness.test()
def mutual(t):
    """MUTUAL presents its certificate."""
    ca = t.pki.cert('ca')
    server = origin.Nginx(t, tls=MUTUAL.format(ca=ca))
    rules = t.rules(mesh.founding(
        server.port, ca, f'clientCertificate = "{t.pki.cert("client")}"; '
        f'privateKey = "{t.pki.key("client")}";', 'MUTUAL'))
    out = t.succeed([*harness.FETCH, 'http://webserver/anything?x=1'], rules=rules)
    t.equal(out, origin.BODY + '\n', 'what the program got')
    line = server.only_requests(1)[0]
    origin.check_founding(t, line)
    t.equal(line.client, 'CN=meshshim test client', 'certificate that the origin saw')


@harness.test()
def mutual_is_needed(t):
    """The same origin without a client certificate says 400, and the program is told so."""
    ca = t.pki.cert('ca')
    server = origin.Nginx(t, tls=MUTUAL.format(ca=ca))
    out = t.succeed([*harness.FETCH, '--status', 'http://webserver/anything?x=1'],
                    rules=t.rules(mesh.founding(server.port, ca)))
    t.check(out.endswith('\n400\n'), f'not 400: {out!r}')


@harness.test()
def alpn_and_resumption(t):
    """http/1.1 is offered, and a second connection resumes the session of the first."""
    server = origin.Nginx(t, tls='keepalive_timeout 0; ssl_session_cache shared:s:1m;')
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    urls = [f'http://webserver/anything?x={i}' for i in range(3)]
    out = t.succeed([*harness.FETCH, *urls], rules=rules)
    t.equal(out, f'{origin.BODY}\n' * 3, 'what the program got')
    lines = server.only_requests(3)
    t.equal([line.alpn for line in lines], ['http/1.1'] * 3, 'ALPN')
    t.equal([line.resumed for line in lines], ['.', 'r', 'r'], 'resumed sessions')
