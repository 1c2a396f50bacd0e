# SPDX-License-Identifier: Apache-2.0
"""The fast lane: whatever a program does with a socket, it sees what it sees without it."""

import pathlib
import re
import socket
import subprocess
import time
import zlib

import harness
import mesh
import scripted

FAST = {'MESHSHIM_FAST_LANE': '1'}
SLOW = {'MESHSHIM_FAST_LANE': '0'}
PATTERN = bytes(range(251))


def chunked(stream):
    """A chunked body."""
    body = b''
    while True:
        while b'\r\n' not in stream.data:
            if not stream.more():
                return body
        size, _, stream.data = stream.data.partition(b'\r\n')
        size = int(size, 16)
        while len(stream.data) < size + 2 and stream.more():
            pass
        body += stream.data[:size]
        stream.data = stream.data[size + 2:]
        if not size:
            return body


def request(stream):
    """(method, path, body), or None."""
    head = stream.head()
    if head is None:
        return None
    method, path, _ = head.split(' ', 2)
    coded = re.search(r'(?i)\r\ntransfer-encoding: *chunked', head)
    return method, path, chunked(stream) if coded else stream.body(head)


def answer(body, extra=''):
    return f'HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{extra}\r\n'.encode() + body


def echo(stream, paths=None):
    """What fast.h says. `paths` gets those that were asked for."""
    while asked := request(stream):
        method, path, body = asked
        if paths is not None:
            paths.append(path)
        _, what, arg = path.split('/', 2)
        if what in ('size', 'chunked'):
            size = int(arg)
            data = (PATTERN * (size // 251 + 1))[:size]
            if what == 'size':
                stream.send(answer(data))
                continue
            stream.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
            for at in range(0, size, 70001):
                part = data[at:at + 70001]
                stream.send(b'%x\r\n%s\r\n' % (len(part), part))
            stream.send(b'0\r\n\r\n')
            continue
        if what == 'wait':
            time.sleep(int(arg) / 1000)
        stream.send(answer(b'%s %s %d %08x\n' % (method.encode(), path.encode(), len(body),
                                                 zlib.adler32(body))))


def origin_and_rules(t, script=echo, **options):
    server = scripted.Scripted(t, script, 'host')
    return server, t.rules(mesh.unchanged(server.port, t.pki.cert('ca'), **options))


def guest(t, mode, *args, program='fast', env=FAST, script=echo):
    """Run one of a guest's modes. Returns what it says."""
    server, rules = origin_and_rules(t, script)
    out = t.succeed([t.guest(program), mode, 'webserver', '80', *args], rules=rules, env=env)
    t.equal(server.errors, [], 'what the origin failed of')
    return out.strip()


@harness.test()
def taken(t):
    """The program's own connection carries nothing; without the fast lane it carries all."""
    if t.switch:
        raise harness.Skip('lanes are changed at random')
    t.equal(guest(t, 'taken'), '0', 'bytes that the kernel carried')
    t.check(int(guest(t, 'taken', env=SLOW)) > 0, 'the fast lane was taken although it is off')


@harness.test(timeout=90)
def mix(t):
    """Pieces of requests by all ways of sending, answers by all ways of receiving."""
    guest(t, 'mix', '2000')


@harness.test(cases=['0', '1', '2', '3', '4', '5'])
def reuse_upstream(t, when):
    """A number of an upstream socket that the program closes past the hooks, and uses itself."""
    guest(t, 'reuse-upstream', when)


SINGLE = ('reuse-own', 'stdio', 'fork', 'vfork', 'polls', 'foretold', 'nonblocking', 'dup')


@harness.test(timeout=60, cases=SINGLE)
def ways(t, mode):
    guest(t, mode)


@harness.test(timeout=120, cases=['1', '100', '4096', '65536', '1000000'])
def bodies(t, room):
    """5 MB both ways, every byte looked at."""
    guest(t, 'bodies', room)


WAITS = ('shutdown-both', 'shutdown-copy', 'shutdown-bare', 'shutdown-write', 'signals', 'timeouts',
         'cancel', 'jumps', 'handlers', 'threads', 'duplex', 'shared')


@harness.test(timeout=40, cases=WAITS)
def waits(t, mode):
    guest(t, mode, program='fast_waits')


@harness.test(timeout=60, long=True)
def handler_while_loading(t):
    """More rules than are read in the time for which installers of handlers wait."""
    server, rules = origin_and_rules(t)
    routes = ', '.join(f'{{ match = ( {{ uri = {{ regex = "/a{i}/.*"; }}; }} ); route = ( {{ destination = '
                       f'{{ host = "raw.githubusercontent.com"; port = {{ number = 443; }}; }}; }} ); }}'
                       for i in range(60000))
    more = f'{{ name = "many"; hosts = [ "many.example" ]; http = ( {routes} ); }}, '
    text = pathlib.Path(rules).read_text().replace('virtualServices = (', 'virtualServices = (' + more, 1)
    t.succeed([t.guest('fast_waits'), 'loading', 'webserver', '80'], rules=t.rules(text), env=FAST)


@harness.test(timeout=60, cases=['ways', 'idle', 'last', 'leaves', 'copies', 'inherited', 'quiet',
                                 'crowd'])
def late(t, mode):
    """Connections that the bridge has not been given when their requests take the fast lane."""
    if mode == 'quiet' and t.switch:
        raise harness.Skip('lanes are changed at random')
    guest(t, mode, program='fast_late')


@harness.test(timeout=60)
def late_shells(t):
    """What a shell sends over a connection that its parent has closed, arrives."""
    paths = []
    guest(t, 'shells', program='fast_late', script=lambda stream: echo(stream, paths))
    t.equal(paths.count('/echo/shell'), 80, 'requests of shells')


@harness.test(timeout=30, cases=['close', 'bare'])
def late_strangers(t, how):
    """The address of a connection that was reset is anybody's: who has it next is not the program."""
    paths = []
    server, rules = origin_and_rules(t, lambda stream: echo(stream, paths))
    program = t.start([t.guest('fast_late'), 'strangers', 'webserver', '80', how], rules=rules, env=FAST,
                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    own, door = map(int, program.stdout.readline().split())
    with socket.socket() as stranger:
        stranger.settimeout(10)
        stranger.bind(('127.0.0.1', own))
        stranger.connect(('127.0.0.1', door))
        try:
            stranger.sendall(b'GET /echo/stolen HTTP/1.1\r\nHost: webserver\r\n\r\n')
            said = stranger.recv(100)
        except ConnectionError:
            said = b''
    program.communicate('\n')
    t.equal(said, b'', 'what a stranger was told')
    t.check('/echo/stolen' not in paths, 'a stranger was served')


# Requests one after the other over one connection that may wait as long as it likes, each "METHOD:PATH". Of
# each the status and the body, or what went wrong; then a new connection is made.
CLIENT = '''
import http.client, sys, time
c = http.client.HTTPConnection("webserver")
for word in sys.argv[1:]:
    method, path = word.split(":")
    if path == "/pause":
        time.sleep(0.3)
        continue
    try:
        c.request(method, path, body=b"body" * 1000 if method == "POST" else None)
        r = c.getresponse()
        print(word, r.status, r.getheader("location"), r.read()[:60])
    except (http.client.HTTPException, OSError) as error:
        print(word, type(error).__name__, getattr(error, "partial", b"")[:60])
        c.close()
'''


def moody(t):
    """An origin whose mood is in the path. Counted are those requests that are to fail at first."""
    counts = {}

    def serve(stream):
        while asked := request(stream):
            method, path, body = asked
            n = counts[path] = counts.get(path, 0) + 1
            kind = path.split('/')[1]
            text = b'%s %d\n' % (path.encode(), len(body))
            if kind == 'slow':
                time.sleep(0.4)
            if kind == 'dies':
                stream.send(answer(b'x' * 1000)[:600])
                return stream.end('close')
            if kind == 'resets' and n == 1:
                return stream.end('reset')
            if kind == 'busy' and n <= 2:
                stream.send(b'HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\nno\n')
                continue
            if kind == 'open':
                stream.send(b'HTTP/1.1 200 OK\r\n\r\nto the end')
                return stream.end('notify')
            if kind == 'empty':
                stream.send(b'HTTP/1.1 204 No Content\r\n\r\n')
                continue
            whole = answer(text, 'Connection: close\r\n' if kind == 'closes' else '')
            stream.send(whole[:-len(text)] if method == 'HEAD' else whole)
            if kind in ('closes', 'idle'):
                return stream.end('notify' if n % 2 else 'close')
    return scripted.Scripted(t, serve, 'host')


def moody_rules(t, server, route):
    virtual = f'''
    {{ name = "webserver"; hosts = [ "webserver" ]; http = (
        {{ {route} rewrite = {{ authority = "{mesh.HOST}"; }};
           route = ( {{ destination = {{ host = "{mesh.HOST}"; port = {{ number = 443; }}; }}; }} ); }} ); }}'''
    return t.rules(mesh.rule_set([mesh.service(server.port)], [virtual],
                                 [mesh.destination(t.pki.cert('ca'))]))


OK = ['GET:/ok'] * 3
DELAY = 'fault = { delay = { fixedDelay = "100ms"; percentage = { value = 100.0; }; }; };'
ABORT = 'fault = { abort = { httpStatus = 418; percentage = { value = 100.0; }; }; };'
SAME = {
    'idle-close': ('', OK + ['GET:/idle', 'GET:/pause', 'GET:/ok', 'POST:/idle', 'GET:/pause', 'POST:/ok',
                             'GET:/idle', 'GET:/ok', 'POST:/idle', 'GET:/ok']),
    'closes': ('', OK + ['GET:/closes', 'GET:/ok', 'POST:/closes', 'POST:/ok', 'GET:/ok']),
    'dies': ('', OK + ['GET:/dies', 'GET:/ok', 'POST:/dies', 'GET:/ok', 'GET:/ok']),
    'resets': ('', OK + ['GET:/resets/1', 'GET:/ok', 'POST:/resets/2', 'GET:/ok', 'GET:/ok']),
    'odd-answers': ('', OK + ['GET:/open', 'GET:/ok', 'GET:/ok', 'GET:/empty', 'HEAD:/ok', 'HEAD:/empty',
                              'GET:/ok']),
    'retries': ('retries = { attempts = 3; retryOn = "5xx"; };',
                OK + ['GET:/busy/1', 'GET:/ok', 'POST:/busy/2', 'GET:/ok', 'GET:/ok']),
    'timeout': ('timeout = "150ms";', OK + ['GET:/slow', 'GET:/ok', 'POST:/slow', 'GET:/ok', 'GET:/ok']),
    'try-timeout': ('retries = { attempts = 2; perTryTimeout = "150ms"; };',
                    OK + ['GET:/slow', 'GET:/ok', 'GET:/ok', 'GET:/ok']),
    'delay': (DELAY, OK + ['POST:/ok']),
    'abort': (ABORT, OK + ['POST:/ok']),
    'mirror': (f'mirror = {{ host = "{mesh.HOST}"; port = {{ number = 443; }}; }};',
               OK + ['POST:/ok', 'GET:/closes', 'GET:/ok', 'GET:/ok']),
}


@harness.test(timeout=60, cases=SAME)
def same(t, case):
    """What an origin or the rules do in between: the same answers as without the fast lane."""
    route, words = SAME[case]
    seen = []
    for env in (SLOW, FAST):
        server = moody(t)
        rules = moody_rules(t, server, route)
        out = t.run([harness.PYTHON, '-c', CLIENT, *words], rules=rules, env=env)
        t.equal(out.status, 0, 'exit status')
        seen.append((out.out.splitlines(), sorted(set(server.errors))))
    t.equal(seen[1], seen[0], 'answers')


LOCAL = ('match = ( { uri = { prefix = "/redirected"; }; } ); redirect = { uri = "/there"; }; },\n'
         '{ match = ( { uri = { prefix = "/direct"; }; } ); '
         'directResponse = { status = 203; body = { string = "direct"; }; }; }, {')


@harness.test()
def local_answers(t):
    """Redirects and direct responses among requests that go out."""
    words = OK + ['GET:/redirected', 'GET:/ok', 'GET:/direct', 'GET:/direct', 'POST:/direct', 'POST:/redirected',
                  'GET:/ok', 'GET:/ok']
    seen = []
    for env in (SLOW, FAST):
        rules = moody_rules(t, moody(t), LOCAL)
        seen.append(t.succeed([harness.PYTHON, '-c', CLIENT, *words], rules=rules, env=env))
    t.equal(seen[1], seen[0], 'answers')
    t.contains(seen[0], 'GET:/direct 203', 'a direct response')
    t.contains(seen[0], 'GET:/redirected 301 http://webserver/there', 'a redirect')


# Connections and upstream connections come and go. Says what the program's table has in the end, and how
# many descriptors the bridge's.
COMINGS = '''
import http.client, os, socket, sys, threading, time
sys.path.insert(0, {here!r})
import faulty

def own():
    """How many descriptors the program's table has."""
    return len(os.listdir("/proc/self/fd"))

def talk(n):
    for _ in range(n):
        c = http.client.HTTPConnection("webserver")
        for path in ("/ok", "/closes", "/ok", "/ok", "/idle", "/ok"):
            c.request("GET", path)
            c.getresponse().read()
        c.close()

def step():
    crowd = [threading.Thread(target=talk, args=(3,)) for _ in range(4)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()

step()
step()
most = max(own() for _ in range(3))
# Connections in the pool have a number each, as far as it goes: as many as ever were in use at once.
for _ in range(25):
    step()
later = own()
print("kept" if later <= most + 6 else f"{{most}} descriptors became {{later}}")
print(faulty.descriptors())
'''


@harness.test(timeout=60)
def descriptors(t):
    """Neither table gets fuller."""
    here = str(pathlib.Path(__file__).resolve().parent)
    server = moody(t)
    out = t.succeed([harness.PYTHON, '-c', COMINGS.format(here=here)],
                    rules=moody_rules(t, server, ''), env=FAST).splitlines()
    t.equal(out[0], 'kept', 'the program\'s descriptors')
    t.check(int(out[1]) < 40, f'the bridge has {out[1]} descriptors')


# Requests with a socket that never waits, by what its program waits with. Says how many bytes of 20 of them
# the kernel carried, the least of several times.
POLLING = '''
import itertools, os, select, selectors, socket, struct, sys

turns = itertools.cycle((False, True))

def send(s, data):
    if not parts:
        return s.send(data)
    pieces = [data[:9], b'', data[9:2000], data[2000:]]
    return s.sendmsg(pieces) if next(turns) else os.writev(s.fileno(), pieces)

def receive(s):
    if not parts:
        return s.recv(65536)
    pieces = [bytearray(7), bytearray(0), bytearray(20000), bytearray(65536)]
    n = s.recvmsg_into(pieces)[0] if next(turns) else os.readv(s.fileno(), pieces)
    return b''.join(pieces)[:n]

def carried(s):
    info = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return struct.unpack_from('Q', info, 200)[0]  # tcpi_bytes_sent

def by_poll(s, event):
    p = select.poll()
    p.register(s, select.POLLIN if event == 'in' else select.POLLOUT)
    assert p.poll(20000), 'nothing in time'

def by_select(s, event):
    sets = ([s], []) if event == 'in' else ([], [s])
    assert any(select.select(*sets, [], 20)), 'nothing in time'

epoll = selectors.EpollSelector()
def by_epoll(s, event):
    wanted = selectors.EVENT_READ if event == 'in' else selectors.EVENT_WRITE
    if s in epoll.get_map():
        epoll.modify(s, wanted)
    else:
        epoll.register(s, wanted)
    assert epoll.select(20), 'nothing in time'

def by_timeout(s, event):
    pass

def ask(s, wait, path, body=b'', size=3):
    s_send = (f'POST {path} HTTP/1.1\\r\\nHost: webserver\\r\\nContent-Length: {len(body)}'
              '\\r\\n\\r\\n').encode() + body
    while s_send:
        try:
            s_send = s_send[send(s, s_send):]
        except BlockingIOError:
            wait(s, 'out')
    answer = b''
    while b'\\r\\n\\r\\n' not in answer or len(answer.split(b'\\r\\n\\r\\n', 1)[1]) < size:
        try:
            more = receive(s)
        except BlockingIOError:
            wait(s, 'in')
            continue
        assert more, 'the end came too soon'
        answer += more
    return answer.split(b'\\r\\n\\r\\n', 1)[1]

how, parts = sys.argv[1], sys.argv[2:] == ['parts']
wait = globals()['by_' + how]

def connect():
    s = socket.create_connection(('webserver', 80), timeout=20)
    if how == 'epoll':
        by_epoll(s, 'out')
    if how != 'timeout':
        s.setblocking(False)
    return s

def count(s):
    for _ in range(5):
        ask(s, wait, '/size/3')
    before = carried(s)
    for _ in range(20):
        ask(s, wait, '/size/3')
    return carried(s) - before

# One whose thread was kept from running for a while leaves the fast lane.
connections = [connect() for _ in range(10)]
print(min(count(s) for s in connections))
s = connections[0]
body = bytes(range(251)) * 12000
for _ in range(3):
    ask(s, wait, '/size/3', body)
    assert ask(s, wait, '/size/3012000', size=3012000) == body, 'another body'
p = select.poll()
p.register(s, 0)
s.send(b'GET /size/3 HTTP/1.1\\r\\nHost: webserver\\r\\n\\r\\n')
assert p.poll(50) == [], 'something nobody asked for'
'''


@harness.test(timeout=60, cases=['poll', 'select', 'timeout', 'epoll', 'poll parts', 'epoll parts',
                                 'timeout parts'])
def polling(t, how):
    """Who polls takes the fast lane, by whatever call."""
    if t.switch:
        raise harness.Skip('lanes are changed at random')
    server, rules = origin_and_rules(t)
    argv = [harness.PYTHON, '-c', POLLING, *how.split()]
    bytes_of = {lane: int(t.succeed(argv, rules=rules, env={'MESHSHIM_FAST_LANE': lane}))
                for lane in '01'}
    t.check(bytes_of['0'] > 0, 'the fast lane was taken although it is off')
    t.equal(bytes_of['1'], 0, 'bytes that the kernel carried')
    server.finish()
