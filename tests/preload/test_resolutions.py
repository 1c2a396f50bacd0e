# SPDX-License-Identifier: Apache-2.0
"""ServiceEntry.resolution where the program says where to go: DYNAMIC_DNS by the name that it asks
for, under a wildcard host, which the bridge resolves."""

import harness
import machine
import mesh
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
