# SPDX-License-Identifier: Apache-2.0
"""Every way to make a connection, and datagrams. Whether one works is not the question here, but
what goes over the wire: python_ways.py HOST PORT [DEVICE]"""
import ctypes
import errno
import os
import select
import socket
import struct
import sys
import threading

MSG_FASTOPEN, TCP_FASTOPEN_CONNECT = 0x20000000, 30
SYS_CONNECT = {'x86_64': 42, 'i386': 362, 'i686': 362}.get(os.uname().machine, 203)
libc = ctypes.CDLL(None, use_errno=True)

host, port, device = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
request = f'GET /text HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n'.encode()


def new(family, kind=socket.SOCK_STREAM):
    s = socket.socket(family, kind)
    s.settimeout(30)
    return s


def receive(s):
    with s:
        return s.makefile('rb').readline().decode().strip()


def ask(s):
    s.sendall(request)
    return receive(s)


def blocking(family, to, *options):
    s = new(family)
    for option in options:
        s.setsockopt(*option)
    s.connect(to)
    return ask(s)


def nonblocking(family, to):
    s = new(family)
    s.setblocking(False)
    code = s.connect_ex(to)
    if code == errno.EINPROGRESS:
        select.select([], [s], [], 30)
        code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    s.settimeout(30)
    return os.strerror(code) if code else ask(s)


def again(family, to):
    """Whatever the first attempt gave, there is a second one."""
    s = new(family)
    s.connect_ex(to)
    s.connect_ex(to)
    return ask(s)


def fastopen(family, to, how):
    s = new(family)
    s.settimeout(None)
    if how == 'sendto':
        s.sendto(request, MSG_FASTOPEN, to)
    else:
        s.sendmsg([request], [], MSG_FASTOPEN, to)
    return receive(s)


def raw_address(family, to):
    if family == socket.AF_INET:
        rest = struct.pack('!H4s8x', to[1], socket.inet_aton(to[0]))
    else:
        rest = struct.pack('!H4x16s4x', to[1], socket.inet_pton(family, to[0]))
    return struct.pack('=H', family) + rest


def by_number(family, to):
    s, address = new(family), raw_address(family, to)
    s.settimeout(None)
    if libc.syscall(SYS_CONNECT, s.fileno(), address, len(address)) < 0:
        return os.strerror(ctypes.get_errno())
    return ask(s)


def in_a_thread(family, to):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(attempt(blocking, family, to)))
    thread.start()
    thread.join()
    return answers[0]


def in_a_child(family, to):
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, attempt(blocking, family, to).encode())
        os._exit(0)
    os.wait()
    return os.read(read, 1000).decode()


def datagram(family, to, connected):
    s = new(family, socket.SOCK_DGRAM)
    if connected:
        s.connect(to)
        s.send(request)
    else:
        s.sendto(request, to)
    return 'sent'


def attempt(way, *arguments):
    try:
        return way(*arguments)
    except OSError as error:
        return error.strerror or str(error)


WAYS = [('connect', blocking), ('twice', again), ('non-blocking', nonblocking),
        ('fast open', blocking, (socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)),
        ('sendto, fast open', fastopen, 'sendto'), ('sendmsg, fast open', fastopen, 'sendmsg'),
        ('syscall', by_number), ('thread', in_a_thread), ('child', in_a_child)]
for name in device:
    bind = socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode()
    WAYS.append(('bound to a device', blocking, bind))

targets = []
for asked in (socket.AF_UNSPEC, socket.AF_INET6):
    for family, _, _, _, address in socket.getaddrinfo(host, port, asked, socket.SOCK_STREAM):
        targets.append((family, address[0]))
        if family == socket.AF_INET:
            targets.append((socket.AF_INET6, '::ffff:' + address[0]))
for family, address in dict.fromkeys(targets):
    for name, way, *more in WAYS:
        print(address, name, attempt(way, family, (address, port), *more), flush=True)
    if host == 'webserver':
        for connected in (False, True):
            print(address, 'datagram', attempt(datagram, family, (address, 443), connected))
