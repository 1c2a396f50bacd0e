# SPDX-License-Identifier: Apache-2.0
"""The programs of the matrix that can be intercepted, and what each of them does."""

import os
import socket
import struct
import subprocess
import threading

import harness
from matrix import CLIENTS, MESH, OUTSIDE, TLS, SECURE, installed, missing, row

EVERYWHERE = (MESH, TLS, OUTSIDE)
PLAIN = (MESH, OUTSIDE)


# --- command line clients ---------------------------------------------------

@row('curl', 'curl', lanes=EVERYWHERE)
def curl(t, at):
    options = ['-sS', '-i', '--max-time', '60'] + (['--cacert', at.ca] if at.lane == TLS else [])
    return at.run(['curl', *options, f'{at.url}/text', f'{at.url}/nothing', '--next', *options,
                   '-d', 'a=1&b=2', f'{at.url}/echo', '--next', *options, '-I', f'{at.url}/big'])


@row('wget', 'wget', lanes=EVERYWHERE)
def wget(t, at):
    ca = ['--ca-certificate', at.ca] if at.lane == TLS else []
    return at.run(['wget', '-q', '-T', '60', '-t', '1', *ca, '-O', '-', f'{at.url}/text',
                   f'{at.url}/big'])


@row('busybox wget', 'busybox', '--help', lanes=PLAIN)
def busybox(t, at):
    return at.run(['busybox', 'wget', '-q', '-O', '-', f'{at.url}/text'])


@row('aria2c', 'aria2c', lanes=PLAIN)
def aria2(t, at):
    """It asks DNS by itself (c-ares), and has several connections."""
    return at.run(['sh', '-c', 'aria2c -q --no-conf -t 60 -m 1 -s 4 -x 4 -k 1M -Z "$0/text" "$0/big" && '
                   'cat text big', at.url])


def raw_request(at, path='/text'):
    return f'GET {path} HTTP/1.1\r\nHost: {at.host}\r\nConnection: close\r\n\r\n'


@row('bash /dev/tcp', 'bash', lanes=PLAIN)
def bash(t, at):
    script = 'exec 3<>"/dev/tcp/$0/$1"; printf "%s" "$2" >&3; cat <&3'
    return at.run(['bash', '-c', script, at.host, at.port, raw_request(at)])


@row('socat', 'socat', '-V', lanes=PLAIN)
def socat(t, at):
    return at.run(['socat', '-t', '30', '-', f'TCP:{at.host}:{at.port}'],
                  stdin=raw_request(at).encode())


@row('openssl s_client', 'openssl', 'version', lanes=(TLS,))
def s_client(t, at):
    return at.run(['openssl', 's_client', '-connect', f'{at.host}:{at.port}', '-servername', SECURE,
                   '-verify_hostname', SECURE, '-verify_return_error', '-CAfile', at.ca, '-quiet'],
                  stdin=raw_request(at).encode())


@row('git clone', 'git', lanes=PLAIN)
def git(t, at):
    """Over the "dumb" protocol: files of a repository as any web server has them."""
    config = {'GIT_CONFIG_NOSYSTEM': '1', 'GIT_TERMINAL_PROMPT': '0', 'GIT_AUTHOR_NAME': 'a',
              'GIT_AUTHOR_EMAIL': 'a@example', 'GIT_COMMITTER_NAME': 'a',
              'GIT_COMMITTER_EMAIL': 'a@example'}
    if not (at.site.root / 'repo.git').exists():
        script = '''set -e; git init -q -b main work; cd work
            for n in 1 2 3; do seq $((n * 1000)) >file$n; git add .; git commit -q -m $n; done
            git clone -q --bare . "$0/repo.git"; cd "$0/repo.git"; git update-server-info'''
        t.succeed(['sh', '-c', script, at.site.root], env=config)
    return at.run(['sh', '-c', 'git -c http.maxRequests=1 clone -q "$0/repo.git" c && git -C c log --format="%H %s" && '
                   'git -C c fsck --full --no-progress && cd c && cat *', at.url], env=config)


# --- load generators --------------------------------------------------------

def only(*parts):
    """The lines that hold one of these."""
    return lambda text: [line for line in text.splitlines() if any(p in line for p in parts)]


@row('ab', 'ab', '-V', lanes=PLAIN, clean=only('Complete requests', 'Failed', 'Non-2xx',
                                               'Document Length', 'HTML transferred', 'apr_'))
def ab(t, at):
    return at.run(['ab', '-n', '200', '-c', '8', '-s', '60', f'{at.url}/text'])


@row('ab -k', 'ab', '-V', clean=only('Complete requests', 'Failed', 'Non-2xx', 'Document Length',
                                     'HTML transferred', 'apr_', 'Keep-Alive'))
def ab_keep_alive(t, at):
    return at.run(['ab', '-k', '-n', '200', '-c', '8', '-s', '60', f'{at.url}/text'])


@row('wrk', 'wrk', '-v', lanes=PLAIN, distinct=True, clean=only('Socket errors', 'Non-2xx'))
def wrk(t, at):
    return at.run(['wrk', '-t', '2', '-c', '8', '-d', '1s', f'{at.url}/text'])


# --- Python -----------------------------------------------------------------

@row('python3 urllib', 'python3', lanes=EVERYWHERE)
def python_urllib(t, at):
    ca = [at.ca] if at.lane == TLS else []
    return at.run([harness.PYTHON, CLIENTS / 'python_urllib.py', at.url, *ca])


@row('python3 http.client', 'python3', lanes=PLAIN)
def python_http_client(t, at):
    return at.run([harness.PYTHON, CLIENTS / 'python_http_client.py', at.host, at.port])


def has_requests(t):
    if t.run([harness.PYTHON, '-c', 'import requests']).status:
        missing('python3-requests')


@row('python3 requests', 'python3', lanes=PLAIN, needs=has_requests)
def python_requests(t, at):
    return at.run([harness.PYTHON, CLIENTS / 'python_requests.py', at.url])


@row('python3 asyncio', 'python3', lanes=PLAIN)
def python_asyncio(t, at):
    return at.run([harness.PYTHON, CLIENTS / 'python_asyncio.py', at.host, at.port])


@row('python3 subprocess', 'python3', lanes=PLAIN)
def python_subprocess(t, at):
    return at.run([harness.PYTHON, CLIENTS / 'python_subprocess.py', at.url])


# --- Node.js ----------------------------------------------------------------

@row('node http, https beside it', 'node', lanes=PLAIN, also={'own'})
def node_http(t, at):
    return at.run(['node', CLIENTS / 'node_http.js', at.url, at.other_url, at.ca])


@row('node https', 'node', lanes=(TLS,))
def node_https(t, at):
    return at.run(['node', CLIENTS / 'node_https.js', at.url, at.ca])


@row('node fetch', 'node', lanes=PLAIN)
def node_fetch(t, at):
    return at.run(['node', CLIENTS / 'node_fetch.js', at.url])


class Dns:
    """A name server that knows one address, 127.0.0.1."""

    def __init__(self, t):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(('127.0.0.1', 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()
        t.defer(self.socket.close)

    def serve(self):
        while True:
            try:
                query, client = self.socket.recvfrom(4096)
            except OSError:
                return
            end = query.index(b'\0', 12) + 5
            head = query[:2] + struct.pack('>HHHHH', 0x8580, 1, 1, 0, 0)
            answer = b'\xc0\x0c' + struct.pack('>HHIH', 1, 1, 60, 4) + bytes((127, 0, 0, 1))
            self.socket.sendto(head + query[12:end] + answer, client)


@row('node dns.resolve', 'node', lanes=PLAIN)
def node_dns(t, at):
    """Of the mesh's hosts it learns although nobody listens where it asks."""
    server = at.dns or ('127.0.0.1' if at.lane == MESH and at.shim else f'127.0.0.1:{Dns(t).port}')
    name = 'webserver' if at.lane == MESH else 'outside.example'
    return at.run(['node', CLIENTS / 'node_dns.js', server, name, at.url])


@row('node worker_threads', 'node', lanes=PLAIN)
def node_workers(t, at):
    return at.run(['node', CLIENTS / 'node_workers.js', at.url])


@row('node cluster', 'node', lanes=PLAIN)
def node_cluster(t, at):
    return at.run(['node', CLIENTS / 'node_cluster.js', at.url])


# --- Java, Perl -------------------------------------------------------------

def has_compiler(t):
    installed('javac')


def java(at, source):
    return at.run(['java', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', CLIENTS / source, at.url])


@row('java HttpURLConnection', 'java', '-version', lanes=PLAIN, needs=has_compiler)
def java_url_connection(t, at):
    return java(at, 'UrlConnection.java')


@row('java HttpClient', 'java', '-version', lanes=PLAIN, needs=has_compiler)
def java_client(t, at):
    return java(at, 'Client.java')


@row('perl HTTP::Tiny', 'perl', lanes=PLAIN)
def perl_tiny(t, at):
    # The order of its fields is that of a hash.
    return at.run(['perl', CLIENTS / 'http_tiny.pl', at.url],
                  env={'PERL_HASH_SEED': '0', 'PERL_PERTURB_KEYS': '0'})


def has_lwp(t):
    if t.run(['perl', '-MLWP::UserAgent', '-e1']).status:
        missing('libwww-perl')


@row('perl LWP', 'perl', lanes=PLAIN, needs=has_lwp)
def perl_lwp(t, at):
    return at.run(['perl', CLIENTS / 'lwp.pl', at.url])


# --- PHP, Ruby --------------------------------------------------------------

def has_php_curl(t):
    if t.run(['php', '-r', 'curl_init();']).status:
        missing('php-curl')


@row('php curl, streams', 'php', lanes=PLAIN, needs=has_php_curl)
def php(t, at):
    return at.run(['php', CLIENTS / 'curl.php', at.url])


@row('ruby Net::HTTP', 'ruby', lanes=PLAIN)
def ruby(t, at):
    return at.run(['ruby', CLIENTS / 'net_http.rb', at.url])


# --- servers as clients -----------------------------------------------------

def listener(at):
    """A socket for a server to inherit: its clients can wait before it is there."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(at.dir / 'socket'))
    listener.listen(64)
    return listener


def ask(t, at, *paths, options=()):
    return t.run(['curl', '-sS', '--max-time', '60', '--unix-socket', at.dir / 'socket',
                  *(f'http://x/{path}' for path in paths), *options])


@row('gunicorn', 'gunicorn', lanes=PLAIN)
def gunicorn(t, at):
    """Processes and threads, forked off one that has the application already."""
    with listener(at) as inherited:
        fd = inherited.fileno()
        process = at.start(['gunicorn', '--preload', '-w', 2, '--threads', 2, '-b', f'fd://{fd}',
                            '--chdir', CLIENTS, '--log-level', 'critical', '--graceful-timeout', 1,
                            'application'],
                           env={'URL': at.url, 'PYTHONDONTWRITEBYTECODE': '1'}, pass_fds=[fd],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    result = ask(t, at, 'text', 'big', 'text')
    harness.end(process)
    return result


@row('haproxy', 'haproxy', '-v', lanes=PLAIN)
def haproxy(t, at):
    (at.dir / 'haproxy.cfg').write_text(f'''
        global
            nbthread 2
        defaults
            mode http
            timeout connect 30s
            timeout client 60s
            timeout server 60s
        frontend here
            bind "fd@${{LISTENER}}"
            default_backend there
        backend there
            http-request set-header Host {at.authority}
            server there {at.host}:{at.port}
''')
    with listener(at) as inherited:
        fd = inherited.fileno()
        process = at.start(['haproxy', '-db', '-f', 'haproxy.cfg'], env={'LISTENER': str(fd)},
                           pass_fds=[fd], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    result = ask(t, at, 'text', 'big', 'nothing', 'echo', options=['--data-binary', 'some text'])
    harness.end(process)
    return result



@row('nginx proxy_pass', 'nginx', '-v', lanes=PLAIN)
def nginx(t, at):
    """It inherits the socket that its clients are waiting on (as in origin.py)."""
    with listener(at) as inherited:
        (at.dir / 'nginx.conf').write_text(f'''
            daemon off;
            worker_processes 2;
            {'user root;' if os.getuid() == 0 else ''}
            pid nginx.pid;
            events {{ worker_connections 256; }}
            http {{
                {' '.join(f'{kind}_temp_path {kind};' for kind in
                          ('client_body', 'proxy', 'fastcgi', 'scgi', 'uwsgi'))}
                access_log off;
                upstream there {{ server {at.host}:{at.port}; keepalive 4; }}
                server {{
                    listen unix:{at.dir}/socket;
                    location / {{
                        proxy_pass http://there;
                        proxy_http_version 1.1;
                        proxy_set_header Host {at.host};
                        proxy_set_header Connection "";
                    }}
                }}
            }}
        ''')
        fd = inherited.fileno()
        process = at.start(['nginx', '-p', at.dir, '-c', 'nginx.conf', '-e', 'error.log'],
                           env={'NGINX': f'{fd};'}, pass_fds=[fd], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    t.logs.append(at.dir / 'error.log')
    result = ask(t, at, 'text', 'big', 'nothing', 'echo', options=['--data-binary', 'some text'])
    harness.end(process)
    return result


# --- a browser --------------------------------------------------------------

CHROMIUM = ['chromium', '--headless', '--disable-gpu', '--no-first-run', '--disable-extensions',
            '--disable-breakpad', '--timeout=60000', '--dump-dom']

# What it would ask the rest of the world meanwhile; where that is watched, it may.
SILENT = ['--disable-quic', '--disable-background-networking', '--disable-component-update',
          '--disable-sync']


def browse(t, at, run, *flags):
    """A page with a script. Without the shim Chromium maps the name by itself, as pages of names
    and pages of addresses are not treated alike."""
    direct = [] if at.shim else [f'--host-resolver-rules=MAP webserver {at.host}:{at.port}']
    silent = [] if at.watched else SILENT
    result = run([*CHROMIUM, *flags, *silent, *direct, f'--user-data-dir={at.dir}/profile',
                  'http://webserver/page'])
    result.err = ''     # of D-Bus and GPUs, with times and process ids
    t.contains(result.out, '200 External Service 1', 'the page')
    return result


@row('chromium', 'chromium')
def chromium(t, at):
    return browse(t, at, at.run, '--no-sandbox')


@row('chromium in its sandbox', 'chromium')
def chromium_in_sandbox(t, at):
    """It ends when it cannot have one."""
    if at.run_as_nobody(['unshare', '-U', 'true']).status:
        raise harness.Skip('no user namespaces for its sandbox here')
    return browse(t, at, at.run_as_nobody)
