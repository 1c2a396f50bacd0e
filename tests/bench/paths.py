# SPDX-License-Identifier: Apache-2.0
"""The paths that a request can take, and the servers on them.

One nginx is the origin of all: TLS 1.3, ECDSA P-256, one worker, files of 1 KB and 1 MB, and a sink
that reads a body to its end before it says 204. What lies below /tls/ it has on its TLS port only,
so that a right answer tells by itself that the request came over TLS.

The peers are proxies on loopback that originate TLS: one worker, connections to the origin kept
where the peer can do that, chain and name verified, no log of requests.
"""

import os
import socket
import time

import mesh
import origin
import peers

NAME = 'secure.example'     # the origin's certificate has this name, and the address
HOST = 'webserver'          # what the program calls it under the library
SIZES = {'1k': 1024, '1m': 1024 * 1024}
FOREVER = 1000 * 1000 * 1000

QUIET = f'''
    access_log off;
    error_log error.log warn;
    keepalive_requests {FOREVER};
    keepalive_timeout 1h;
'''


def pattern(size):
    """What client_talk.c expects of a body."""
    return bytes((i * 131 + (i >> 8) * 17 + (i >> 16) * 5) & 255 for i in range(size))


def cpu(pids):
    """Seconds of CPU time that processes have used: all of their threads, also those that have
    ended."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def children(pid):
    with open(f'/proc/{pid}/task/{pid}/children') as file:
        return [int(word) for word in file.read().split()]


def nginx_pids(t, server):
    """Master and worker."""
    workers = t.wait_for(lambda: children(server.process.pid), 'a worker of nginx')
    return [server.process.pid, *workers]


class Origin:
    def __init__(self, t):
        for top in ('clear', 'files/tls'):
            (t.dir / top).mkdir(parents=True)
            for name, size in SIZES.items():
                (t.dir / top / name).write_bytes(pattern(size))
        # The answer comes from a server in the same process: nginx has then read the whole body,
        # into memory, and does not pass it on.
        to_sink = f'''
            proxy_pass http://sink;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Content-Length "";
            proxy_pass_request_body off;
            client_body_buffer_size {2 * SIZES['1m']};
        '''
        self.server = origin.Nginx(
            t, cert='secure', protocols='TLSv1.3',
            http=f'''
                sendfile on;
                tcp_nopush on;
                open_file_cache max=16;
                upstream sink {{
                    server unix:{t.dir}/sink;
                    keepalive 64;
                    keepalive_requests {FOREVER};
                    keepalive_timeout 1h;
                }}
                server {{
                    {QUIET}
                    listen unix:{t.dir}/sink;
                    return 204;
                }}''',
            locations=f'''
                {QUIET}
                location /clear/ {{ root {t.dir}; }}
                location = /clear/sink {{ {to_sink} }}''',
            tls=f'''
                location /tls/ {{ root {t.dir}/files; }}
                location = /tls/sink {{ {to_sink} }}''')
        self.tls_port, self.plain_port = self.server.port, self.server.plain_port
        self.pids = nginx_pids(t, self.server)


class Path:
    """How a client reaches the origin: `options` of tests/bench/client, where it connects to, the
    environment, and the processes in between."""

    def __init__(self, name, title, host, port, tls=True, options=(), pids=(), rules=None, env=None,
                 only=None):
        self.name, self.title, self.host, self.port = name, title, host, port
        self.top = '/tls/' if tls else '/clear/'
        self.options, self.pids = list(options), list(pids)
        self.rules, self.env = rules, env or {}
        self.only = only        # the workloads that it is for; None: all

    def takes(self, workload):
        return self.only is None or workload.name in self.only


def plain(t, where):
    return Path('http', 'plain HTTP, direct', '127.0.0.1', where.plain_port, tls=False)


def https(t, where):
    return Path('https', 'HTTPS by the client itself', '127.0.0.1', where.tls_port,
                options=['-n', NAME, '-a', t.pki.cert('ca'), '-H', NAME])


def https_resumed(t, where):
    return Path('https-resumed', 'the same, TLS sessions resumed', '127.0.0.1', where.tls_port,
                options=['-n', NAME, '-a', t.pki.cert('ca'), '-H', NAME, '-r'], only=['new'])


def meshshim(t, where):
    return Path('meshshim', 'under the library, fast lane on', HOST, 80,
                rules=rules(t, where), env={'MESHSHIM_FAST_LANE': '1'})


def meshshim_kernel(t, where):
    return Path('meshshim-kernel', 'under the library, fast lane off', HOST, 80,
                rules=rules(t, where), env={'MESHSHIM_FAST_LANE': '0'})


def rules(t, where):
    """http://webserver/... is https://secure.example/... on the origin."""
    rewrite = f'rewrite = {{ authority = "{NAME}"; }};'
    return t.rules(mesh.rule_set(
        [mesh.service(where.tls_port, host=NAME)],
        [mesh.virtual(HOST, match='', rewrite=rewrite, destination=NAME)],
        [mesh.destination(t.pki.cert('ca'), host=NAME)]))


def nginx(t, where):
    server = origin.Nginx(
        t, cert='secure',
        http=f'''
            upstream origin {{
                server 127.0.0.1:{where.tls_port};
                keepalive 512;
                keepalive_requests {FOREVER};
                keepalive_timeout 1h;
            }}''',
        locations=f'''
            {QUIET}
            location / {{
                proxy_pass https://origin;
                proxy_http_version 1.1;
                proxy_set_header Connection "";
                proxy_set_header Host {NAME};
                proxy_ssl_protocols TLSv1.3;
                proxy_ssl_server_name on;
                proxy_ssl_name {NAME};
                proxy_ssl_verify on;
                proxy_ssl_trusted_certificate {t.pki.cert('ca')};
                proxy_request_buffering off;
                proxy_buffer_size 16k;
                proxy_buffers 8 64k;
                proxy_busy_buffers_size 128k;
                proxy_max_temp_file_size 0;
            }}''')
    return Path('nginx', 'nginx as proxy', '127.0.0.1', server.plain_port, options=['-H', NAME],
                pids=nginx_pids(t, server))


def haproxy(t, where):
    program = peers.installed('haproxy')
    directory = peers.directory(t, 'haproxy')
    log = directory / 'output'
    t.logs.append(log)
    listener = peers.listener()
    (directory / 'haproxy.cfg').write_text(f'''
        global
            nbthread 1
            maxconn 4000
            tune.bufsize 65536
        defaults
            mode http
            timeout client 1h
            timeout server 1h
            timeout connect 5s
            timeout http-keep-alive 1h
            http-reuse always
        frontend plain
            bind fd@{listener.fileno()}
            default_backend origin
        backend origin
            default-server ssl ssl-min-ver TLSv1.3 verify required ca-file {t.pki.cert('ca')}
            # The name that is sent is the name that is verified.
            default-server sni str({NAME}) pool-max-conn 512 pool-purge-delay 1h
            server one 127.0.0.1:{where.tls_port}
        \n''')
    with listener, open(log, 'w') as output:
        process = t.start([program, '-db', '-f', directory / 'haproxy.cfg'],
                          pass_fds=[listener.fileno()], stdout=output, stderr=output)
        return Path('haproxy', 'haproxy as proxy', '127.0.0.1', listener.getsockname()[1],
                    options=['-H', NAME], pids=[process.pid])


def stunnel(t, where):
    program = peers.installed('stunnel')
    directory = peers.directory(t, 'stunnel')
    t.logs.append(directory / 'log')
    found = []

    def start(ports):
        (directory / 'conf').write_text(f'''
            foreground = yes
            pid =
            debug = 4
            output = {directory}/log
            socket = l:TCP_NODELAY=1
            socket = r:TCP_NODELAY=1
            [origin]
            client = yes
            accept = 127.0.0.1:{ports[0]}
            connect = 127.0.0.1:{where.tls_port}
            sslVersionMin = TLSv1.3
            CAfile = {t.pki.cert('ca')}
            verifyChain = yes
            checkHost = {NAME}
            sni = {NAME}
        \n''')
        with open(directory / 'output', 'w') as output:
            process = t.start([program, directory / 'conf'], stdout=output, stderr=output)
        found[:] = [process.pid]
        return t.wait_for(lambda: 'up' if answers(ports[0]) else process.poll() is not None and
                          'ended', 'stunnel') == 'up'

    port, = peers.on_free_ports(t, 1, start)
    return Path('stunnel', 'stunnel as proxy', '127.0.0.1', port, options=['-H', NAME], pids=found)


def answers(port):
    try:
        socket.create_connection(('127.0.0.1', port)).close()
    except ConnectionRefusedError:
        return False
    return True


OWN = (plain, https, https_resumed, meshshim, meshshim_kernel)
PEERS = (nginx, haproxy, stunnel)
