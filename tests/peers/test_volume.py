# SPDX-License-Identifier: Apache-2.0
"""A gigabyte each way: what arrives is what was sent, and memory does not grow with it."""

import hashlib
import subprocess

import application
import harness
import mesh
import peers
import transfer

BLOCKS = 1024
PEAK = peers.HERE / 'peak.py'
TRANSFER = peers.HERE / 'transfer.py'
# By how many KB a process may grow between a small body and a large one: buffers of TCP are the
# kernel's, those of the bridge are full in the small one already.
ALLOWED = 2048


class Handler(application.Handler):
    """/plain/N and /chunked/N: N blocks. PUT: the checksum of what came."""

    def do_GET(self):
        _, framing, n = self.path.split('/')
        n = int(n)
        self.send_response(200)
        if framing == 'chunked':
            self.send_header('Transfer-Encoding', 'chunked')
        else:
            self.send_header('Content-Length', str(n * transfer.SIZE))
        self.end_headers()
        self.wfile.flush()
        for block in transfer.blocks(n):
            if framing == 'chunked':
                self.wfile.write(b'%x\r\n%s\r\n' % (len(block), block))
            else:
                self.wfile.write(block)
        if framing == 'chunked':
            self.wfile.write(b'0\r\n\r\n')
        self.wfile.flush()

    def do_PUT(self):
        digest = hashlib.sha256()
        for data in self.parts():
            digest.update(data)
        self.plain(200, digest.hexdigest().encode())

    def parts(self):
        if 'chunked' not in self.headers.get('Transfer-Encoding', ''):
            left = int(self.headers['Content-Length'])
            while left:
                data = self.rfile.read(min(left, 1 << 18))
                left -= len(data)
                yield data
            return
        while True:
            size = int(self.rfile.readline(), 16)
            yield self.rfile.read(size)
            self.rfile.readline()
            if not size:
                return


def wanted(n):
    digest = hashlib.sha256()
    for block in transfer.blocks(n):
        digest.update(block)
    return digest.hexdigest()


def origin_and_rules(t):
    server = application.Application(t, cert='host', handler=Handler)
    return t.rules(mesh.unchanged(server.port, t.pki.cert('ca')))


@harness.test(timeout=300, cases=['get-plain', 'get-chunked', 'put-plain', 'put-chunked'])
def python(t, case):
    way, framing = case.split('-')
    rules = origin_and_rules(t)
    out = t.succeed([harness.PYTHON, TRANSFER, way,
                     f'http://webserver/{framing}', BLOCKS, framing], rules=rules)
    digest, grown = out.split()
    t.equal(digest, wanted(BLOCKS), 'checksum')
    t.check(int(grown) < ALLOWED, f'the process has grown by {grown} KB')


def run_curl(t, rules, *options, stdin=None):
    """Run curl. Returns what it printed, if that is short, its checksum, and its peak in KB."""
    inner = t.environment(rules)
    with open(t.dir / 'errors', 'wb') as errors:
        child = t.start([harness.PYTHON, '-S', PEAK, t.dir / 'peak', 'env',
                         f'LD_PRELOAD={inner["LD_PRELOAD"]}', f'MESHSHIM_RULES={rules}',
                         'curl', '-sS', '--max-time', 250, *options], stdin=stdin,
                        stdout=subprocess.PIPE, stderr=errors)
    digest, text = hashlib.sha256(), b''
    for data in iter(lambda: child.stdout.read(transfer.SIZE), b''):
        digest.update(data)
        text = data[:100]
    t.equal((child.wait(), (t.dir / 'errors').read_bytes()), (0, b''), 'how curl ended')
    return text, digest.hexdigest(), int((t.dir / 'peak').read_text())


@harness.test(timeout=300, cases=['get-plain', 'get-chunked', 'put-plain', 'put-chunked'])
def curl(t, case):
    way, framing = case.split('-')
    rules = origin_and_rules(t)
    peaks = []
    for n in (4, BLOCKS):
        url = f'http://webserver/{framing}/{n}'
        if way == 'get':
            _, digest, peak = run_curl(t, rules, url)
        else:
            # curl sends a pipe in chunks, and a file with its length.
            feed = t.start([harness.PYTHON, '-c', 'import sys, transfer\n'
                            'for block in transfer.blocks(int(sys.argv[1])):\n'
                            '    sys.stdout.buffer.write(block)', n], stdout=subprocess.PIPE,
                           env={'PYTHONPATH': str(peers.HERE),
                                'PYTHONDONTWRITEBYTECODE': '1'})
            more = [] if framing == 'chunked' else ['-H', f'Content-Length: {n * transfer.SIZE}',
                                                    '-H', 'Transfer-Encoding:']
            text, _, peak = run_curl(t, rules, '-T', '-', *more, url, stdin=feed.stdout)
            digest = text.decode()
        t.equal(digest, wanted(n), 'checksum')
        peaks.append(peak)
    print(peaks)
    t.check(peaks[1] - peaks[0] < ALLOWED, f'curl has grown: {peaks} KB')
