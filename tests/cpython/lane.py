# SPDX-License-Identifier: Apache-2.0
"""One module in one lane: the processes that run it, and what became of its tests.

A lane is an environment. Each process gets a directory, a session and, where that can be had, a
network of its own with nothing but loopback: no test can leave the machine or meet another one's
ports.
"""

import ctypes
import fcntl
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import time

PYTHON = '/usr/bin/python3'
PATH = '/usr/local/bin:/usr/bin:/bin'
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1

PATIENCE = 120          # seconds for one test
GIVE_UP = 5             # tests of a module that may crash or hang before the rest is left
HERE = pathlib.Path(__file__).resolve().parent
LIBC = ctypes.CDLL(None, use_errno=True)

# Names of the mesh and, as in real rule files, wildcards. Port 9 on loopback has no listener: the
# bridge answers 503.
RULES = '''
serviceEntries = (
    {{ name = "github"; hosts = [ "raw.githubusercontent.com" ]; location = "MESH_EXTERNAL";
       ports = ( {{ number = 443; name = "https"; protocol = "TLS"; }} ); resolution = "DNS";
       endpoints = ( {{ address = "127.0.0.1";
                        ports = ( {{ name = "https"; value = 9; }} ); }} ); }},
    {{ name = "apis"; hosts = [ "*.googleapis.com", "*.wikipedia.org" ]; location = "MESH_EXTERNAL";
       ports = ( {{ number = 443; name = "tls"; protocol = "TLS"; }},
                 {{ number = 80; name = "http"; protocol = "HTTP"; }} ); resolution = "STATIC";
       endpoints = ( {{ address = "127.0.0.1"; }} ); }},
    {{ name = "mail"; hosts = [ "mail.mesh.example" ]; location = "MESH_EXTERNAL";
       ports = ( {{ number = 25; name = "smtp"; protocol = "TCP"; }} ); resolution = "STATIC";
       endpoints = ( {{ address = "127.0.0.1"; }} ); }}
);
virtualServices = (
    {{ name = "webserver"; hosts = [ "webserver", "*.local.mesh" ];
       http = ( {{ match = ( {{ uri = {{ regex = ".*"; }}; }} );
                   rewrite = {{ authority = "raw.githubusercontent.com"; }};
                   route = ( {{ destination = {{ host = "raw.githubusercontent.com";
                                                 port = {{ number = 443; }}; }}; }} ); }} ); }}
);
destinationRules = (
    {{ name = "github"; host = "raw.githubusercontent.com";
       trafficPolicy = {{ tls = {{ mode = "SIMPLE"; }}; }}; }}
);
meshConfig = {{ outboundTrafficPolicy = {{ mode = "{mode}"; }}; }};
'''
ANSWER = 'HTTP/1.1 503 Service Unavailable'


class Lane:
    """`rules` is the policy for what is no mesh host, or None: without the library. `busy`: the
    bridge runs before the first test does. `other` is preloaded before the library."""

    def __init__(self, name, rules=None, busy=False, other=None):
        self.name, self.rules, self.busy, self.other = name, rules, busy, other

    def environment(self, place):
        if not self.rules:
            return {}
        libraries = [self.other, place.shim] if self.other else [place.shim]
        return {'LD_PRELOAD': ':'.join(map(str, libraries)),
                'MESHSHIM_RULES': str(place.top / f'{self.rules}.cfg')}

    def wrong(self, said):
        """What a process says of itself that does not fit the lane, or None."""
        if not self.rules:
            wanted = {'preloaded': False, 'address': None, 'answer': None}
        else:
            wanted = {'preloaded': True, 'address': said['address'],
                      'answer': ANSWER if self.busy else None}
            if not (said['address'] or '').startswith('240.240.'):
                return f'a mesh host has the address {said["address"]}'
        for key, value in wanted.items():
            if said[key] != value:
                return f'{key} is {said[key]}, not {value}'
        if self.busy and said['threads'] < 2:
            return 'the bridge does not run'
        return None

    def wrong_after(self, said):
        """The same for what the mesh says after all tests, whatever they did to the process."""
        answer = said['answer']
        if answer == (ANSWER if self.rules else None):
            return None
        return f'after the tests, the mesh says {answer}'


ALONE = Lane('without')


class User:
    """Whom tests run as: `name`, or who we are."""

    def __init__(self, name=None):
        entry = pwd.getpwnam(name) if name else None
        self.uid, self.gid = (entry.pw_uid, entry.pw_gid) if entry else (os.getuid(), os.getgid())
        self.name = name or pwd.getpwuid(os.getuid()).pw_name
        self.change = entry is not None

    def become(self):
        if self.change:
            os.setgroups([])
            os.setgid(self.gid)
            os.setuid(self.uid)


class Place:
    """The temporary directory of a whole run, readable for every user."""

    def __init__(self, top, build, isolated):
        self.top, self.isolated, self.n = pathlib.Path(top), isolated, 0
        self.top.chmod(0o755)
        self.shim = pathlib.Path(shutil.copy(pathlib.Path(build) / 'libmeshshim.so', self.top))
        self.suite = pathlib.Path(shutil.copy(HERE / 'suite.py', self.top))
        for mode in ('ALLOW_ANY', 'REGISTRY_ONLY'):
            (self.top / f'{mode}.cfg').write_text(RULES.format(mode=mode))
        for path in self.top.iterdir():
            path.chmod(0o755)

    def directory(self, user):
        self.n += 1
        path = self.top / str(self.n)
        path.mkdir(0o700)
        os.chown(path, user.uid, user.gid)
        return path


def isolate():
    """In a child: a network of its own with nothing but loopback. A user without rights gets one
    together with a user namespace, in which it has the same id."""
    ids = os.getuid(), os.getgid()
    if LIBC.unshare(CLONE_NEWNET) != 0:
        if LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), 'unshare')
        for name, text in (('setgroups', 'deny'), ('uid_map', f'{ids[0]} {ids[0]} 1'),
                           ('gid_map', f'{ids[1]} {ids[1]} 1')):
            with open(f'/proc/self/{name}', 'w', encoding='ascii') as file:
                file.write(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack('16sH14x', b'lo', IFF_UP))


def can_isolate():
    """In a child, because it cannot be undone."""
    try:
        return subprocess.run(['/bin/true'], preexec_fn=isolate, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


class Process:
    """A process that runs tests of a module, from a number on."""

    def __init__(self, run, start):
        self.directory = run.place.directory(run.user)
        job, self.file = self.directory / 'job', self.directory / 'outcomes'
        self.log = self.directory / 'log'
        work = self.directory / 'work'
        work.mkdir()
        job.write_text(json.dumps({
            'module': f'test.{run.module.name}', 'start': start, 'only': run.only,
            'without': run.without, 'resources': run.module.resources, 'busy': run.lane.busy,
            'mesh': run.lane.rules is not None}))
        self.file.touch()
        for path in (job, self.file, work):
            os.chown(path, run.user.uid, run.user.gid)

        def prepare():
            if run.place.isolated:
                isolate()
            run.user.become()

        env = {'PATH': PATH, 'HOME': str(work), 'TMPDIR': str(work), 'LANG': 'C.UTF-8',
               **run.lane.environment(run.place)}
        with open(self.log, 'wb') as log:
            self.child = subprocess.Popen(
                [PYTHON, run.place.suite, job, self.file], cwd=work, env=env, stdout=log,
                stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=prepare)
        self.size, self.moved, self.aborted = 0, time.monotonic(), False

    def ended(self):
        """Has it? One that makes no progress is ended, with a traceback if it can give one."""
        if self.child.poll() is not None:
            return True
        size, now = self.file.stat().st_size, time.monotonic()
        if size != self.size:
            self.size, self.moved = size, now
        elif now - self.moved > PATIENCE + 10:
            self.child.kill()
        elif now - self.moved > PATIENCE and not self.aborted:
            self.aborted = True
            self.child.send_signal(signal.SIGABRT)
        return False

    def reap(self):
        """What it wrote, its log, and how it ended."""
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()
        lines = [json.loads(line) for line in self.file.read_text().splitlines()]
        log = self.log.read_text(errors='replace')
        shutil.rmtree(self.directory, ignore_errors=True)
        status = self.child.returncode
        how = ('hung' if self.aborted else f'exited with {status}' if status >= 0
               else f'crashed: {signal.Signals(-status).name}')
        return lines, log, how


class Run:
    """A module in a lane, in as many processes as it takes: one that dies or hangs in a test is
    followed by another, which goes on behind that test."""

    def __init__(self, place, lane, user, module, without, only=()):
        self.place, self.lane, self.user, self.module = place, lane, user, module
        self.without, self.only = list(without), list(only)
        self.outcomes = {}          # id -> outcome
        self.logs, self.problem, self.broken = [], None, 0
        self.started = time.monotonic()
        self.seconds = 0
        self.process = Process(self, 0)

    def ended(self):
        """Has it? Starts the next process where one is needed."""
        if not self.process.ended():
            return False
        lines, log, how = self.process.reap()
        self.logs.append(log)
        start = self.take(lines, how)
        if start is not None:
            self.process = Process(self, start)
            return False
        self.seconds = time.monotonic() - self.started
        return True

    def take(self, lines, how):
        """Take over what a process wrote. Returns the number of the test to go on with."""
        if len(lines) < 2:
            self.problem = f'{how} before the first test'
            return None
        tests, current = lines[1]['tests'], None
        done = isinstance(lines[-1], dict) and 'answer' in lines[-1]
        self.problem = self.lane.wrong(lines[0]) or done and self.lane.wrong_after(lines[-1])
        for line in lines[2:]:
            if isinstance(line, list):
                name, outcome = line
                self.outcomes[tests[name] if isinstance(name, int) else name] = outcome
                current = None
            elif isinstance(line, int):
                current = line
        if self.problem or done and how == 'exited with 0':
            return None
        if current is None:
            self.problem = f'{how}, though no test was running'
            return None
        self.outcomes[tests[current]] = how
        self.broken += 1
        if self.broken == GIVE_UP:
            self.problem = f'{GIVE_UP} of its tests crashed or hung; the rest was not run'
            return None
        return current + 1


def together(runs, at_once=2, report=lambda run: None):
    """Run what the iterator `runs` yields (functions that start a Run), some at a time."""
    runs, running, done = iter(runs), [], []
    more = True
    try:
        while more or running:
            while more and len(running) < at_once:
                start = next(runs, None)
                if start is None:
                    more = False
                else:
                    running.append(start())
            for run in [run for run in running if run.ended()]:
                running.remove(run)
                done.append(run)
                report(run)
            time.sleep(0.02)
    finally:
        for run in running:
            run.process.child.kill()
            run.process.reap()
    return done
