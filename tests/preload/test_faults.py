# SPDX-License-Identifier: Apache-2.0
"""Origins that fail at every step, and programs that leave at every step: what the program sees, that
its next request works, and that nothing is lost in the bridge."""

import pathlib

import harness
import mesh
import origin
import scripted

HERE = pathlib.Path(__file__).resolve().parent
RESET = 'upstream connect error or disconnect/reset before headers. reset reason: '
RETRIED = RESET.replace('reset reason', 'retried and the latest reset reason')
TERMINATED = (503, RESET + 'connection termination')
HEAD = b'HTTP/1.1 200 OK\r\nX-Long: no\r\n'
GOOD = HEAD + b'Connection: close\r\nContent-Length: 4\r\n\r\ngood'
FRAMINGS = {'plain': (HEAD + b'Content-Length: 5\r\n\r\n', b'hello'),
            'chunked': (HEAD + b'Transfer-Encoding: chunked\r\n\r\n', b'5\r\nhello\r\n0\r\n\r\n')}
LANES = {'http': None, 'https': 'host'}


def rules_for(t, server, lane):
    """http://webserver/ is the scripted origin, with or without TLS."""
    if lane == 'https':
        return t.rules(mesh.unchanged(server.port, t.pki.cert('ca')))
    ports = '{ number = 443; name = "https"; protocol = "HTTP"; }'
    return t.rules(mesh.rule_set([mesh.service(server.port, ports=ports)],
                                 [mesh.virtual(rewrite='')]))


def client(t, rules, script, *arguments, **options):
    """Run a program that has faulty.py. Returns the lines that it printed. Without malloc's caches,
    whose content counts as allocated."""
    head = 'import sys\nsys.path.insert(0, sys.argv[1])\nsys.dont_write_bytecode = True\n'
    return t.succeed([harness.PYTHON, '-c', head + script, HERE, *arguments], rules=rules,
                     env={'GLIBC_TUNABLES': 'glibc.malloc.tcache_count=0'},
                     **options).splitlines()


CUT = '''
import faulty
head, total, rounds = map(int, sys.argv[3:])

def cut(how, answers=None, stride=1):
    for k in range(0, total + 1, stride):
        connection = faulty.connect()
        answer = faulty.ask(f'/cut/{k}/{how}', connection=connection)
        # What was answered in full leaves the connection as it was.
        again = faulty.ask('/good', connection=connection)
        if again != (200, 'good'):
            print('after', k, how, again)
        connection.close()
        if answers is not None:
            answers.append(answer)

for how in sys.argv[2].split(','):
    answers = []
    cut(how, answers)
    for answer in sorted(set(answers[:head]), key=repr):
        print(how, 'in the head', answer)
    for k in range(head, total + 1):
        print(how, k - head, answers[k])
print(faulty.balance(lambda: [cut(how, stride=5) for how in sys.argv[2].split(',')], rounds))
'''


@harness.test(timeout=60, cases=[f'{lane}-{framing}' for lane in LANES for framing in FRAMINGS])
def origin_leaves_at_each_byte(t, case):
    """Of an answer, the first k bytes, and then the end of the connection. Without a head: 503.
    Without the rest of the body: the program is shown that it lacks."""
    lane, framing = case.split('-')
    head, body = FRAMINGS[framing]

    def script(stream):
        while True:
            request = stream.request()
            if not request:
                return
            _, path, _ = request
            if path == '/good':
                stream.send(GOOD)
                return stream.end('close')
            _, _, k, how = path.split('/')
            if int(k):
                stream.send((head + body)[:int(k)])
            return stream.end(how)

    server = scripted.Scripted(t, script, LANES[lane])
    ways = ['close', 'reset'] + (['notify'] if lane == 'https' else [])
    lines = client(t, rules_for(t, server, lane), CUT, ','.join(ways), len(head),
                   len(head + body), 3)
    t.equal(lines.pop(), 'nothing is lost', 'the balance')
    wanted = set()
    for how in ways:
        wanted.add(f'{how} in the head {TERMINATED}')
    seen = {line for line in lines if ' in the head ' in line}
    t.equal(seen, wanted, 'answers without a head')
    for line in lines:
        if line in seen:
            continue
        t.check(not line.startswith('after'), f'the next request failed: {line}')
        how, k, answer = line.split(' ', 2)
        whole = answer == "(200, 'hello')"
        t.equal(whole, int(k) >= len(body), f'whether all came, {line}')
        t.check(answer.startswith('(200, ') or answer == "('ConnectionResetError',)",
                f'a strange answer: {line}')
    server.finish()


GARBAGE = {
    'no HTTP': b'hello, world\r\n\r\n',
    'no line': b'\0' * 100 + b'\r\n\r\n',
    'status': b'HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n',
    'version': b'HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n',
    'two lengths': b'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx',
    'negative length': b'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n',
    'both framings': b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n',
    'a space in a name': b'HTTP/1.1 200 OK\r\nA b: c\r\nContent-Length: 0\r\n\r\n',
    'a head without end': b'HTTP/1.1 200 OK\r\n' + b'X: ' + b'x' * 70000,
    'too many hints': b'HTTP/1.1 100 Continue\r\n\r\n' * 200,
    'an upgrade nobody asked for': b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n'
                                   b'Connection: Upgrade\r\n\r\n',
}

ASK_EACH = '''
import faulty
paths = sys.argv[2].split(',')
def each(show=False):
    for path in paths:
        answer = faulty.ask(path)
        if show:
            print(path, answer)
        again = faulty.ask('/good')
        if again != (200, 'good'):
            print('after', path, again)
each(True)
print(faulty.balance(each, 10))
'''


@harness.test(timeout=60, cases=LANES)
def origin_answers_garbage(t, lane):
    """502, and never a byte of it to the program."""
    texts = list(GARBAGE.values())

    def script(stream):
        _, path, _ = stream.request()
        stream.send(GOOD if path == '/good' else texts[int(path[1:])])
        if path != '/good':
            stream.drain()

    server = scripted.Scripted(t, script, LANES[lane])
    lines = client(t, rules_for(t, server, lane), ASK_EACH,
                   ','.join(f'/{i}' for i in range(len(texts))))
    t.equal(lines.pop(), 'nothing is lost', 'the balance')
    for i, name in enumerate(GARBAGE):
        t.equal(lines[i], f'/{i} {(502, RESET + "protocol error")}', f'the answer to {name}')
    t.equal(lines[len(texts):], [], 'what else was said')
    server.finish()


BROKEN_BODIES = (b'zz\r\nhello\r\n', b'5\r\nhelloworld\r\n', b'-1\r\n', b'fffffffffffffffff\r\n',
                 b'5;' + b'x' * 100000)


@harness.test(timeout=60)
def origin_sends_broken_chunks(t):
    """The head is with the program by then: all that is left is to break off."""
    def script(stream):
        _, path, _ = stream.request()
        if path == '/good':
            return stream.send(GOOD)
        stream.send(FRAMINGS['chunked'][0] + BROKEN_BODIES[int(path[1:])])
        return stream.drain()

    server = scripted.Scripted(t, script, 'host')
    lines = client(t, rules_for(t, server, 'https'), ASK_EACH,
                   ','.join(f'/{i}' for i in range(len(BROKEN_BODIES))))
    t.equal(lines.pop(), 'nothing is lost', 'the balance')
    for i, text in enumerate(BROKEN_BODIES):
        if text.startswith(b'5;'):  # as an extension may be: unlimited
            continue
        t.check(lines[i].startswith((f"/{i} ('ConnectionResetError'", f"/{i} (200, 'Connection",
                                     f"/{i} (200, 'IncompleteRead'")),
                f'the answer to {text}: {lines[i]}')
    t.equal(lines[len(BROKEN_BODIES):], [], 'what else was said')


@harness.test(timeout=60, cases=LANES)
def origin_is_not_there(t, lane):
    """A port on which nobody listens."""
    server = origin.Recorder(t, listen=False)
    lines = client(t, rules_for(t, server, lane), '''
import faulty
def refused():
    connection = faulty.connect()
    return {faulty.ask('/x', connection=connection) for _ in range(4)}
print(*refused())
print(faulty.balance(refused, 12))
''')
    t.equal(lines, [str((503, RETRIED + 'remote connection failure, transport failure reason: '
                         'delayed connect error: Connection refused')),
                    'nothing is lost'], 'what the program saw')


HANDSHAKES = {'close': b'', 'reset': None, 'garbage': b'HTTP/1.1 400 Bad Request\r\n\r\n',
              'alert': b'\x15\x03\x03\x00\x02\x02\x28', 'half': b'\x16\x03\x03\x40\x00\x02'}


@harness.test(timeout=60, cases=HANDSHAKES)
def origin_fails_in_the_handshake(t, how):
    """503, with what OpenSSL says of it."""
    failing = [True]

    def raw(s):
        if not failing[0]:
            return False
        s.recv(1)
        if HANDSHAKES[how] is None:
            s.setsockopt(scripted.socket.SOL_SOCKET, scripted.socket.SO_LINGER,
                         scripted.struct.pack('ii', 1, 0))
        else:
            s.recv(65536)
            s.sendall(HANDSHAKES[how])
        return True

    def script(stream):
        while stream.request():
            stream.send(GOOD)

    server = scripted.Scripted(t, script, 'host', raw)
    rules = rules_for(t, server, 'https')
    lines = client(t, rules, '''
import faulty
def failing():
    return {faulty.ask('/x') for _ in range(4)}
print(*failing())
print(faulty.balance(failing, 12))
''')
    t.equal(lines[1:], ['nothing is lost'], 'the balance')
    t.check(lines[0].startswith(str((503, RETRIED + 'remote connection failure, transport failure '
                                     'reason: '))[:-2]), f'what the program saw: {lines[0]}')
    failing[0] = False
    t.equal(client(t, rules, "import faulty\nprint(faulty.ask('/x'))"), ["(200, 'good')"],
            'the next one')


EARLY = '''
import faulty, socket

def early(path, framing, body, show=False):
    s = socket.create_connection((faulty.HOST, 80), timeout=20)
    s.sendall(f'POST {path} HTTP/1.1\\r\\nHost: webserver\\r\\n{framing}\\r\\n\\r\\n'.encode())
    sent = 0
    try:
        while sent < body:
            sent += s.send(b'x' * min(65536, body - sent))
    except OSError as error:
        pass  # the answer can be had all the same
    answer = b''
    while not answer.endswith(b'early'):
        data = s.recv(65536)
        if not data:
            break
        answer += data
    s.close()
    if show:
        print(path, framing, answer.split(b'\\r\\n')[0], answer.endswith(b'early'))

def each(show=False):
    for path in ('/wait', '/close'):
        early(path, 'Content-Length: 3000000', 3000000, show)
        early(path, 'Content-Length: 3000000', 1000, show)
        early(path, 'Content-Length: 3000000', 0, show)
        early(path, 'Transfer-Encoding: chunked', 0, show)
    if faulty.ask('/good') != (200, 'good'):
        print('the next one failed')

each(True)
print(faulty.balance(each, 5))
'''


@harness.test(timeout=60, cases=LANES)
def origin_answers_before_the_request_is_over(t, lane):
    """The answer arrives, however much of the request was sent."""
    text = b'HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nearly'

    def script(stream):
        head = stream.head()
        if '/good' in head:
            return stream.send(GOOD)
        if '/close' in head:  # gently, as a server that has said what it thinks
            stream.send(text)
            if lane == 'http':
                stream.s.shutdown(scripted.socket.SHUT_WR)
            return stream.drain(20)
        stream.send(text)
        return stream.drain(20)

    server = scripted.Scripted(t, script, LANES[lane])
    lines = client(t, rules_for(t, server, lane), EARLY)
    t.equal(lines.pop(), 'nothing is lost', 'the balance')
    t.equal(len(lines), 8, 'conversations')
    for line in lines:
        t.check(line.endswith("b'HTTP/1.1 413 Content Too Large' True"), f'the answer: {line}')
    server.finish()


LEAVING = '''
import faulty, socket, struct, time

HEAD = 'Host: webserver\\r\\nContent-Length: 100\\r\\n\\r\\n'
STEPS = {
    'connected': ('', None),
    'in the line': ('POST /good HT', None),
    'in the head': ('POST /good HTTP/1.1\\r\\nHost: webs', None),
    'in the body': ('POST /good HTTP/1.1\\r\\n' + HEAD + 'x' * 50, None),
    'while waiting': ('POST /hold HTTP/1.1\\r\\n' + HEAD + 'x' * 100, b'103 Early'),
    'in the handshake': ('POST /good HTTP/1.1\\r\\n' + HEAD + 'x' * 100, None),
    'in the answer': ('POST /half HTTP/1.1\\r\\n' + HEAD + 'x' * 100, b'\\r\\n\\r\\nhalf'),
    'without reading': ('POST /flood HTTP/1.1\\r\\n' + HEAD + 'x' * 100, b'200 OK'),
    'between chunks': ('POST /good HTTP/1.1\\r\\nHost: webserver\\r\\n'
                       'Transfer-Encoding: chunked\\r\\n\\r\\n5\\r\\nhello\\r\\n', None),
}

def leave(step, how):
    text, awaited = STEPS[step]
    s = socket.create_connection((faulty.HOST, 80), timeout=20)
    s.sendall(text.encode())
    seen = b''
    while awaited and awaited not in seen:
        try:
            data = s.recv(4096)
        except OSError as error:
            data = b''
            print(repr(error))
        if not data:
            print(step, how, 'ended early:', seen)
            break
        seen += data
    if how == 'later':
        time.sleep(0.01)
    if how == 'reset':
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.close()

def each():
    for step in STEPS:
        for how in ('close', 'later', 'reset'):
            for _ in range(3):
                leave(step, how)
    if faulty.ask('/good') != (200, 'good'):
        print('the next one failed')

print(faulty.balance(each, int(sys.argv[2])))
'''


@harness.test(timeout=60, cases=LANES)
def program_leaves_at_each_step(t, lane):
    """Nothing of the request is left behind, at the origin neither."""
    def script(stream):
        head = stream.head()
        if head is None:
            return
        stream.body(head)
        if '/good' in head:
            stream.send(GOOD)
        elif '/hold' in head:
            stream.send(b'HTTP/1.1 103 Early Hints\r\n\r\n')
            if not stream.drain(0.05):
                stream.send(GOOD)
        elif '/half' in head:
            stream.send(HEAD + b'Connection: close\r\nContent-Length: 500\r\n\r\nhalf')
            if not stream.drain(0.05):
                stream.send(b'x' * 496)
        else:
            stream.send(HEAD + b'Content-Length: 500000000\r\n\r\n')
            while True:
                stream.send(b'x' * 65536)
        stream.drain()

    server = scripted.Scripted(t, script, LANES[lane])
    lines = client(t, rules_for(t, server, lane), LEAVING, 4)
    t.equal(lines, ['nothing is lost'], 'the balance')
    server.finish()


@harness.test(timeout=60)
def program_leaves_in_the_handshake(t):
    """The origin accepts, and says nothing for a while; the program does not wait for it."""
    def raw(s):
        s.settimeout(0.1)
        while s.recv(65536):
            pass
        return True

    server = scripted.Scripted(t, lambda stream: None, 'host', raw)
    lines = client(t, rules_for(t, server, 'https'), '''
import faulty, socket, struct
def leave():
    for how in (0, 1):
        s = socket.create_connection((faulty.HOST, 80), timeout=20)
        s.sendall(b'GET /x HTTP/1.1\\r\\nHost: webserver\\r\\n\\r\\n')
        if how:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        s.close()
print(faulty.balance(lambda: [leave() for _ in range(5)], 5))
''')
    t.equal(lines, ['nothing is lost'], 'the balance')
    server.finish()
