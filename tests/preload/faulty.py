# SPDX-License-Identifier: Apache-2.0
"""For programs that are put under faults: a client that says what it saw, and a balance of what the
bridge in this process holds."""

import ctypes
import gc
import http.client
import os
import socket
import time

HOST = 'webserver'


def connect():
    connection = http.client.HTTPConnection(HOST, 80, timeout=20)
    connection.connect()
    return connection


def ask(path, method='GET', body=None, connection=None):
    """One request. Returns (status, text), or (status, what was wrong, what came of the body), or
    (what was wrong,)."""
    connection = connection or connect()
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return (type(error).__name__,)
    try:
        return response.status, response.read().decode('latin-1')
    except http.client.IncompleteRead as error:
        connection.close()
        return response.status, 'IncompleteRead', error.partial.decode('latin-1')
    except OSError as error:
        connection.close()
        return response.status, type(error).__name__, None


def descriptors():
    """How many the bridge's thread has. They are not among the program's."""
    for task in os.listdir('/proc/self/task'):
        try:
            with open(f'/proc/self/task/{task}/comm') as name:
                if name.read() == 'meshshim\n':
                    return len(os.listdir(f'/proc/self/task/{task}/fd'))
        except OSError:
            continue
    raise RuntimeError('there is no bridge')


class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        'arena', 'ordblks', 'smblks', 'hblks', 'hblkhd', 'usmblks', 'fsmblks', 'uordblks',
        'fordblks', 'keepcost')]


MALLINFO = ctypes.CDLL(None).mallinfo2
MALLINFO.restype = Mallinfo


def memory():
    """How many bytes are allocated, in all arenas."""
    gc.collect()
    now = MALLINFO()
    return now.uordblks + now.hblkhd


def come_to_all():
    """Wait until the bridge has accepted whatever was connected before: it accepts in order, and
    says itself what it thinks of this."""
    with socket.create_connection((HOST, 80), timeout=20) as s:
        s.sendall(b'nonsense\r\n\r\n')
        while s.recv(4096):
            pass


def excess(measure, limit):
    """By how much something exceeds its limit in the end: the bridge takes its time."""
    deadline = time.monotonic() + 10
    while (more := measure() - limit) > 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    return max(more, 0)


def least(measure):
    """The smallest of some looks: what is being taken down counts no more."""
    looks = []
    for _ in range(20):
        looks.append(measure())
        time.sleep(0.001)
    return min(looks)


def balance(step, rounds, slack=2048):
    """Take `step` often. Says whether the bridge holds as much behind it as before: the first two
    rounds are for tables and caches, which fill."""
    come_to_all()
    time.sleep(0.2)  # until it has closed that too
    number = descriptors()
    for n in (1, 1, rounds):
        before = least(memory)
        for _ in range(n):
            step()
        come_to_all()
        if lost := excess(descriptors, number):
            return f'{lost} descriptors are lost in {n} rounds'
    if lost := excess(memory, before + slack):
        return f'{lost} bytes are lost in {rounds} rounds'
    return 'nothing is lost'
