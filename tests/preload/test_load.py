# SPDX-License-Identifier: Apache-2.0
"""Much at once, and large bodies."""

import hashlib
import random

import harness
import mesh
import origin

ECHO = 'location / { default_type text/plain; return 200 "$request_uri\\n"; }'


def crowd(t, threads, requests):
    server = origin.Nginx(t, locations=ECHO)
    rules = t.rules(mesh.unchanged(server.port, t.pki.cert('ca')))
    out = t.succeed([t.guest('crowd'), threads, requests, 'webserver', 80], rules=rules)
    t.equal(out, f'{threads * requests} requests\n', 'stdout')
    lines = server.only_requests(threads * requests)
    wanted = {f'GET /thread/{i}/request/{j} HTTP/1.1' for i in range(threads)
              for j in range(requests)}
    t.equal({line.request for line in lines}, wanted, 'requests at the origin')


@harness.test(timeout=60)
def many_connections(t):
    crowd(t, 64, 20)


@harness.test(timeout=600, long=True)
def very_many_connections(t):
    crowd(t, 128, 400)


def random_file(t, megabytes):
    """A file that no compression and no luck gets right."""
    generator = random.Random(megabytes)
    path = t.dir / 'data'
    digest = hashlib.sha256()
    with open(path, 'wb') as file:
        for _ in range(megabytes):
            block = generator.randbytes(1 << 20)
            digest.update(block)
            file.write(block)
        block = generator.randbytes(4321)
        digest.update(block)
        file.write(block)
    return path, digest.hexdigest()


def checksum(path):
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def download(t, megabytes):
    data, digest = random_file(t, megabytes)
    server = origin.Nginx(t, locations='location / { }')
    data.rename(server.prefix / 'html/data')
    rules = t.rules(mesh.unchanged(server.port, t.pki.cert('ca')))
    t.succeed([*harness.FETCH, '--output', 'got', 'http://webserver/data'], rules=rules)
    t.equal(checksum(t.dir / 'got'), digest, 'checksum of what was downloaded')
    server.only_requests(1)


def upload(t, megabytes, *options):
    data, digest = random_file(t, megabytes)
    server = origin.Nginx(t, locations='location / { dav_methods PUT; }')
    rules = t.rules(mesh.unchanged(server.port, t.pki.cert('ca')))
    out = t.succeed([*harness.FETCH, '--upload', data, '--status', *options,
                     'http://webserver/data'], rules=rules)
    t.equal(out, '\n201\n', 'status')
    t.equal(checksum(server.prefix / 'html/data'), digest, 'checksum of what arrived')
    return server.only_requests(1)[0]


@harness.test()
def large_download(t):
    download(t, 8)


@harness.test()
def large_upload(t):
    line = upload(t, 8)
    t.equal((line.length, line.coding), (str((8 << 20) + 4321), ''), 'framing at the origin')


@harness.test()
def large_chunked_upload(t):
    line = upload(t, 8, '--chunked')
    t.equal(line.coding, 'chunked', 'Transfer-Encoding at the origin')


@harness.test()
def slow_reader(t):
    """A program that reads slowly slows the origin down; nothing is lost, nothing grows."""
    data, digest = random_file(t, 8)
    server = origin.Nginx(t, locations='location / { }')
    data.rename(server.prefix / 'html/data')
    rules = t.rules(mesh.unchanged(server.port, t.pki.cert('ca')))
    script = '''
import hashlib, resource, time, urllib.request
digest = hashlib.sha256()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with urllib.request.urlopen('http://webserver/data', timeout=20) as response:
    time.sleep(0.5)
    while True:
        block = response.read(4096)
        if not block:
            break
        digest.update(block)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(digest.hexdigest(), grown < 6000 or grown)
'''
    if t.san:
        script = script.replace('grown < 6000', 'True')
    t.equal(t.succeed([harness.PYTHON, '-c', script], rules=rules), f'{digest} True\n', 'stdout')


@harness.test(timeout=300, long=True, cases=['download', 'upload', 'chunked-upload'])
def very_large(t, way):
    if way == 'download':
        download(t, 256)
    else:
        upload(t, 256, *(['--chunked'] if way != 'upload' else []))
