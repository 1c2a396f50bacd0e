#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run the preload tests: run.py [--long] BUILD_DIR

Real programs under libmeshshim.so, against origins on loopback. Every test_*.py beside this file
is read; each test runs in a process, a session and a directory of its own, two at a time. T=text in
the environment runs only tests whose name contains it; --long adds those that take longer.

One line for each test, with its log if it failed; the last line counts them.
"""

import argparse
import importlib
import os
import pathlib
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True

import harness
import pki

WORKERS = 2
PASS, FAIL, SKIP = 0, 1, 77
HELPERS = ('run.py', 'harness.py', 'origin.py')


class Timeout(BaseException):
    """Raised in a test's process when the runner asks it to end."""


def run_case(case, build, directory, authority, long):
    """In the test's process: run it, clean up, say how it went."""
    def ask_to_end(number, frame):
        raise Timeout()

    signal.signal(signal.SIGTERM, ask_to_end)
    # Programs start with what a terminal gives them, also when the runner is in the background.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    t = harness.Test(build, directory, authority, long)
    status = PASS
    try:
        try:
            case.function(t, *case.argument)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            t.cleanup()
        t.no_reports(t.sanitizer_files())
    except harness.Skip as reason:
        print(f'SKIP: {reason}')
        return SKIP
    except Timeout:
        print('the test took too long')
        status = FAIL
    except harness.Failure as failure:
        print(f'FAILED at {where(failure)}: {failure}')
        status = FAIL
    except Exception:
        traceback.print_exc()
        status = FAIL
    if status == FAIL:
        t.show_logs()
        print(t.sanitizer_files())
    return status


def where(failure):
    """file:line of the test that failed, not of the helper that found out."""
    frames = [frame for frame in traceback.extract_tb(failure.__traceback__)
              if os.path.basename(frame.filename) not in HELPERS]
    return ', '.join(f'{os.path.basename(frame.filename)}:{frame.lineno}' for frame in frames)


class Running:
    """One test in its process."""

    def __init__(self, case, build, top, authority, long, number):
        self.case = case
        self.directory = os.path.join(top, str(number))
        self.log = os.path.join(top, f'{number}.log')
        os.mkdir(self.directory)
        scale = 4 if os.environ.get('SAN') else 1
        self.started = time.monotonic()
        self.deadline = self.started + case.timeout * scale
        self.asked = False
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            status = FAIL
            try:
                os.setsid()
                with open(self.log, 'w', buffering=1) as log:
                    for fd in (1, 2):
                        os.dup2(log.fileno(), fd)
                status = run_case(case, build, self.directory, authority, long)
                sys.stdout.flush()
            finally:
                os._exit(status)
        self.pidfd = os.pidfd_open(self.pid)

    def press(self):
        """Too late: ask first, insist five seconds later."""
        if self.asked:
            os.killpg(self.pid, signal.SIGKILL)
        else:
            os.kill(self.pid, signal.SIGTERM)
            self.asked = True
        self.deadline = time.monotonic() + 5

    def reap(self):
        """The process has ended: end what it left in its session, and collect its verdict."""
        os.close(self.pidfd)
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        with open(self.log, errors='replace') as log:
            text = log.read()
        shutil.rmtree(self.directory, ignore_errors=True)
        os.unlink(self.log)
        return status, text, time.monotonic() - self.started


def report(case, status, text, seconds):
    if status == PASS:
        print(f'pass  {case.name} ({seconds:.2f} s)')
    elif status == SKIP:
        reasons = [line for line in text.splitlines() if line.startswith('SKIP: ')]
        print(f'skip  {case.name}: {reasons[-1][6:]}')
    else:
        print(f'FAIL  {case.name} ({seconds:.2f} s)')
        for line in text.splitlines():
            print(f'      {line}')
    sys.stdout.flush()


def run_all(cases, build, top, authority, long, report):
    """Run the cases, WORKERS at a time, and report each. Returns how many passed, failed and were
    skipped."""
    counts = {PASS: 0, FAIL: 0, SKIP: 0}
    waiting = list(enumerate(cases))[::-1]
    selector = selectors.DefaultSelector()
    running = []
    try:
        while waiting or running:
            while waiting and len(running) < WORKERS:
                number, case = waiting.pop()
                one = Running(case, build, top, authority, long, number)
                running.append(one)
                selector.register(one.pidfd, selectors.EVENT_READ, one)
            left = min(one.deadline for one in running) - time.monotonic()
            for key, _ in selector.select(max(0, left)):
                one = key.data
                selector.unregister(one.pidfd)
                running.remove(one)
                status, text, seconds = one.reap()
                report(one.case, status, text, seconds)
                counts[status if status in counts else FAIL] += 1
            for one in running:
                if time.monotonic() >= one.deadline:
                    one.press()
    finally:
        for one in running:
            one.press()
            one.press()
            one.reap()
    return counts


def run(cases, build, long, report):
    """Run the cases in directories of their own and print how many passed. Returns an exit
    status."""
    shim = os.path.join(build, 'libmeshshim.so')
    if not os.path.exists(shim):
        print(f'{shim}: no such file')
        return 2
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    top = tempfile.mkdtemp(prefix='meshshim-test-')
    try:
        os.chmod(top, 0o755)
        try:
            authority = pki.Pki(os.path.join(top, 'pki'))
        except (OSError, subprocess.CalledProcessError) as error:
            print(f'openssl could not make the certificates: {error}')
            return 1
        counts = run_all(cases, build, top, authority, long, report)
    finally:
        shutil.rmtree(top, ignore_errors=True)
    print(f'{counts[PASS]} passed, {counts[FAIL]} failed, {counts[SKIP]} skipped')
    return 1 if counts[FAIL] else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--long', action='store_true', help='tests that take longer, too')
    parser.add_argument('build', help='where libmeshshim.so is')
    options = parser.parse_args()

    here = pathlib.Path(__file__).resolve().parent
    for path in sorted(here.glob('test_*.py')):
        importlib.import_module(path.stem)
    only = os.environ.get('T') or ''
    cases = [case for case in harness.CASES if only in case.name and case.long <= options.long]
    return run(cases, options.build, options.long, report)


if __name__ == '__main__':
    sys.exit(main())
