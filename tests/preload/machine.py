# SPDX-License-Identifier: Apache-2.0
"""A machine of a test's own, as far as names go: a network with nothing but loopback, where both
families have an address that counts for AI_ADDRCONFIG, and /etc/hosts, resolv.conf and nsswitch.conf
that only this test's process and its children see."""

import ctypes
import fcntl
import os
import socket
import struct

import harness
import nameserver

CLONE_NEWNS = 0x20000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
ADDRESS6 = '2001:db8::53'
FILES_ONLY = 'hosts: files\nservices: files\nprotocols: files\n'
LIBC = ctypes.CDLL(None, use_errno=True)


def mount(source, target, flags):
    if LIBC.mount(str(source).encode(), str(target).encode(), None, flags, None) != 0:
        raise harness.Skip(f'{target} cannot be mounted over: {os.strerror(ctypes.get_errno())}')


class Machine:
    """Made once in a test. Files may be written again at any time."""

    def __init__(self, t, **files):
        nameserver.isolate()
        self.give_address6()
        if LIBC.unshare(CLONE_NEWNS) != 0:
            raise harness.Skip('no mount namespace can be made here: '
                               + os.strerror(ctypes.get_errno()))
        mount('none', '/', MS_REC | MS_PRIVATE)
        self.t = t
        for name, text in {'hosts': '', 'resolv.conf': '', 'nsswitch.conf': FILES_ONLY,
                           **files}.items():
            self.write(name, text)
            mount(t.dir / name, f'/etc/{name}', MS_BIND)

    def write(self, name, text):
        (self.t.dir / name).write_text(text)

    def give_address6(self):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
            try:
                fcntl.ioctl(control, nameserver.SIOCSIFADDR,
                            struct.pack('16sIi', socket.inet_pton(socket.AF_INET6, ADDRESS6), 128,
                                        socket.if_nametoindex('lo')))
            except OSError as error:
                raise harness.Skip(f'no IPv6 here: {error}')
