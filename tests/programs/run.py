#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The matrix of programs: run.py [--leaks] BUILD_DIR

Each program that is installed, with and without libmeshshim.so, against one origin on loopback; and
programs that cannot be intercepted, of which meshshim-check --app has to say so. With --leaks: each
of them once more, in a network that is recorded (leaks.py). Prints a table and fails on a
difference or a leak. T=text runs only rows whose name or lane contains it.
"""

import argparse
import os
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'preload'))

import harness
import run as preload

import leaks
import matrix
import programs
import refused

FORMAT = '{:<28} {:<16} {:<8} {}'


def report(case, status, text, seconds):
    """One line of the table, with the log of a row that failed."""
    row = case.row
    told = dict(line.split(': ', 1) for line in text.splitlines()
                if line.startswith(('VERSION: ', 'SKIP: ', 'RESULT: ')))
    if status == preload.PASS:
        result = told.get('RESULT', 'the same')
    elif status == preload.SKIP:
        result = f'skipped: {told.get("SKIP")}'
    else:
        result = 'FAILED'
    print(FORMAT.format(row.name, told.get('VERSION', '-'), row.lane, f'{result} ({seconds:.1f} s)'))
    if status not in (preload.PASS, preload.SKIP):
        for line in text.splitlines():
            print(f'      {line}')
    sys.stdout.flush()


def tests(of_leaks):
    """The rows, and the test for each lane."""
    if of_leaks:
        return leaks.rows(), leaks.TESTS
    lanes = {lane: matrix.same for lane in matrix.PORTS}
    return matrix.ROWS, {**lanes, matrix.REFUSED: refused.refused}


def case_of(row, test):
    case = harness.Case(f'{row.name} {row.lane}', test, (row,), 300, False)
    case.row = row
    return case


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--leaks', action='store_true', help='what goes over the wire')
    parser.add_argument('build', help='where libmeshshim.so is')
    options = parser.parse_args()

    rows, by_lane = tests(options.leaks)
    only = os.environ.get('T') or ''
    cases = [case for case in (case_of(row, by_lane[row.lane]) for row in rows)
             if only in case.name]
    print(FORMAT.format('PROGRAM', 'VERSION', 'LANE', 'RESULT'))
    return preload.run(cases, options.build, False, report)


if __name__ == '__main__':
    sys.exit(main())
