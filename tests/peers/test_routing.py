# SPDX-License-Identifier: Apache-2.0
"""What a sidecar does with requests, before real servers: shares, header operations, time limits,
retries, faults, mirrors, names in TLS."""

import collections
import time

import application
import harness
import mesh
import origin
import peers

CURL = ('curl', '-sS', '--max-time', 20)


def service(name, port, protocol='TLS'):
    """`name`.example:443 is 127.0.0.1:`port`."""
    return mesh.service(port, name=name, host=f'{name}.example',
                        ports=f'{{ number = 443; name = "port"; protocol = "{protocol}"; }}',
                        endpoint_ports=f'{{ name = "port"; value = {port}; }}')


def to(name, more=''):
    return (f'{{ destination = {{ host = "{name}.example"; port = {{ number = 443; }}; }}; '
            f'{more} }}')


def rules_of(t, ports, route, tls=True):
    """http://webserver/ with one route, and services one, two ... on `ports`, whose certificate is
    raw.githubusercontent.com's."""
    names = ('one', 'two', 'three')[:len(ports)]
    kinds = 'TLS' if tls else 'HTTP'
    settings = f'sni = "{mesh.HOST}"; subjectAltNames = [ "{mesh.HOST}" ];'
    return t.rules(mesh.rule_set(
        [service(name, port, kinds) for name, port in zip(names, ports)],
        [f'{{ name = "v"; hosts = [ "webserver" ]; http = ( {{ {route} }} ); }}'],
        [mesh.destination(t.pki.cert('ca'), name, f'{name}.example', extra=settings)
         for name in names if tls]))


def curl(t, rules, *arguments):
    return t.succeed([*CURL, *arguments], rules=rules)


def status(t, rules, *arguments):
    """Body, status and how long it took."""
    body, code, seconds = curl(t, rules, '-w', '|%{http_code}|%{time_total}',
                               *arguments).rsplit('|', 2)
    return body, code, float(seconds)


def echo(name):
    return f'location / {{ return 200 "{name} $request_uri\\n"; }}'


@harness.test(timeout=60)
def shares(t):
    """weight: 300 requests of one program. The bounds are wider than chance gets in a lifetime."""
    servers = [origin.Nginx(t, locations=echo(name)) for name in ('one', 'two')]
    rules = rules_of(t, [server.port for server in servers],
                     f'route = ( {to("one", "weight = 80;")}, {to("two", "weight = 20;")} );')
    out = curl(t, rules, *[f'http://webserver/{i}' for i in range(300)])
    seen = collections.Counter(line.split()[0] for line in out.splitlines())
    t.equal(seen['one'] + seen['two'], 300, 'answers')
    t.check(190 <= seen['one'] <= 285, f'the shares are {seen}')
    t.equal([len(server.seen()) for server in servers], [seen['one'], seen['two']],
            'requests at the origins')


@harness.test(timeout=60)
def header_operations(t):
    """Seen by the origin, and by the program."""
    server = origin.Nginx(t, locations=r'''location / {
        add_header X-Secret yes;
        return 200 "[$http_x_set] [$http_x_add] [$http_x_gone] [$http_x_left]\n"; }''')
    rules = rules_of(t, [server.port], f'''
        headers = {{ request = {{ set = ( {{ name = "x-set"; value = "ours"; }} );
                                  add = ( {{ name = "x-add"; value = "more"; }} );
                                  remove = [ "x-gone" ]; }};
                     response = {{ remove = [ "x-secret" ];
                                   set = ( {{ name = "x-said"; value = "so"; }} ); }}; }};
        route = ( {to("one")} );''')
    out = curl(t, rules, '-i', '-H', 'X-Set: theirs', '-H', 'X-Gone: here', '-H', 'X-Left: here',
               'http://webserver/')
    t.contains(out, '[ours] [more] [] [here]\n', 'what the origin saw')
    t.contains(out.lower(), 'x-said: so\r\n', 'what the program saw')
    t.check('x-secret' not in out.lower(), f'what the program saw: {out}')


@harness.test(timeout=60)
def local_actions(t):
    server = origin.Nginx(t)
    rules = rules_of(t, [server.port], '''
        match = ( { uri = { prefix = "/old"; }; } );
        redirect = { uri = "/new"; authority = "elsewhere.example"; redirectCode = 308; };
        }, {
        match = ( { uri = { prefix = "/direct"; }; } );
        directResponse = { status = 418; body = { string = "short and stout"; }; };
        }, {
        match = ( { uri = { prefix = "/abort"; }; } );
        fault = { abort = { httpStatus = 429; percentage = { value = 100.0; }; }; };
        route = ( ''' + to('one') + ''' );
        }, {
        match = ( { uri = { prefix = "/delay"; }; } );
        fault = { delay = { fixedDelay = "400ms"; percentage = { value = 100.0; }; }; };
        route = ( ''' + to('one') + ''' );''')
    out = curl(t, rules, '-i', 'http://webserver/old/x')
    t.contains(out, ' 308 ', 'the redirect')
    t.contains(out.lower(), 'location: http://elsewhere.example/new\r\n', 'the redirect')
    t.equal(status(t, rules, 'http://webserver/direct')[:2], ('short and stout', '418'), 'direct')
    t.equal(status(t, rules, 'http://webserver/abort')[:2], ('fault filter abort', '429'), 'abort')
    t.equal(server.seen(), [], 'requests that reached the origin')
    body, code, seconds = status(t, rules, 'http://webserver/delay')
    t.equal((body, code), (origin.BODY + '\n', '200'), 'the delayed one')
    t.check(seconds >= 0.4, f'it took {seconds} s')


class Moody(application.Handler):
    """/slow: says nothing for a while. /fails/N: 503 so many times. Counts."""

    def do_GET(self):
        with self.server.counting:
            self.server.counted[self.path] += 1
            count = self.server.counted[self.path]
        if self.path.startswith('/slow'):
            time.sleep(3)
        if self.path.startswith('/fails/') and count <= int(self.path.split('/')[2]):
            return self.plain(503, b'not now')
        return self.plain(200, b'at last')

    do_POST = do_GET


def moody(t):
    server = application.Application(t, cert='host', handler=Moody)
    server.server.counting = application.threading.Lock()
    server.server.counted = collections.Counter()
    return server, server.server.counted


@harness.test(timeout=60)
def time_limit(t):
    """An origin that is too slow: 504, in time, and once."""
    server, counted = moody(t)
    rules = rules_of(t, [server.port], f'timeout = "500ms"; route = ( {to("one")} );')
    body, code, seconds = status(t, rules, 'http://webserver/slow')
    t.equal((body, code), ('upstream request timeout', '504'), 'the answer')
    t.check(0.5 <= seconds < 2.5, f'it took {seconds} s')
    t.equal(status(t, rules, 'http://webserver/x')[:2], ('at last', '200'), 'the next one')
    t.equal(counted['/slow'], 1, 'requests at the origin')


@harness.test(timeout=60)
def retries(t):
    """What retryOn names is asked for again, as often as it says; by default a 503 is not."""
    server, counted = moody(t)
    rules = rules_of(t, [server.port], f'route = ( {to("one")} );')
    t.equal(status(t, rules, 'http://webserver/fails/1/a')[:2], ('not now', '503'), 'by default')
    rules = rules_of(t, [server.port],
                     f'retries = {{ attempts = 3; retryOn = "5xx"; }}; route = ( {to("one")} );')
    t.equal(status(t, rules, 'http://webserver/fails/3/b')[:2], ('at last', '200'), 'the fourth')
    t.equal(status(t, rules, 'http://webserver/fails/4/c')[:2], ('not now', '503'), 'no fifth')
    t.equal(status(t, rules, '-d', 'body', 'http://webserver/fails/2/d')[:2], ('at last', '200'),
            'with a body')
    rules = rules_of(t, [server.port],
                     'retries = { attempts = 1; perTryTimeout = "300ms"; retryOn = "5xx"; }; '
                     f'route = ( {to("one")} );')
    body, code, seconds = status(t, rules, 'http://webserver/slow')
    t.equal((body, code), ('upstream request timeout', '504'), 'two that were too slow')
    t.check(0.6 <= seconds < 2.5, f'it took {seconds} s')
    t.equal(dict(counted), {'/fails/1/a': 1, '/fails/3/b': 4, '/fails/4/c': 4, '/fails/2/d': 3,
                            '/slow': 2}, 'requests at the origin')


@harness.test(timeout=60)
def mirror(t):
    """A copy of each, whose answer nobody sees, and which nobody waits for."""
    one, two = [origin.Nginx(t, locations=echo(name)) for name in ('one', 'two')]
    rules = rules_of(t, [one.port, two.port], f'''
        route = ( {to("one")} );
        mirrors = ( {{ destination = {{ host = "two.example"; port = {{ number = 443; }}; }};
                       percentage = {{ value = 100.0; }}; }} );''')
    urls = [f'http://webserver/{i}' for i in range(10)]
    script = f'''if 1:
        import time, urllib.request
        for i in range(10):
            print(urllib.request.urlopen(f'http://webserver/{{i}}').read().decode(), end='')
        time.sleep(1)'''
    out = t.succeed([harness.PYTHON, '-c', script], rules=rules)
    t.equal(out, ''.join(f'one /{i}\n' for i in range(len(urls))), 'answers')
    wanted = sorted(f'GET /{i} HTTP/1.1' for i in range(len(urls)))
    t.equal(sorted(line.request for line in one.lines(10)), wanted, 'requests')
    t.equal(sorted(line.request for line in two.lines(10)), wanted, 'copies')


@harness.test(timeout=60)
def names_in_tls(t):
    """https:// by the program itself: the name in its TLS says where it goes, and its certificate is
    the origin's own."""
    servers = {'secure.example': origin.Nginx(t, 'secure', locations=echo('secure')),
               'other.example': origin.Nginx(t, 'other', locations=echo('other'))}
    services, routes = [], ''
    for i, (host, server) in enumerate(servers.items()):
        name = f'n{i}'
        services.append(service(name, server.port))
        routes += (', ' if i else '') + f'''{{
            match = ( {{ port = 443; sniHosts = [ "{host}" ]; }} );
            route = ( {to(name)} ); }}'''
    services.append('''{ name = "all"; hosts = [ "secure.example", "other.example" ];
        ports = ( { number = 443; name = "tls"; protocol = "TLS"; } ); resolution = "DNS";
        endpoints = ( { address = "127.0.0.1"; ports = ( { name = "tls"; value = 1; } ); } ); }''')
    rules = t.rules(mesh.rule_set(services, [f'''{{ name = "sni";
        hosts = [ "secure.example", "other.example" ]; tls = ( {routes} ); }}''']))
    for host in servers:
        t.equal(curl(t, rules, '--cacert', t.pki.cert('ca'), f'https://{host}/{host}'),
                f'{host.split(".")[0]} /{host}\n', f'the answer of {host}')
    for host, server in servers.items():
        line = server.only_requests(1)[0]
        t.equal((line.sni, line.host), (host, host), 'whom it was asked for')
