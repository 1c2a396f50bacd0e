# SPDX-License-Identifier: Apache-2.0
"""Which of CPython's tests are run, and how many of each have to pass for the comparison to be one.

The numbers are nine tenths of what passes on Debian 12 as the user nobody: fewer say that the tests
did not run, whatever the comparison says.
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
    Module('test_subprocess', 267, root=True),
    Module('test_signal', 46),
    Module('test_socket', 547, root=True),
    Module('test_asyncio.test_tasks', 821),
    Module('test_imaplib', 86),
    Module('test_xmlrpc', 84),
    Module('test_ssl', 153),
    Module('test_logging', 193),
    Module('test_threading', 171),
    Module('test_asyncio.test_ssl', 20),
    Module('test_asyncio.test_subprocess', 108),
    Module('test_asyncio.test_events', 228),
    Module('test_selectors', 67),
    Module('test_ftplib', 86),
    Module('test_poll', 7),
    Module('test_poplib', 64),
    Module('test_asyncio.test_base_events', 99),
    Module('test_asyncio.test_buffered_proto', 1),
    Module('test_asyncio.test_context', 1),
    Module('test_asyncio.test_futures', 140),
    Module('test_asyncio.test_futures2', 3),
    Module('test_asyncio.test_locks', 63),
    Module('test_asyncio.test_pep492', 9),
    Module('test_asyncio.test_proactor_events', 69),
    Module('test_asyncio.test_protocols', 5),
    Module('test_asyncio.test_queues', 40),
    Module('test_asyncio.test_runners', 24),
    Module('test_asyncio.test_selector_events', 99),
    Module('test_asyncio.test_sendfile', 54),
    Module('test_asyncio.test_server', 2),
    Module('test_asyncio.test_sock_lowlevel', 36),
    Module('test_asyncio.test_sslproto', 21),
    Module('test_asyncio.test_streams', 58),
    Module('test_asyncio.test_taskgroups', 27),
    Module('test_asyncio.test_threads', 6),
    Module('test_asyncio.test_timeouts', 20),
    Module('test_asyncio.test_transports', 7),
    Module('test_asyncio.test_unix_events', 108),
    Module('test_asyncio.test_waitfor', 14),
    Module('test_eintr', 1),
    Module('test_threadsignals', 6),
    Module('test_fork1', 4),
    Module('test_os', 239, root=True),
    Module('test_posix', 118, root=True),
    Module('test_httplib', 104),
    Module('test_httpservers', 65),
    Module('test_smtplib', 74),
    Module('test_asyncore', 84),
    Module('test_select', 6),
    Module('test_epoll', 9),
    Module('test_urllib', 96),
    Module('test_urllib2', 66),
    Module('test_urllib2_localnet', 21),
    Module('test_urllib_response', 4),
    Module('test_telnetlib', 17),
    Module('test_smtpd', 137),
    Module('test_asynchat', 22),
    Module('test_docxmlrpc', 8),
    Module('test_wsgiref', 32),
    Module('test_robotparser', 54),
    Module('test_nntplib', 64),
    # All of it is on loopback; it asks for the network all the same.
    Module('test_socketserver', 25, root=True, resources=['network']),
]

# Not listed above: test_smtpnet, test_urllibnet and test_urllib2net, which are about servers of the
# internet, and test_asyncio.test_windows_*, which are about Windows.

WITHOUT = {
    'test.test_socket.ThreadedVSOCKSocketStreamTest.testStream':
        'waits for ever, with the library and without, where the kernel has AF_VSOCK and no host '
        'that listens; and the library leaves everything but IP alone',
}
