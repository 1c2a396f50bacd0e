# SPDX-License-Identifier: Apache-2.0
"""connect(2) in all its disguises (2.2 in README.md): what a program sees on its way to a host of
the mesh is what it sees with any server on loopback, call by call."""

import os
import socket
import socketserver
import struct
import threading

import harness
import mesh
import nameserver
import origin

WAYS = ('poll', 'select', 'level-before', 'level-after', 'edge-before', 'edge-after',
        'oneshot-before', 'oneshot-after', 'twice', 'disconnect', 'listening', 'fastopen-connect',
        'bound', 'v6', 'v6only', 'mptcp', 'options', 'local-name', 'bad-arguments', 'other-hands',
        'half-closed')


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        if self.rfile.readline():
            while self.rfile.readline().strip():
                pass
            self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok')


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, sock):
        super().__init__(sock.getsockname()[:2], Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = sock
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


def plain_server(t):
    """A plain HTTP server on one port of 127.0.0.1 and of ::1."""
    while True:
        v4 = socket.create_server(('127.0.0.1', 0))
        port = v4.getsockname()[1]
        try:
            v6 = socket.create_server(('::1', port), family=socket.AF_INET6)
        except OSError as error:
            v4.close()
            if socket.has_ipv6 and error.errno == 98:   # that port is taken
                continue
            raise harness.Skip(f'no IPv6 loopback here: {error}')
        for sock in (v4, v6):
            server = Server(sock)
            t.defer(server.shutdown)
        return port


def both(t, way, **env):
    port = plain_server(t)
    plain = t.run([t.guest('guest_connect'), way, '127.0.0.1', port], env=env)
    t.equal((plain.status, plain.err), (0, ''), 'the guest without the library')
    if plain.out.startswith('skip: '):
        raise harness.Skip(plain.out[6:].strip())
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    out = t.succeed([t.guest('guest_connect'), way, 'webserver', 80], rules=rules, env=env)
    t.equal(out, plain.out, 'what the guest saw')


@harness.test(cases=WAYS)
def ways(t, way):
    if way == 'bad-arguments' and t.sanitizer():
        raise harness.Skip('AddressSanitizer itself looks where these pointers point')
    both(t, way)


@harness.test()
def bound_to_an_address(t):
    """A source address that is not loopback's: bound before connect, no way around the mesh."""
    nameserver.isolate()
    both(t, 'bound-elsewhere')


def add_device(name):
    """A network device that leads nowhere, in the namespace that isolate() has made."""
    def attribute(kind, data):
        size = 4 + len(data)
        return struct.pack('=HH', size, kind) + data + b'\0' * (-size % 4)

    kind = attribute(18, attribute(1, b'veth'))        # IFLA_LINKINFO, IFLA_INFO_KIND
    body = struct.pack('=BxHiII', 0, 0, 0, 1, 1) + attribute(3, name.encode() + b'\0') + kind
    flags = 0x1 | 0x4 | 0x400                           # NLM_F_REQUEST, _ACK, _CREATE
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.send(struct.pack('=IHHII', 16 + len(body), 16, flags, 1, 0) + body)
        error, = struct.unpack_from('=i', link.recv(4096), 16)
    if error:
        raise harness.Skip(f'no network device can be made here: {os.strerror(-error)}')


@harness.test(cases=['device', 'device-for-good'])
def bound_to_a_device(t, way):
    """A device does not lead to loopback: the socket is released from it, or told so at once."""
    nameserver.isolate()
    add_device('mesh0')
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    result = t.run([t.guest('guest_connect'), way, 'webserver', 80], rules=rules,
                   env={'GUEST_DEVICE': 'mesh0'})
    if way == 'device':
        t.equal((result.status, result.err), (0, ''), 'the guest')
        t.contains(result.out, 'as dialled\nstatus: 200\n', 'what it saw')
    else:
        t.contains(result.out, 'go(fd): -1 ENETUNREACH\n', 'what it saw')
        t.contains(result.err, 'bound to device mesh0', 'the log')
        server.only_requests(0)


@harness.test(timeout=60, long=True)
def fastopen_connect_and_a_pause(t):
    """The SYN would be put off until there is something to send; the bridge is told at once."""
    both(t, 'fastopen-connect', GUEST_PAUSE='12')


@harness.test()
def policy_changes(t):
    """What is let pass without a look at the rules follows the next look at the files, both ways."""
    nameserver.isolate()
    listener = socket.create_server((nameserver.REMOTE, 0))
    t.defer(Server(listener).shutdown)
    texts = [mesh.founding(1, t.pki.cert('ca'), mesh=policy) for policy in ('', mesh.REGISTRY_ONLY)]
    rules = t.rules(texts[0])
    script = t.file('policy.py', '''if 1:
        import os, socket, sys, time
        host, port, rules, *texts = sys.argv[1:]
        def dial():
            with socket.socket() as s:
                return s.connect_ex((host, int(port)))
        for policy in (0, 1, 0):
            with open(rules + '.new', 'w') as file:
                file.write(texts[policy])
            os.rename(rules + '.new', rules)
            end = time.monotonic() + 10
            while bool(dial()) != bool(policy) and time.monotonic() < end:
                pass
            print([dial() for _ in range(3)])
        ''')
    out = t.succeed([harness.PYTHON, script, nameserver.REMOTE, listener.getsockname()[1], rules,
                     *texts], rules=rules)
    t.equal(out, '[0, 0, 0]\n[111, 111, 111]\n[0, 0, 0]\n', 'the results of connect')
