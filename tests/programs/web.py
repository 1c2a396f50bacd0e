# SPDX-License-Identifier: Apache-2.0
"""The origin of the matrix: one web site behind three ports, which keeps what it is asked.

    plain   HTTP, for programs without the shim and for http://localhost/
    mesh    TLS as raw.githubusercontent.com, where the rules lead http://webserver/
    own     TLS as secure.example and as 127.0.0.1, for programs that do their own TLS

They are on loopback, on numbers that are free, unless the caller knows of better ones.
"""

import contextlib
import http.server
import socket
import socketserver
import ssl
import threading

TEXT = b'External Service 1\n'
BIG = bytes(range(32, 127)) * 5000

# A page whose script asks once more, before the page is complete.
PAGE = b'''<!DOCTYPE html><html><head><link rel="icon" href="data:,"></head><body><script>
var x = new XMLHttpRequest(); x.open('GET', '/text', false); x.send();
document.write(x.status + ' ' + x.responseText);
</script></body></html>
'''


class Request:
    """A request as it came: its line, its fields in their order, its body."""

    def __init__(self, port, line, fields, body):
        self.port, self.line, self.fields, self.body = port, line, fields, body


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def handle_any(self):
        body = self.read_body()
        self.server.web.keep(Request(self.server.name, self.requestline, self.headers.raw_items(),
                                     body))
        kind, content = self.find(self.path.split('?')[0], body)
        self.send_response_only(200 if kind else 404)
        self.send_header('Content-Type', kind or 'text/plain')
        self.send_header('Content-Length', str(len(content)))
        if self.close_connection:
            self.send_header('Connection', 'close')
        elif self.request_version == 'HTTP/1.0':
            self.send_header('Connection', 'keep-alive')
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def read_body(self):
        if 'chunked' in self.headers.get('Transfer-Encoding', ''):
            body = b''
            while True:
                size = int(self.rfile.readline().split(b';')[0], 16)
                body += self.rfile.read(size)
                self.rfile.readline()
                if not size:
                    return body
        return self.rfile.read(int(self.headers.get('Content-Length', 0)))

    def find(self, path, body):
        """The type and the content of a page, the type is None where there is none."""
        if path == '/echo':
            return 'application/octet-stream', body
        if path in self.server.web.pages:
            return self.server.web.pages[path]
        file = self.server.web.root / path.lstrip('/')
        if '..' not in path and file.is_file():
            return 'text/plain', file.read_bytes()
        return None, b'not here\n'

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True

    def __init__(self, address):
        self.address_family = socket.AF_INET6 if ':' in address[0] else socket.AF_INET
        super().__init__(address, Handler)

    def server_bind(self):
        """Without asking DNS for a name of its own."""
        socketserver.TCPServer.server_bind(self)

    def shutdown_request(self, request):
        """With a close_notify, which some programs insist on, and without waiting for theirs."""
        if isinstance(request, ssl.SSLSocket):
            request.settimeout(0)
            with contextlib.suppress(OSError):
                request.unwrap()
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        """Clients come and go as they like."""


class Web:
    def __init__(self, t, **addresses):
        self.root = t.dir / 'site'
        self.root.mkdir()
        self.root.chmod(0o755)
        self.pages = {'/text': ('text/plain', TEXT), '/big': ('application/octet-stream', BIG),
                      '/page': ('text/html', PAGE)}
        self.lock, self.requests = threading.Lock(), []
        self.plain, self.mesh, self.own = (
            self.serve(t, name, cert, addresses.get(name, ('127.0.0.1', 0)))
            for name, cert in (('plain', None), ('mesh', 'host'), ('own', 'secure')))

    def serve(self, t, name, cert, address):
        server = Server(address)
        server.web, server.name = self, name
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(t.pki.cert(cert), t.pki.key(cert))
            server.socket = context.wrap_socket(server.socket, server_side=True,
                                                do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        t.defer(server.server_close)
        t.defer(server.shutdown)
        return server.server_address[1]

    def keep(self, request):
        with self.lock:
            self.requests.append(request)

    def take(self):
        """What came since the last time. A request is here before its answer is written."""
        with self.lock:
            requests, self.requests = self.requests, []
        return requests
