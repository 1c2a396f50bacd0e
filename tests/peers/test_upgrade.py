# SPDX-License-Identifier: Apache-2.0
"""Protocols that begin as HTTP/1.1: ws:// in the program, wss:// at the origin."""

import harness
import mesh
import origin
import peers

SCRIPT = peers.HERE / 'websocket.py'


def echo(t):
    """Start the echo. Returns its port."""
    probe = t.run([harness.PYTHON, '-c', 'import websockets'])
    if probe.status != 0:
        peers.installed('python3-websockets')
    socket = peers.listener()
    t.start([harness.PYTHON, SCRIPT, 'serve', socket.fileno(), t.pki.cert('host'),
             t.pki.key('host')], pass_fds=[socket.fileno()])
    return socket.getsockname()[1]


def talk(t, port):
    rules = t.rules(mesh.unchanged(port, t.pki.cert('ca')))
    t.equal(t.succeed([harness.PYTHON, SCRIPT, 'talk', 'ws://webserver/echo'], rules=rules),
            '1000 1000\n', 'codes with which the connections were closed')


@harness.test(timeout=60)
def websocket(t):
    talk(t, echo(t))


@harness.test(timeout=60)
def websocket_behind_nginx(t):
    """The usual place of a WebSocket server: behind another one."""
    backend = echo(t)
    server = origin.Nginx(t, locations=f'''location / {{
        proxy_pass https://127.0.0.1:{backend};
        proxy_ssl_server_name on;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
    }}''')
    talk(t, server.port)
    t.equal([line.status for line in server.only_requests(2)], ['101', '101'], 'answers')


@harness.test()
def refused_upgrade(t):
    """An origin that knows no WebSockets answers as usual, and the connection goes on."""
    server = origin.Nginx(t)
    rules = t.rules(mesh.unchanged(server.port, t.pki.cert('ca')))
    script = r"""if 1:
        import http.client
        connection = http.client.HTTPConnection('webserver', timeout=20)
        connection.connect()
        connection.auto_open = 0
        for fields in ({'Connection': 'Upgrade', 'Upgrade': 'websocket',
                        'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'AAAA'}, {}):
            connection.request('GET', '/', headers=fields)
            response = connection.getresponse()
            print(response.status, response.read())"""
    out = t.succeed([harness.PYTHON, '-c', script], rules=rules)
    t.equal(out, "200 b'External Service 1\\n'\n" * 2, 'what the program saw')
    server.only_requests(2)
