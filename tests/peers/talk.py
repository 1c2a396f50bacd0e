# SPDX-License-Identifier: Apache-2.0
"""A conversation: talk.py URL -- everything that HTTP/1.1 has for a program that fetches and sends,
over one connection. Prints what the program sees of each answer."""

import hashlib
import http.client
import random
import sys
import urllib.parse

SHOWN = ('content-length', 'content-range', 'content-type', 'transfer-encoding', 'etag')


class Talk:
    def __init__(self, url):
        where = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(where.hostname, where.port or 80, timeout=20)
        self.connection.connect()
        self.connection.auto_open = 0  # one connection has to last

    def ask(self, method, path, body=None, **fields):
        fields = {name.replace('_', '-'): value for name, value in fields.items()}
        self.connection.request(method, path, body, fields,
                                encode_chunked='Transfer-Encoding' in fields)
        response = self.connection.getresponse()
        data = response.read()
        shown = sorted((name.lower(), value) for name, value in response.getheaders()
                       if name.lower() in SHOWN)
        print(method, path, response.status, shown, len(data),
              hashlib.sha256(data).hexdigest()[:16])
        return response


def main():
    talk = Talk(sys.argv[1])
    noise = random.Random(7).randbytes(300000)
    tag = talk.ask('GET', '/static/small').getheader('ETag')
    talk.ask('HEAD', '/static/small')
    talk.ask('GET', '/static/small', If_None_Match=tag)
    talk.ask('GET', '/static/large')
    talk.ask('GET', '/static/large', Range='bytes=100000-1100000')
    talk.ask('GET', '/chunked')
    talk.ask('HEAD', '/chunked')
    talk.ask('POST', '/echo', noise)
    talk.ask('POST', '/echo', iter([noise[:1], noise[1:5000], noise[5000:]]),
             Transfer_Encoding='chunked')
    talk.ask('PUT', '/echo', b'')
    talk.ask('DELETE', '/echo')
    talk.ask('GET', '/204')
    talk.ask('GET', '/none')
    talk.ask('GET', '/static/small')


main()
