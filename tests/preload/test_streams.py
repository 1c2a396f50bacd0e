# SPDX-License-Identifier: Apache-2.0
"""Connections of which no request is read: tls and tcp routes, ports without protocol."""

import socket
import threading

import harness
import mesh
import origin

SECURE = '{ number = 443; name = "p"; protocol = "TLS"; }'
PLAIN = '{ number = 5432; name = "p"; protocol = "TCP"; }'
ANY = '{ number = 9000; name = "p"; }'
HTTP = '{ number = 80; name = "p"; protocol = "HTTP"; }'

# Connects, says nothing until the server has spoken, then speaks, ends its stream, and reads on.
DIALOGUE = '''
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
first = s.recv(100) if sys.argv[3] == "listen" else b""
s.sendall(b"question\\r\\n\\r\\n")
s.shutdown(socket.SHUT_WR)
rest = b""
while chunk := s.recv(100):
    rest += chunk
print(first.decode() + "|" + rest.decode())
'''


def entry(host, port, ports):
    return mesh.service(port, host.split('.')[0], host, ports, f'{{ name = "p"; value = {port}; }}')


def route(kind, host, destination, port, match=''):
    return f'''
    {{
        name = "{host}";
        hosts = [ "{host}" ];
        {kind} = ( {{ {match} route = ( {{ destination = {{ host = "{destination}";
                      port = {{ number = {port}; }}; }}; }} ); }} );
    }}'''


class Banner:
    """A server that speaks first: it greets, reads to the end, and says how many bytes that were."""

    def __init__(self, t):
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        t.defer(self.listener.close)

    def _serve(self):
        s, _ = self.listener.accept()
        with s:
            s.sendall(b'hello')
            count = 0
            while chunk := s.recv(100):
                count += len(chunk)
            s.sendall(b'%d bytes' % count)


# Sends as much as it can, and then reads what there is.
UPLOAD = '''
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
try:
    for _ in range(400):
        s.sendall(b"x" * 65536)
except OSError:
    pass
try:
    print(s.recv(100).decode())
except OSError as error:
    print(error)
'''

# Does not read what the server says, speaks, and closes: a reset. The bridge ends with the program, which
# therefore stays a little.
GOODBYE = '''
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
for i in range(20):
    s.sendall(b"hello")
    time.sleep(0.01)
time.sleep(0.2)
s.sendall(b"goodbye")
s.close()
time.sleep(0.3)
'''


class Curt:
    """A server that answers each piece; `refuses`: the first one, and closes with the rest unread."""

    def __init__(self, t, refuses):
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.refuses = refuses
        self.heard = b''
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        t.defer(self.listener.close)

    def _serve(self):
        s, _ = self.listener.accept()
        with s:
            try:
                while chunk := s.recv(1000):
                    self.heard += chunk
                    s.sendall(b'too long' if self.refuses else b'yes')
                    if self.refuses:
                        return
            except OSError:
                pass


def talk(t, rules, host, port, order):
    return t.succeed([harness.PYTHON, '-c', DIALOGUE, host, str(port), order], rules=rules).strip()


@harness.test()
def sni(t):
    """TLS of the program's own goes where a tls route for its server name says, end to end."""
    server, decoy = origin.Recorder(t, 'host'), origin.Recorder(t, 'host')
    rules = t.rules(mesh.rule_set(
        [entry(mesh.HOST, decoy.port, SECURE), entry('other.example', server.port, SECURE)],
        [route('tls', mesh.HOST, 'other.example', 443,
               f'match = ( {{ sniHosts = [ "{mesh.HOST}" ]; }} );')]))
    out = t.succeed([*harness.FETCH, '--cacert', str(t.pki.cert('ca')), f'https://{mesh.HOST}/x'],
                    rules=rules)
    t.equal(out.strip(), origin.BODY, 'what the program got')
    t.equal(server.connections[0].sni, mesh.HOST, 'server name')
    t.equal(len(decoy.connections), 0, 'connections to the host itself')


@harness.test()
def sni_blocked(t):
    """A server name that no tls route has is closed under REGISTRY_ONLY."""
    server = origin.Recorder(t, 'host')
    rules = t.rules(mesh.rule_set(
        [entry(mesh.HOST, server.port, SECURE)],
        [route('tls', mesh.HOST, mesh.HOST, 443,
               f'match = ( {{ sniHosts = [ "{mesh.HOST}" ]; port = 443; }} );')],
        mesh=mesh.REGISTRY_ONLY))
    ask = ('import socket, ssl, sys\n'
           's = socket.create_connection((sys.argv[1], 443), 10)\n'
           'try:\n'
           '    ssl._create_unverified_context().wrap_socket(s, server_hostname=sys.argv[2])\n'
           'except OSError as error: print("refused")\n'
           'else: print("connected")\n')
    for name, wanted in ((mesh.HOST, 'connected'), ('stranger.example', 'refused')):
        out = t.succeed([harness.PYTHON, '-c', ask, mesh.HOST, name], rules=rules)
        t.equal(out.strip(), wanted, f'TLS for {name}')


@harness.test()
def server_first(t):
    """A tcp route to a server that speaks first; both ends of the stream are passed on."""
    server = Banner(t)
    rules = t.rules(mesh.rule_set([entry('db.example', 1, PLAIN),
                                   entry('replica.example', server.port, PLAIN)],
                                  [route('tcp', 'db.example', 'replica.example', 5432)]))
    t.equal(talk(t, rules, 'db.example', 5432, 'listen'), 'hello|12 bytes', 'dialogue')


@harness.test(cases=['TCP', 'TLS'])
def originated(t, protocol):
    """A tcp route to a host with TLS: what the program says in plain text leaves encrypted, for that
    host's name, whatever the protocol of the port is."""
    server = origin.Recorder(t, 'other', answer=lambda connection, head: b'answer')
    port = f'{{ number = 6380; name = "p"; protocol = "{protocol}"; }}'
    rules = t.rules(mesh.rule_set(
        [entry('db.example', 1, PLAIN), entry('other.example', server.port, port)],
        [route('tcp', 'db.example', 'other.example', 6380)],
        [mesh.destination(t.pki.cert('ca'), host='other.example')]))
    t.equal(talk(t, rules, 'db.example', 5432, 'speak'), '|answer', 'dialogue')
    server.stop()
    t.equal(server.connections[0].sni, 'other.example', 'server name')
    t.equal(server.connections[0].clear, b'question\r\n\r\n', 'what arrived inside of TLS')
    t.check(b'question' not in server.connections[0].raw, 'it arrived in plain text')


@harness.test()
def untrusted(t):
    """A server that does not prove its name gets no byte, and the program sees an error."""
    server = origin.Recorder(t, 'host')
    rules = t.rules(mesh.rule_set([entry('db.example', server.port, PLAIN)], [],
                                  [mesh.destination(t.pki.cert('ca'), host='db.example')]))
    result = t.run([harness.PYTHON, '-c', DIALOGUE, 'db.example', '5432', 'speak'], rules=rules)
    t.check(result.status != 0, 'the program saw no error')
    server.stop()
    t.equal(server.connections[0].clear, b'', 'what arrived inside of TLS')


@harness.test()
def without_protocol(t):
    """One port without protocol carries HTTP, which is routed, and bytes."""
    server = origin.Recorder(t, None)
    rules = t.rules(mesh.rule_set(
        [entry('any.example', server.port, ANY)],
        [mesh.virtual('any.example', rewrite='rewrite = { uri = "/rewritten"; };',
                      destination='any.example', port=9000)]))
    out = t.succeed([*harness.FETCH, 'http://any.example:9000/x'], rules=rules)
    t.equal(out.strip(), origin.BODY, 'what the program got')
    t.check(server.connections[0].clear.startswith(b'GET /rewritten HTTP/1.1\r\n'), 'the request')
    t.contains(talk(t, rules, 'any.example', 9000, 'speak'), origin.BODY, 'the answer to bytes')
    t.equal(server.connections[1].clear, b'question\r\n\r\n', 'the bytes')


@harness.test()
def tls_to_http(t):
    """TLS on a port for HTTP is closed, and the log says what to do about it."""
    server = origin.Recorder(t, None)
    rules = t.rules(mesh.rule_set([entry('web.example', server.port, HTTP)]))
    result = t.run([*harness.FETCH, 'https://web.example:80/'], rules=rules,
                   env={'MESHSHIM_LOG_LEVEL': 'warn'})
    t.check(result.status != 0, 'the program saw no error')
    t.contains(result.err, 'web.example:80: closed: the program speaks TLS on a port for HTTP',
               'the log')
    t.check('WRONG_VERSION_NUMBER' not in result.err, 'the program read plain text as TLS')
    t.equal(len(server.connections), 0, 'connections to the origin')


@harness.test()
def refused_while_sending(t):
    """A server says why and closes before it has read everything: the program gets to hear it."""
    for _ in range(10):
        server = Curt(t, True)
        rules = t.rules(mesh.rule_set([entry('db.example', server.port, PLAIN)]))
        out = t.succeed([harness.PYTHON, '-c', UPLOAD, 'db.example', '5432'], rules=rules)
        t.equal(out.strip(), 'too long', 'what the program heard')


@harness.test()
def last_words(t):
    """What a program says before it closes hard arrives."""
    for _ in range(10):
        server = Curt(t, False)
        rules = t.rules(mesh.rule_set([entry('db.example', server.port, PLAIN)]))
        t.succeed([harness.PYTHON, '-c', GOODBYE, 'db.example', '5432'], rules=rules)
        server.thread.join(10)
        t.equal(server.heard, b'hello' * 20 + b'goodbye', 'what the server heard')
