# SPDX-License-Identifier: Apache-2.0
"""What frames tell: Wire(frames) sorts them, and Wire.leaks() says what the rules do not prescribe.

Prescribed is TCP to an endpoint of the rules with nothing but TLS records in it, both ways, that
begins with a ClientHello for the right name. DNS is prescribed for names that are not in the
registry: that is the resolver's business. Neighbours may find each other (ARP, NDP, IGMP, MLD).
"""

import ipaddress
import struct

import nameserver

ETH_IP, ETH_ARP, ETH_IP6 = 0x0800, 0x0806, 0x86dd
HOP_BY_HOP, ICMP, IGMP, TCP, UDP, ICMP6 = 0, 1, 2, 6, 17, 58
NEIGHBOURS = range(130, 138), (143,)    # ICMPv6: MLD and NDP; MLDv2
SYN, ACK = 0x02, 0x10
MAX_RECORD = (1 << 14) + 256
UNROUTABLE = ipaddress.ip_network('240.240.0.0/16'), ipaddress.ip_network('2001:2::/48')


class Odd(Exception):
    """Not what a frame or a stream has to be."""


class Flow:
    """One direction of a TCP connection."""

    def __init__(self):
        self.first, self.segments = None, []

    def add(self, sequence, flags, data):
        if flags & SYN:
            self.first = sequence + 1 & 0xffffffff
            sequence = self.first
        if data:
            self.segments.append((sequence, data))

    def bytes(self):
        stream = b''
        if self.segments and self.first is None:
            raise Odd('a connection from before')
        ordered = sorted((sequence - self.first & 0xffffffff, data)
                         for sequence, data in self.segments)
        for at, data in ordered:
            if at > len(stream):
                raise Odd('a gap')
            if at < len(stream) and stream[at:at + len(data)] != data[:len(stream) - at]:
                raise Odd('two versions of the same bytes')
            stream += data[len(stream) - at:]
        return stream


class Wire:
    """`flows`: a list of (address, port, Flow of the program, Flow of the world). `queries`: names
    that a DNS server was asked for. `odd`: what has no place here at all."""

    def __init__(self, frames):
        self.n_frames, self.queries, self.odd = len(frames), set(), set()
        self.flows, self.current = [], {}
        self.raw = [frame.data for frame in frames]
        for frame in frames:
            try:
                self.frame(frame)
            except (Odd, struct.error, IndexError) as error:
                self.odd.add(str(error) or 'a malformed frame')

    def frame(self, frame):
        if not frame.whole:
            raise Odd('a frame that was cut')
        kind, = struct.unpack_from('!H', frame.data, 12)
        data = frame.data[14:]
        if kind == ETH_IP:
            self.ip(frame.sent, data)
        elif kind == ETH_IP6:
            self.ip6(frame.sent, data)
        elif kind != ETH_ARP:
            raise Odd(f'ethertype {kind:#06x}')

    def ip(self, sent, data):
        size, part = struct.unpack_from('!H2xH', data, 2)
        if part & 0x3fff:
            raise Odd('a fragment')
        if data[9] != IGMP:
            peer = data[16:20] if sent else data[12:16]
            self.transport(sent, ipaddress.ip_address(peer), data[9],
                           data[(data[0] & 15) * 4:size])

    def ip6(self, sent, data):
        size, = struct.unpack_from('!H', data, 4)
        peer = data[24:40] if sent else data[8:24]
        following, data = data[6], data[40:40 + size]
        if following == HOP_BY_HOP:
            following, data = data[0], data[8 + 8 * data[1]:]
        if following != ICMP6 or not any(data[0] in some for some in NEIGHBOURS):
            self.transport(sent, ipaddress.ip_address(peer), following, data)

    def transport(self, sent, peer, protocol, data):
        if protocol not in (TCP, UDP):
            raise Odd(f'protocol {protocol}, type {data[0]}, {"to" if sent else "from"} {peer}')
        source, target = struct.unpack_from('!HH', data)
        ours, theirs = (source, target) if sent else (target, source)
        if protocol == TCP:
            self.segment(sent, ours, str(peer), theirs, data)
        elif theirs != 53:
            raise Odd(f'UDP {"to" if sent else "from"} {peer}, port {theirs}')
        elif sent:
            self.queries.add(nameserver.name_and_end(data[8:])[0])

    def segment(self, sent, ours, peer, theirs, data):
        sequence, flags = struct.unpack_from('!I5xB', data, 4)
        flow = self.current.get((ours, peer, theirs))
        if not flow or flags & (SYN | ACK) == SYN and flow[2].first != sequence + 1 & 0xffffffff:
            flow = self.current[ours, peer, theirs] = peer, theirs, Flow(), Flow()
            self.flows.append(flow)
        flow[2 if sent else 3].add(sequence, flags, data[(data[12] >> 4) * 4:])

    # --- the verdict -------------------------------------------------------

    def leaks(self, prescribed=(), registry=(), secrets=()):
        """A sorted list of what the rules do not prescribe. `prescribed`: (address, port) -> name
        in the ClientHello. `registry`: hosts that no DNS server must be asked for. `secrets`: bytes
        that must not be seen, whatever they are part of."""
        found = set(self.odd)
        found |= {f'a DNS query for {name}' for name in self.queries
                  for host in registry if f'.{host}.' in f'.{name}.'}
        for address, port, *flows in self.flows:
            where = f'{address}, port {port}'
            name = dict(prescribed).get((address, port))
            if not name:
                found.add(f'TCP to {where}')
            try:
                streams = [flow.bytes() for flow in flows]
                found |= {f'in the clear: {secret!r}' for secret in secrets
                          if any(secret in stream for stream in streams)}
                for stream in streams if name else ():
                    check_records(stream)
                if name and streams[0] and hello_name(streams[0]) != name:
                    raise Odd(f'a ClientHello for {hello_name(streams[0])}')
            except Odd as error:
                found.add(f'{error}, with {where}')
        found |= {f'in the clear: {secret!r}' for secret in secrets
                  if any(secret in data for data in self.raw)}
        return sorted(found)

    def connections(self):
        """How many there were in which the program sent something."""
        return sum(bool(sent.segments) for *_, sent, _ in self.flows)

    def reaches_nothing(self):
        """Whether there is nothing but DNS and attempts at addresses that lead nowhere."""
        return not self.odd and all(
            any(ipaddress.ip_address(address) in some for some in UNROUTABLE)
            and not sent.segments and not got.segments
            for address, _, sent, got in self.flows)


def check_records(stream):
    """A stream consists of TLS records (RFC 8446, 5.1); the last one may be cut off."""
    at = 0
    while at < len(stream):
        head = stream[at:at + 5]
        kind, size = head[0], int.from_bytes(head[3:], 'big')
        if not 20 <= kind <= 23 or head[1:2] not in (b'', b'\3') or size > MAX_RECORD:
            raise Odd(f'no TLS record: {stream[at:at + 40]!r}')
        at += 5 + size


def hello_name(stream):
    """The server_name of the ClientHello that a stream begins with, or None."""
    try:
        if stream[0] != 22 or stream[5] != 1:
            raise Odd('no ClientHello')
        at = 5 + 4 + 2 + 32
        at += 1 + stream[at]
        at += 2 + int.from_bytes(stream[at:at + 2], 'big')
        at += 1 + stream[at]
        end = at + 2 + int.from_bytes(stream[at:at + 2], 'big')
        at += 2
        while at < end:
            kind, size = struct.unpack_from('!HH', stream, at)
            if kind == 0:
                return stream[at + 9:at + 4 + size].decode('latin-1')
            at += 4 + size
    except (IndexError, struct.error):
        raise Odd('a malformed ClientHello') from None
    return None
