# SPDX-License-Identifier: Apache-2.0
"""A body of any length, the same at both ends: block(i) for i in range(n). No two blocks are alike.

transfer.py get|put URL N [chunked] sends or fetches it, and prints its checksum, and by how many KB
the process has grown meanwhile beyond what a body of four blocks takes.
"""

import functools
import hashlib
import http.client
import random
import resource
import sys
import urllib.parse

SIZE = 1 << 20


@functools.cache
def noise():
    return random.Random(11).randbytes(SIZE - 8)


def blocks(n):
    for i in range(n):
        yield i.to_bytes(8, 'big') + noise()


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def get(connection, path):
    digest = hashlib.sha256()
    connection.request('GET', path)
    response = connection.getresponse()
    while True:
        data = response.read(SIZE)
        if not data:
            return digest.hexdigest()
        digest.update(data)


def put(connection, path, n, chunked):
    fields = {'Transfer-Encoding': 'chunked'} if chunked else {'Content-Length': str(n * SIZE)}
    connection.request('PUT', path, blocks(n), fields, encode_chunked=chunked)
    return connection.getresponse().read().decode()


def main():
    way, url, n = sys.argv[1], urllib.parse.urlsplit(sys.argv[2]), int(sys.argv[3])
    chunked = 'chunked' in sys.argv[4:]
    connection = http.client.HTTPConnection(url.hostname, timeout=60)
    for count in (4, n):
        before = peak()
        if way == 'get':
            digest = get(connection, f'{url.path}/{count}')
        else:
            digest = put(connection, url.path, count, chunked)
    print(digest, peak() - before)


if __name__ == '__main__':
    main()
