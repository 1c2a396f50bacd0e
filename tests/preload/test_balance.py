# SPDX-License-Identifier: Apache-2.0
"""Hosts, pools and their limits with real servers: who gets which request, and what is refused."""

import os
import socket
import threading
import time

import harness
import mesh
import origin

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
BUSY = b'HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n'

# Requests one after the other, each over a connection of the program's own; the status, and the
# answer that is the bridge's own.
CLIENT = '''
import http.client, sys, time
for i in range(int(sys.argv[1])):
    c = http.client.HTTPConnection("svc", timeout=20)
    c.request(sys.argv[2], f"/{i}", headers={"x-user": sys.argv[3]})
    r = c.getresponse()
    body = r.read().decode()
    print(r.status, body if r.status == 503 else "")
    c.close()
    time.sleep(float(sys.argv[4]))
'''


def rules(t, endpoints, policy=''):
    """Endpoints: (address, port, weight)."""
    ports = 'ports = ( { number = 80; name = "http"; protocol = "HTTP"; } );'
    listed = ', '.join('{ address = "%s"; %s weight = %d; }' % (
        address, f'ports = ( {{ name = "http"; value = {port}; }} );' if port else '', weight)
        for address, port, weight in endpoints)
    service = (f'{{ name = "svc"; hosts = [ "svc" ]; location = "MESH_EXTERNAL"; {ports}\n'
               f'resolution = "STATIC"; endpoints = ( {listed} ); }}')
    destinations = [f'{{ name = "svc"; host = "svc"; trafficPolicy = {{ {policy} }}; }}']
    return t.rules(mesh.rule_set([service], [], destinations if policy else []))


def ask(t, file, n, method='GET', user='one', pause=0):
    """What each of n requests was answered."""
    out = t.succeed([harness.PYTHON, '-c', CLIENT, str(n), method, user, str(pause)], rules=file)
    return [line.rstrip() for line in out.splitlines()]


def recorders(t, *answers):
    return [origin.Recorder(t, answer=lambda c, h, a=a: a) for a in answers]


def requests(server):
    server.stop()
    return sum(connection.requests for connection in server.connections)


WEIGHTS = {'equal': (1, 1, 6, 6), 'weighted': (3, 1, 9, 3)}


@harness.test(cases=WEIGHTS)
def in_turn(t, case):
    first, second, many, few = WEIGHTS[case]
    servers = recorders(t, OK, OK)
    file = rules(t, [('127.0.0.1', s.port, w) for s, w in zip(servers, (first, second))],
                 'loadBalancer = { simple = "ROUND_ROBIN"; };')
    t.equal(ask(t, file, 12), ['200'] * 12, 'statuses')
    t.equal([requests(s) for s in servers], [many, few], 'requests by origin')


@harness.test()
def hashed(t):
    """All requests of a user go to the same host; of many users, not all."""
    servers = recorders(t, OK, OK)
    file = rules(t, [('127.0.0.1', s.port, 1) for s in servers],
                 'loadBalancer = { consistentHash = { httpHeaderName = "x-user"; }; };')
    hits = [False, False]
    for user in range(8):
        before = [sum(c.requests for c in s.connections) for s in servers]
        t.equal(ask(t, file, 3, user=f'user{user}'), ['200'] * 3, 'statuses')
        got = [sum(c.requests for c in s.connections) - n for s, n in zip(servers, before)]
        t.check(sorted(got) == [0, 3], f'{user} went to {got}')
        hits[got.index(3)] = True
        if all(hits):
            break
    t.check(all(hits), 'eight users went to one host')


OVERFLOW = '''
import http.client, socket, sys, threading
def ask(path):
    c = http.client.HTTPConnection("svc", timeout=20)
    c.request("GET", path)
    return c
first = ask("/held")
control = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
control.recv(1)
second = ask("/waits")
# The one of them that does not fit is answered, while the other waits.
third = ask("/third")
import select
ready = select.select([second.sock, third.sock], [], [], 20)[0]
assert len(ready) == 1
refused = second if ready[0] is second.sock else third
r = refused.getresponse()
print(r.status, r.read().decode())
control.sendall(b".")
for c in (first, third if refused is second else second):
    print(c.getresponse().status)
'''


@harness.test()
def overflow(t):
    """One connection, one request that waits for it: the next one is refused."""
    came, go = threading.Event(), threading.Event()

    def answer(connection, head):
        if ' /held ' in head:
            came.set()
            go.wait(20)
        return OK

    server = origin.Recorder(t, answer=answer)
    control = socket.create_server(('127.0.0.1', 0))

    def direct():
        s, _ = control.accept()
        with s:
            came.wait(20)
            s.sendall(b'.')
            s.recv(1)
            go.set()

    thread = threading.Thread(target=direct, daemon=True)
    thread.start()
    file = rules(t, [('127.0.0.1', server.port, 1)],
                 'connectionPool = { tcp = { maxConnections = 1; };'
                 ' http = { http1MaxPendingRequests = 1; }; };')
    out = t.succeed([harness.PYTHON, '-c', OVERFLOW, str(control.getsockname()[1])], rules=file)
    control.close()
    lines = out.splitlines()
    t.equal(lines[0].split()[0], '503', 'status of what overflows')
    t.contains(lines[0], 'overflow', 'its reset reason')
    t.equal(lines[-2:], ['200', '200'], 'the others')
    t.equal(len(server.connections), 1, 'connections')


@harness.test()
def requests_per_connection(t):
    server, = recorders(t, OK)
    file = rules(t, [('127.0.0.1', server.port, 1)],
                 'connectionPool = { http = { maxRequestsPerConnection = 2; }; };')
    t.equal(ask(t, file, 5), ['200'] * 5, 'statuses')
    server.stop()
    t.equal([c.requests for c in server.connections], [2, 2, 1], 'requests by connection')


@harness.test()
def ejected(t):
    """A host that answers 500 twice in a row gets nothing more."""
    good, bad = recorders(t, OK, BUSY)
    file = rules(t, [('127.0.0.1', s.port, 1) for s in (good, bad)],
                 'loadBalancer = { simple = "ROUND_ROBIN"; };'
                 ' outlierDetection = { consecutive5xxErrors = 2; maxEjectionPercent = 50;'
                 ' interval = "60s"; baseEjectionTime = "60s"; };')
    statuses = ask(t, file, 12)
    t.equal(sorted(statuses), ['200'] * 10 + ['500'] * 2, 'statuses')
    t.equal([requests(good), requests(bad)], [10, 2], 'requests by origin')


@harness.test()
def unix_endpoint(t):
    path = t.dir / 'socket'
    server = socket.socket(socket.AF_UNIX)
    server.bind(os.fspath(path))
    server.listen(8)
    heads = []

    def serve():
        s, _ = server.accept()
        with s:
            for _ in range(2):
                data = b''
                while b'\r\n\r\n' not in data:
                    data += s.recv(4096)
                heads.append(data.split(b' ')[1])
                s.sendall(OK)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    t.equal(ask(t, rules(t, [(f'unix://{path}', 0, 1)]), 2), ['200'] * 2, 'statuses')
    thread.join(10)
    server.close()
    t.equal(heads, [b'/0', b'/1'], 'requests at the socket, over one connection')


@harness.test()
def connect_timeout(t):
    """A host whose queue is full answers nothing: the rules' patience, not the kernel's."""
    full = socket.socket()
    full.bind(('127.0.0.1', 0))
    full.listen(0)
    port = full.getsockname()[1]
    fillers = []
    for _ in range(4):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(('127.0.0.1', port))
        fillers.append(s)
    file = rules(t, [('127.0.0.1', port, 1)],
                 'connectionPool = { tcp = { connectTimeout = "300ms"; }; };')
    begun = time.monotonic()
    # POST: no second attempt of anybody's
    answers = ask(t, file, 1, 'POST')
    t.check(time.monotonic() - begun < 9, 'it took longer than the rules say')
    t.equal(answers[0].split()[0], '503', 'status')
    for s in (full, *fillers):
        s.close()


IDLE = {'short': ('100ms', 2), 'long': ('60s', 1)}


@harness.test(cases=IDLE)
def idle_timeout(t, case):
    timeout, connections = IDLE[case]
    server, = recorders(t, OK)
    file = rules(t, [('127.0.0.1', server.port, 1)],
                 f'connectionPool = {{ http = {{ idleTimeout = "{timeout}"; }}; }};')
    t.equal(ask(t, file, 2, pause=0.6), ['200'] * 2, 'statuses')
    server.stop()
    t.equal(len(server.connections), connections, 'connections')
