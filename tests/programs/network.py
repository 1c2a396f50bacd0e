# SPDX-License-Identifier: Apache-2.0
"""A network for the leak test: two network namespaces and a cable between them.

    the program's                                        the world's
    lo, p0 192.0.2.2, 2001:db8:1::2   <---- veth ---->   w0 192.0.2.1, 2001:db8:1::1
    default routes to the other side                     any address, but for 240.240.0.0/16

The test's process is in the program's namespace, and so is all that it starts. What listens in the
world has sockets that were made in `with network.world`. There, packets to any address arrive: what
leaks finds a listener. /etc/resolv.conf and /etc/nsswitch.conf are private and name the world's DNS
server.
"""

import os
import subprocess

import harness
import matrix
import namespace

WORLD, WORLD6 = '192.0.2.1', '2001:db8:1::1'
DEVICE, WORLD_DEVICE = 'p0', 'w0'


class Namespace:
    """A network namespace that the calling thread is in for the time of a `with`."""

    def __init__(self):
        self.fd = os.open('/proc/thread-self/ns/net', os.O_RDONLY | os.O_CLOEXEC)

    def enter(self):
        namespace.call('setns', self.fd, namespace.CLONE_NEWNET)

    def __enter__(self):
        self.outside = Namespace()
        self.enter()

    def __exit__(self, *_):
        self.outside.enter()
        os.close(self.outside.fd)


class Network:
    def __init__(self, t):
        self.tool = matrix.installed('ip')
        namespace.unshare(namespace.CLONE_NEWNET | namespace.CLONE_NEWNS)
        self.world = Namespace()
        namespace.call('unshare', namespace.CLONE_NEWNET)
        self.connect()
        with self.world:
            self.prepare_world()
        self.prepare_files(t)

    def ip(self, *words, **options):
        subprocess.run([self.tool, *words], check=True, stdout=subprocess.DEVNULL, **options)

    def connect(self):
        """No link-local addresses: they come with chatter and delays."""
        try:
            self.ip('link', 'add', DEVICE, 'type', 'veth', 'peer', 'name', WORLD_DEVICE, 'netns',
                    f'/proc/self/fd/{self.world.fd}', pass_fds=[self.world.fd])
        except subprocess.CalledProcessError as error:
            raise harness.Skip(f'no veth pair can be made here: {error}') from None
        with self.world:
            self.bring_up(WORLD_DEVICE, WORLD, WORLD6)
        self.bring_up(DEVICE, '192.0.2.2', '2001:db8:1::2')
        self.ip('route', 'add', 'default', 'via', WORLD)
        self.ip('-6', 'route', 'add', 'default', 'via', WORLD6)

    def bring_up(self, device, address, address6):
        """No segment is larger on the cable than elsewhere."""
        self.ip('link', 'set', 'lo', 'up')
        self.ip('link', 'set', device, 'addrgenmode', 'none', 'gso_max_segs', '1')
        self.ip('addr', 'add', f'{address}/24', 'dev', device)
        self.ip('addr', 'add', f'{address6}/64', 'dev', device, 'nodad')
        self.ip('link', 'set', device, 'up')

    def prepare_world(self):
        self.ip('route', 'add', 'local', 'default', 'dev', 'lo', 'table', 'main')
        self.ip('-6', 'route', 'add', 'local', 'default', 'dev', 'lo', 'table', 'main')
        self.ip('route', 'add', 'blackhole', '240.240.0.0/16')

    def add_address(self, address):
        """One of the world's that something can listen on."""
        with self.world:
            self.ip('addr', 'add', f'{address}/{128 if ":" in address else 32}', 'dev', 'lo',
                    *(['nodad'] if ':' in address else []))

    def prepare_files(self, t):
        namespace.keep_mounts()
        for path, text in (('/etc/resolv.conf', f'nameserver {WORLD}\nsearch corp.test\n'),
                           ('/etc/nsswitch.conf', 'hosts: files dns\n')):
            if not os.path.exists(path):
                raise harness.Skip(f'there is no {path}')
            namespace.cover(path, t.file(os.path.basename(path), text))
