# SPDX-License-Identifier: Apache-2.0
"""What goes past a preloaded library fails, and leaks nothing (2.1 and 2.7 in README.md); and who
is not this process does not get in (promise 8)."""

import errno
import re

import harness
import mesh
import nameserver
import origin
from test_closed import traced
from test_wrapper import compile_c

MODULE = r'''
#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>
int dial(const char *host, const char *port)
{
    struct addrinfo *to, hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    int error = getaddrinfo(host, port, &hints, &to);
    if (error)
        return error;
    if (connect(socket(AF_INET, SOCK_STREAM, 0), to->ai_addr, to->ai_addrlen) == 0)
        return 0;
    return errno;
}
'''


def founding(t):
    server = origin.Nginx(t)
    return server, t.rules(mesh.founding(server.port, t.pki.cert('ca')))


@harness.test()
def bare_connect(t):
    """The system call instruction: the address of a mesh host leads nowhere."""
    nameserver.isolate()
    server, rules = founding(t)
    out = t.succeed([t.guest('guest_bypass'), 'raw', 'webserver', 80], rules=rules)
    if out.startswith('skip: '):
        raise harness.Skip(out[6:].strip())
    t.equal(out, 'ENETUNREACH\n', 'connect')
    server.only_requests(0)


# The same through a table, whose functions the loader fills in like data.
TABLE = MODULE.replace('connect(', 'table.open(').replace('getaddrinfo(', 'table.find(').replace(
    'int dial', '''static struct {
    int (*open)(int, const struct sockaddr *, socklen_t);
    int (*find)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
} table = {connect, getaddrinfo};
int dial''', 1)

# What some module brings along.
OWN = 'int connect(int fd, const void *to, unsigned len) { return -1; }'


def deepbound(t, source, *flags, host='webserver'):
    """What became of a connection that a module makes which is loaded with RTLD_DEEPBIND."""
    if t.sanitizer():
        raise harness.Skip('AddressSanitizer refuses RTLD_DEEPBIND')
    nameserver.isolate()
    server, rules = founding(t)
    module = compile_c(t, 'module.so', source, '-shared', '-fPIC', *flags)
    out = t.succeed([t.guest('guest_bypass'), module, host, 80], rules=rules)
    server.only_requests(0)
    return int(out)


@harness.test(cases=['now', 'lazy', 'norelro'])
def deepbound_module(t, case):
    """A module that is loaded with RTLD_DEEPBIND, as PHP loads its extensions, finds libc before any
    preloaded library. It is brought to the mesh all the same (preload-lessons 2.1)."""
    t.equal(deepbound(t, MODULE, f'-Wl,-z,{case}'), 0, 'the connection')


@harness.test()
def deepbound_table(t):
    """... and what it has the addresses of."""
    t.equal(deepbound(t, TABLE), 0, 'the connection')


@harness.test()
def deepbound_library(t):
    """... and the libraries that come with it, as libcurl comes with an extension of PHP."""
    compile_c(t, 'libdial.so', MODULE.replace('int dial', 'int dial_there'), '-shared', '-fPIC')
    use = 'int dial_there(); int dial(char *host, char *port) { return dial_there(host, port); }'
    flags = f'-L{t.dir}', '-ldial', f'-Wl,-rpath,{t.dir}'
    t.equal(deepbound(t, use, *flags), 0, 'the connection')


@harness.test(cases=['now', 'lazy'])
def deepbound_of_its_own(t, case):
    """What it is loaded with RTLD_DEEPBIND for: the functions of its own libraries come first."""
    compile_c(t, 'libown.so', OWN, '-shared', '-fPIC')
    source = MODULE.replace('int error', 'errno = EXDEV; int error')
    flags = f'-L{t.dir}', '-lown', f'-Wl,-rpath,{t.dir}', f'-Wl,-z,{case}'
    t.equal(deepbound(t, source, *flags, host='127.0.0.1'), errno.EXDEV, 'the connection')


@harness.test(cases=['lazy', 'deep'])
def dlopen_by_name(t, case):
    """The loader looks for a library where its caller says (DT_RUNPATH), and must not take us for
    that."""
    if t.sanitizer():
        raise harness.Skip('the sanitizer has a dlopen(3) of its own')
    (t.dir / 'lib').mkdir()
    compile_c(t, 'lib/libthere.so', 'int there = 1;', '-shared', '-fPIC')
    flag = 'RTLD_LAZY' + (' | RTLD_DEEPBIND' if case == 'deep' else '')
    program = compile_c(t, 'opener', f'''
        #include <dlfcn.h>
        #include <stdio.h>
        int main(void)
        {{
            puts(dlopen("libthere.so", {flag}) ? "found" : dlerror());
            puts(dlopen("$ORIGIN/lib/libthere.so", {flag}) ? "found" : dlerror());
            puts(dlopen("/none/none.so", {flag}) ? "found" : dlerror());
        }}''', '-Wl,--enable-new-dtags,-rpath,' + str(t.dir / 'lib'))
    _, rules = founding(t)
    outputs = [t.succeed([program], rules=given) for given in (None, rules)]
    t.equal(outputs[1], outputs[0], 'what dlopen(3) says under the library')
    t.equal(outputs[0].split('\n')[:2], ['found', 'found'], 'what it says without')


STRANGER = r'''if 1:
    import os, re, socket, subprocess, sys, urllib.request
    print(urllib.request.urlopen('http://webserver/anything?x=1').read().decode().strip())
    # The doors: what this process listens on, though it never asked for that.
    # (No descriptor of it is the program's, so the bridge's table is looked into.)
    ports = set()
    for task in os.listdir('/proc/self/task'):
        inodes = set()
        try:
            for fd in os.listdir(f'/proc/self/task/{task}/fd'):
                link = os.readlink(f'/proc/self/task/{task}/fd/{fd}')
                inodes.update(re.findall(r'socket:\[(\d+)\]', link))
        except OSError:
            continue
        for line in open('/proc/self/net/tcp').readlines()[1:]:
            field = line.split()
            if field[3] == '0A' and field[9] in inodes:
                ports.add(int(field[1].split(':')[1], 16))
    print(len(ports), flush=True)
    code = """if 1:
        import socket, sys
        for port in sys.argv[1:]:
            with socket.create_connection(('127.0.0.1', int(port)), timeout=20) as s:
                try:
                    s.sendall(b'GET /stolen HTTP/1.1\\r\\nHost: webserver\\r\\n\\r\\n')
                    print(s.recv(100))
                except ConnectionError as error:
                    print(type(error).__name__)"""
    env = {name: value for name, value in os.environ.items() if 'MESHSHIM' not in name}
    del env['LD_PRELOAD']
    subprocess.run([sys.executable, '-c', code, *map(str, ports)], env=env, check=True)
'''


@harness.test()
def strangers(t):
    """Another process that finds the door is shown out, unread and unanswered."""
    server, rules = founding(t)
    out = t.succeed([harness.PYTHON, t.file('stranger.py', STRANGER)], rules=rules).splitlines()
    t.equal(out[:2], [origin.BODY, '1'], 'the request and the number of doors')
    t.check(out[2:] in (['ConnectionResetError'], ["b''"]), f'what a stranger gets: {out[2:]}')
    server.only_requests(1)


@harness.test()
def no_waiting_for_acknowledgements(t):
    """Both of the bridge's sockets send small writes at once (TCP_NODELAY)."""
    server, rules = founding(t)
    _, trace = traced(t, [t.guest('modes'), 'write', 'webserver', '80'],
                      'accept4,connect,setsockopt', rules)
    text = '\n'.join(trace)
    accepted = re.search(r'accept4\(.*\) = (\d+)', text)
    upstream = re.search(rf'connect\((\d+), .*htons\({server.port}\)', text)
    t.check(accepted and upstream, f'the two sockets:\n{text}')
    for found in (accepted, upstream):
        t.check(re.search(rf'setsockopt\({found[1]}, SOL_TCP, TCP_NODELAY, \[1\]', text),
                f'descriptor {found[1]}:\n{text}')


IMPOSTOR = r'''if 1:
    import ctypes, errno, fcntl, socket, struct, sys, urllib.request
    print(urllib.request.urlopen('http://webserver/anything?x=1').read().decode().strip())
    address = socket.getaddrinfo('webserver', 80, socket.AF_INET)[0][4]
    here = socket.create_connection(address)
    local = ':%04X' % here.getsockname()[1]
    door, = [int(line.split()[2].split(':')[1], 16)
             for line in open('/proc/self/net/tcp') if line.split()[1].endswith(local)]
    if ctypes.CDLL(None).unshare(0x40000000) != 0:      # CLONE_NEWNET
        sys.exit('no second namespace')
    impostor = socket.create_server(('127.0.0.1', door))
    impostor.settimeout(0.2)
    fcntl.ioctl(impostor, 0x8914, struct.pack('16sH14x', b'lo', 1))     # SIOCSIFFLAGS, IFF_UP
    print(errno.errorcode.get(socket.socket().connect_ex(address)))
    dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    print(errno.errorcode.get(dns.connect_ex(('127.0.0.1', 53))))
    try:
        print(impostor.accept())
    except TimeoutError:
        print('nobody came')
    here.sendall(b'GET /anything?x=1 HTTP/1.1\r\nHost: webserver\r\nConnection: close\r\n\r\n')
    print(here.recv(15))
'''


@harness.test()
def another_network(t):
    """A thread that has gone to another network namespace, where somebody else listens on the door's
    port: refused, and what was connected before is served as ever."""
    nameserver.isolate()
    server, rules = founding(t)
    out = t.succeed([harness.PYTHON, '-c', IMPOSTOR], rules=rules)
    t.equal(out.splitlines(), [origin.BODY, 'ENETUNREACH', 'ENETUNREACH', 'nobody came',
                               "b'HTTP/1.1 200 OK'"], 'what the guest saw')
    server.only_requests(2)
