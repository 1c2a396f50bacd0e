#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run the tests with peers: run.py BUILD_DIR

The library between programs and servers as they are installed on real machines: nginx, Apache httpd,
haproxy, gunicorn, Node.js, Redis, PostgreSQL; gigabytes; WebSockets. Every test_*.py beside this
file is read; the harness is that of tests/preload. Everything is on loopback, on free ports, under
a certificate authority that lasts as long as the run. T=text in the environment runs only tests
whose name contains it.
"""

import argparse
import importlib.util
import os
import pathlib
import sys

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(1, str(HERE.parent / 'preload'))

import harness


def runner():
    """The runner of tests/preload: a file of the same name as this one."""
    spec = importlib.util.spec_from_file_location('preload_run', HERE.parent / 'preload/run.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('build', help='where libmeshshim.so is')
    options = parser.parse_args()

    for path in sorted(HERE.glob('test_*.py')):
        importlib.import_module(path.stem)
    only = os.environ.get('T') or ''
    cases = [case for case in harness.CASES if only in case.name]
    run = runner()
    return run.run(cases, options.build, False, run.report)


if __name__ == '__main__':
    sys.exit(main())
