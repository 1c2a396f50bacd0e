# SPDX-License-Identifier: Apache-2.0
"""The guest: runs one module of CPython's own tests and writes what became of each.

    suite.py JOB OUTCOMES

JOB is a JSON object: "module", "resources" that its tests may use, "without" these ids, "only"
these (empty: all), "start" at this number, "mesh" (the library is there) and "busy" (its bridge
runs before the tests do). To the file OUTCOMES it adds one JSON value a line: what the process is,
{"tests": [id, ...]}, then for each test its number when it starts and [number, outcome] when it
ends, and {"answer": ...}, what the mesh says after all of them. So a process that dies or hangs
leaves the number of the test that did it.

No descriptor stays open, and the environment has nothing but the library: tests look at both.
"""

import faulthandler
import json
import os
import socket
import sys
import traceback
import unittest

HOST = 'webserver'


class Outcomes:
    """The file. Only the process that began it writes to it, not one that it forked."""

    def __init__(self, path):
        self.path, self.owner = path, os.getpid()

    def write(self, value):
        if os.getpid() == self.owner:
            with open(self.path, 'a', encoding='utf-8') as file:
                file.write(json.dumps(value) + '\n')


class Result(unittest.TextTestResult):
    """Writes each outcome, in the log as well. What setUpClass and setUpModule say goes by its
    name, for want of a number."""

    def __init__(self, outcomes, numbers, stream):
        super().__init__(stream, True, 2)
        self.outcomes, self.numbers = outcomes, numbers
        self.current, self.seen = None, []

    def startTest(self, test):
        self.current, self.seen = self.numbers[id(test)], []
        self.outcomes.write(self.current)
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        said = list(dict.fromkeys(self.seen))
        self.outcomes.write([self.current, '; '.join(said) or 'passed'])
        self.current = None

    def say(self, test, what, error=None):
        if error:
            traceback.print_exception(*error)
        # Files of tests are named for the process.
        what = what.replace(f'_{self.outcomes.owner}_', '_PID_')
        if self.current is not None:
            self.seen.append(what)
        else:
            self.outcomes.write([test.id(), what])

    def addError(self, test, error):
        super().addError(test, error)
        self.say(test, f'error: {error[0].__name__}', error)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.say(test, f'failed: {error[0].__name__}', error)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.say(test, f'skipped: {reason}')

    def addExpectedFailure(self, test, error):
        super().addExpectedFailure(test, error)
        self.say(test, 'expected failure')

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.say(test, 'unexpected success')

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            kind = 'failed' if issubclass(error[0], test.failureException) else 'error'
            self.say(test, f'{kind}: {error[0].__name__} {subtest._subDescription()}', error)


def flat(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def named(tests):
    """Names for the tests, one for each: an id that occurs again gets a number."""
    names, counts = [], {}
    for test in tests:
        n = counts[test.id()] = counts.get(test.id(), 0) + 1
        names.append(test.id() if n == 1 else f'{test.id()}#{n}')
    return names


def connect():
    """Ask the mesh: the first question starts the bridge, and so the process's hidden thread."""
    with socket.create_connection((HOST, 80), 20) as connection:
        connection.sendall(b'GET / HTTP/1.1\r\nHost: webserver\r\nConnection: close\r\n\r\n')
        said = b''
        while data := connection.recv(4096):
            said += data
    return said.split(b'\r\n')[0].decode()


def answer():
    try:
        return connect()
    except OSError as error:
        return f'{type(error).__name__}: {error}'


def what_am_i(busy):
    with open('/proc/self/maps', encoding='utf-8') as maps:
        preloaded = any('libmeshshim' in line for line in maps)
    try:
        address = socket.getaddrinfo(HOST, 80, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
    except OSError:
        address = None
    return {'preloaded': preloaded, 'address': address, 'answer': answer() if busy else None,
            'threads': len(os.listdir('/proc/self/task')), 'uid': os.getuid()}


def load(module):
    """The module's tests, and what it says if it has none here."""
    try:
        return list(flat(unittest.defaultTestLoader.loadTestsFromName(module))), None
    except unittest.SkipTest as reason:
        return [], f'skipped: {reason}'


def main():
    with open(sys.argv[1], encoding='utf-8') as file:
        job = json.load(file)
    outcomes = Outcomes(sys.argv[2])
    outcomes.write(what_am_i(job['busy']))

    # The folder of this file is no place to import from.
    sys.path.pop(0)
    from test import support
    faulthandler.enable()
    support.verbose = False
    support.use_resources = job['resources']
    tests, skipped = load(job['module'])
    names = named(tests)
    outcomes.write({'tests': names})
    if skipped:
        outcomes.write([job['module'], skipped])
    numbers = {id(test): number for number, test in enumerate(tests)}
    chosen = [test for number, test in enumerate(tests) if number >= job['start']
              and names[number] not in job['without']
              and (not job['only'] or names[number] in job['only'])]
    stream = unittest.runner._WritelnDecorator(sys.stderr)
    unittest.TestSuite(chosen).run(Result(outcomes, numbers, stream))
    outcomes.write({'answer': answer() if job['mesh'] else None})


if __name__ == '__main__':
    main()
    # Whatever threads the tests left behind are nobody's business any more.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
