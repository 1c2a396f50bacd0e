# SPDX-License-Identifier: Apache-2.0
"""Programs with a DNS resolver of their own: registry names are answered inside the process, by the
addresses that getaddrinfo(3) gives; for everything else it is as if the library were not there."""

import ipaddress
import os
import re
import struct

import harness
import mesh
import nameserver

WAYS = ('sendto', 'syscall', 'sendmsg', 'send', 'write', 'connect-sendto', 'connect-sendmsg',
        'mmsg', 'tcp', 'pipeline')
SERVERS = (nameserver.LOCAL, nameserver.LOCAL6, nameserver.REMOTE)
MAPPED = '::ffff:' + nameserver.LOCAL, '::ffff:' + nameserver.REMOTE

# Names that the server knows, that nobody knows, and what goes on to it for a registry name.
OTHERS = ('www.real.test', 1, 'WwW.Real.TEST', 28, 'mail.real.test', 15, 'nobody.test', 1,
          '7.100.51.198.in-addr.arpa', 12, 'webserver', 15, 'webserver.real.test', 1,
          'www.real.test', 65)

NAMES = ('webserver', 'RAW.githubusercontent.com', 'a.wild.test', 'fixed.test')


def rules(t):
    wildcard = mesh.service(1, name='wild', host='*.wild.test')
    github = mesh.service(1)
    fixed = mesh.service(1, name='fixed', host='fixed.test',
                         extra='addresses = [ "203.0.113.9" ];')
    return t.rules(mesh.rule_set([github, wildcard, fixed], [mesh.virtual()],
                                 [mesh.destination(t.pki.cert('ca'))]))


def addresses(t, path):
    """What getaddrinfo(3) says under the library: a dictionary of host to IPv4 address."""
    script = '''if 1:
        import socket
        for host in ('webserver', 'raw.githubusercontent.com', 'a.wild.test', 'fixed.test'):
            print(host, socket.getaddrinfo(host, 80, socket.AF_INET)[0][4][0])'''
    return dict(line.split() for line in
                t.succeed([harness.PYTHON, '-c', script], rules=path).splitlines())


class Answer:
    """An answer as the guest prints it."""

    def __init__(self, line):
        data = b'\0\0' + bytes.fromhex(line)
        self.flags, _, self.answers, _, self.additional = struct.unpack_from('!HHHHH', data, 2)
        self.rcode = self.flags & 15
        name, at = nameserver.name_and_end(data)
        self.question = data[12:at]
        self.records = []
        at += 4
        for _ in range(self.answers):
            kind, _, ttl, size = struct.unpack_from('!HHIH', data, at + 2)
            self.records.append((kind, ttl, data[at + 12:at + 12 + size]))
            at += 12 + size
        self.edns = data[at:at + 3] == b'\0\0\x29'
        self.size = len(data)


@harness.test(cases=WAYS)
def others(t, way):
    """Names that are none of the registry's: the same bytes with the library and without."""
    nameserver.isolate()
    real, path = nameserver.Nameserver(t, *SERVERS), rules(t)
    for server in SERVERS + MAPPED:
        real.messages = []
        guest = [t.guest('guest_resolver'), server, way, *OTHERS]
        plain = t.succeed(guest)
        asked, sources = real.questions(), real.sources()
        real.messages = []
        t.equal(t.succeed(guest, rules=path), plain, 'what the guest was told')
        t.equal(real.questions(), asked, 'what the server was asked')
        t.check(way in ('tcp', 'pipeline') or real.sources() == sources,
                f'where the queries came from: {real.sources()}')


@harness.test(cases=WAYS)
def registry(t, way):
    """Registry names, whatever way they are asked for: no query reaches the server."""
    nameserver.isolate()
    path = rules(t)
    real, known = nameserver.Nameserver(t, *SERVERS), addresses(t, path)
    for server in SERVERS + MAPPED:
        questions = [part for name in NAMES for part in (name, 1, name, 28)]
        lines = t.succeed([t.guest('guest_resolver'), server, way, *questions],
                          rules=path).splitlines()
        lines = [line for line in lines if not line.startswith('local')]
        t.equal(len(lines), 2 * len(NAMES) + (0 if way in ('mmsg', 'pipeline') else 3), 'answers')
        t.check(all(line == lines[7] for line in lines[8:]), 'the answers to a child')
        for i, name in enumerate(NAMES):
            check_answers(t, name, known[name.lower()], Answer(lines[2 * i]),
                          Answer(lines[2 * i + 1]))
        t.equal(real.messages, [], 'what the server was asked')


def check_answers(t, name, address, four, six):
    for answer in (four, six):
        t.equal((answer.flags, answer.edns), (0x8580, True), f'the flags for {name}')
        t.contains(answer.question, name.split('.')[0].encode(), 'the case of the question')
    t.equal(four.records, [(1, 30, ipaddress.ip_address(address).packed)], name)
    if name == 'fixed.test':
        t.equal(six.records, [], 'the family that it does not have')
        return
    (kind, _, v6), = six.records
    t.check(kind == 28 and ipaddress.ip_address(v6) in ipaddress.ip_network('2001:2::/48'),
            f'{v6} for {name}')


@harness.test(cases=['sendto', 'send', 'tcp'])
def other_types(t, way):
    """What would lead around the mesh is not there; the rest is the server's to say."""
    nameserver.isolate()
    real = nameserver.Nameserver(t, nameserver.LOCAL)
    path = rules(t)
    address = addresses(t, path)['webserver']
    back = ipaddress.ip_address(address).reverse_pointer
    questions = ('webserver', 65, '_8443._https.webserver', 65, 'webserver', 5, 'webserver', 255,
                 back, 12, '1.255.240.240.in-addr.arpa', 12, 'webserver', 16)
    lines = t.succeed([t.guest('guest_resolver'), nameserver.LOCAL, way, *questions],
                      rules=path).splitlines()
    answers = [Answer(line) for line in lines if not line.startswith('local')][:7]
    t.equal([(answer.rcode, len(answer.records)) for answer in answers],
            [(0, 0), (0, 0), (0, 0), (0, 2), (0, 1), (3, 0), (3, 0)], 'codes and records')
    t.equal(answers[4].records[0][2], b'\x09webserver\0', 'the name behind the address')
    t.equal(real.questions(), {f'{"tcp" if way == "tcp" else "udp"} webserver TXT'},
            'what the server was asked')


@harness.test(cases=['sendto', 'send', 'tcp'])
def no_server(t, way):
    """Registry names need no server, and nobody else's needs one that is not asked."""
    nameserver.isolate()
    for server in SERVERS:
        line = t.succeed([t.guest('guest_resolver'), server, way, 'webserver', 1],
                         rules=rules(t)).splitlines()[-1]
        t.equal(Answer(line).answers, 1, 'records')


@harness.test(cases=['sendto', 'send', 'tcp'])
def rules_that_are_none(t, way):
    """Rules that cannot be loaded refuse what they refuse anyway, and loopback is not touched."""
    nameserver.isolate()
    real = nameserver.Nameserver(t, *SERVERS)
    broken, log = t.rules('nonsense', 'broken.cfg'), t.dir / 'log'
    guest = [t.guest('guest_resolver'), nameserver.LOCAL, way, *OTHERS]
    plain = t.succeed(guest)
    t.equal(t.succeed(guest, rules=broken, env={'MESHSHIM_LOG': str(log)}), plain,
            'what the guest was told')
    guest[1] = nameserver.REMOTE
    real.messages = []
    result = t.run(guest, rules=broken, env={'MESHSHIM_LOG': str(log)})
    if way == 'sendto':
        t.equal((result.status, result.err), (0, ''), 'the guest')
    else:
        t.contains(result.err, 'Connection refused', 'what the guest was told')
        t.equal(real.messages, [], 'what the server was told')


def packet(name='webserver', flags=0x0100, counts=(1, 0, 0, 0), kind=1, dns_class=1, tail=b''):
    labels = b''.join(bytes([len(part)]) + part.encode() for part in name.split('.'))
    return (struct.pack('!HHHHHH', 0x0101, flags, *counts) + labels + b'\0'
            + struct.pack('!HH', kind, dns_class) + tail)


@harness.test(cases=SERVERS)
def malformed(t, server):
    """What is no query for a registry name gets to the server, byte by byte; what is one, but for
    what follows the question, is an error, since a server might answer it."""
    nameserver.isolate()
    real = nameserver.Nameserver(t, server)
    good = packet()
    packets = [good[:length] for length in range(1, len(good))]
    packets += [
        packet(flags=0x8100), packet(flags=0x2800), packet(counts=(2, 0, 0, 0)),
        packet(counts=(0, 0, 0, 0)), packet(dns_class=3), good[:12] + b'\xc0\x0c' + good[-4:],
        good[:12] + b'\xc0\x0e\xc0\x0c' + good[-4:], good[:12] + b'\x50' + good[13:],
        b'SSH-2.0-OpenSSH_9.2\r\n', bytes(range(256)) * 100]
    guest = [t.guest('guest_resolver'), server, 'raw', *(data.hex() for data in packets)]
    plain = t.succeed(guest)
    seen, real.messages = [data for _, _, data in real.messages], []
    t.equal(t.succeed(guest, rules=rules(t)), plain, 'what the guest was told')
    t.equal([data for _, _, data in real.messages], seen, 'what the server was told')
    unsound = packet(counts=(1, 1, 0, 0)), packet(counts=(1, 0, 0, 1)), packet(tail=b'x')
    words = t.succeed([*guest[:3], *(data.hex() for data in unsound)], rules=rules(t)).split()
    t.equal([word[6:10] for word in words], ['8581'] * 2 * len(unsound), 'answers, FORMERR')
    t.equal(len(real.messages), len(seen), 'what the server was told')


# What sockets can do besides: argv is how, a server, another address of this machine, the queries.
SOCKETS = r"""
import ctypes, mmap, socket, struct, sys
how, server, elsewhere = sys.argv[1:4]
queries = [bytes.fromhex(text) for text in sys.argv[4:]]
to, libc = (server, 53), ctypes.CDLL(None, use_errno=True)
IP_BIND_ADDRESS_NO_PORT, UDP_CORK, UDP_SEGMENT = 24, 1, 103


def udp(*options):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(20)
    for option in options:
        sock.setsockopt(*option)
    return sock


def show(sock, count=1):
    for data, source in sorted(sock.recvfrom(4096) for _ in range(count)):
        print(data[2:].hex(), source)


def same_port():
    here = udp()
    here.bind((server, 0))
    here.connect(to)
    there = udp()
    there.bind((elsewhere, here.getsockname()[1]))
    there.connect((elsewhere, 53))
    for query in queries:
        for sock in (here, there):
            sock.send(query)
            show(sock)


def no_port():
    sock = udp((socket.SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1))
    for query in queries:
        sock.sendto(query, to)
        show(sock)
    print(sock.getsockopt(socket.SOL_IP, IP_BIND_ADDRESS_NO_PORT))


def more():
    sock = udp()
    for query in queries:
        sock.sendto(query[:12], socket.MSG_MORE, to)
        sock.sendto(query[12:], to)
        show(sock)


def cork():
    sock = udp()
    for query in queries:
        sock.setsockopt(socket.SOL_UDP, UDP_CORK, 1)
        sock.sendto(query[:5], to)
        sock.sendto(query[5:], to)
        sock.setsockopt(socket.SOL_UDP, UDP_CORK, 0)
        show(sock)


def segments():
    sock = udp()
    sock.setsockopt(socket.SOL_UDP, UDP_SEGMENT, len(queries[0]))
    sock.sendto(b''.join(queries), to)
    show(sock, len(queries))


def segments_once():
    sock, size = udp(), struct.pack('H', len(queries[0]))
    sock.sendmsg([b''.join(queries)], [(socket.SOL_UDP, UDP_SEGMENT, size)], 0, to)
    show(sock, len(queries))


def short_address():
    sock = udp()
    sock.setblocking(True)
    data, address = ctypes.create_string_buffer(4096), ctypes.create_string_buffer(16)
    for query in queries:
        room = ctypes.c_int(8)
        sock.sendto(query, to)
        count = libc.recvfrom(sock.fileno(), data, 4096, 0, address, ctypes.byref(room))
        print(data.raw[2:count].hex(), address.raw.hex(), room.value)


def too_many_parts():
    # More than the kernel takes, or ever looks at: behind the first page there is nothing.
    sock, parts = udp(), mmap.mmap(-1, 2 * mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(parts))
    libc.mprotect(ctypes.c_void_p(start + mmap.PAGESIZE), mmap.PAGESIZE, 0)
    name = ctypes.create_string_buffer(struct.pack('=H', socket.AF_INET) + struct.pack(
        '!H4s8x', 53, socket.inet_aton(server)))
    msg = ctypes.create_string_buffer(struct.pack('@PIPNPNi', ctypes.addressof(name), 16, start,
                                                  1 << 20, 0, 0, 0))
    print(libc.sendmsg(sock.fileno(), msg, 0), ctypes.get_errno())


globals()[how.replace('-', '_')]()
"""


@harness.test(cases=('same-port', 'no-port', 'more', 'cork', 'segments', 'segments-once',
                     'short-address', 'too-many-parts'))
def sockets(t, how):
    """Options of sockets and calls: no difference, and no registry name reaches the server."""
    nameserver.isolate()
    real = nameserver.Nameserver(t, nameserver.LOCAL, nameserver.REMOTE)
    guest = [harness.PYTHON, t.file('sockets.py', SOCKETS), how, nameserver.LOCAL, nameserver.REMOTE]
    path, names = rules(t), ('www.real.test', 'one.real.test')
    others = [packet(name).hex() for name in names]
    t.equal(t.succeed([*guest, *others], rules=path), t.succeed([*guest, *others]),
            'what the guest was told')
    if how == 'too-many-parts':
        return
    real.messages = []
    ours = [packet(name).hex() for name in ('nobodyknow', 'raw.githubusercontent.com', 'webserver')]
    ours = ours[::2] if 'segments' in how else ours[1:]
    out = t.succeed([*guest, *ours], rules=path)
    t.check('f0f0' in out and '7f000001' not in out, f'an address of the mesh: {out}')
    t.check(not any('webserver' in name or 'github' in name for name in real.questions()),
            f'what the server was asked: {real.questions()}')


# A device whose other end is this program: what leaves by it is printed.
CHOSEN = r"""
import fcntl, os, socket, struct, sys

TUNSETIFF, IFF_TUN, IFF_NO_PI, IP_UNICAST_IF = 0x400454ca, 1, 0x1000, 50
SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK, IFF_UP = 0x8914, 0x8916, 0x891c, 1

tun = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tun, TUNSETIFF, struct.pack('16sH14x', b'tun0', IFF_TUN | IFF_NO_PI))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
    for request, address in ((SIOCSIFADDR, '198.51.100.1'), (SIOCSIFNETMASK, '255.255.255.0')):
        fcntl.ioctl(control, request, struct.pack('16sHH4s8x', b'tun0', socket.AF_INET, 0,
                                                  socket.inet_aton(address)))
    fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack('16sH14x', b'tun0', IFF_UP))
for connected in (False, True):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_IP, IP_UNICAST_IF, struct.pack('!I', socket.if_nametoindex('tun0')))
    if connected:
        sock.connect(('198.51.100.53', 53))
        sock.send(bytes.fromhex(sys.argv[1]))
    else:
        sock.sendto(bytes.fromhex(sys.argv[1]), ('198.51.100.53', 53))
    while True:
        packet = os.read(tun, 4096)
        if packet[0] >> 4 == 4 and packet[9] == socket.IPPROTO_UDP:
            break
    print(socket.inet_ntoa(packet[16:20]), packet[28:].hex())
"""


@harness.test()
def chosen_interface(t):
    """IP_UNICAST_IF: a question for the bridge would leave the machine, for 127.0.0.1."""
    if not os.access('/dev/net/tun', os.W_OK):
        raise harness.Skip('there is no /dev/net/tun')
    nameserver.isolate()
    path, script = rules(t), t.file('chosen.py', CHOSEN)
    for name in 'www.real.test', 'webserver':
        guest = [harness.PYTHON, script, packet(name).hex()]
        t.equal(t.succeed(guest, rules=path), t.succeed(guest), 'what left')


NODE = r'''
const dns = require('dns');
dns.setServers(process.argv.slice(2, 3));
const ask = [
    ['resolve4', 'www.real.test'], ['resolve6', 'www.real.test'], ['resolveMx', 'x.real.test'],
    ['resolveTxt', 'x.real.test'], ['resolve4', 'nobody.test'], ['reverse', '198.51.100.7'],
    ['resolve4', 'big.real.test'], ...process.argv.slice(3).map((one) => one.split(','))];
(async () => {
    for (const [how, what] of ask) {
        try {
            console.log(how, what, JSON.stringify(await dns.promises[how](what)));
        } catch (error) {
            console.log(how, what, error.code);
        }
    }
})();
'''


@harness.test(cases=SERVERS)
def node(t, server):
    """dns.resolve of Node.js, which is c-ares: UDP, and TCP for what is too long for it."""
    node = t.tool('node')
    t.needs([node, '-e', '0'])
    nameserver.isolate()
    real = nameserver.Nameserver(t, server)
    script, path = t.file('resolve.js', NODE), rules(t)
    bracketed = f'[{server}]' if ':' in server else server
    plain = t.succeed([node, script, bracketed])
    t.contains(plain, 'resolve4 www.real.test ["198.51.100.7"]', 'the answer without the library')
    asked, real.messages = real.questions(), []
    known = addresses(t, path)
    out = t.succeed([node, script, bracketed, 'resolve4,webserver', 'resolve4,a.wild.test',
                     f'reverse,{known["webserver"]}', 'resolve6,fixed.test',
                     'resolve6,webserver'], rules=path)
    t.check(out.startswith(plain), f'the same as without the library:\n{plain}\n{out}')
    t.equal(re.sub(r'"2001:2::[0-9a-f:]*"', '"v6"', out[len(plain):]),
            f'resolve4 webserver ["{known["webserver"]}"]\n'
            f'resolve4 a.wild.test ["{known["a.wild.test"]}"]\n'
            f'reverse {known["webserver"]} ["webserver"]\n'
            'resolve6 fixed.test ENODATA\n'
            'resolve6 webserver ["v6"]\n', 'what the registry says')
    t.equal(real.questions(), asked, 'what the server was asked')
