# SPDX-License-Identifier: Apache-2.0
"""The other ways in which Istio users originate TLS: the program asks for the service itself."""

import harness
import mesh
import origin

URL = f'http://{mesh.HOST}/some/path?x=1'


def ask(t, rules, server):
    out = t.succeed([*harness.FETCH, URL], rules=t.rules(rules))
    t.equal(out, origin.BODY + '\n', 'what the program got')
    origin.check_founding(t, server.only_requests(1)[0], '/some/path?x=1')


@harness.test()
def target_port(t):
    """ServiceEntry 80/HTTP whose targetPort speaks TLS, DestinationRule for port 80."""
    server = origin.Nginx(t)
    port = f'{{ number = 80; name = "http"; protocol = "HTTP"; targetPort = {server.port}; }}'
    ask(t, mesh.rule_set([mesh.service(server.port, ports=port, endpoint_ports='')], [],
                         [mesh.destination(t.pki.cert('ca'), port=80)]), server)


@harness.test()
def from_80_to_443(t):
    """ServiceEntry 80 and 443, a VirtualService from one to the other, DestinationRule for 443."""
    server = origin.Nginx(t)
    ports = ('{ number = 80; name = "http"; protocol = "HTTP"; },'
             '{ number = 443; name = "https"; protocol = "HTTPS"; }')
    endpoint_ports = (f'{{ name = "http"; value = {server.plain_port}; }},'
                      f'{{ name = "https"; value = {server.port}; }}')
    ask(t, mesh.rule_set(
        [mesh.service(server.port, ports=ports, endpoint_ports=endpoint_ports)],
        [mesh.virtual(mesh.HOST, 'tls', match='match = ( { port = 80; } );', rewrite='')],
        [mesh.destination(t.pki.cert('ca'), port=443)]), server)


@harness.test()
def the_programs_own_tls_is_left_alone(t):
    """A program that speaks TLS by itself to the TLS port: forwarded, not encrypted twice."""
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca'), mode='DISABLE', tls='')
                    .replace(f'caCertificates = "{t.pki.cert("ca")}";', ''))
    out = t.succeed([*harness.FETCH, '--cacert', t.pki.cert('ca'),
                     f'https://{mesh.HOST}/own?x=1'], rules=rules)
    t.equal(out, origin.BODY + '\n', 'what the program got')
    origin.check_founding(t, server.only_requests(1)[0], '/own?x=1')


@harness.test()
def endpoint_by_name(t):
    """An endpoint that has to be resolved, and then resolved again by a forked child."""
    server = origin.Nginx(t)
    text = mesh.founding(server.port, t.pki.cert('ca'))
    t.check('address = "127.0.0.1"' in text, 'the rules have an address to replace')
    rules = t.rules(text.replace('address = "127.0.0.1"', 'address = "localhost"'))
    script = '''
import os, urllib.request
def fetch():
    print(urllib.request.urlopen('http://webserver/', timeout=20).read().decode().strip(), flush=True)
fetch()
pid = os.fork()
fetch()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
'''
    t.equal(t.succeed([harness.PYTHON, '-c', script], rules=rules), (origin.BODY + '\n') * 3,
            'stdout')
