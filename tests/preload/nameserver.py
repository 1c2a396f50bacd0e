# SPDX-License-Identifier: Apache-2.0
"""A DNS server for tests, on port 53 of addresses in a network that the test has for itself.

It knows *.real.test, or the names that it is told to know, and the reverse of 198.51.100.7, answers
everything else with NXDOMAIN, and remembers every message that came. What is no query it sends back
turned around, to be compared byte by byte.
"""

import fcntl
import selectors
import socket
import struct
import threading

import namespace

LOCAL, LOCAL6 = '127.0.0.53', '::1'
REMOTE = '192.0.2.53'           # no loopback address, though it never leaves the machine
SIOCSIFADDR, SIOCSIFFLAGS, IFF_UP = 0x8916, 0x8914, 1

TYPES = {1: 'A', 5: 'CNAME', 12: 'PTR', 15: 'MX', 16: 'TXT', 28: 'AAAA', 33: 'SRV', 41: 'OPT',
         64: 'SVCB', 65: 'HTTPS', 255: 'ANY'}
ADDRESS, ADDRESS6 = socket.inet_aton('198.51.100.7'), socket.inet_pton(socket.AF_INET6,
                                                                       '2001:db8::7')
RDATA = {1: ADDRESS, 28: ADDRESS6, 16: b'\x04text', 15: b'\x00\x0a\x04mail\xc0\x0c'}


def isolate():
    """Give this process, and those that it starts, a network with nothing but loopback: no port of
    it is anybody else's, 53 included."""
    namespace.unshare(namespace.CLONE_NEWNET)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack('16sH14x', b'lo', IFF_UP))
        address = struct.pack('HH4s8x', socket.AF_INET, 0, socket.inet_aton(REMOTE))
        fcntl.ioctl(control, SIOCSIFADDR, struct.pack('16s16s', b'lo:1', address))


def name_and_end(data):
    """The name of a message's question in lower case, and where it ends."""
    labels, at = [], 12
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode('latin-1'))
        at += 1 + data[at]
    return '.'.join(labels).lower(), at + 1


def record(kind, rdata):
    return struct.pack('!HHHIH', 0xc00c, kind, 1, 60, len(rdata)) + rdata


def is_query(data):
    return len(data) > 12 and not data[2] & 0xf8 and data[4:6] == b'\0\1'


def is_real(name):
    return name.endswith('.real.test')


def answer(data, tcp, knows=is_real):
    """What the server says; None: nothing."""
    try:
        if not is_query(data):
            raise ValueError
        name, end = name_and_end(data)
        kind, = struct.unpack_from('!H', data, end)
    except (ValueError, IndexError, struct.error):
        return data[::-1]
    flags, records = 0x8180, []
    if name.startswith('silent.'):
        return None
    if name.startswith('big.'):
        records = [record(1, ADDRESS)] * (100 if tcp else 0)
        flags |= 0 if tcp else 0x0200
    elif knows(name):
        records = [record(kind, RDATA[kind])] if kind in RDATA else []
    elif name == '7.100.51.198.in-addr.arpa':
        records = [record(12, b'\4host\4real\4test\0')]
    else:
        flags |= 3
    head = data[:2] + struct.pack('!HHHHH', flags, 1, len(records), 0, 0)
    return head + data[12:end + 4] + b''.join(records)


class Nameserver:
    """UDP and TCP on port 53 of `addresses`, in a thread.

    `messages`: (transport, source, bytes) of each that came."""

    def __init__(self, t, *addresses, tcp=True, knows=is_real):
        self.messages, self.knows = [], knows
        self.selector = selectors.DefaultSelector()
        for address in addresses:
            family = socket.AF_INET6 if ':' in address else socket.AF_INET
            udp = socket.socket(family, socket.SOCK_DGRAM)
            udp.bind((address, 53))
            self.selector.register(udp, selectors.EVENT_READ, self.datagram)
            if tcp:
                listener = socket.create_server((address, 53), family=family)
                self.selector.register(listener, selectors.EVENT_READ, self.accept)
        stop, self.stop = socket.socketpair()
        self.selector.register(stop, selectors.EVENT_READ, None)
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()
        t.defer(self.end)

    def end(self):
        self.stop.close()
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()

    def serve(self):
        while True:
            for key, _ in self.selector.select():
                if not key.data:
                    return
                key.data(key.fileobj)

    def datagram(self, sock):
        data, source = sock.recvfrom(65535)
        self.messages.append(('udp', source, data))
        reply = answer(data, False, self.knows)
        if reply is not None:
            sock.sendto(reply, source)

    def accept(self, listener):
        connection, source = listener.accept()
        pending = bytearray()

        def ready(sock):
            try:
                data = sock.recv(65536)
            except ConnectionResetError:
                data = b''
            pending.extend(data)
            while len(pending) >= 2 and len(pending) >= 2 + (pending[0] << 8 | pending[1]):
                size = pending[0] << 8 | pending[1]
                message = bytes(pending[2:2 + size])
                del pending[:2 + size]
                self.messages.append(('tcp', source, message))
                reply = answer(message, True, self.knows)
                if reply is not None:
                    sock.sendall(struct.pack('!H', len(reply)) + reply)
            if not data:
                self.selector.unregister(sock)
                sock.close()

        self.selector.register(connection, selectors.EVENT_READ, ready)

    def questions(self):
        """The queries that came, as a set of 'transport name TYPE'."""
        found = set()
        for transport, _, data in list(self.messages):
            if is_query(data):
                name, end = name_and_end(data)
                kind, = struct.unpack_from('!H', data, end)
                found.add(f'{transport} {name} {TYPES.get(kind, kind)}')
        return found

    def sources(self):
        """The addresses that they came from."""
        return {source[0] for _, source, _ in list(self.messages)}
