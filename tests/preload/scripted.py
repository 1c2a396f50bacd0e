# SPDX-License-Identifier: Apache-2.0
"""An origin that misbehaves on cue: what it does with a connection is a function of the test's."""

import re
import socket
import ssl
import struct
import threading

import origin


class Hung(Exception):
    """The other end did nothing for too long."""


class Stream:
    """One connection as its script sees it. With TLS the handshake is done."""

    def __init__(self, s, context):
        self.s = s
        s.settimeout(20)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = origin.Connection()
        self.stream = origin.Tls(s, context, connection) if context else origin.Plain(s, connection)
        self.data = b''

    def more(self):
        """Read on. False at the end."""
        try:
            chunk = self.stream.read()
        except TimeoutError as error:
            raise Hung from error
        self.data += chunk
        return bool(chunk)

    def head(self):
        """The next request's head, or None at the end."""
        while b'\r\n\r\n' not in self.data:
            if not self.more():
                return None
        head, _, self.data = self.data.partition(b'\r\n\r\n')
        return head.decode('latin-1')

    def body(self, head):
        """Its body, of which the head gives the length."""
        length = re.search(r'(?i)\r\ncontent-length: *(\d+)', head)
        length = int(length[1]) if length else 0
        while len(self.data) < length and self.more():
            pass
        body, self.data = self.data[:length], self.data[length:]
        return body

    def request(self):
        """The next request, read to its end: (method, path, body), or None."""
        head = self.head()
        if head is None:
            return None
        method, path, _ = head.split(' ', 2)
        return method, path, self.body(head)

    def send(self, data):
        self.stream.write(data)

    def drain(self, seconds=20):
        """Read until the other end is gone, at most so long. Returns whether it went."""
        self.s.settimeout(seconds)
        try:
            while self.stream.read():
                pass
        except TimeoutError:
            return False
        except (OSError, ssl.SSLError):
            pass
        return True

    def end(self, how):
        """close: as a process that ends; notify: with TLS's goodbye; reset: hard."""
        if how == 'notify':
            try:
                self.stream.tls.unwrap()
            except ssl.SSLError:
                self.stream._flush()
        if how == 'reset':
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.s.close()


class Scripted:
    """Runs `script(stream)` for each connection, in a thread of its own. With a certificate it
    speaks TLS; `raw(socket)`, if given, comes before that, and ends the matter by returning True."""

    def __init__(self, t, script, cert=None, raw=None):
        self.t, self.script, self.raw = t, script, raw
        self.context = None
        if cert:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(t.pki.cert(cert), t.pki.key(cert))
        self.lock = threading.Lock()
        self.requests = []   # (method, path) of each, as `note` was told
        self.errors = []     # what scripts failed of
        self.open = 0        # connections that are being served
        self.total = 0
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        t.defer(self.listener.close)

    def note(self, method, path):
        with self.lock:
            self.requests.append((method, path))

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.open += 1
                self.total += 1
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        try:
            with s:
                if not self.raw or not self.raw(s):
                    self.script(Stream(s, self.context))
        except Hung as error:
            self.errors.append(error)
        except (OSError, ssl.SSLError):
            pass  # the other end is gone, as it may
        except Exception as error:
            self.errors.append(error)
            raise
        finally:
            with self.lock:
                self.open -= 1

    def finish(self):
        """All connections are over, and no script failed."""
        self.t.wait_for(lambda: not self.open, 'the end of all connections to the origin')
        self.t.equal(self.errors, [], 'what the scripts failed of')
