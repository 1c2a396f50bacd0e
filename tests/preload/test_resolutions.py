# SPDX-License-Identifier: Apache-2.0
"""ServiceEntry.resolution where the program says where to go: DYNAMIC_DNS by the name that it asks
for, under a wildcard host, which the bridge resolves; NONE by the address that it dials, which the
machine's resolver gave it, or which the entry lists."""

import socket
import threading

import harness
import machine
import mesh
import nameserver
import origin

WILD = '*.githubusercontent.com'
NAMES = f'127.0.0.1 {mesh.HOST}\n127.0.0.1 other.githubusercontent.com\n'


def entry(host, resolution, ports, extra=''):
    """A ServiceEntry with ports of (number, protocol, targetPort)."""
    text = ', '.join(f'{{ number = {number}; name = "p{number}"; protocol = "{protocol}";'
                     f' targetPort = {target}; }}' for number, protocol, target in ports)
    return f'''
    {{
        name = "{host.strip('*.')}";
        hosts = [ "{host}" ];
        ports = ( {text} );
        resolution = "{resolution}";
        {extra}
    }}'''


def fetch(t, path, *arguments):
    return t.succeed([*harness.FETCH, *arguments], rules=path).split()


@harness.test()
def dynamic_http(t):
    """Requests for names under a wildcard go to what the machine's resolver says of each of them,
    on the targetPort; a name that it does not know has no healthy upstream."""
    machine.Machine(t, hosts=NAMES)
    server = origin.Recorder(t)
    path = t.rules(mesh.rule_set([entry(WILD, 'DYNAMIC_DNS', [(80, 'HTTP', server.port)])]))
    urls = [f'http://{name}.githubusercontent.com/' for name in ('raw', 'other', 'nobody')]
    seen = fetch(t, path, '--status', *urls)
    body = origin.BODY.split()
    t.equal(seen, [*body, *body, 'no', 'healthy', 'upstream', '200', '200', '503'], 'the answers')
    server.stop()
    heads = ''.join(connection.raw.decode() for connection in server.connections)
    t.equal([line.split()[1] for line in heads.splitlines() if line.startswith('Host:')],
            [mesh.HOST, 'other.githubusercontent.com'], 'Host at the origin')


@harness.test()
def dynamic_tls(t):
    """A DestinationRule puts TLS over them, with the name that was asked for as SNI, which has to
    be in the certificate. A rewritten authority is such a name."""
    machine.Machine(t, hosts=NAMES)
    server = origin.Recorder(t, 'host')
    away = mesh.virtual(destination=WILD, port=80)
    path = t.rules(mesh.rule_set([entry(WILD, 'DYNAMIC_DNS', [(80, 'HTTP', server.port)])], [away],
                                 [mesh.destination(t.pki.cert('ca'), host=WILD)]))
    body = origin.BODY.split()
    seen = fetch(t, path, '--status', f'http://{mesh.HOST}/', 'http://webserver/')
    t.equal(seen, [*body, *body, '200', '200'], 'the answers')
    seen = fetch(t, path, '--status', 'http://other.githubusercontent.com/')
    t.equal(seen[-1], '503', 'the answer of a server with another name')
    server.stop()
    seen = {(connection.sni, connection.requests > 0) for connection in server.connections}
    t.equal(seen, {(mesh.HOST, True), ('other.githubusercontent.com', False)}, 'connections')
    t.equal(server.requests(), 2, 'requests at the origin')


@harness.test()
def dynamic_pass_through(t):
    """TLS of the program's own goes to the name that it looked up, end to end."""
    machine.Machine(t, hosts=NAMES)
    server = origin.Recorder(t, 'host')
    path = t.rules(mesh.rule_set([entry(WILD, 'DYNAMIC_DNS', [(443, 'TLS', server.port)])]))
    seen = fetch(t, path, '--cacert', str(t.pki.cert('ca')), f'https://{mesh.HOST}/')
    t.equal(seen, origin.BODY.split(), 'the answer')
    t.equal([connection.sni for connection in server.connections], [mesh.HOST], 'server names')


# ---- NONE ------------------------------------------------------------------------------------

REAL = nameserver.REMOTE
CALLS = {
    'getaddrinfo': 'socket.getaddrinfo(host, 80, socket.AF_INET)[0][4][0]',
    'gethostbyname': 'libc_address(c.gethostbyname(host.encode()))',
    'gethostbyname2': 'libc_address(c.gethostbyname2(host.encode(), 2))',
    'gethostbyname_r': 'socket.gethostbyname_ex(host)[2][0]',
    'gethostbyname2_r': 'reentrant(host)',
}

# Looks a name up as argv[1] says and sends one request to the address that it got.
CALLER = '''
import ctypes, socket, sys
call, host, port, name = sys.argv[1:]
c = ctypes.CDLL(None)
class Host(ctypes.Structure):
    _fields_ = [('name', ctypes.c_char_p), ('aliases', ctypes.c_void_p), ('type', ctypes.c_int),
                ('length', ctypes.c_int), ('addresses', ctypes.POINTER(ctypes.c_void_p))]
c.gethostbyname.restype = c.gethostbyname2.restype = ctypes.POINTER(Host)
def libc_address(found):
    return socket.inet_ntoa(ctypes.string_at(found.contents.addresses[0], 4))
def reentrant(host):
    one, buffer, number = Host(), ctypes.create_string_buffer(4096), ctypes.c_int()
    found = ctypes.POINTER(Host)()
    c.gethostbyname2_r(host.encode(), 2, ctypes.byref(one), buffer, ctypes.c_size_t(4096),
                       ctypes.byref(found), ctypes.byref(number))
    return libc_address(found)
address = eval(call)
s = socket.create_connection((address, int(port)), 10)
s.sendall(f"GET / HTTP/1.1\\r\\nHost: {name}\\r\\nConnection: close\\r\\n\\r\\n".encode())
answer = b""
while b"\\r\\n\\r\\n" not in answer:
    answer += s.recv(4096)
print(address, answer.split()[1].decode(), s.getpeername()[0])
'''


def remote(t, **options):
    """An origin at an address that counts as another machine's, on a port of its choice."""
    server = origin.Recorder(t, listen=False, **options)
    server.listener.close()
    server.listener = socket.create_server((REAL, 0))
    server.port = server.listener.getsockname()[1]
    thread = threading.Thread(target=server._accept, daemon=True)
    thread.start()
    server.threads.append(thread)
    return server


def original(t, hosts, **options):
    """A machine where `hosts` are at an origin's address; the origin."""
    machine.Machine(t, hosts=''.join(f'{REAL} {host}\n' for host in hosts))
    return remote(t, **options)


@harness.test(cases=list(CALLS))
def none_http(t, call):
    """The program gets the real address, by whichever call; requests to it are routed by their
    Host, and go to that address, on the targetPort."""
    server = original(t, ['real.test', 'a.wild.test'])
    adds = mesh.virtual('real.test', match='', rewrite='headers = { request = { set = ( { name = '
                        '"x-seen"; value = "1"; } ); }; };', destination='real.test', port=80)
    path = t.rules(mesh.rule_set([entry('real.test', 'NONE', [(80, 'HTTP', server.port)]),
                                  entry('*.wild.test', 'NONE', [(81, 'HTTP', server.port)])],
                                 [adds]))
    for host, port in ('real.test', 80), ('a.wild.test', 81):
        out = t.succeed([harness.PYTHON, '-c', CALLER, CALLS[call], host, str(port), host],
                        rules=path)
        t.equal(out, f'{REAL} 200 {REAL}\n', 'address, status and peer')
    server.stop()
    t.equal(['x-seen: 1' in connection.raw.decode() for connection in server.connections],
            [True, False], 'the header that the route for real.test adds')


@harness.test()
def none_pass_through(t):
    """TLS of the program's own goes to the address that it dialled, end to end."""
    server = original(t, [mesh.HOST], cert='host')
    path = t.rules(mesh.rule_set([entry(mesh.HOST, 'NONE', [(443, 'TLS', server.port)])]))
    seen = fetch(t, path, '--cacert', str(t.pki.cert('ca')), f'https://{mesh.HOST}/')
    t.equal(seen, origin.BODY.split(), 'the answer')
    t.equal([connection.sni for connection in server.connections], [mesh.HOST], 'server names')


@harness.test(cases=[REAL, '192.0.2.0/24'])
def none_by_address(t, block):
    """A TCP service is known by the addresses that its entry lists, single or a block."""
    server = original(t, [])
    path = t.rules(mesh.rule_set([entry('db.test', 'NONE', [(5432, 'TCP', server.port)],
                                        f'addresses = [ "{block}" ];')]))
    out = t.succeed([harness.PYTHON, '-c', CALLER, 'host', REAL, '5432', 'x'], rules=path)
    t.equal(out, f'{REAL} 200 {REAL}\n', 'address, status and peer')


@harness.test()
def none_alone_is_let_out(t):
    """Under REGISTRY_ONLY an address is open for those who got it from the resolver under a name of
    the registry, on a port of the registry; under ALLOW_ANY one got by other means is untouched."""
    server = original(t, ['real.test', 'other.test'])
    services = [entry('real.test', 'NONE', [(80, 'HTTP', server.port)])]
    strict = t.rules(mesh.rule_set(services, mesh=mesh.REGISTRY_ONLY), 'strict.cfg')
    easy = t.rules(mesh.rule_set(services), 'easy.cfg')
    ask = '''if 1:
        import errno, socket, sys
        for name, port in zip(sys.argv[2::2], sys.argv[3::2]):
            address = socket.gethostbyname(name)
            with socket.socket() as s:
                error = s.connect_ex((address, int(port)))
                print(name, port, errno.errorcode.get(error, error),
                      error == 0 and s.getsockname()[0] == sys.argv[1])'''
    port = str(server.port)
    words = [REAL, REAL, port, 'other.test', port, 'other.test', '80', 'real.test', '80',
             'real.test', port]
    for rules, wanted in ((strict, ['ECONNREFUSED False'] * 3 + ['0 False', 'ECONNREFUSED False']),
                          (easy, ['0 True'] * 2 + ['ECONNREFUSED False', '0 False', '0 True'])):
        out = t.succeed([harness.PYTHON, '-c', ask, *words], rules=rules).splitlines()
        t.equal([' '.join(line.split()[2:]) for line in out], wanted, f'the results by {rules}')


@harness.test()
def none_has_no_other_address(t):
    """A route from a host with a synthetic address leads to no NONE host: there is no address to
    go to. Requests are answered so, connections are closed."""
    original(t, [])
    tcp = '''{ name = "db"; hosts = [ "db.test" ]; tcp = ( { route = ( {
               destination = { host = "far.test"; port = { number = 5432; }; }; } ); } ); }'''
    path = t.rules(mesh.rule_set(
        [entry('real.test', 'NONE', [(80, 'HTTP', 80)]),
         entry('far.test', 'NONE', [(5432, 'TCP', 5432)], f'addresses = [ "{REAL}" ];'),
         mesh.service(1, 'db', 'db.test', '{ number = 5432; name = "p"; protocol = "TCP"; }',
                      '{ name = "p"; value = 1; }')],
        [mesh.virtual(destination='real.test', port=80, rewrite=''), tcp]))
    t.equal(fetch(t, path, '--status', 'http://webserver/'), ['no', 'healthy', 'upstream', '503'],
            'the answer')
    ask = ('import socket\n'
           'try: print(socket.create_connection(("db.test", 5432), 10).recv(1))\n'
           'except ConnectionResetError: print(b"")\n')
    t.equal(t.succeed([harness.PYTHON, '-c', ask], rules=path), "b''\n", 'what came')


@harness.test()
def none_asynchronously(t):
    """getaddrinfo_a(3) has the addresses noted, too, whether it is waited for or not."""
    server = original(t, ['real.test'])
    path = t.rules(mesh.rule_set([entry('real.test', 'NONE', [(80, 'HTTP', server.port)])],
                                 mesh=mesh.REGISTRY_ONLY))
    async_call = '''if 1:
        import ctypes, sys
        class Gaicb(ctypes.Structure):
            _fields_ = [('name', ctypes.c_char_p), ('service', ctypes.c_char_p),
                        ('request', ctypes.c_void_p), ('result', ctypes.c_void_p),
                        ('status', ctypes.c_int), ('reserved', ctypes.c_int * 5)]
        c = ctypes.CDLL(None)
        one = Gaicb(b'real.test', b'80')
        listed = (ctypes.POINTER(Gaicb) * 1)(ctypes.pointer(one))
        assert c.getaddrinfo_a(int(sys.argv[1]), listed, 1, None) == 0
        while c.gai_error(listed[0]) == -100:       # EAI_INPROGRESS
            c.gai_suspend(listed, 1, None)
        import socket
        s = socket.create_connection((sys.argv[2], 80), 10)
        s.sendall(b"GET / HTTP/1.1\\r\\nHost: real.test\\r\\n\\r\\n")
        print(s.recv(100).split()[1])'''
    for mode in ('0', '1'):
        out = t.succeed([harness.PYTHON, '-c', async_call, mode, REAL], rules=path)
        t.equal(out, "b'200'\n", 'the status')


@harness.test()
def none_in_a_child(t):
    """What is known of addresses is known in a forked child, also while others look names up."""
    server = original(t, ['real.test'] + [f'h{i}.wild.test' for i in range(50)])
    path = t.rules(mesh.rule_set([entry('real.test', 'NONE', [(80, 'HTTP', server.port)]),
                                  entry('*.wild.test', 'NONE', [(81, 'HTTP', server.port)])],
                                 mesh=mesh.REGISTRY_ONLY))
    script = '''if 1:
        import os, socket, sys, threading
        address = socket.gethostbyname('real.test')
        done = False
        def busy(i):
            while not done:
                socket.gethostbyname(f'h{i}.wild.test')
        threads = [threading.Thread(target=busy, args=(i,)) for i in range(2)]
        [thread.start() for thread in threads]
        results = []
        for _ in range(8):
            child = os.fork()
            if child == 0:
                with socket.socket() as s:
                    os._exit(s.connect_ex((address, 80)))
            results.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        done = True
        [thread.join() for thread in threads]
        print(results == [0] * 8 or results)'''
    t.equal(t.succeed([harness.PYTHON, '-c', script], rules=path), 'True\n', 'connects')
