# SPDX-License-Identifier: Apache-2.0
"""The leak test: every row of the matrix once more, with REGISTRY_ONLY, in a network whose only
cable is recorded (network.py, recorder.py, wire.py).

    mesh, tls   nothing but TLS to the endpoints of the rules, and the program succeeds
    outside     nothing but DNS for names that are in no rule
    refused     what cannot be intercepted does not run; by hand it asks DNS for a name of the mesh,
                and gets no further
    control     what would be a leak is called one
"""

import socket
import ssl

import harness
import matrix
import mesh
import nameserver
import network
import recorder
import refused
import web
from matrix import MESH, OUTSIDE, REFUSED, SECURE, TLS
from wire import Wire

CONTROL = 'control'
ORIGIN, OWN = '198.51.100.10', '2001:db8:2::11'
PRESCRIBED = {(ORIGIN, 443): mesh.HOST, (OWN, 443): SECURE}
REGISTRY = ('webserver', mesh.HOST, SECURE)
SECRETS = (b'webserver', b'HTTP/1.', web.TEXT)
STRANGER = 'outside.example'


class At(matrix.At):
    """Where a recipe runs: under the shim, and in a network that is watched."""

    watched = True
    dns = network.WORLD

    def __init__(self, t, world, lane, policy=mesh.REGISTRY_ONLY):
        self.policy = policy
        super().__init__(t, world.site, lane, True)
        self.other_url = f'https://{SECURE}'

    def target(self):
        return (STRANGER, 80) if self.lane == OUTSIDE else super().target()

    def rules(self):
        return matrix.rules(self.t, 443, 443, self.policy, ORIGIN, OWN)


class World:
    """The network, the site in it, a web server and a DNS server for whatever leaks. The latter
    does not know the names of the mesh unless they are `public`."""

    def __init__(self, t, public=True, megabytes=64):
        self.t, self.net = t, network.Network(t)
        for address in (ORIGIN, OWN):
            self.net.add_address(address)
        self.recorder = recorder.Recorder(t, self.net, megabytes)
        with self.net.world:
            self.site = web.Web(t, plain=('::', 80), mesh=(ORIGIN, 443), own=(OWN, 443))
            nameserver.Nameserver(t, network.WORLD,
                                  knows=lambda name: public or name.split('.')[0] != 'webserver')

    def record(self, function, *arguments, **options):
        """What a function returns, and what went over the wire meanwhile."""
        self.recorder.take()
        result = function(*arguments, **options)
        return result, Wire(self.recorder.take())


def leaks(wire, prescribed=()):
    return wire.leaks(prescribed, REGISTRY, SECRETS)


def tell(wire, text):
    n = len(wire.queries)
    print(f'RESULT: {text}' + (f'; DNS for {n} other name{"s" * (n > 1)}' if n else ''))


def prepared(t, row):
    """Whether a row can run here; its version, for the table."""
    program = matrix.installed(row.program)
    row.options.get('needs', lambda t: None)(t)
    matrix.tell_version(t, [program, *row.version.split()])
    return World(t)


def prescribed(t, row):
    """The test behind the rows of lanes mesh and tls."""
    world = prepared(t, row)
    result, wire = world.record(row.function, t, At(t, world, row.lane))
    t.equal(leaks(wire, PRESCRIBED), [], 'leaks')
    t.equal(result.status, 0, 'exit status')
    ports = {request.port for request in world.site.take()}
    t.equal(ports, {matrix.PORTS[row.lane][1]} | row.options.get('also', set()),
            'the ports of the origin that were asked')
    n = wire.connections()
    t.check(n > 0, 'the recorder saw no connection')
    tell(wire, f'TLS, where prescribed: {n} connection{"s" * (n > 1)}, {wire.n_frames} frames')


def blocked(t, row):
    """The test behind the rows of lane outside. How the program copes with it is its own affair."""
    world = prepared(t, row)
    try:
        _, wire = world.record(row.function, t, At(t, world, row.lane))
    except harness.Failure as failure:
        raise harness.Failure(f'a recipe has to bear a refusal: {failure}') from None
    t.equal(leaks(wire), [], 'leaks')
    t.equal(world.site.take(), [], 'requests at the origin')
    tell(wire, 'blocked, and nothing sent')


def stranded(t, row):
    """The test behind the rows of lane refused."""
    matrix.tell_version(t, [matrix.installed(row.program), *row.version.split()])
    program = row.function(t)
    world = World(t, public=False)
    at = At(t, world, REFUSED)
    argv = refused.command(row, program, at)
    result, wire = world.record(t.run, [t.wrapper, '-r', at.options['rules'], *argv])
    t.equal(result.status, 126, 'status of the wrapper')
    t.equal((leaks(wire), wire.queries), ([], set()), 'leaks under the wrapper')
    result, wire = world.record(at.run, argv)
    t.check(result.status != 0, f'it reached a host of the mesh: {result}')
    t.check(wire.reaches_nothing(), f'leaks by hand: {leaks(wire)}')
    t.equal(world.site.take(), [], 'requests at the origin')
    known = 'DNS was asked for webserver' if wire.queries else 'nothing sent'
    print(f'RESULT: the wrapper: nothing sent; by hand: {known}'
          + (', SYN to 240.240.0.0/16' if wire.flows else ''))


# --- a program that tries everything ----------------------------------------

def every_way(t, at):
    return at.run([harness.PYTHON, matrix.CLIENTS / 'python_ways.py', at.host, at.port,
                   network.DEVICE])


# --- what would be a leak ---------------------------------------------------

CURL = ['curl', '-sS', '--max-time', '20', 'http://webserver/text']
CLEAR = ["in the clear: b'HTTP/1.'", "in the clear: b'webserver'",
         "in the clear: b'External Service 1\\n'"]


def without_the_library(t):
    world = World(t)
    result, wire = world.record(t.run, [*CURL, '-4'])
    return result, leaks(wire, PRESCRIBED), [
        'TCP to 198.51.100.7, port 80', 'a DNS query for webserver.corp.test', *CLEAR]


def over_ipv6(t):
    world = World(t)
    result, wire = world.record(t.run, [*CURL, '-6'])
    return result, leaks(wire, PRESCRIBED), ['TCP to 2001:db8::7, port 80', *CLEAR]


def rules_without_tls(t):
    """The endpoint is right, and what goes there is not encrypted."""
    world = World(t)
    path = t.rules(mesh.rule_set([mesh.service(80, address=ORIGIN)], [mesh.virtual(rewrite='')], [],
                                 mesh.REGISTRY_ONLY))
    result, wire = world.record(t.run, CURL, rules=path)
    found = leaks(wire, {(ORIGIN, 80): mesh.HOST})
    t.check(any(leak.startswith('no TLS record: ') for leak in found), f'the records: {found}')
    return result, found, CLEAR


def name_of_the_mesh_in_tls(t):
    world = World(t)

    def handshake():
        context = ssl._create_unverified_context()
        with socket.create_connection((ORIGIN, 443), 20) as plain, \
                context.wrap_socket(plain, server_hostname='webserver'):
            return harness.Result(['handshake'], 0, '', '')

    result, wire = world.record(handshake)
    return result, leaks(wire, PRESCRIBED), [
        f'a ClientHello for webserver, with {ORIGIN}, port 443', "in the clear: b'webserver'"]


def another_destination_over_tls(t):
    world = World(t)
    result, wire = world.record(t.run, ['openssl', 's_client', '-connect', f'[{OWN}]:443',
                                        '-servername', SECURE])
    return result, leaks(wire, {(ORIGIN, 443): mesh.HOST}), [f'TCP to {OWN}, port 443']


def outside_without_registry_only(t):
    world = World(t)
    at = At(t, world, OUTSIDE, policy='')
    result, wire = world.record(at.run, ['curl', '-4sS', '--max-time', '20', f'{at.url}/text'])
    return result, leaks(wire, PRESCRIBED), ['TCP to 198.51.100.7, port 80']


def datagrams(t):
    world = World(t)

    def send():
        for family, address in ((socket.AF_INET, ORIGIN), (socket.AF_INET6, OWN)):
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                sender.sendto(b'QUIC', (address, 443))
        return harness.Result(['send'], 0, '', '')

    result, wire = world.record(send)
    return result, leaks(wire, PRESCRIBED), [f'UDP to {ORIGIN}, port 443',
                                             f'UDP to {OWN}, port 443']


def more_than_the_recorder_holds(t):
    world = World(t, megabytes=1)
    lost = []

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(2000):
                sender.sendto(bytes(1400), (ORIGIN, 9))

    try:
        world.record(send)
    except harness.Failure as failure:
        lost.append(str(failure).rstrip('0123456789 frames'))
    return harness.Result(['send'], 0, '', ''), lost, ['the recorder lost']


CONTROLS = (without_the_library, over_ipv6, rules_without_tls, name_of_the_mesh_in_tls,
            another_destination_over_tls, outside_without_registry_only, datagrams,
            more_than_the_recorder_holds)


def control(t, row):
    result, found, wanted = row.function(t)
    t.equal(result.status, 0, 'exit status')
    for leak in wanted:
        t.check(leak in found, f'{leak!r} is not among what was found: {found}')
    print('RESULT: found')


TESTS = {MESH: prescribed, TLS: prescribed, OUTSIDE: blocked, REFUSED: stranded, CONTROL: control}


def rows():
    ways = [matrix.Row('every way to connect', 'python3', '--version', lane, every_way, {})
            for lane in (MESH, OUTSIDE)]
    return matrix.ROWS + ways + [
        matrix.Row(function.__name__.replace('_', ' '), None, None, CONTROL, function, {})
        for function in CONTROLS]
