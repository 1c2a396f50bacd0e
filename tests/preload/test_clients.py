# SPDX-License-Identifier: Apache-2.0
"""The founding scenario with real programs: each gets the body, and the origin sees one request,
rewritten, over TLS."""

import signal
import subprocess

import harness
import mesh
import origin

URL = 'http://webserver/anything?x=1'

URLLIB = '''
import sys, urllib.request
sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())
'''

ASYNCIO = '''
import asyncio, sys

async def main():
    reader, writer = await asyncio.open_connection('webserver', 80)
    writer.write(b'GET /anything?x=1 HTTP/1.1\\r\\nHost: webserver\\r\\n'
                 b'Connection: close\\r\\n\\r\\n')
    await writer.drain()
    head = await reader.readuntil(b'\\r\\n\\r\\n')
    assert head.startswith(b'HTTP/1.1 200 '), head
    sys.stdout.write((await reader.read()).decode())
    writer.close()
    await writer.wait_closed()

asyncio.run(main())
'''

# Without an agent's pool: a connection for the request, "Connection: close".
NODE = '''
require('http').get(process.argv[1], { agent: false }, (response) => {
    response.on('data', (chunk) => process.stdout.write(chunk));
});
'''


def node(t, script, *arguments):
    return [t.tool('node'), '-e', script, *arguments]


CLIENTS = {
    'curl': lambda t: [t.tool('curl'), '-sS', '--max-time', '20', URL],
    'wget': lambda t: [t.tool('wget'), '-q', '-T', '20', '-t', '1', '-O', '-', URL],
    'urllib': lambda t: [harness.PYTHON, '-c', URLLIB, URL],
    'asyncio': lambda t: [harness.PYTHON, '-c', ASYNCIO],
    'node': lambda t: node(t, NODE, URL),
}


@harness.test(cases=CLIENTS)
def one_request(t, client):
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    argv = CLIENTS[client](t)
    if client in ('curl', 'wget'):
        t.needs([*argv[:-1], f'http://127.0.0.1:{origin.Nginx(t).plain_port}/'])
    t.equal(t.succeed(argv, rules=rules), origin.BODY + '\n', 'what the program got')
    origin.check_founding(t, server.only_requests(1)[0])


HTTP_CLIENT = '''
import http.client
connection = http.client.HTTPConnection('webserver', 80, timeout=20)
connection.connect()
port = connection.sock.getsockname()[1]
for i in range(1, 4):
    connection.request('GET', f'/anything?x={i}')
    response = connection.getresponse()
    print(response.status, response.read().decode().strip())
    assert connection.sock.getsockname()[1] == port, 'the connection was closed'
'''

NODE_AGENT = '''
const http = require('http');
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const ports = new Set();
function next(i) {
    if (i > 3) {
        agent.destroy();
        if (ports.size !== 1)
            throw new Error(`${ports.size} connections were used`);
        return;
    }
    http.get(`http://webserver/anything?x=${i}`, { agent }, (response) => {
        let body = '';
        ports.add(response.socket.localPort);
        response.on('data', (chunk) => { body += chunk; });
        response.on('end', () => {
            console.log(response.statusCode, body.trim());
            setImmediate(next, i + 1);
        });
    });
}
next(1);
'''

KEEP_ALIVE = {
    'http.client': lambda t: [harness.PYTHON, '-c', HTTP_CLIENT],
    'node': lambda t: node(t, NODE_AGENT),
    'curl': lambda t: [t.tool('curl'), '-sS', '--max-time', '20', '-w', '%{num_connects}\n',
                       *(f'http://webserver/anything?x={i}' for i in range(1, 4))],
}


@harness.test(cases=KEEP_ALIVE)
def keep_alive(t, client):
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    if client == 'curl':
        t.needs([t.tool('curl'), '-s', f'http://127.0.0.1:{origin.Nginx(t).plain_port}/'])
    out = t.succeed(KEEP_ALIVE[client](t), rules=rules)
    wanted = (f'{origin.BODY}\n1\n' + f'{origin.BODY}\n0\n' * 2 if client == 'curl' else
              f'200 {origin.BODY}\n' * 3)
    t.equal(out, wanted, 'what the program got')
    lines = server.only_requests(3)
    for i, line in enumerate(lines, 1):
        origin.check_founding(t, line, f'{origin.TARGET}?x={i}')
    t.equal(len({line.connection for line in lines}), 1, 'connections at the origin')


def start_proxy(t, rules):
    """samples/octopus/proxy.js under the shim; returns the process and its URL."""
    proxy = t.start([t.tool('node'), t.root / 'samples/octopus/proxy.js', '0'], rules=rules,
                    env={'PROXYURL': 'http://webserver'}, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE)
    return proxy, f'http://127.0.0.1:{int(proxy.stdout.readline().split()[-1])}'


@harness.test()
def sample_proxy(t):
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    proxy, url = start_proxy(t, rules)
    out = t.succeed([t.tool('curl'), '-sS', '--max-time', '20', f'{url}/anything?x=1'])
    t.check(out.startswith(f'Proxying value: {origin.BODY} - Took ')
            and out.endswith(' milliseconds\n'), f'the proxy answered {out!r}')
    origin.check_founding(t, server.only_requests(1)[0])
    proxy.send_signal(signal.SIGTERM)
    t.equal(proxy.stderr.read(), b'', 'stderr of the proxy')
    t.equal(proxy.stdout.read(), b'', 'further stdout of the proxy')


@harness.test()
def sample_proxy_reports_errors(t):
    closed = origin.Recorder(t, listen=False)
    rules = t.rules(mesh.founding(closed.port, t.pki.cert('ca')))
    proxy, url = start_proxy(t, rules)
    out = t.succeed([t.tool('curl'), '-sS', '--max-time', '20', '-w', '%{http_code}',
                     f'{url}/anything?x=1'])
    t.contains(out, 'upstream connect error', 'the answer of the proxy')
    t.check(out.endswith('503'), f'the status is not 503: {out!r}')
    t.check(proxy.poll() is None, 'the proxy ended')


PEERNAME = '''
import socket
infos = socket.getaddrinfo('webserver', 80, socket.AF_INET, socket.SOCK_STREAM)
address = infos[0][4]
assert address[0].startswith('240.240.'), address
for family, wanted in ((socket.AF_INET, address), (socket.AF_INET6, ('::ffff:' + address[0], 80))):
    s = socket.socket(family)
    s.settimeout(20)
    s.connect(wanted)
    assert s.getpeername()[:2] == wanted, (s.getpeername(), wanted)
    s.sendall(b'GET /anything?x=1 HTTP/1.0\\r\\nHost: webserver\\r\\n\\r\\n')
    assert b' 200 ' in s.recv(65536)
    assert s.getpeername()[:2] == wanted, (s.getpeername(), wanted)
    s.close()
print('as dialled')
'''


@harness.test()
def getpeername_is_what_was_dialled(t):
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    t.equal(t.succeed([harness.PYTHON, '-c', PEERNAME], rules=rules), 'as dialled\n', 'stdout')
    server.only_requests(2)


ROUTES = '''
import http.client
connection = http.client.HTTPConnection('webserver', 80, timeout=20)
for host, path in (('webserver', '/a'), ('second', '/b'), ('webserver:80', '/c'), ('SECOND', '/d')):
    connection.request('GET', path, headers={'Host': host})
    response = connection.getresponse()
    print(response.status, response.read().decode().strip())
'''


@harness.test()
def each_request_is_routed_alone(t):
    """One connection of the program, four requests, two destinations."""
    echo = 'location / { return 200 "$server_port $http_host $request_uri"; }'
    first, second = origin.Nginx(t, locations=echo), origin.Nginx(t, 'other', locations=echo)
    ca = t.pki.cert('ca')
    rules = t.rules(mesh.rule_set(
        [mesh.service(first.port), mesh.service(second.port, 'other', 'other.example')],
        [mesh.virtual(),
         mesh.virtual('second', rewrite='rewrite = { authority = "other.example"; };',
                      destination='other.example')],
        [mesh.destination(ca), mesh.destination(ca, 'other', 'other.example')]))
    out = t.succeed([harness.PYTHON, '-c', ROUTES], rules=rules)
    one = f'200 {first.port} {mesh.HOST} {mesh.TARGET}'
    t.equal(out.splitlines(), [one, f'200 {second.port} other.example /b',
                               one, f'200 {second.port} other.example /d'], 'the answers')
    first.only_requests(2)
    for line in second.only_requests(2):
        t.equal(line.sni, 'other.example', 'SNI at the second origin')


@harness.test()
def nothing_is_added(t):
    """Promise 7: the fields arrive as they were sent, Host apart."""
    seen = []
    server = origin.Recorder(t, 'host', lambda connection, head: seen.append(head)
                             or origin.ok(connection, head))
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    script = r'''
        exec 3<>/dev/tcp/webserver/80
        printf 'POST /p?x=1 HTTP/1.1\r\nX-b: 2\r\nHOST: webserver\r\nx-A: 1\r\n' >&3
        printf 'x-B:  two words \r\nContent-Length: 3\r\n\r\nabc' >&3
        IFS= read -r status <&3
        printf '%s\n' "$status"
    '''
    t.equal(t.succeed([t.tool('bash'), '-c', script], rules=rules), 'HTTP/1.1 200 OK\r\n', 'status')
    server.stop()
    lines = seen[0].split('\r\n')
    t.equal(lines[0], f'POST {mesh.TARGET}?x=1 HTTP/1.1', 'request line')
    fields = [tuple(part.strip() for part in line.split(':', 1)) for line in lines[1:] if line]
    t.equal(fields, [('X-b', '2'), ('HOST', mesh.HOST), ('x-A', '1'), ('x-B', 'two words'),
                     ('Content-Length', '3')], 'fields at the origin')
    t.check(server.connections[0].clear.endswith(b'\r\n\r\nabc'), 'the body arrived otherwise')
