# SPDX-License-Identifier: Apache-2.0
"""Promise 4 and promise 1: what cannot go where the rules say goes nowhere.

The addresses outside loopback are those of RFC 5737 and RFC 3849, for documentation; a connection
to them is refused by the library before it is made.
"""

import os
import pwd
import shutil

import harness
import mesh
import origin

PROGRAM = '''
import errno, socket, sys

def outcome(family, address, kind=socket.SOCK_STREAM):
    s = socket.socket(family, kind)
    s.settimeout(10)
    try:
        s.connect(address)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    finally:
        s.close()
    return 'connected'

listener = socket.create_server(('127.0.0.1', 0))
for i in range(2):
    print('loopback', outcome(socket.AF_INET, listener.getsockname()))
    print('v4', outcome(socket.AF_INET, ('198.51.100.7', 80)))
    print('v4 443', outcome(socket.AF_INET, ('198.51.100.7', 443)))
    print('v6', outcome(socket.AF_INET6, ('2001:db8::7', 80)))
    print('mapped', outcome(socket.AF_INET6, ('::ffff:198.51.100.7', 80)))
s = socket.socket()
s.setblocking(False)
print('non-blocking', errno.errorcode.get(s.connect_ex(('198.51.100.7', 80))))
'''

REFUSED = ['loopback connected', 'v4 ECONNREFUSED', 'v4 443 ECONNREFUSED', 'v6 ECONNREFUSED',
           'mapped ECONNREFUSED'] * 2 + ['non-blocking ECONNREFUSED']


def closed(t, rules, wanted, **options):
    """Under these rules nothing but loopback can be reached, and stderr has one line that says
    `wanted`."""
    result = t.run([harness.PYTHON, '-c', PROGRAM], rules=rules, **options)
    t.equal(result.status, 0, 'exit status')
    t.equal(result.out.splitlines(), REFUSED, 'what could be reached')
    t.equal(result.err.count('\n'), 1, f'lines on stderr, which are\n{result.err}')
    t.check(result.err.startswith('meshshim[') and ': error: ' in result.err,
            f'stderr is {result.err!r}')
    t.contains(result.err, wanted, 'the line on stderr')


@harness.test()
def missing(t):
    closed(t, t.dir / 'missing.cfg', 'missing.cfg')


@harness.test()
def missing_and_datagrams(t):
    """Without rules nobody knows whose address it is: datagram sockets are refused as well."""
    script = '''
import errno, socket
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.bind(('127.0.0.1', 0))
for address in (here.getsockname(), ('198.51.100.7', 443)):
    print(errno.errorcode.get(socket.socket(type=socket.SOCK_DGRAM).connect_ex(address)))
'''
    result = t.run([harness.PYTHON, '-c', script], rules=t.dir / 'missing.cfg')
    t.equal(result.out.splitlines(), ['None', 'ECONNREFUSED'], 'what could be reached')
    t.equal(result.err.count('\n'), 1, f'lines on stderr, which are\n{result.err}')


@harness.test()
def broken_syntax(t):
    closed(t, t.rules('serviceEntries = (\n{ name = "a";\n', 'broken.cfg'), 'broken.cfg:')


@harness.test()
def broken_meaning(t):
    """Several errors in one file are still one line."""
    text = 'serviceEntries = ( {\n  name = "a";\n  hosts = [ ];\n  sorts = 1;\n} );\nfoo = 1;\n'
    closed(t, t.rules(text, 'broken.cfg'), 'broken.cfg:')


@harness.test()
def not_carried_out(t):
    """Valid rules of which the bridge would leave a part undone are refused by name."""
    text = ('serviceEntries = ( { name = "a"; hosts = [ "a.example.com" ]; resolution = "DNS";\n'
            '  ports = ( { number = 80; name = "http"; protocol = "HTTP2"; } ); } );\n')
    closed(t, t.rules(text, 'gap.cfg'), 'gap.cfg:2: ServicePort.protocol HTTP2 is not carried out')


@harness.test()
def analysis_errors(t):
    """What istioctl analyze calls an error does not keep rules from being used, in a cluster and
    here; it is said."""
    text = ('virtualServices = ( { name = "v"; hosts = [ "v" ]; http = ( {\n'
            '  route = ( { destination = { host = "nowhere.example.com"; }; } ); } ); } );\n')
    script = ('import http.client; c = http.client.HTTPConnection("v", timeout=20); '
              'c.request("GET", "/"); print(c.getresponse().status)')
    result = t.run([harness.PYTHON, '-c', script], rules=t.rules(text, 'analysis.cfg'))
    t.equal((result.status, result.out), (0, '503\n'), 'outcome')
    t.contains(result.err, 'analysis.cfg:2: error: [IST0101] Referenced host not found', 'stderr')


@harness.test()
def one_bad_file_of_two(t):
    """Half a rule set is none."""
    good = t.rules(mesh.founding(1, t.pki.cert('ca')), 'good.cfg')
    closed(t, f'{good}:{t.rules("foo = 1;", "broken.cfg")}', 'broken.cfg:1')


@harness.test()
def a_directory(t):
    (t.dir / 'rules').mkdir()
    (t.dir / 'rules/a.cfg').write_text('')
    (t.dir / 'rules/b.cfg').write_text('\nfoo = 1;\n')
    closed(t, t.dir / 'rules', 'b.cfg:2')


@harness.test()
def unreadable(t):
    """As a user who may not read the file."""
    rules = t.rules(mesh.founding(1, t.pki.cert('ca')), 'secret.cfg')
    rules.chmod(0)
    if os.getuid() != 0:
        closed(t, rules, 'secret.cfg')
        return
    # The build folder may be out of that user's reach; a copy of the library is not.
    t.dir.chmod(0o755)
    t.shim = shutil.copy(t.shim, t.dir)
    closed(t, rules, 'secret.cfg', user=pwd.getpwnam('nobody').pw_uid)


@harness.test()
def registry_only(t):
    """What is not in the registry is refused, silently; what is in it works."""
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca'), mesh=mesh.REGISTRY_ONLY))
    t.equal(t.succeed([harness.PYTHON, '-c', PROGRAM], rules=rules).splitlines(), REFUSED,
            'what could be reached')
    script = '''
import errno, socket, urllib.request
print(urllib.request.urlopen('http://webserver/anything?x=1', timeout=20).read().decode().strip())
for port in (8080, 443):
    address = socket.getaddrinfo('webserver', port, socket.AF_INET)[0][4]
    print(errno.errorcode.get(socket.socket().connect_ex(address)))
print(errno.errorcode.get(socket.socket().connect_ex(('240.240.250.250', 80))))
'''
    t.equal(t.succeed([harness.PYTHON, '-c', script], rules=rules).splitlines(),
            [origin.BODY] + ['ECONNREFUSED'] * 3, 'stdout')
    origin.check_founding(t, server.only_requests(1)[0])


@harness.test()
def udp_to_the_mesh(t):
    """UDP to a registry host is refused, so that QUIC falls back to TCP."""
    script = '''
import errno, socket
address = socket.getaddrinfo('webserver', 443, socket.AF_INET, socket.SOCK_DGRAM)[0][4]
for send in (lambda s: s.connect(address), lambda s: s.sendto(b'x', address),
             lambda s: s.sendmsg([b'x'], [], 0, address)):
    try:
        send(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        print('sent')
    except OSError as error:
        print(error.errno in (errno.ECONNREFUSED, errno.ENETUNREACH))
'''
    rules = t.rules(mesh.founding(1, t.pki.cert('ca')))
    t.equal(t.succeed([harness.PYTHON, '-c', script], rules=rules), 'True\n' * 3, 'stdout')


def traced(t, argv, calls, rules=None, **options):
    """Run under strace, following children; the lines of the trace with `calls`."""
    strace = t.tool('strace')
    probe = t.run([strace, '-f', '-e', 'trace=none', '-o', t.dir / 'probe', '/bin/true'])
    if probe.status != 0:
        raise harness.Skip(f'strace is not allowed: {probe.err.strip()}')
    env = t.environment(rules)
    inside = [f'-E{name}={env[name]}' for name in ('LD_PRELOAD', 'MESHSHIM_RULES', 'ASAN_OPTIONS')
              if name in env]
    trace = t.dir / 'trace'
    out = t.succeed([strace, '-f', '-qq', '-e', f'trace={calls}', '-e', 'signal=none', '-o', trace,
                     *inside, *argv], **options)
    return out, trace.read_text().splitlines()


@harness.test()
def upstream_down(t):
    """A registry host whose upstream refuses: 503, and nothing else is contacted."""
    down = origin.Recorder(t, listen=False)
    rules = t.rules(mesh.founding(down.port, t.pki.cert('ca')))
    out, trace = traced(t, [t.guest('modes'), 'write', 'webserver', '80'], 'connect,sendto', rules)
    status, body = out.split(' ', 1)
    t.equal(status, '503', 'status')
    t.contains(body, 'upstream connect error or disconnect/reset before headers. retried and the '
               'latest reset reason: ', 'body')
    peers = [line for line in trace if 'sin_port' in line or 'sin6_port' in line]
    t.check(any(f'htons({down.port})' in line for line in peers), 'the upstream was not tried')
    for line in peers:
        t.check('inet_addr("127.0.0.1")' in line, f'something else was contacted: {line}')


@harness.test()
def nothing_in_plain_text(t):
    """What is sent to the upstream's port is TLS from the first byte to the last."""
    server = origin.Recorder(t, 'host')
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    t.succeed([t.guest('modes'), 'write', 'webserver', '80'], rules=rules)
    server.stop()
    t.equal(server.requests(), 1, 'requests')
    for connection in server.connections:
        at = 0
        while at < len(connection.raw):
            t.check(connection.raw[at] in (20, 21, 22, 23), 'not a TLS record')
            at += 5 + int.from_bytes(connection.raw[at + 3:at + 5], 'big')
        t.check(b'HTTP' not in connection.raw and b'mcasperson' not in connection.raw,
                'plain text on the wire')


RELOAD = '''
import sys, time, urllib.request, os
rules, log, text = sys.argv[1:]

def fetch():
    try:
        return urllib.request.urlopen('http://webserver/', timeout=20).read().decode().strip()
    except OSError as error:
        return str(error)

def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            sys.exit('waited in vain')
        time.sleep(0.02)

def replace(content):
    with open(rules + '.new', 'w') as file:
        file.write(content)
    os.rename(rules + '.new', rules)

def errors():
    return open(log).read().count('\\n') if os.path.exists(log) else 0

print(fetch())
replace('nonsense')
until(lambda: fetch() and errors() == 1)
print(fetch())
replace(open(text).read().replace('externalservice1.txt', 'changed.txt'))
until(lambda: 'changed' in fetch())
print('reloaded')
'''


@harness.test()
def reload_that_fails(t):
    """It keeps the rules in force, says so once, and the next good one counts."""
    server = origin.Nginx(t, locations='location / { return 200 "$request_uri"; }')
    text = mesh.founding(server.port, t.pki.cert('ca'))
    rules = t.rules(text)
    good, log = t.file('good.txt', text), t.dir / 'shim.log'
    out = t.succeed([harness.PYTHON, '-c', RELOAD, rules, log, good], rules=rules,
                    env={'MESHSHIM_LOG': str(log)})
    t.equal(out.splitlines(), [mesh.TARGET, mesh.TARGET, 'reloaded'], 'stdout')
    t.equal(log.read_text().count('\n'), 1, f'lines of the log:\n{log.read_text()}')


LATER = '''
import errno, os, socket, sys, time, urllib.request
print(errno.errorcode.get(socket.socket().connect_ex(('198.51.100.7', 80))))
os.rename(sys.argv[1], sys.argv[2])
deadline = time.monotonic() + 20
while True:
    # Until the rules are read, the synthetic address is refused like every other.
    s = socket.socket()
    failed = s.connect_ex((sys.argv[3], 80))
    if not failed:
        break
    if time.monotonic() > deadline:
        sys.exit('waited in vain')
    time.sleep(0.02)
s.close()
print(urllib.request.urlopen('http://webserver/anything?x=1', timeout=20).read().decode().strip())
'''

ADDRESS = '''
import socket
print(socket.getaddrinfo('webserver', 80, socket.AF_INET)[0][4][0])
'''


@harness.test()
def rules_that_come_later(t):
    """Closed until they load, open then."""
    server = origin.Nginx(t)
    good = t.file('good.txt', mesh.founding(server.port, t.pki.cert('ca')))
    address = t.succeed([harness.PYTHON, '-c', ADDRESS], rules=good).strip()
    later = t.dir / 'later.cfg'
    result = t.run([harness.PYTHON, '-c', LATER, good, later, address], rules=later)
    t.equal((result.status, result.out.splitlines()), (0, ['ECONNREFUSED', origin.BODY]), 'outcome')
    t.equal(result.err.count('\n'), 1, f'lines on stderr:\n{result.err}')
    origin.check_founding(t, server.only_requests(1)[0])
