# SPDX-License-Identifier: Apache-2.0
"""Which of CPython's tests are run, and how many of each have to pass for the comparison to be one.

The numbers are below what passes on Debian 12 in a container, without rights: fewer say that the
tests did not run, whatever the comparison says.
"""

PACKAGE = 'libpython3.11-testsuite'

# As in "python3 -m test -u cpu,subprocess": neither network nor urlfetch.
RESOURCES = ['cpu', 'subprocess']


class Module:
    def __init__(self, name, minimum, root=False, resources=()):
        self.name, self.minimum, self.root = name, minimum, root
        self.resources = [*RESOURCES, *resources]


# The long ones first, so that the last one does not run alone.
MODULES = [
    Module('test_subprocess', 280, root=True),
    Module('test_signal', 45),
    Module('test_socket', 540, root=True),
    Module('test_asyncio.test_tasks', 800),
    Module('test_imaplib', 90),
    Module('test_xmlrpc', 85),
    Module('test_ssl', 150),
    Module('test_asyncio.test_ssl', 20),
    Module('test_asyncio.test_subprocess', 110),
    Module('test_asyncio.test_events', 230),
    Module('test_selectors', 65),
    Module('test_ftplib', 90),
    Module('test_poll', 6),
    Module('test_poplib', 65),
    Module('test_asyncio.test_base_events', 1),
    Module('test_asyncio.test_buffered_proto', 1),
    Module('test_asyncio.test_context', 1),
    Module('test_asyncio.test_futures', 1),
    Module('test_asyncio.test_futures2', 1),
    Module('test_asyncio.test_locks', 1),
    Module('test_asyncio.test_pep492', 1),
    Module('test_asyncio.test_proactor_events', 1),
    Module('test_asyncio.test_protocols', 1),
    Module('test_asyncio.test_queues', 1),
    Module('test_asyncio.test_runners', 1),
    Module('test_asyncio.test_selector_events', 1),
    Module('test_asyncio.test_sendfile', 55),
    Module('test_asyncio.test_server', 1),
    Module('test_asyncio.test_sock_lowlevel', 1),
    Module('test_asyncio.test_sslproto', 1),
    Module('test_asyncio.test_streams', 1),
    Module('test_asyncio.test_taskgroups', 1),
    Module('test_asyncio.test_threads', 1),
    Module('test_asyncio.test_timeouts', 1),
    Module('test_asyncio.test_transports', 1),
    Module('test_asyncio.test_unix_events', 110),
    Module('test_asyncio.test_waitfor', 1),
    Module('test_eintr', 1),
    Module('test_threadsignals', 5),
    Module('test_fork1', 4),
    Module('test_os', 250, root=True),
    Module('test_posix', 120, root=True),
    Module('test_httplib', 110),
    Module('test_httpservers', 55),
    Module('test_smtplib', 80),
    Module('test_asyncore', 90),
    Module('test_select', 6),
    Module('test_epoll', 10),
    Module('test_urllib', 100),
    Module('test_urllib2', 70),
    Module('test_urllib2_localnet', 20),
    Module('test_urllib_response', 4),
    Module('test_telnetlib', 18),
    Module('test_nntplib', 65),
    # All of it is on loopback; it asks for the network all the same.
    Module('test_socketserver', 1, root=True, resources=['network']),
]

# Not listed above: test_smtpnet, test_urllibnet and test_urllib2net, which are about servers of the
# internet, and test_asyncio.test_windows_*, which are about Windows.

WITHOUT = {
    'test.test_socket.ThreadedVSOCKSocketStreamTest.testStream':
        'waits for ever, with the library and without, where the kernel has AF_VSOCK and no host '
        'that listens; and the library leaves everything but IP alone',
}
