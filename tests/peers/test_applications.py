# SPDX-License-Identifier: Apache-2.0
"""Applications that serve by themselves, in chunks: gunicorn and Node.js."""

import random

import application
import harness
import mesh
import peers


def gunicorn(t):
    program = peers.installed('gunicorn')
    socket = peers.listener()
    t.start([program, '-w', 1, '-k', 'gthread', '--threads', 4, '--keep-alive', 30,
             '-b', f'fd://{socket.fileno()}', '--chdir', peers.HERE,
             '--certfile', t.pki.cert('host'), '--keyfile', t.pki.key('host'), 'wsgi:answer'],
            env={'PYTHONDONTWRITEBYTECODE': '1'}, pass_fds=[socket.fileno()],
            stdout=open(t.dir / 'gunicorn', 'w'), stderr=open(t.dir / 'gunicorn', 'w'))
    t.logs.append(t.dir / 'gunicorn')
    return socket.getsockname()[1], b''.join(application.chunks())


def node(t):
    socket = peers.listener()
    t.start([peers.installed('node'), peers.HERE / 'server.js', socket.fileno(),
             t.pki.cert('host'), t.pki.key('host')], pass_fds=[socket.fileno()])
    sizes = [1]
    while sizes[-1] * 3 + 1 < 300000:
        sizes.append(sizes[-1] * 3 + 1)
    return socket.getsockname()[1], b'x' * sum(sizes)


# Answers begin before the request is over, which ends the connection behind them.
CLIENT = r'''if 1:
    import http.client, sys
    noise = open(sys.argv[1], 'rb').read()
    connection = http.client.HTTPConnection('webserver', 80, timeout=20)
    for round in range(3):
        for method, path, body in (('GET', '/chunked', None), ('POST', '/echo', noise),
                                   ('POST', '/echo', iter([noise[:7], noise[7:]]))):
            connection.request(method, path, body, {'Transfer-Encoding': 'chunked'} if
                               body and body is not noise else {},
                               encode_chunked=body is not noise)
            response = connection.getresponse()
            data = response.read()
            print(path, response.status, response.getheader('Transfer-Encoding'),
                  data == (noise if body else open(sys.argv[2], 'rb').read()))
'''


@harness.test(timeout=60, cases=['gunicorn', 'node'])
def chunks(t, name):
    port, wanted = {'gunicorn': gunicorn, 'node': node}[name](t)
    noise = t.file('noise', random.Random(3).randbytes(700000))
    rules = t.rules(mesh.unchanged(port, t.pki.cert('ca')))
    out = t.succeed([harness.PYTHON, '-c', CLIENT, noise, t.file('wanted', wanted)], rules=rules)
    one = '/chunked 200 chunked True\n' + '/echo 200 chunked True\n' * 2
    t.equal(out, one * 3, 'what the program saw')


@harness.test(timeout=60)
def trailers(t):
    """Fields behind the chunks arrive as they were sent."""
    port, _ = node(t)
    rules = t.rules(mesh.unchanged(port, t.pki.cert('ca')))
    out = t.succeed(['curl', '-sS', '--raw', '--max-time', 20, 'http://webserver/chunked'],
                    rules=rules)
    t.check(out.endswith('\r\n0\r\nX-End: yes\r\n\r\n'), f'no trailer in {out[-100:]!r}')
