# SPDX-License-Identifier: Apache-2.0
"""Redirects, direct responses and header operations, as a program sees them on one connection."""

import harness
import origin

CLIENT = '''
import http.client

connection = http.client.HTTPConnection('web', timeout=20)
connection.connect()
sock = connection.sock
for method, path, body in (('GET', '/moved?a', None), ('POST', '/direct', b'x' * 50000),
                           ('HEAD', '/direct', None), ('GET', '/echo', None),
                           ('GET', '/direct', None)):
    connection.request(method, path, body)
    answer = connection.getresponse()
    text = answer.read().decode().strip()
    print(answer.status, answer.getheader('location'), answer.getheader('X-Code'), text,
          connection.sock is sock)
'''

RULES = '''
serviceEntries = ( { name = "a"; hosts = [ "a.example" ]; resolution = "STATIC";
  ports = ( { number = 80; name = "http"; protocol = "HTTP"; targetPort = %d; } );
  endpoints = ( { address = "127.0.0.1"; } ); } );
virtualServices = ( { name = "web"; hosts = [ "web" ]; http = (
  { match = ( { uri = { prefix = "/moved"; }; } ); redirect = { uri = "/new"; }; },
  { match = ( { uri = { prefix = "/direct"; }; } );
    directResponse = { status = 200; body = { string = "direct"; }; }; },
  { headers = { response = {
      add = ( { name = "X-Code"; value = "%%RESPONSE_CODE%% %%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%%"; } ); }; };
    rewrite = { uri = "/"; };
    route = ( { destination = { host = "a.example"; }; } ); } ); } );
'''


@harness.test()
def one_connection(t):
    server = origin.Nginx(t)
    out = t.succeed([t.tool('python3'), '-c', CLIENT], rules=t.rules(RULES % server.plain_port))
    lines = out.splitlines()
    t.equal(lines[0], '301 http://web/new?a None  True', 'the redirect')
    t.equal(lines[1], '200 None None direct True', 'the answer to a request with a body')
    t.equal(lines[2], '200 None None  True', 'the answer to HEAD')
    t.contains(lines[3], ' 200 127.0.0.1 ', 'X-Code of a routed request')
    t.check(lines[3].endswith(' True'), 'the connection lives on')
    t.equal(lines[4], '200 None None direct True', 'the last answer')
