# SPDX-License-Identifier: Apache-2.0
"""What stands behind a server: an application that answers in every framing.

    /static/NAME     a file, as a server of files would send it (for those that serve none)
    /chunked         in chunks of odd sizes
    /echo            the request's body, in the request's framing
    /204             nothing
"""

import hashlib
import http.server
import pathlib
import random
import ssl
import threading


def chunks():
    generator = random.Random(5)
    for size in (1, 2, 15, 16, 17, 4095, 4096, 65537, 300000, 3):
        yield generator.randbytes(size)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    wbufsize = -1

    def handle_any(self):
        body = self.body()
        if self.path.startswith('/static/'):
            self.file(self.path[8:])
        elif self.path == '/chunked':
            self.chunked(chunks())
        elif self.path == '/204':
            self.send_response(204)
            self.end_headers()
        elif self.path != '/echo':
            self.plain(404, b'no such thing\n')
        elif 'chunked' in self.headers.get('Transfer-Encoding', ''):
            self.chunked([body] if body else [])
        else:
            self.plain(200, body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

    def handle_expect_100(self):
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def body(self):
        if 'chunked' not in self.headers.get('Transfer-Encoding', ''):
            return self.rfile.read(int(self.headers.get('Content-Length', 0)))
        body = b''
        while True:
            size = int(self.rfile.readline().split(b';')[0], 16)
            body += self.rfile.read(size)
            self.rfile.readline()
            if not size:
                return body

    def file(self, name):
        path = pathlib.Path(self.server.static) / name
        if not path.exists():
            return self.plain(404, b'no such thing\n')
        data = path.read_bytes()
        tag = '"' + hashlib.sha256(data).hexdigest()[:16] + '"'
        if self.headers.get('If-None-Match') == tag:
            self.send_response(304)
            self.send_header('ETag', tag)
            return self.end_headers()
        asked = self.headers.get('Range')
        if asked:
            first, last = map(int, asked.split('=')[1].split('-'))
            span = f'bytes {first}-{last}/{len(data)}'
            return self.plain(206, data[first:last + 1], ('ETag', tag), ('Content-Range', span))
        return self.plain(200, data, ('ETag', tag))

    def plain(self, status, data, *fields):
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(data)
        self.wfile.flush()

    def chunked(self, parts):
        self.send_response(200)
        self.send_header('Transfer-Encoding', 'chunked')
        self.end_headers()
        if self.command == 'HEAD':
            return
        for part in parts:
            self.wfile.write(b'%x\r\n%s\r\n' % (len(part), part))
            self.wfile.flush()
        self.wfile.write(b'0\r\n\r\n')
        self.wfile.flush()

    def log_message(self, *args):
        pass


class Application:
    """It, in threads of the test's process, on a free port; over TLS with `cert`."""

    def __init__(self, t, static=None, cert=None, handler=Handler):
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
        self.server.static = static
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(t.pki.cert(cert), t.pki.key(cert))
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        t.defer(self.server.shutdown)
