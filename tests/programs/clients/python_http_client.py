# SPDX-License-Identifier: Apache-2.0
"""http.client: several requests over one connection, one of them with a chunked body."""
import http.client
import sys

connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=30)
chunks = (b'x' * n for n in (1, 1000, 100000))
for method, path, body in (('GET', '/text', None), ('HEAD', '/big', None), ('GET', '/big', None),
                           ('PUT', '/echo', chunks), ('GET', '/nothing', None)):
    connection.request(method, path, body, encode_chunked=body is not None,
                       headers={'Transfer-Encoding': 'chunked'} if body else {})
    answer = connection.getresponse()
    print(answer.status, answer.getheader('Content-Length'), len(answer.read()))
