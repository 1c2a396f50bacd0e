# SPDX-License-Identifier: Apache-2.0
"""A request that the origin may have acted on is not sent again, unless the rules say so; one that it
cannot have seen costs the program nothing. The origin counts."""

import collections
import select
import socket
import threading

import harness
import mesh
import origin
import scripted
from test_faults import HEAD, LANES, client, rules_for

KEPT = HEAD + b'Content-Length: 4\r\n\r\nkept'


def counted(server):
    """How often each path was asked for."""
    return collections.Counter(path for _, path in server.requests)


FATES = '''
import faulty
rounds = 0
for method in ('POST', 'PUT', 'DELETE', 'PATCH'):
    for fate in sys.argv[2].split(','):
        for age, body in (('fresh', b'x' * 100), ('reused', b'x' * 100), ('reused', b'')):
            connection = faulty.connect()
            if age == 'reused' and faulty.ask('/prime', connection=connection) != (200, 'kept'):
                print('the first one failed')
            answer = faulty.ask(f'/{fate}/{method}/{age}/{len(body)}', method, body, connection)
            if answer[:2] == (200, 'kept'):
                print(method, fate, age, answer)
            connection.close()
            rounds += 1
print(rounds)
'''


@harness.test(timeout=60, cases=LANES)
def acted_on(t, lane):
    """What has reached the origin reaches it once, whatever became of the answer: on a new
    connection, and on one that was used before."""
    answer = KEPT
    fates = [f'{k}-{how}' for k in (0, 1, 9, len(HEAD), len(answer) - 4, len(answer) - 1)
             for how in ('close', 'reset')]
    # Not even the whole request was read, or none of it, though the kernel has it.
    fates += ['some-close', 'some-reset', 'none-close', 'none-reset']

    def script(stream):
        while True:
            head = stream.head()
            if head is None:
                return
            method, path, _ = head.split(' ', 2)
            server.note(method, path)
            if path == '/prime':
                stream.send(KEPT)
                continue
            cut, how = path.split('/')[1].split('-')
            if cut in ('some', 'none'):
                return stream.end(how)
            stream.body(head)
            if int(cut):
                stream.send(answer[:int(cut)])
            return stream.end(how)

    server = scripted.Scripted(t, script, LANES[lane])
    lines = client(t, rules_for(t, server, lane), FATES, ','.join(fates))
    t.equal(lines, [str(4 * len(fates) * 3)], 'answers that seemed to be whole, and the count')
    server.finish()
    seen = counted(server)
    t.equal(seen.pop('/prime'), 4 * len(fates) * 2, 'requests that were answered')
    t.equal(len(seen), 4 * len(fates) * 3, 'requests that were not')
    t.equal({path: n for path, n in seen.items() if n != 1}, {}, 'requests that came twice')


class Killer:
    """A port that ends all of the scripted origin's connections when it is asked to, and then says
    so: from there on its kernel acknowledges nothing on them."""

    def __init__(self, t):
        self.streams, self.lock = set(), threading.Lock()
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()
        t.defer(self.listener.close)

    def _serve(self):
        s, _ = self.listener.accept()
        with s:
            while True:
                how = s.recv(1)
                if not how:
                    return
                with self.lock:
                    streams, self.streams = self.streams, set()
                for stream in streams:
                    stream.how = 'reset' if how == b'r' else 'close'
                    stream.done.set()
                for stream in streams:
                    stream.gone.wait(10)
                s.sendall(b'.')


IDLE = '''
import faulty, socket
killer = socket.create_connection(('127.0.0.1', int(sys.argv[2])))
for i in range(int(sys.argv[3])):
    connections = [faulty.connect() for _ in range(4)]
    for j, connection in enumerate(connections):
        connection.request('GET', '/prime')
    for connection in connections:
        assert connection.getresponse().read() == b'kept'
    killer.sendall(b'r' if i % 2 else b'c')
    killer.recv(1)
    for j, connection in enumerate(connections):
        method = 'POST' if i // 2 % 2 else 'GET'
        connection.request(method, f'/{method}/{i}/{j}', b'x' * 100 if method == 'POST' else None)
    for j, connection in enumerate(connections):
        response = connection.getresponse()
        if (response.status, response.read()) != (200, b'kept'):
            print(i, j, 'failed:', response.status)
        connection.close()
'''


@harness.test(timeout=60, cases=LANES)
def closed_while_idle(t, lane):
    """An origin that has closed a kept connection costs no request an error, POST neither: whether
    the bridge has noticed or not, nothing that it sends there is acknowledged."""
    killer = Killer(t)

    def script(stream):
        stream.done, stream.gone = threading.Event(), threading.Event()
        stream.how = 'close'
        try:
            request = stream.request()  # which may have come with the handshake
            while not stream.done.is_set():
                if request is None:
                    if not select.select([stream.s], [], [], 0.002)[0]:
                        continue
                    request = stream.request()
                if not request:
                    return
                server.note(*request[:2])
                with killer.lock:
                    killer.streams.add(stream)
                stream.send(KEPT)
                request = None
        finally:
            stream.end(stream.how)
            stream.gone.set()

    server = scripted.Scripted(t, script, LANES[lane])
    rounds = 60
    lines = client(t, rules_for(t, server, lane), IDLE, killer.port, rounds)
    t.equal(lines, [], 'requests that failed')
    seen = counted(server)
    t.equal(seen.pop('/prime'), rounds * 4, 'first requests')
    t.equal(len(seen), rounds * 4, 'requests on closed connections')
    t.equal({path: n for path, n in seen.items() if n != 1 and 'POST' in path}, {},
            'requests that came twice')


TIMED = '''
import faulty, random, threading, time
chance = random.Random(1)

def work(pauses, method):
    for pause in pauses:
        answer = faulty.ask('/x', method)
        if answer[0] != 200:
            print(method, 'after', pause, answer)
        time.sleep(pause)

threads = [threading.Thread(target=work, args=([chance.uniform(0.97, 1.03) for _ in range(3)], 'GET'))
           for _ in range(12)]
threads += [threading.Thread(target=work, args=([1.4, 1.4], 'POST')) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
'''


@harness.test(timeout=60)
def nginx_keepalive_timeout(t):
    """Just when nginx tires of waiting, and after that."""
    server = origin.Nginx(t, locations='keepalive_timeout 1s; location / { return 200 "x"; }')
    rules = t.rules(mesh.unchanged(server.port, t.pki.cert('ca')))
    t.equal(client(t, rules, TIMED), [], 'requests that failed')
