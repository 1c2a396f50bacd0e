# SPDX-License-Identifier: Apache-2.0
"""What goes over the cable of network.py: every frame, by a packet socket at the world's end.

The kernel writes the frames to a ring that is large enough for one program; it is read when the
program has ended. So nothing has to keep up, and if frames were dropped all the same, that is
known. Where it has to be read to is shown by frames of our own, which are sent on every processor,
as each has a queue of its own for what goes through a cable.
"""

import mmap
import os
import select
import socket
import struct

import harness
import network

SOL_PACKET, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, TPACKET_V2 = 263, 5, 6, 10, 1
PACKET_OUTGOING, ETH_P_ALL = 4, 3
TP_STATUS_KERNEL, TP_STATUS_USER = 0, 1
BLOCK, SLOT = 1 << 20, 2048             # network.py keeps frames to what fits into a slot
PACKET_HEADER = 32                      # struct tpacket2_hdr; a struct sockaddr_ll follows
MARK = struct.pack('!6s6sH', b'\xff' * 6, b'\x02' + b'\0' * 5, 0x88b5) + b'mark'


class Frame:
    """`sent`: by the program, else by the world. `data` begins with the Ethernet header."""

    def __init__(self, sent, data, whole):
        self.sent, self.data, self.whole = sent, data, whole


class Recorder:
    def __init__(self, t, net, megabytes=64):
        blocks = megabytes * (1 << 20) // BLOCK
        self.n_slots, self.next, self.marks = blocks * (BLOCK // SLOT), 0, 0
        with net.world:
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        t.defer(self.socket.close)
        self.socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        self.socket.setsockopt(SOL_PACKET, PACKET_RX_RING,
                               struct.pack('4I', BLOCK, blocks, SLOT, self.n_slots))
        self.ring = mmap.mmap(self.socket.fileno(), blocks * BLOCK)
        self.socket.bind((network.WORLD_DEVICE, ETH_P_ALL))
        self.sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        t.defer(self.sender.close)
        self.sender.bind((network.DEVICE, 0))

    def take(self):
        """The frames since the last time."""
        marks, frames = self.mark(), []
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        while marks:
            frame = self.read()
            if not frame:
                self.check_losses()
                if not poll.poll(30000):
                    raise harness.Failure('the recorder does not see the end')
            elif frame.data[:len(MARK)] == MARK:
                marks.discard(frame.data[len(MARK):len(MARK) + 4])
            else:
                frames.append(frame)
        self.check_losses()
        return frames

    def mark(self):
        """What is sent from now on is behind these."""
        cpus, marks = os.sched_getaffinity(0), set()
        for cpu in cpus:
            os.sched_setaffinity(0, {cpu})
            self.marks += 1
            marks.add(struct.pack('!I', self.marks))
            self.sender.send(MARK + struct.pack('!I', self.marks))
        os.sched_setaffinity(0, cpus)
        return marks

    def check_losses(self):
        """A frame for which there was no room was dropped before it was seen."""
        _, drops = struct.unpack('2I', self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        if drops:
            raise harness.Failure(f'the recorder lost {drops} frames')

    def read(self):
        """The next frame, or None."""
        at = self.next * SLOT
        status, length, size, begin = struct.unpack_from('3IH', self.ring, at)
        if not status & TP_STATUS_USER:
            return None
        kind = self.ring[at + PACKET_HEADER + 10]
        data = self.ring[at + begin:at + begin + size]
        struct.pack_into('I', self.ring, at, TP_STATUS_KERNEL)
        self.next = (self.next + 1) % self.n_slots
        return Frame(kind != PACKET_OUTGOING, data, size == length)
