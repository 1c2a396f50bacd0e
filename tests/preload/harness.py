# SPDX-License-Identifier: Apache-2.0
"""What a preload test sees: the decorator that registers it, and `t`, its context.

A test is a function of one argument. It runs in a process of its own with a directory of its own
(t.dir); everything that it starts through `t` is ended when it returns, however it returns.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import time

# Every test starts its programs with this and nothing else, so that neither proxies nor locales
# nor preloaded libraries of the caller take part.
PATH = '/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin'
PYTHON = '/usr/bin/python3'

FETCH = (PYTHON, str(pathlib.Path(__file__).resolve().parent / 'fetch.py'))

REPORTS = ('AddressSanitizer', 'LeakSanitizer', 'UndefinedBehaviorSanitizer', 'runtime error:')


class Failure(Exception):
    """What was observed is not what was expected."""


class Skip(Exception):
    """This machine cannot run the test; the text says why."""


class Case:
    def __init__(self, name, function, argument, timeout, long):
        self.name, self.function, self.argument = name, function, argument
        self.timeout, self.long = timeout, long


CASES = []


def test(timeout=30, long=False, cases=None):
    """Register a test. With `cases`, once for each of them, passed as the second argument.

    `timeout` is in seconds, for a machine at rest and a build without sanitizers.
    """
    def register(function):
        module = function.__module__.replace('test_', '', 1)
        for case in cases or [None]:
            name = f'{module}.{function.__name__}' + (f'[{case}]' if case is not None else '')
            arguments = () if case is None else (case,)
            CASES.append(Case(name, function, arguments, timeout, long))
        return function
    return register


class Result:
    """How a program ended. `out` and `err` are text."""

    def __init__(self, argv, status, out, err):
        self.argv, self.status, self.out, self.err = argv, status, out, err

    def __str__(self):
        return (f'$ {" ".join(map(str, self.argv))}\nstatus {self.status}\n'
                f'stdout: {self.out[-2000:]!r}\nstderr: {self.err[-2000:]!r}')


class Test:
    def __init__(self, build, directory, pki, long):
        self.build = pathlib.Path(build).resolve()
        self.root = pathlib.Path(__file__).resolve().parents[2]
        self.dir = pathlib.Path(directory)
        self.pki = pki
        self.long = long
        self.san = os.environ.get('SAN', '')
        self.switch = os.environ.get('SWITCH', '')
        self.shim = self.build / 'libmeshshim.so'
        self.wrapper = self.build / 'meshshim'
        self.cleanups = []
        self.logs = []          # files that are shown when the test fails
        self.n_files = 0

    # --- programs ----------------------------------------------------------

    def tool(self, name):
        """The path of an installed program; `make deps` brings all that tests need."""
        path = shutil.which(name, path=PATH)
        if not path:
            raise Failure(f'{name} is not installed (make deps)')
        return path

    def guest(self, name):
        """A program built from tests/preload/NAME.c."""
        return self.build / 'tests' / 'preload' / name

    def sanitizer(self):
        """The sanitizer's runtime, which has to be preloaded before everything else, or None."""
        if 'address' not in self.san:
            return None
        return subprocess.run([os.environ.get('CC', 'gcc'), '-print-file-name=libasan.so'],
                              check=True, capture_output=True, text=True).stdout.strip()

    def environment(self, rules=None, preload=None, env=None):
        """The environment of a program; under the shim if `rules` are given or `preload` is set."""
        new = {'PATH': PATH, 'HOME': str(self.dir), 'TMPDIR': str(self.dir), 'LANG': 'C.UTF-8'}
        if self.san:
            new['ASAN_OPTIONS'] = f'detect_leaks=0:log_path={self.dir}/sanitizer'
            new['UBSAN_OPTIONS'] = ('print_stacktrace=1:halt_on_error=1:'
                                    f'log_path={self.dir}/sanitizer')
        if preload is None:
            preload = rules is not None
        if preload:
            new['LD_PRELOAD'] = ':'.join(filter(None, [self.sanitizer(), str(self.shim)]))
        if rules is not None:
            new['MESHSHIM_RULES'] = str(rules)
            new['MESHSHIM_FAST_LANE'] = os.environ.get('MESHSHIM_FAST_LANE')
        new.update(env or {})
        return {key: value for key, value in new.items() if value is not None}

    def start(self, argv, rules=None, preload=None, env=None, **options):
        """Start a program that is ended with the test. Returns a subprocess.Popen."""
        options.setdefault('stdin', subprocess.DEVNULL)
        options.setdefault('cwd', self.dir)
        child = subprocess.Popen([str(arg) for arg in argv],
                                 env=self.environment(rules, preload, env), **options)
        self.cleanups.append(lambda: end(child))
        return child

    def run(self, argv, rules=None, preload=None, env=None, stdin=None, timeout=None, **options):
        """Run a program to its end and return its Result."""
        child = self.start(argv, rules, preload, env, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE,
                           stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                           **options)
        out, err = child.communicate(stdin, timeout)
        result = Result(argv, child.returncode, out.decode(errors='replace'),
                        err.decode(errors='replace'))
        print(result)
        self.no_reports(result.err)
        return result

    def succeed(self, argv, **options):
        """Run a program that has to end with 0 and nothing on stderr. Returns its stdout."""
        result = self.run(argv, **options)
        self.equal(result.status, 0, f'exit status of {argv[0]}')
        self.equal(result.err, '', f'stderr of {argv[0]}')
        return result.out

    def needs(self, argv):
        """Skip where a program cannot run under the sanitizer's runtime alone."""
        if not self.sanitizer():
            return
        child = self.start(argv, env={'LD_PRELOAD': self.sanitizer()}, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        try:
            status = child.wait(10)
        except subprocess.TimeoutExpired:
            status = 'a hang'
        if status != 0:
            raise Skip(f'{argv[0]} does not run under the sanitizer without the library either: '
                       f'{status}')

    def no_reports(self, text):
        for report in REPORTS:
            if report in text:
                raise Failure(f'a sanitizer report:\n{text}')

    def make(self, *arguments, **options):
        """Run one of the Makefile's targets for this very build, with the caller's flags."""
        words = os.environ.get('MAKEFLAGS', '').split()
        flags = ' '.join(word for word in words if not word.startswith(('-j', '--jobserver')))
        # "-o all": the build is as it is, also when somebody edits a source meanwhile.
        env = {name: os.environ.get(name) for name in
               ('SAN', 'DEBUG', 'SWITCH', 'CC', 'CPPFLAGS', 'CFLAGS', 'LDFLAGS', 'LDLIBS')}
        env.update(MAKEFLAGS=flags, LD_PRELOAD=self.sanitizer())
        return self.run(['make', '-s', '--no-print-directory', '-C', self.root, f'B={self.build}',
                         '-o', 'all', *arguments], env=env, **options)

    # --- files -------------------------------------------------------------

    def file(self, name, content):
        """Write a file in the test's directory and return its path."""
        path = self.dir / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def rules(self, text, name='mesh.cfg'):
        """Write a rule file and return its path."""
        return self.file(name, text)

    # --- verdicts ----------------------------------------------------------

    def equal(self, seen, wanted, what):
        if seen != wanted:
            raise Failure(f'{what}:\n  expected {wanted!r}\n  observed {seen!r}')

    def contains(self, text, part, what):
        if part not in text:
            raise Failure(f'{what}:\n  expected to contain {part!r}\n  observed {text!r}')

    def check(self, condition, what):
        if not condition:
            raise Failure(what)

    def wait_for(self, condition, what, seconds=15):
        """Wait until `condition()` is true, and return its value."""
        deadline = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                raise Failure(f'waited in vain for {what}')
            time.sleep(0.01)

    # --- the end -----------------------------------------------------------

    def defer(self, function):
        """Call `function` when the test ends, the last one first."""
        self.cleanups.append(function)

    def cleanup(self):
        while self.cleanups:
            self.cleanups.pop()()

    def show_logs(self):
        for path in self.logs:
            if os.path.exists(path) and os.path.getsize(path):
                with open(path, errors='replace') as file:
                    print(f'--- {path}\n{file.read()[-6000:]}')

    def sanitizer_files(self):
        """What the sanitizers wrote to files, because a program may have closed its stderr."""
        return '\n'.join(path.read_text(errors='replace') for path in self.dir.glob('sanitizer.*'))


def end(child):
    """End a process that a test started, if it has not ended by itself."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream:
            stream.close()
