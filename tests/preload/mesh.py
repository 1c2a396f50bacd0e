# SPDX-License-Identifier: Apache-2.0
"""Rule files for tests: the founding scenario and its relatives, pointed to loopback."""

HOST = 'raw.githubusercontent.com'
TARGET = '/mcasperson/NodejsProxy/master/externalservice1.txt'


def service(port, name='github', host=HOST, ports=None, endpoint_ports=None, extra='',
            address='127.0.0.1'):
    """One ServiceEntry whose only endpoint is `address`. By default it has the port 443/TLS, to be
    found on `port`."""
    ports = ports or '{ number = 443; name = "https"; protocol = "TLS"; }'
    if endpoint_ports is None:
        endpoint_ports = f'{{ name = "https"; value = {port}; }}'
    endpoint_ports = f' ports = ( {endpoint_ports} );' if endpoint_ports else ''
    return f'''
    {{
        name = "{name}";
        hosts = [ "{host}" ];
        location = "MESH_EXTERNAL";
        ports = ( {ports} );
        resolution = "DNS";
        endpoints = ( {{ address = "{address}";{endpoint_ports} }} );
        {extra}
    }}'''


def virtual(host='webserver', name=None, match='match = ( { uri = { regex = ".*"; }; } );',
            rewrite=f'rewrite = {{ uri = "{TARGET}"; authority = "{HOST}"; }};',
            destination=HOST, port=443):
    """One VirtualService with one route."""
    return f'''
    {{
        name = "{name or host}";
        hosts = [ "{host}" ];
        http = ( {{
            {match}
            {rewrite}
            route = ( {{ destination = {{ host = "{destination}";
                                       port = {{ number = {port}; }}; }}; }} );
        }} );
    }}'''


def tls_settings(ca, mode='SIMPLE', extra=''):
    return f'tls = {{ mode = "{mode}"; caCertificates = "{ca}"; {extra} }};'


def destination(ca, name='github', host=HOST, port=None, mode='SIMPLE', extra=''):
    """One DestinationRule that originates TLS, for one port or for all."""
    tls = tls_settings(ca, mode, extra)
    if port:
        tls = f'portLevelSettings = ( {{ port = {{ number = {port}; }}; {tls} }} );'
    return f'''
    {{
        name = "{name}";
        host = "{host}";
        trafficPolicy = {{ {tls} }};
    }}'''


def rule_set(services=(), virtuals=(), destinations=(), mesh=''):
    """A whole rule file."""
    kinds = (('serviceEntries', services), ('virtualServices', virtuals),
             ('destinationRules', destinations))
    return mesh + ''.join(f'{kind} = ({",".join(items)}\n);\n' for kind, items in kinds if items)


def founding(port, ca, tls='', mode='SIMPLE', match=None, mesh=''):
    """The founding scenario with the origin on 127.0.0.1:`port`."""
    options = {'match': match} if match else {}
    return rule_set([service(port)], [virtual(**options)],
                    [destination(ca, mode=mode, extra=tls)], mesh)


REGISTRY_ONLY = 'meshConfig = { outboundTrafficPolicy = { mode = "REGISTRY_ONLY"; }; };\n'


def unchanged(port, ca, host='webserver', mesh=''):
    """http://`host`/ goes to the origin over TLS with its path as it is."""
    rewrite = f'rewrite = {{ authority = "{HOST}"; }};'
    return rule_set([service(port)], [virtual(host, rewrite=rewrite)], [destination(ca)], mesh)
