#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""CPython's own tests as the judge: run.py BUILD_DIR

Runs Debian's regression tests of Python for sockets, HTTP and processes in three lanes: without
libmeshshim.so; with it and rules; and with it, REGISTRY_ONLY and the bridge at work before the
first test. They run as a user without rights, and those that care as root too, if we are root. What
becomes of each test has to be the same in each lane. What differs once is judged by reruns:
verdict.py.

T=text runs only modules whose name contains it. The last line counts the comparisons.
"""

import collections
import functools
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True

import lane
import modules
import verdict

TESTS = pathlib.Path('/usr/lib/python3.11/test')

MANY = 40               # differences in one module that are no chance any more
BUDGET = 1800           # seconds for all reruns
ABSENT = 'not run'


class Difference:
    """A test that came out differently in a lane and without the library."""

    def __init__(self, name, alone, shim, before, after):
        self.name, self.alone, self.shim = name, alone, shim
        self.before, self.after = before, after
        self.why, self.log = '', ''

    def show(self, word):
        where = f'{self.shim.user.name}, {self.shim.lane.name}'
        print(f'{word} {self.name} ({where})\n'
              f'      without the library: {self.before}\n      with it: {self.after}\n'
              f'      {self.why}')
        if word == 'DIFFERENT':
            for line in self.log.splitlines()[-60:]:
                print(f'      | {line}')
        sys.stdout.flush()


class Judge:
    def __init__(self, place):
        self.place, self.lanes = place, lanes(place.isolated)
        self.spent = 0          # seconds of reruns

    def start(self, of, user, module, only=()):
        return functools.partial(lane.Run, self.place, of, user, module, modules.WITHOUT, only)

    def compare(self, alone, shim):
        """The tests that differ, and how many were compared."""
        names = {**alone.outcomes, **shim.outcomes}
        differences = [
            Difference(name, alone, shim, alone.outcomes.get(name, ABSENT),
                       shim.outcomes.get(name, ABSENT)) for name in names
            if alone.outcomes.get(name) != shim.outcomes.get(name)]
        return differences, len(names)

    def again(self, difference, rounds, only):
        """Both lanes at once, round after round, until they are told apart. Returns what came of
        the test in each."""
        alone, shim = difference.alone, difference.shim
        before, after = [], []
        for _ in range(rounds):
            started = time.monotonic()
            pair = lane.together(self.start(run.lane, run.user, run.module, only)
                                 for run in (alone, shim))
            self.spent += time.monotonic() - started
            for run in pair:
                outcome = run.outcomes.get(difference.name, run.problem or ABSENT)
                (before if run.lane is alone.lane else after).append(outcome)
                if run.lane is shim.lane and outcome != difference.before:
                    difference.log = '\n'.join(run.logs)
            if verdict.told_apart(before, after) or self.spent > BUDGET:
                break
        return before, after

    def real(self, difference):
        """Is it one, by reruns of the test alone and then of its module?"""
        for rounds, only, what in ((verdict.ROUNDS, [difference.name], 'alone'),
                                   (verdict.ROUNDS_IN_MODULE, (), 'with its module')):
            if self.spent > BUDGET:
                difference.why += 'no time is left to find out whether by chance'
                return True
            before, after = self.again(difference, rounds, only)
            difference.why += (f'again, {what}: {verdict.counted(before)}; with the library: '
                               f'{verdict.counted(after)}. ')
            if verdict.told_apart(before, after):
                return True
        difference.why += 'The lanes cannot be told apart.'
        return False

    def problems(self, run):
        """Why the run is not to be compared."""
        if run.problem:
            yield run.problem
        passed = sum(outcome == 'passed' for outcome in run.outcomes.values())
        if passed < run.module.minimum and not run.lane.rules:
            yield f'{passed} tests passed, expected are {run.module.minimum} or more'

    def judge(self, alone, shim):
        """Returns how many outcomes are the same, and how many are not."""
        differences, compared = self.compare(alone, shim)
        for run in (alone, shim):
            for problem in self.problems(run):
                print(f'FAIL  {run.module.name} ({run.user.name}, {run.lane.name}): {problem}')
                print('\n'.join(f'      | {line}' for line in run.logs[-1].splitlines()[-20:]))
                return 0, max(compared, 1)
        failed = 0
        for difference in differences:
            if len(differences) > MANY:
                difference.why = f'not run again: {len(differences)} tests of the module differ'
            real = len(differences) > MANY or self.real(difference)
            difference.show('DIFFERENT' if real else 'unsteady')
            failed += real
        return compared - failed, failed


def lanes(isolated):
    """With the library. REGISTRY_ONLY leaves loopback alone; tests that could meet anything else
    would rightly see the difference."""
    policy = 'REGISTRY_ONLY' if isolated else 'ALLOW_ANY'
    return [lane.Lane('rules', 'ALLOW_ANY'), lane.Lane('bridge', policy, busy=True)]


def users():
    """Who runs the tests: someone without rights, and root for what cares."""
    return [lane.User('nobody'), lane.User()] if os.getuid() == 0 else [lane.User()]


def wanted_runs(judge, only):
    """Starters of all runs, lane beside lane."""
    for module in modules.MODULES:
        if only in module.name:
            for n, user in enumerate(users()):
                if n == 0 or module.root:
                    for of in (lane.ALONE, *judge.lanes):
                        yield judge.start(of, user, module)


FORMAT = '{:<34} {:<8} {:>6} {:>7} {:>8} {:>8}  {}'


class Table:
    """Collects runs and prints a row when all lanes of a module are there."""

    def __init__(self, judge):
        self.judge, self.rows = judge, collections.defaultdict(dict)
        self.complete = []
        print(FORMAT.format('MODULE', 'USER', 'TESTS', 'PASSED', 'SKIPPED', 'SECONDS',
                            'DIFFERENT AT FIRST, BY LANE'))

    def add(self, run):
        row = self.rows[run.module.name, run.user.name]
        row[run.lane.name] = run
        if len(row) < 1 + len(self.judge.lanes):
            return
        alone, shims = row[lane.ALONE.name], [row[of.name] for of in self.judge.lanes]
        outcomes = alone.outcomes.values()
        print(FORMAT.format(
            run.module.name, run.user.name, len(outcomes),
            sum(outcome == 'passed' for outcome in outcomes),
            sum(outcome.startswith('skipped') for outcome in outcomes),
            '+'.join(f'{run.seconds:.0f}' for run in (alone, *shims)),
            ', '.join(f'{run.lane.name} {len(self.judge.compare(alone, run)[0])}'
                      for run in shims)))
        sys.stdout.flush()
        self.complete.append((alone, shims))


MODULE_OF_LIAR = modules.Module('test_socket', 0)
# The faults of liar.c, as these tests see them.
FAULTS = {
    'test.test_socket.BasicTCPTest.testShutdown': ('passed', 'crashed: SIGSEGV'),
    'test.test_socket.NetworkConnectionNoServer.test_connect': ('passed', 'failed: AssertionError'),
}
FAULTLESS = ['test.test_socket.BasicTCPTest.testRecv',
             'test.test_socket.NetworkConnectionNoServer.test_create_connection_timeout']


def judge_the_judge(judge, build):
    """A judge that finds no fault with a broken library is none: liar.c has two. Returns whether
    they were found, and nothing else."""
    liar = shutil.copy(build / 'tests' / 'cpython' / 'liar.so', judge.place.top)
    only = [*FAULTS, *FAULTLESS]
    alone, shim = (lane.together([judge.start(of, users()[0], MODULE_OF_LIAR, only)])[0]
                   for of in (lane.ALONE, lane.Lane('liar', 'ALLOW_ANY', other=liar)))
    differences, compared = judge.compare(alone, shim)
    found = {difference.name: (difference.before, difference.after)
             for difference in differences if judge.real(difference)}
    if compared == len(only) and found == FAULTS:
        print('the faults of a broken library are found')
        return True
    print(f'FAIL  a broken library: of {compared} tests, these were found to differ: {found}')
    print('\n'.join(alone.logs + shim.logs))
    return False


def run(build, only):
    started = time.monotonic()
    isolated = lane.can_isolate()
    print('each process has a network of its own' if isolated else
          "no network namespace can be made: the tests run in the machine's network")
    for name, reason in modules.WITHOUT.items():
        print(f'left out: {name}: {reason}')
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix='meshshim-cpython-') as top:
        judge = Judge(lane.Place(top, build, isolated))
        if not judge_the_judge(judge, build):
            failed += 1
        table = Table(judge)
        lane.together(wanted_runs(judge, only), report=table.add)
        for alone, shims in table.complete:
            for shim in shims:
                same, different = judge.judge(alone, shim)
                passed, failed = passed + same, failed + different
    print(f'{time.monotonic() - started:.0f} seconds, {judge.spent:.0f} of them for reruns')
    print(f'{passed} passed, {failed} failed')
    return 1 if failed or not passed else 0


def main():
    if len(sys.argv) != 2:
        print(__doc__.splitlines()[0])
        return 2
    if not (TESTS / 'test_socket.py').exists():
        print(f'{modules.PACKAGE} is not installed (make deps-programs)')
        return 2
    verdict.check()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    return run(pathlib.Path(sys.argv[1]), os.environ.get('T') or '')


if __name__ == '__main__':
    sys.exit(main())
