# SPDX-License-Identifier: Apache-2.0
"""Servers of other people, each started for one test and ended with it.

Those that can be given a socket get one that listens already, so that no port is lost between
choosing and listening. The others choose again when somebody was quicker.
"""

import os
import pathlib
import pwd
import shutil
import socket

import harness
import origin

HERE = pathlib.Path(__file__).resolve().parent
BOTH = ('TLSv1.2', 'TLSv1.3')


def installed(name, *places):
    """The path of a program, or Skip. CI has them all."""
    path = shutil.which(name, path=':'.join([harness.PATH, *map(str, places)]))
    if path:
        return path
    kind = harness.Failure if os.environ.get('CI') else harness.Skip
    raise kind(f'{name} is not installed (make deps-programs)')


def listener():
    return socket.create_server(('127.0.0.1', 0), backlog=511)


def directory(t, name):
    """A new directory of the test's; nobody is its owner, as some servers refuse to be root."""
    t.n_files += 1
    path = t.dir / f'{name}{t.n_files}'
    path.mkdir()
    if os.getuid() == 0:
        os.chown(path, nobody().pw_uid, nobody().pw_gid)
    return path


def nobody():
    return pwd.getpwnam('nobody')


def as_nobody():
    """Options of t.start() for a server that refuses to be root."""
    if os.getuid() != 0:
        return {}
    return {'user': nobody().pw_uid, 'group': nobody().pw_gid, 'extra_groups': []}


def wait_for_text(t, process, path, text):
    """Wait until the server's log has `text`: True, or False when the server ended before."""
    def seen():
        if path.exists() and text in path.read_text(errors='replace'):
            return 'yes'
        return 'ended' if process.poll() is not None else None

    return t.wait_for(seen, f'"{text}" in {path}') == 'yes'


def on_free_ports(t, count, start):
    """start(ports) returns whether the server came up there; tried on other ports when not."""
    for _ in range(5):
        sockets = [socket.socket() for _ in range(count)]
        for s in sockets:
            s.bind(('127.0.0.1', 0))
        ports = [s.getsockname()[1] for s in sockets]
        for s in sockets:
            s.close()
        if start(ports):
            return ports
    raise harness.Failure('the server did not start; see its log')


class Line:
    """A request as a server logged it: version of TLS, the connection it came over, its line."""

    def __init__(self, text):
        self.tls, self.connection, self.request = text.rstrip('\n').split(' ', 2)

    def __repr__(self):
        return f'{self.tls} {self.connection} {self.request}'


def read_lines(path):
    with open(path, errors='replace') as log:
        return [Line(text) for text in log if text.endswith('\n') and text.startswith('TLS')]


class Nginx:
    """`static` under /static/, everything else from the application on `backend`."""

    def __init__(self, t, version, static, backend):
        self.server = origin.Nginx(t, protocols=version, locations=f'''
            location /static/ {{ alias {static}/; }}
            location / {{
                proxy_pass http://127.0.0.1:{backend};
                proxy_http_version 1.1;
                proxy_buffering off;
                proxy_request_buffering off;
                proxy_set_header Connection "";
            }}''')
        self.port, self.plain_port = self.server.port, self.server.plain_port

    def lines(self, count):
        def over_tls():
            return [Line(f'{line.tls} {line.connection} {line.request}')
                    for line in self.server.seen() if line.tls]

        self.server.t.wait_for(lambda: len(over_tls()) >= count, f'{count} requests')
        self.server.stop()
        return over_tls()


class Apache:
    """Apache httpd, with the same."""

    def __init__(self, t, version, static, backend):
        program = installed('apache2')
        self.t, self.dir = t, directory(t, 'apache')
        self.access, errors = self.dir / 'access.log', self.dir / 'error.log'
        t.logs += [errors, self.access]

        def start(ports):
            self.port, self.plain_port = ports
            errors.unlink(missing_ok=True)
            self.configure(version, static, backend)
            with open(self.dir / 'output', 'w') as output:
                self.process = t.start([program, '-d', self.dir, '-f', self.dir / 'httpd.conf',
                                        '-D', 'FOREGROUND'], stdout=output, stderr=output)
            return wait_for_text(t, self.process, errors, 'resuming normal operations')

        t.logs.append(self.dir / 'output')
        on_free_ports(t, 2, start)

    def configure(self, version, static, backend):
        modules = ''.join(f'LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n'
                          for name in ('mpm_event', 'authz_core', 'alias', 'proxy', 'proxy_http',
                                       'ssl'))
        user = f'User nobody\nGroup "#{nobody().pw_gid}"\n' if os.getuid() == 0 else ''
        pki = self.t.pki
        (self.dir / 'httpd.conf').write_text(f'''{modules}{user}
            ServerName localhost
            DefaultRuntimeDir {self.dir}
            PidFile {self.dir}/pid
            ErrorLog {self.dir}/error.log
            LogLevel notice
            LogFormat "%{{SSL_PROTOCOL}}x %{{remote}}p %r" line
            CustomLog {self.access} line
            StartServers 1
            ThreadsPerChild 16
            MaxRequestWorkers 16
            ServerLimit 1
            MaxKeepAliveRequests 0
            KeepAliveTimeout 60
            Listen 127.0.0.1:{self.port}
            Listen 127.0.0.1:{self.plain_port}
            Alias /static/ {static}/
            <Directory {static}>
                Require all granted
            </Directory>
            ProxyPass /static/ !
            ProxyPass / http://127.0.0.1:{backend}/
            <VirtualHost 127.0.0.1:{self.port}>
                SSLEngine on
                SSLProtocol {version}
                SSLCertificateFile {pki.cert('host')}
                SSLCertificateKeyFile {pki.key('host')}
            </VirtualHost>
        ''')

    def lines(self, count):
        self.t.wait_for(lambda: len(read_lines(self.access)) >= count, f'{count} requests')
        self.process.terminate()
        self.process.wait(10)
        return read_lines(self.access)


class Haproxy:
    """haproxy, which has no files of its own: all is the application's."""

    def __init__(self, t, version, static, backend):
        program = installed('haproxy')
        self.t, self.dir = t, directory(t, 'haproxy')
        self.log = self.dir / 'output'
        t.logs.append(self.log)
        pem = self.dir / 'host.pem'
        pem.write_bytes(t.pki.cert('host').read_bytes() + t.pki.key('host').read_bytes())
        sockets = [listener() for _ in range(2)]
        self.port, self.plain_port = [s.getsockname()[1] for s in sockets]
        tls, plain = [s.fileno() for s in sockets]
        (self.dir / 'haproxy.cfg').write_text(f'''
            global
                log stdout format raw local0
                tune.ssl.default-dh-param 2048
            defaults
                mode http
                timeout client 30s
                timeout server 30s
                timeout connect 5s
                timeout http-keep-alive 30s
                log global
                log-format "%sslv %cp %HM %HP %HV"
            frontend tls
                bind fd@{tls} ssl crt {pem} ssl-min-ver {version} ssl-max-ver {version}
                default_backend application
            frontend plain
                bind fd@{plain}
                default_backend application
            backend application
                server one 127.0.0.1:{backend}
        \n''')
        with open(self.log, 'w') as output:
            self.process = t.start([program, '-db', '-f', self.dir / 'haproxy.cfg'],
                                   pass_fds=[tls, plain], stdout=output, stderr=output)
        for s in sockets:
            s.close()

    def lines(self, count):
        self.t.wait_for(lambda: len(read_lines(self.log)) >= count, f'{count} requests')
        self.process.terminate()
        self.process.wait(10)
        return read_lines(self.log)


class Redis:
    """redis-server that speaks TLS and nothing else."""

    def __init__(self, t, version, mutual=False):
        program = installed('redis-server')
        installed('redis-cli')
        self.dir = directory(t, 'redis')
        log = self.dir / 'log'
        t.logs.append(log)
        pki = t.pki

        def start(ports):
            log.unlink(missing_ok=True)
            self.port = ports[0]
            process = t.start(
                [program, '--port', 0, '--tls-port', self.port, '--bind', '127.0.0.1',
                 '--dir', self.dir, '--save', '', '--logfile', log, '--daemonize', 'no',
                 '--proto-max-bulk-len', '64mb', '--client-query-buffer-limit', '128mb',
                 '--tls-cert-file', pki.cert('host'), '--tls-key-file', pki.key('host'),
                 '--tls-ca-cert-file', pki.cert('ca'), '--tls-protocols', version,
                 '--tls-auth-clients', 'yes' if mutual else 'no'])
            return wait_for_text(t, process, log, 'Ready to accept connections')

        on_free_ports(t, 1, start)


class Postgres:
    """PostgreSQL that has TLS for those who ask for it, and refuses all others."""

    def __init__(self, t):
        places = sorted(pathlib.Path('/usr/lib/postgresql').glob('*/bin'))
        initdb, server = installed('initdb', *places), installed('postgres', *places)
        installed('psql')
        self.dir = directory(t, 'postgres')
        data, self.log = self.dir / 'data', self.dir / 'log'
        t.logs.append(self.log)
        with open(self.log, 'w') as output:
            t.start([initdb, '-D', data, '-U', 'guest', '-A', 'trust', '--no-sync'],
                    stdout=output, stderr=output, **as_nobody()).wait()
        for name, path in (('key', t.pki.key('host')), ('pem', t.pki.cert('host'))):
            copy = data / f'host.{name}'
            shutil.copyfile(path, copy)
            copy.chmod(0o600)
            if os.getuid() == 0:
                os.chown(copy, nobody().pw_uid, nobody().pw_gid)
        (data / 'pg_hba.conf').write_text('hostssl all all 127.0.0.1/32 trust\n')

        def start(ports):
            self.port = ports[0]
            with open(self.log, 'w') as output:
                process = t.start(
                    [server, '-D', data, '-p', self.port, '-h', '127.0.0.1', '-k', '', '-F',
                     '-c', 'ssl=on', '-c', 'ssl_cert_file=host.pem', '-c', 'ssl_key_file=host.key'],
                    stdout=output, stderr=output, **as_nobody())
            return wait_for_text(t, process, self.log, 'ready to accept connections')

        on_free_ports(t, 1, start)
