# SPDX-License-Identifier: Apache-2.0
"""Promise 3: a guest's manners. What a program does is what it does without the shim."""

import os
import signal
import socket
import subprocess

import harness
import mesh
import origin
from test_closed import traced


def founding(t):
    """An origin and its rules."""
    server = origin.Nginx(t)
    return server, t.rules(mesh.founding(server.port, t.pki.cert('ca')))


# --- a program that has nothing to do with the mesh -------------------------

@harness.test()
def ls_reads_no_rules(t):
    """The rules are a FIFO: whoever opens it waits for a writer that never comes."""
    fifo = t.dir / 'rules.cfg'
    os.mkfifo(fifo)
    out = t.succeed([t.tool('ls'), '/'], rules=fifo, timeout=20)
    t.equal(out, t.succeed([t.tool('ls'), '/']), 'stdout')


@harness.test()
def ls_starts_no_thread(t):
    """No thread, no rule file, no socket, no further file than without the shim."""
    if t.san:
        raise harness.Skip('the sanitizer opens files of its own')
    rules = t.rules(mesh.founding(1, t.pki.cert('ca')))
    calls = 'clone,clone3,open,openat,socket,pipe2,epoll_create1,eventfd2'
    out, trace = traced(t, [t.tool('ls'), '/'], calls, rules)
    t.check('meshshim' in ''.join(trace), 'the library was not loaded')
    for line in trace:
        t.check('open' in line, f'a system call that ls alone does not make: {line}')
        t.check('mesh.cfg' not in line, f'the rules were opened: {line}')
    alone, without = traced(t, [t.tool('ls'), '/'], calls)
    t.equal(out, alone, 'stdout')
    files = [{line.split('"')[1] for line in lines if '"' in line} for lines in (trace, without)]
    t.equal(files[0] - files[1], {str(t.shim)}, 'further files')


@harness.test()
def no_thread_before_the_mesh(t):
    server, rules = founding(t)
    t.succeed([t.guest('manners'), 'threads', 'webserver', 80, origin.BODY], rules=rules)
    server.only_requests(1)


@harness.test()
def inert(t):
    """Without MESHSHIM_RULES, and with MESHSHIM_DISABLE=1, nothing is done at all: even broken
    rules are not looked at."""
    server = origin.Nginx(t)
    for env in ({}, {'MESHSHIM_RULES': ''},
                {'MESHSHIM_RULES': str(t.dir / 'missing'), 'MESHSHIM_DISABLE': '1'}):
        out = t.succeed([*harness.FETCH, f'http://127.0.0.1:{server.plain_port}/'], preload=True,
                        env=env)
        t.equal(out, origin.BODY + '\n', 'stdout')
        script = '''
import os, socket
try:
    print(socket.getaddrinfo('240.240.1.1', 80, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST))
    print(socket.gethostbyname('localhost'), socket.getaddrinfo('127.0.0.1', 'http')[0][4])
except OSError as error:
    print(error)
print(os.listdir('/proc/self/task') == [str(os.getpid())], sorted(os.listdir('/proc/self/fd')))
'''
        with_shim = t.succeed([harness.PYTHON, '-c', script], preload=True, env=env)
        t.equal(with_shim, t.succeed([harness.PYTHON, '-c', script]), 'stdout')
    server.lines(3)


@harness.test()
def same_output_and_status(t):
    rules = t.rules(mesh.founding(1, t.pki.cert('ca')))
    for argv in ([t.tool('ls'), '/etc'], [t.tool('ls'), '/no/such/file'],
                 ['/bin/sh', '-c', 'echo out; echo err >&2; exit 3'],
                 ['/bin/sh', '-c', 'kill -TERM $$'],
                 [harness.PYTHON, '-c', 'import sys; print(sys.argv); sys.exit(7)', 'a b'],
                 [t.tool('node'), '-e', 'console.log(1); console.error(2); process.exit(5)'],
                 [t.tool('bash'), '-c', 'echo $(ls / | wc -l); (exit 9); echo $?']):
        a, b = t.run(argv, rules=rules), t.run(argv)
        t.equal((a.status, a.out, a.err), (b.status, b.out, b.err), f'outcome of {argv}')


# --- descriptors -------------------------------------------------------------

@harness.test(cases=['closefrom', 'close_range', 'close_range-cloexec', 'syscall', 'loop',
                     'syscall-loop', 'proc', 'dup2'])
def closes_everything(t, how):
    server, rules = founding(t)
    plain = t.run([t.guest('closer'), how, '127.0.0.1', server.plain_port, origin.BODY])
    t.equal((plain.status, plain.err), (0, ''), 'without the shim')
    out = t.succeed([t.guest('closer'), how, 'webserver', 80, origin.BODY], rules=rules)
    t.equal(out, plain.out, 'stdout')
    server.lines(6)


@harness.test()
def started_with_0_to_2_closed(t):
    server, rules = founding(t)
    command = f'exec {t.guest("manners")} closed webserver 80 "{origin.BODY}" <&- >&- 2>&-'
    result = t.run(['/bin/sh', '-c', command], rules=rules)
    t.equal(result.status, 0, 'exit status (10-12: already open, 20-22: taken, 30: not 0)')
    server.lines(2)


@harness.test()
def python_with_0_to_2_closed(t):
    server, rules = founding(t)
    script = ('import sys, urllib.request; open(sys.argv[1], "wb").write('
              'urllib.request.urlopen("http://webserver/anything?x=1", timeout=20).read())')
    t.file('script.py', script)
    result = t.run(['/bin/sh', '-c', f'exec {harness.PYTHON} script.py result <&- >&- 2>&-'],
                   rules=rules)
    t.equal(result.status, 0, 'exit status')
    t.equal((t.dir / 'result').read_text(), origin.BODY + '\n', 'what the program got')
    origin.check_founding(t, server.only_requests(1)[0])


@harness.test()
def descriptor_numbers(t):
    """The program's next descriptor is the one it expects; ours are close-on-exec."""
    server, rules = founding(t)
    t.succeed([t.guest('manners'), 'numbers', 'webserver', 80, origin.BODY], rules=rules)
    server.lines(1)


@harness.test()
def few_descriptors(t):
    """ulimit -n 16, from the start and later."""
    server, rules = founding(t)
    t.succeed([t.guest('manners'), 'limit', 'webserver', 80, origin.BODY], rules=rules)
    script = ('ulimit -n 16; for i in 1 2 3 4 5; do '
              f'{t.guest("manners")} limit webserver 80 "{origin.BODY}" || exit; done')
    t.succeed([t.tool('bash'), '-c', script], rules=rules)
    server.lines(180)


@harness.test()
def nothing_is_inherited(t):
    """A program that another one starts gets none of our descriptors."""
    server, rules = founding(t)
    script = '''
import os, subprocess, urllib.request
urllib.request.urlopen('http://webserver/anything?x=1', timeout=20).read()
print(subprocess.run(['ls', '/proc/self/fd'], close_fds=False, capture_output=True, text=True,
                     env={'PATH': os.environ['PATH']}).stdout.split())
'''
    out = t.succeed([harness.PYTHON, '-c', script], rules=rules)
    t.equal(out, "['0', '1', '2', '3']\n", 'open descriptors of a child (3 is the directory)')
    server.lines(1)


# --- processes, signals, errno ------------------------------------------------

@harness.test()
def forks(t):
    server, rules = founding(t)
    plain = t.run([t.guest('forker'), '127.0.0.1', server.plain_port, origin.BODY])
    t.equal((plain.status, plain.err), (0, ''), 'without the shim')
    out = t.succeed([t.guest('forker'), 'webserver', 80, origin.BODY], rules=rules)
    t.equal(out, plain.out, 'stdout')
    server.lines(14)


@harness.test()
def python_forks(t):
    """os.fork and multiprocessing, requests on both sides."""
    server, rules = founding(t)
    script = '''
import multiprocessing, os, urllib.request

def get(i):
    return urllib.request.urlopen(f'http://webserver/{i}', timeout=20).read().decode().strip()

print(get(0))
with multiprocessing.get_context('fork').Pool(4) as pool:
    print(set(pool.map(get, range(20))))
print(get(0))
'''
    out = t.succeed([harness.PYTHON, '-c', script], rules=rules)
    t.equal(out.splitlines(), [origin.BODY, f"{{'{origin.BODY}'}}", origin.BODY], 'stdout')
    server.only_requests(22)


@harness.test()
def subprocesses(t):
    """python3's subprocess uses vfork: the child shares our memory and closes its descriptors."""
    server, rules = founding(t)
    script = '''
import subprocess, urllib.request

def get():
    return urllib.request.urlopen('http://webserver/anything?x=1', timeout=20).read()

seen = []
for i in range(30):
    child = subprocess.Popen(['/bin/cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    seen.append(get())
    out, _ = child.communicate(b'abc')
    assert out == b'abc' and child.returncode == 0, (out, child.returncode)
    subprocess.run(['/bin/true'], check=True, close_fds=bool(i % 2))
print(len(seen), set(seen))
'''
    out = t.succeed([harness.PYTHON, '-c', script], rules=rules)
    t.equal(out, f"30 {{b'{origin.BODY}\\n'}}\n", 'stdout')
    server.only_requests(30)


def storm(t, seconds):
    server, rules = founding(t)
    plain = t.run([t.guest('storm'), 1, '127.0.0.1', server.plain_port, origin.BODY])
    t.equal((plain.status, plain.out, plain.err), (0, 'survived\n', ''), 'without the shim')
    t.equal(t.succeed([t.guest('storm'), seconds, 'webserver', 80, origin.BODY], rules=rules),
            plain.out, 'stdout')


@harness.test()
def fork_and_signal_storm(t):
    storm(t, 3)


@harness.test(timeout=120, long=True)
def long_fork_and_signal_storm(t):
    storm(t, 60)


@harness.test()
def errno_is_kept(t):
    server, rules = founding(t)
    t.succeed([t.guest('manners'), 'errno', 'webserver', 80, origin.BODY], rules=rules)
    server.lines(2)


@harness.test()
def no_sigpipe_from_the_program(t):
    """The program hangs up before the answer, 50 times, half of them hard."""
    _, rules = founding(t)
    t.succeed([t.guest('manners'), 'sigpipe', 'webserver', 80, origin.BODY], rules=rules)


@harness.test()
def no_sigpipe_from_the_upstream(t):
    """Origins that reset pooled connections and break off in the middle."""
    def answer(connection, head):
        if '/reset' in head:
            return None
        return origin.ok(connection, head)

    server = origin.Recorder(t, 'host', answer)
    rules = t.rules(mesh.unchanged(server.port, t.pki.cert('ca')))
    script = '''
import signal, sys, urllib.error, urllib.request
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
def get(path):
    try:
        return urllib.request.urlopen('http://webserver' + path, timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code
print([get(path) for path in ('/', '/reset', '/') * 5])
'''
    out = t.succeed([harness.PYTHON, '-c', script], rules=rules)
    t.equal(out, f'{[200, 503, 200] * 5}\n', 'statuses')


@harness.test()
def signal_handlers_run_on_the_programs_threads(t):
    """A signal to the process is never taken by our thread, and its mask is not ours."""
    server, rules = founding(t)
    script = '''
import os, signal, threading, time, urllib.request
urllib.request.urlopen('http://webserver/anything?x=1', timeout=20).read()
assert len(os.listdir('/proc/self/task')) > 1
hits = []
signal.signal(signal.SIGUSR1, lambda number, frame: hits.append(threading.get_native_id()))
def blocked(task):
    for line in open(f'/proc/self/task/{task}/status'):
        if line.startswith('SigBlk'):
            return int(line.split()[1], 16)
masks = {task: blocked(task) for task in os.listdir('/proc/self/task')}
print(masks.pop(str(os.getpid())),
      all(mask >> (signal.SIGUSR1 - 1) & 1 for mask in masks.values()))
for i in range(100):
    os.kill(os.getpid(), signal.SIGUSR1)
print(len(hits), set(hits) == {os.getpid()})
'''
    t.equal(t.succeed([harness.PYTHON, '-c', script], rules=rules), '0 True\n100 True\n', 'stdout')
    t.equal(server.lines(1)[0].status, '200', 'status')


@harness.test()
def terminates(t):
    """A program that ends while a request is open ends as it always does."""
    server = origin.Recorder(t, 'host', lambda connection, head: b'')
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    child = t.start([t.guest('modes'), 'write', 'webserver', '80'], rules=rules)
    t.wait_for(server.requests, 'the request')
    child.send_signal(signal.SIGINT)
    t.equal(child.wait(10), -signal.SIGINT, 'status')


@harness.test()
def numbers(t):
    """Descriptor numbers are the program's alone, also while the bridge opens and closes its own."""
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    t.equal(t.succeed([t.guest('numbers'), 400, 'webserver', 80], rules=rules), 'ours alone\n',
            'stdout')


@harness.test(cases=['pipe', 'file', 'socket'])
def bridge_logs_to_stderr(t, kind):
    """The bridge's thread has no standard error of its own and finds the program's."""
    rules = t.rules(mesh.founding(1, t.pki.cert('ca')))
    argv = [*harness.FETCH, 'http://webserver/']
    env = {'MESHSHIM_LOG_LEVEL': 'info'}
    if kind == 'pipe':
        text = t.run(argv, rules=rules, env=env).err
    elif kind == 'socket':
        ours, theirs = socket.socketpair()
        t.start(argv, rules, True, env, stdout=subprocess.DEVNULL, stderr=theirs).wait(20)
        theirs.close()
        text = ours.makefile().read()
    else:
        with open(t.dir / 'stderr', 'w') as file:
            file.write('before\n')
            file.flush()
            t.start(argv, rules, True, env, stdout=subprocess.DEVNULL, stderr=file).wait(20)
        text = (t.dir / 'stderr').read_text()
        t.check(text.startswith('before\n'), f'stderr is {text!r}')
    t.contains(text, '503 UF', 'the line of the local answer')
