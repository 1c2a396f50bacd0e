# SPDX-License-Identifier: Apache-2.0
"""Linux namespaces for tests, as root or, without it, below a user namespace of the test's own."""

import ctypes
import os

import harness

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000

libc = ctypes.CDLL(None, use_errno=True)


def call(function, *arguments):
    """A system call of libc that gives 0 or sets errno."""
    if getattr(libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def unshare(flags):
    """Give this process, which must not have threads yet, and those that it starts later namespaces
    of their own."""
    ids = os.getuid(), os.getgid()
    try:
        call('unshare', flags)
    except OSError:
        try:
            call('unshare', CLONE_NEWUSER | flags)
        except OSError as error:
            raise harness.Skip(f'no namespaces can be made here: {error.strerror}') from None
        for name, text in (('setgroups', 'deny'), ('uid_map', f'0 {ids[0]} 1'),
                           ('gid_map', f'0 {ids[1]} 1')):
            with open(f'/proc/self/{name}', 'w') as file:
                file.write(text)


def cover(path, with_file):
    """Put a file in another one's place, for those in our mount namespace."""
    call('mount', os.fsencode(with_file), os.fsencode(os.path.realpath(path)), None, MS_BIND, None)


def keep_mounts():
    """What is mounted from now on is seen in our mount namespace only."""
    call('mount', None, b'/', None, MS_REC | MS_PRIVATE, None)
