# SPDX-License-Identifier: Apache-2.0
"""Start-up, allocators and other preloaded libraries (failure class 2.6), before and after ours in
LD_PRELOAD, each with the same program alone: the other library goes on doing what it does."""

import glob
import os
import subprocess
import time

import harness
import mesh
import origin

LIBRARIES = {
    'jemalloc': '/usr/lib/*/libjemalloc.so.2',
    'tcmalloc': '/usr/lib/*/libtcmalloc_minimal.so.4',
    'tcmalloc-debug': '/usr/lib/*/libtcmalloc_minimal_debug.so.4',
    'faketime': '/usr/lib/*/faketime/libfaketime.so.1',
    'faketimeMT': '/usr/lib/*/faketime/libfaketimeMT.so.1',
    'stdbuf': '/usr/libexec/coreutils/libstdbuf.so',
}
VARIABLES = {
    'jemalloc': {'MALLOC_CONF': 'abort_conf:true,junk:true'},
    # Clocks that stand still, the monotonic one too, and clocks that run five times as fast.
    'faketime': {'FAKETIME': time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(time.time() + 3600))},
    'faketimeMT': {'FAKETIME': '+1h x5'},
    'stdbuf': {'_STDBUF_O': '0', '_STDBUF_E': 'L'},
}
ORDERS = ('before', 'after')


def library(name):
    """The file of another library to preload."""
    found = sorted(glob.glob(LIBRARIES[name]))
    if not found:
        raise harness.Skip(f'{LIBRARIES[name]} is not installed (make deps)')
    return found[0]


def both(t, name, order):
    """LD_PRELOAD with both."""
    pair = [library(name), str(t.shim)]
    return ':'.join(pair if order == 'before' else pair[::-1])


def founding(t):
    if t.san:
        raise harness.Skip('the sanitizer has to be the first, and is an allocator itself')
    server = origin.Nginx(t)
    return server, t.rules(mesh.founding(server.port, t.pki.cert('ca'), match='''
        match = ( { uri = { regex = "/any(thing|one)?[^/]*"; }; } );'''))


CASES = [f'{name} {order}' for name in LIBRARIES for order in ORDERS]


@harness.test(timeout=60, cases=CASES)
def programs(t, case):
    """2.6: small C programs, python3, Node and bash with another preloaded library: what they do
    with it alone, they do with both, and all requests arrive."""
    name, order = case.split()
    preload = both(t, name, order)
    server, rules = founding(t)
    variables = VARIABLES.get(name, {})
    get = 'http://{}/anything?x=1'
    node = '''require('http').get(process.argv[1], { agent: false }, (r) => {
        r.pipe(process.stdout); });'''
    shell = '''exec 3<>/dev/tcp/${1%:*}/${1#*:}
        printf 'GET /anything?x=1 HTTP/1.0\\r\\nHost: webserver\\r\\n\\r\\n' >&3
        tail -n 1 <&3'''
    for argv in ([t.guest('modes'), 'write', '{host}', '{port}'],
                 [t.guest('forker'), '{host}', '{port}', origin.BODY],
                 [*harness.FETCH, get.format('{address}')],
                 [t.tool('node'), '-e', node, get.format('{address}')],
                 [t.tool('bash'), '-c', shell, 'bash', '{host}:{port}']):
        def run(host, port, env):
            address = host if port == 80 else f'{host}:{port}'
            words = [str(word).replace('{host}', host).replace('{port}', str(port))
                     .replace('{address}', address) for word in argv]
            return t.run(words, env={**variables, **env})

        alone = run('127.0.0.1', server.plain_port, {'LD_PRELOAD': library(name)})
        t.equal(alone.status, 0, f'status of {argv[0]} with {name} alone')
        seen = run('webserver', 80, {'LD_PRELOAD': preload, 'MESHSHIM_RULES': str(rules)})
        t.equal((seen.status, seen.out, seen.err), (alone.status, alone.out, alone.err),
                f'outcome of {argv[0]} with both')


@harness.test(timeout=60, cases=[f'{name} {order}' for name in ('jemalloc', 'tcmalloc')
                                 for order in ORDERS])
def storm(t, case):
    """2.6: forks, signals and requests at once with an allocator that has locks of its own."""
    name, order = case.split()
    preload = both(t, name, order)
    _, rules = founding(t)
    out = t.succeed([t.guest('storm'), 2, 'webserver', 80, origin.BODY],
                    env={'LD_PRELOAD': preload, 'MESHSHIM_RULES': str(rules)})
    t.equal(out, 'survived\n', 'stdout')


@harness.test(cases=ORDERS)
def fake_time(t, order):
    """2.6: the program's time is another; certificates are judged by it, as by the program's own
    TLS, and time-outs are not."""
    preload = both(t, 'faketime', order)
    server, rules = founding(t)
    script = '''
import sys, time, urllib.error, urllib.request
print(time.strftime('%Y', time.gmtime()))
try:
    print(urllib.request.urlopen('http://webserver/anything?x=1', timeout=20).status)
except urllib.error.HTTPError as error:
    print(error.code, 'certificate' in error.read().decode())
'''
    env = {'LD_PRELOAD': preload, 'MESHSHIM_RULES': str(rules),
           'FAKETIME_DONT_FAKE_MONOTONIC': '1'}
    out = t.succeed([harness.PYTHON, '-c', script], env={**env, 'FAKETIME': '+0d'})
    t.equal(out.split()[1:], ['200'], 'today')
    out = t.succeed([harness.PYTHON, '-c', script], env={**env, 'FAKETIME': '2001-02-03 04:05:06'})
    t.equal(out.split(), ['2001', '503', 'True'], 'before the certificates were made')


@harness.test(cases=ORDERS)
def unbuffered(t, order):
    """2.6: stdbuf -o0, whose library works in its constructor: the first half of a line is there
    before the program ends."""
    preload = both(t, 'stdbuf', order)
    server, rules = founding(t)
    program = compiled(t, 'half', '''
#include "tests/preload/guest.h"
int main(int argc, char **argv)
{
	expect(argv[1], argv[2], "/anything?x=1", argv[3]);
	printf("half");
	(void)argc;
	_exit(0);
}''')
    for env, wanted in (({'_STDBUF_O': '0'}, 'half'), ({}, '')):
        out = t.succeed([program, 'webserver', 80, origin.BODY],
                        env={'LD_PRELOAD': preload, 'MESHSHIM_RULES': str(rules), **env})
        t.equal(out, wanted, 'stdout')
    server.only_requests(2)


# --- AddressSanitizer ---------------------------------------------------------

def compiled(t, name, source, *flags, compiler=None):
    path = t.file(f'{name}.c', source)
    subprocess.run([compiler or os.environ.get('CC', 'gcc').split()[0], path, f'-I{t.root}',
                    '-D_GNU_SOURCE', '-pthread', '-g', *flags, '-o', t.dir / name], check=True,
                   cwd=t.dir)
    return t.dir / name


def runtime(t):
    """GCC's shared one."""
    path = subprocess.run(['gcc', '-print-file-name=libasan.so'], check=True, capture_output=True,
                          text=True).stdout.strip()
    if '/' not in path:
        raise harness.Skip('gcc has no libasan.so')
    return path


USE = '''
#include "tests/preload/guest.h"
#include <pthread.h>
#include <sys/wait.h>
static char **v;
static void *get(void *arg)
{
	expect(v[1], v[2], "/anything?x=1", v[3]);
	return arg;
}
int main(int argc, char **argv)
{
	pthread_t threads[4];
	char *volatile data = malloc(8);
	v = argv;
	get(NULL);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, get, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(get(NULL) != NULL);
	int status;
	if (waitpid(pid, &status, 0) != pid || status != 0)
		die("the child ended with %x", status);
	closefrom(3);
	get(NULL);
	if (argc > 4)
		data[8] = 1;
	free(data);
	puts("done");
	return 0;
}
'''
OPTIONS = {'static runtime': ('gcc', ['-fsanitize=address,undefined', '-static-libasan']),
           'shared runtime': ('gcc', ['-fsanitize=address,undefined']),
           'clang': ('clang', ['-fsanitize=address,undefined'])}


@harness.test(timeout=60, cases=OPTIONS)
def program_with_asan(t, which):
    """2.6: a program built with ASan and UBSan: no report because of us, leaks included, and its
    own bug is still found. GCC's shared runtime has to be named before us, as before any other."""
    server, rules = founding(t)
    compiler, flags = OPTIONS[which]
    try:
        program = compiled(t, 'use', USE, *flags, compiler=t.tool(compiler))
    except (harness.Failure, subprocess.CalledProcessError):
        raise harness.Skip(f'{compiler} cannot build with {" ".join(flags)}') from None
    preload = [runtime(t)] if which == 'shared runtime' else []
    env = {'LD_PRELOAD': ':'.join([*preload, str(t.shim)]), 'MESHSHIM_RULES': str(rules)}
    alone = t.succeed([program, '127.0.0.1', server.plain_port, origin.BODY])
    t.equal(alone, 'done\n', 'without the library')
    t.equal(t.succeed([program, 'webserver', 80, origin.BODY], env=env), alone, 'stdout')
    child = t.start([program, 'webserver', 80, origin.BODY, 'bug'], env=env,
                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    report = child.communicate()[1].decode()
    t.check(child.returncode != 0, 'the bug went unnoticed')
    t.contains(report, 'heap-buffer-overflow', 'the report of its own bug')
    if which == 'shared runtime':
        t.contains(t.run([program], preload=True).err, 'ASan runtime does not come first',
                   'what the runtime says to a library in front of it')


@harness.test(timeout=60)
def asan_preloaded(t):
    """2.6: libasan in front of us in programs that were not built with it."""
    server, rules = founding(t)
    env = {'LD_PRELOAD': f'{runtime(t)}:{t.shim}', 'MESHSHIM_RULES': str(rules),
           'ASAN_OPTIONS': 'detect_leaks=0'}
    for argv in ([t.guest('modes'), 'write', 'webserver', 80],
                 [t.guest('forker'), 'webserver', 80, origin.BODY],
                 [*harness.FETCH, 'http://webserver/anything?x=1'],
                 [t.guest('closer'), 'closefrom', 'webserver', 80, origin.BODY]):
        t.succeed(argv, env=env)
    server.only_requests(1 + 7 + 1 + 3)
