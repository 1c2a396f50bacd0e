# SPDX-License-Identifier: Apache-2.0
"""Where requests arrive: nginx, and a small server that keeps every byte."""

import json
import os
import socket
import ssl
import struct
import threading

TARGET = '/mcasperson/NodejsProxy/master/externalservice1.txt'
BODY = 'External Service 1'

LOG = ('{"sni":"$ssl_server_name","tls":"$ssl_protocol","alpn":"$ssl_alpn_protocol",'
       '"host":"$http_host","request":"$request","status":"$status","port":"$server_port",'
       '"client":"$ssl_client_s_dn","resumed":"$ssl_session_reused","connection":"$connection",'
       '"length":"$content_length","coding":"$http_transfer_encoding"}')

# Lines of the error log that tell of a connection that did not become a TLS request.
STRANGE = ('SSL_do_handshake', 'while SSL handshaking', 'plain HTTP request', 'client sent invalid',
           'prematurely closed')


class Line:
    """One line of nginx's access log."""

    def __init__(self, text):
        self.__dict__.update(json.loads(text))

    def __repr__(self):
        return repr(self.__dict__)


class Nginx:
    """nginx on loopback with a TLS port and a plain port, both free ones.

    The sockets are made here and inherited by nginx (its way of replacing a running binary), so
    that no port can be lost between choosing and listening, and connections wait from the start.
    (With `master_process off` nginx does not survive that.)
    `locations` is put into both servers, `tls` into the TLS one, which speaks `protocols`, `http`
    beside them.
    """

    def __init__(self, t, cert='host', locations=None, tls='', protocols='TLSv1.2 TLSv1.3',
                 http=''):
        self.t = t
        t.n_files += 1
        self.prefix = t.dir / f'nginx{t.n_files}'
        for name in ('html', 'temp'):
            (self.prefix / name).mkdir(parents=True)
        sockets = [socket.create_server(('127.0.0.1', 0), backlog=511) for _ in range(2)]
        self.port, self.plain_port = [s.getsockname()[1] for s in sockets]
        self.access, self.errors = self.prefix / 'access.log', self.prefix / 'error.log'
        self.access.touch()
        t.logs += [self.access, self.errors]
        if locations is None:
            locations = f'location / {{ default_type text/plain; return 200 "{BODY}\\n"; }}'
        temps = ' '.join(f'{kind}_temp_path temp/{kind};' for kind in
                         ('client_body', 'proxy', 'fastcgi', 'scgi', 'uwsgi'))
        (self.prefix / 'nginx.conf').write_text(f'''
            daemon off;
            worker_processes 1;
            {'user root;' if os.getuid() == 0 else ''}
            pid nginx.pid;
            worker_rlimit_nofile 4096;
            error_log error.log info;
            events {{ worker_connections 2048; }}
            http {{
                {temps}
                log_format line escape=json '{LOG}';
                access_log access.log line;
                client_max_body_size 0;
                server_tokens off;
                {http}
                server {{
                    listen 127.0.0.1:{self.plain_port};
                    root html;
                    {locations}
                }}
                server {{
                    listen 127.0.0.1:{self.port} ssl;
                    root html;
                    ssl_certificate {t.pki.cert(cert)};
                    ssl_certificate_key {t.pki.key(cert)};
                    ssl_protocols {protocols};
                    {tls}
                    {locations}
                }}
            }}
        ''')
        fds = [s.fileno() for s in sockets]
        with open(self.prefix / 'output', 'w') as output:
            self.process = t.start(
                [t.tool('nginx'), '-p', self.prefix, '-c', 'nginx.conf', '-e', 'error.log'],
                env={'NGINX': ''.join(f'{fd};' for fd in fds)}, pass_fds=fds, stdout=output,
                stderr=output)
        t.logs.append(self.prefix / 'output')
        for s in sockets:
            s.close()

    def seen(self):
        """The requests that it has logged so far."""
        with open(self.access, errors='replace') as log:
            return [Line(text) for text in log if text.endswith('\n')]

    def lines(self, count):
        """Exactly `count` requests: wait for so many, then stop, and see that no more came."""
        self.t.wait_for(lambda: len(self.seen()) >= count, f'{count} requests at the origin')
        self.stop()
        lines = self.seen()
        self.t.equal(len(lines), count, f'number of requests at the origin, {lines}')
        return lines

    def stop(self):
        """End nginx; what it logged is complete then. Before it starts its workers a signal would be
        noted and not acted upon."""
        self.t.wait_for(lambda: self.process.poll() is not None or self._has_begun(), 'nginx')
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)

    def _has_begun(self):
        return self.errors.exists() and 'start worker processes' in self.errors.read_text(
            errors='replace')

    def only_requests(self, count):
        """lines(), and nothing else ever came: no plain text on the TLS port, no broken handshake,
        nothing on the plain port."""
        lines = self.lines(count)
        for line in lines:
            self.t.equal(line.port, str(self.port), f'port on which {line} came')
            self.t.check(line.tls in ('TLSv1.2', 'TLSv1.3'), f'no TLS: {line}')
        errors = self.errors.read_text(errors='replace')
        for text in STRANGE:
            self.t.check(text not in errors, f'nginx says "{text}":\n{errors}')
        return lines


class Connection:
    """What one connection to a Recorder brought."""

    def __init__(self):
        self.raw = b''       # every byte as it came
        self.clear = b''     # what was inside of TLS (without TLS: the same as raw)
        self.sni = self.error = self.version = None
        self.requests = 0


class Recorder:
    """A server that keeps every byte that arrives. With a certificate it speaks TLS, without one
    it takes what comes. Each complete request (a head, and as many bytes as its Content-Length
    says) is answered with what `answer(connection, head)` returns; None resets the connection."""

    def __init__(self, t, cert=None, answer=None, listen=True):
        self.t, self.cert, self.answer = t, cert, answer or ok
        self.connections, self.threads = [], []
        self.listener = socket.socket()
        self.listener.bind(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.context = None
        if cert:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(t.pki.cert(cert), t.pki.key(cert))
            self.context.sni_callback = self._note_sni
        # Bound but not listening: the port is taken and refuses, for as long as the test runs.
        if listen:
            self.listener.listen(512)
            thread = threading.Thread(target=self._accept, daemon=True)
            thread.start()
            self.threads.append(thread)
        self.sockets = []
        t.defer(self.stop)

    @staticmethod
    def _note_sni(tls, name, context):
        tls.connection.sni = name

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            connection = Connection()
            self.connections.append(connection)
            self.sockets.append(s)
            thread = threading.Thread(target=self._serve, args=(s, connection), daemon=True)
            thread.start()
            self.threads.append(thread)

    def _serve(self, s, connection):
        try:
            with s:
                self._talk(s, connection)
        except (OSError, ssl.SSLError) as error:
            connection.error = error

    def _talk(self, s, connection):
        stream = Tls(s, self.context, connection) if self.context else Plain(s, connection)
        used = 0
        while True:
            chunk = stream.read()
            if not chunk:
                return
            connection.clear += chunk
            while True:
                end = connection.clear.find(b'\r\n\r\n', used)
                if end < 0:
                    break
                head = connection.clear[used:end + 4].decode('latin-1')
                length = [line.split(':')[1] for line in head.split('\r\n')
                          if line.lower().startswith('content-length:')]
                total = end + 4 + int(length[0] if length else 0)
                if len(connection.clear) < total:
                    break
                used = total
                connection.requests += 1
                answer = self.answer(connection, head)
                if answer is None:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                    return
                stream.write(answer)

    def stop(self):
        """End it; what is recorded is complete then."""
        for s in [self.listener] + self.sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        for thread in self.threads:
            thread.join(5)

    def requests(self):
        return sum(connection.requests for connection in self.connections)


class Plain:
    def __init__(self, s, connection):
        self.s, self.connection = s, connection

    def read(self):
        data = self.s.recv(65536)
        self.connection.raw += data
        return data

    def write(self, data):
        self.s.sendall(data)


class Tls:
    """TLS over memory, so that the bytes on the wire can be kept."""

    def __init__(self, s, context, connection):
        self.s, self.connection = s, connection
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.tls.connection = connection
        try:
            self._drive(self.tls.do_handshake)
        finally:
            self._flush()
        connection.version = self.tls.version()

    def _flush(self):
        data = self.outgoing.read()
        if data:
            self.s.sendall(data)

    def _drive(self, call):
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                self._flush()
                data = self.s.recv(65536)
                self.connection.raw += data
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()

    def read(self):
        try:
            return self._drive(lambda: self.tls.read(65536))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b''
        finally:
            self._flush()

    def write(self, data):
        self.tls.write(data)
        self._flush()


def ok(connection, head):
    """The usual answer of a Recorder."""
    body = BODY.encode() + b'\n'
    return (b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s'
            % (len(body), body))


def check_founding(t, line, target=TARGET + '?x=1'):
    """One line of the origin's log is that of the founding scenario."""
    t.equal(line.request, f'GET {target} HTTP/1.1', 'request line at the origin')
    t.equal(line.host, 'raw.githubusercontent.com', 'Host at the origin')
    t.equal(line.sni, 'raw.githubusercontent.com', 'SNI at the origin')
    t.equal(line.status, '200', 'status at the origin')
