# SPDX-License-Identifier: Apache-2.0
"""Timeouts, retries and faults with real sockets and real time, and an origin that counts."""

import threading

import harness
import mesh
import origin

# One request after the other over one connection; of each its status and how long it took.
CLIENT = '''
import http.client, sys, time
c = http.client.HTTPConnection("svc", timeout=20)
for word in sys.argv[1:]:
    method, path = word.split(":")
    begun = time.monotonic()
    c.request(method, path, body=b"body" if method in ("POST", "PUT") else None)
    r = c.getresponse()
    r.read()
    print(r.status, round((time.monotonic() - begun) * 1000))
'''

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'


class Counting(origin.Recorder):
    """Counts requests by path. /ok is answered; what else happens is `then(n)` for the n-th request
    of that path, as Recorder has it."""

    def __init__(self, t, then):
        self.counts, self.then, self.lock = {}, then, threading.Lock()
        super().__init__(t, answer=self.count)

    def count(self, connection, head):
        path = head.split(' ')[1]
        with self.lock:
            n = self.counts[path] = self.counts.get(path, 0) + 1
        return OK if path == '/ok' else self.then(n)


def rules(t, server, route):
    service = mesh.service(server.port, name='svc', host='svc',
                           ports='{ number = 80; name = "http"; protocol = "HTTP"; }',
                           endpoint_ports=f'{{ name = "http"; value = {server.port}; }}')
    virtual = (f'{{ name = "svc"; hosts = [ "svc" ]; http = ( {{ {route}\n'
               '  route = ( { destination = { host = "svc"; }; } ); } ); }')
    return t.rules(mesh.rule_set([service], [virtual]))


def ask(t, server, route, *requests):
    """Statuses and times of the requests, and what the library said."""
    result = t.run([harness.PYTHON, '-c', CLIENT, *requests], rules=rules(t, server, route),
                   env={'MESHSHIM_LOG_LEVEL': 'info'})
    t.equal(result.status, 0, 'exit status')
    lines = [line.split() for line in result.out.splitlines()]
    return [int(line[0]) for line in lines], [int(line[1]) for line in lines], result.err


@harness.test(cases=['GET', 'HEAD', 'OPTIONS'])
def sent_again_if_safe(t, method):
    """A pooled connection that the origin breaks when the request is there costs no error."""
    server = Counting(t, lambda n: None if n == 1 else OK if method != 'HEAD' else OK[:-2])
    statuses, _, _ = ask(t, server, '', 'GET:/ok', f'{method}:/x')
    t.equal(statuses, [200, 200], 'statuses')
    server.stop()
    t.equal(server.counts, {'/ok': 1, '/x': 2}, 'requests at the origin')
    t.equal(len(server.connections), 2, 'connections')


@harness.test(cases=['POST', 'PUT', 'DELETE', 'PATCH'])
def sent_once_if_not(t, method):
    """What the origin may have acted on is not sent again: with Istio's default for retries."""
    server = Counting(t, lambda n: None)
    statuses, _, log = ask(t, server, '', 'GET:/ok', f'{method}:/x', 'GET:/ok')
    t.equal(statuses, [200, 503, 200], 'statuses')
    server.stop()
    t.equal(server.counts, {'/ok': 2, '/x': 1}, 'requests at the origin')
    t.contains(log, '503 UC ', 'log')


@harness.test()
def sent_once_on_a_fresh_connection(t):
    """Not even what is safe, if the connection was new."""
    server = Counting(t, lambda n: None)
    statuses, _, _ = ask(t, server, '', 'GET:/x')
    t.equal(statuses, [503], 'statuses')
    server.stop()
    t.equal(server.counts, {'/x': 1}, 'requests at the origin')


@harness.test()
def sent_again_because_the_rule_says_so(t):
    """retryOn: reset is such a rule, and its attempts are counted."""
    server = Counting(t, lambda n: None)
    route = 'retries = { attempts = 2; retryOn = "reset"; };'
    statuses, _, log = ask(t, server, route, 'GET:/ok', 'POST:/x')
    t.equal(statuses, [200, 503], 'statuses')
    server.stop()
    t.equal(server.counts, {'/ok': 1, '/x': 3}, 'requests at the origin')
    t.contains(log, '503 UC,URX ', 'log')


@harness.test()
def retried_until_it_is_well(t):
    """A status that is retried does not reach the program, and the body goes out each time."""
    busy = b'HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy'
    server = Counting(t, lambda n: busy if n < 3 else OK)
    statuses, _, _ = ask(t, server, 'retries = { attempts = 5; retryOn = "503"; };', 'POST:/x')
    t.equal(statuses, [200], 'statuses')
    server.stop()
    t.equal(server.counts, {'/x': 3}, 'requests at the origin')
    bodies = [connection.clear.partition(b'\r\n\r\n')[2] for connection in server.connections]
    t.equal(bodies, [b'body'] * 3, 'bodies')


@harness.test()
def timeout(t):
    """An origin that thinks for longer is not waited for; the program's connection lives on."""
    enough = threading.Event()
    t.defer(enough.set)

    def think(n):
        enough.wait(20)
        return OK

    server = Counting(t, think)
    statuses, times, log = ask(t, server, 'timeout = "300ms";', 'GET:/x', 'GET:/ok')
    enough.set()
    t.equal(statuses, [504, 200], 'statuses')
    t.check(times[0] >= 299, f'{times[0]} ms are too few')
    t.contains(log, '504 UT upstream request timeout', 'log')


@harness.test()
def fault(t):
    """A delay takes its time, and an abort reaches nobody."""
    server = Counting(t, lambda n: OK)
    route = ('fault = { delay = { fixedDelay = "200ms"; percentage = { value = 100.0; }; };'
             ' abort = { httpStatus = 418; percentage = { value = 100.0; }; }; };')
    statuses, times, log = ask(t, server, route, 'GET:/x', 'POST:/x')
    t.equal(statuses, [418, 418], 'statuses')
    t.check(min(times) >= 199, f'{times} ms are too few')
    t.contains(log, '418 DI,FI fault filter abort', 'log')
    server.stop()
    t.equal(server.counts, {}, 'requests at the origin')


@harness.test()
def gone_while_delayed(t):
    """The request of a program that leaves while it is delayed does not go out."""
    server = Counting(t, lambda n: OK)
    script = '''
import http.client, socket, struct
s = socket.create_connection(("svc", 80))
s.sendall(b"GET /x HTTP/1.1\\r\\nHost: svc\\r\\n\\r\\n")
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
s.close()
c = http.client.HTTPConnection("svc", timeout=20)
c.request("GET", "/ok")
print(c.getresponse().status)
'''
    route = 'fault = { delay = { fixedDelay = "100ms"; percentage = { value = 100.0; }; }; };'
    out = t.succeed([harness.PYTHON, '-c', script], rules=rules(t, server, route))
    t.equal(out, '200\n', 'status')
    server.stop()
    # Delayed for as long, it would have arrived before the other.
    t.equal(server.counts, {'/ok': 1}, 'requests at the origin')
