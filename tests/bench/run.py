#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What it costs: run.py [--peers] [--rounds N] [--ms N] [--readme FILE --plot FILE] BUILD_DIR
                  run.py --smoke BUILD_DIR

The client of this directory does the same work over each path (paths.py): plain, HTTPS by itself,
under the library with the fast lane and without it; with --peers also through proxies. All paths of
a workload are measured by turns, in each of N rounds for some milliseconds, and a ratio is one of
two runs of the same round. Then real programs, idle connections, and the library where it is not
needed (bench_cost.c, bench_rules.c). Prints tables; --readme and --plot write them to files.

--smoke runs once through everything that needs no peers: an answer that is wrong is a failure, a
time never is. T=name in the environment runs only workloads and programs whose name contains it.
"""

import argparse
import contextlib
import io
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
for part in ('peers', 'preload'):
    sys.path.insert(1, str(HERE.parent / part))

import harness
import pki

import applications
import paths
import report
import rounds
import workloads

IDLE = 500      # connections


class Options:
    """How long to measure."""

    def __init__(self, arguments):
        self.smoke, self.peers = arguments.smoke, arguments.peers
        self.rounds = 1 if self.smoke else arguments.rounds
        self.ms = 30 if self.smoke else arguments.ms
        self.warm = max(150, self.ms // 4)      # long enough for 64 handshakes
        self.only = os.environ.get('T') or ''

    def chosen(self, things):
        return [thing for thing in things if self.only in thing.name]


def progress(text):
    if sys.stderr.isatty():
        print(f'\r\033[K{text}', end='', file=sys.stderr, flush=True)


def by_turns(name, lanes, where, options, results, measure):
    """The rounds of one workload or program: {path: [a run for each round]}."""
    if options.smoke:
        return {path.name: [measure(path)] for path in lanes}
    pids = {pid for path in lanes for pid in path.pids} | set(where.pids)
    runs, results.others[name] = rounds.choose(options.rounds, lanes, pids, measure,
                                               lambda text: progress(f'{name}: {text}'))
    return runs


def measure_workloads(bench, lanes, options, results):
    """The client's runs, and its system calls per request."""
    for workload in options.chosen(workloads.ALL):
        mine = [path for path in lanes if path.takes(workload)]

        def go(path):
            if options.smoke:
                return bench.once(workload, path)
            return bench.measure(workload, path, options.ms, options.warm)

        results.runs[workload.name] = by_turns(workload.name, mine, bench.where, options, results,
                                               go)
        if options.smoke and (workload.name != 'blocking' or bench.t.san):
            continue
        progress(f'{workload.name}: system calls')
        results.calls[workload.name] = {path.name: bench.calls(workload, path) for path in mine}


def measure_programs(t, where, lanes, options, results):
    """The runs of real programs."""
    lanes = [path for path in lanes if path.name in applications.LANES]
    for program in options.chosen(applications.ALL):
        if options.smoke and not program.basic or not applications.installed(t, program):
            continue
        results.programs[program.name] = by_turns(
            program.name, lanes, where, options, results,
            lambda path: applications.measure(t, where, path, program, options.ms))


def measure_idle(bench, lanes, options):
    """{path: [(bytes of heap, bytes in all)]} for an idle connection, when all had their requests
    in turn and when they had them at once; and how many there were."""
    count = 20 if options.smoke else IDLE
    progress('idle connections')
    return {path.name: [bench.idle(path, count, in_turn) for in_turn in (True, False)]
            for path in lanes if not path.pids and not path.only}, count


def said_by(t, name, *arguments):
    """What one of the other benchmarks prints."""
    progress(name)
    child = subprocess.run([t.build / 'tests' / 'bench' / name, *arguments], check=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    return child.stdout


def measure(t, options):
    where = paths.Origin(t)
    makers = paths.OWN + (paths.PEERS if options.peers else (paths.nginx,) if options.smoke else ())
    lanes = [make(t, where) for make in makers]
    bench = workloads.Bench(t, where)
    results = report.Results(options, lanes)
    measure_workloads(bench, lanes, options, results)
    if not t.san:
        measure_programs(t, where, lanes, options, results)
    results.idle, results.idle_count = measure_idle(bench, lanes, options)
    if not options.smoke:
        results.cost = said_by(t, 'bench_cost', t.shim)
        results.rules = said_by(t, 'bench_rules')
    progress('')
    return results


def in_context(build, options):
    """Measure in a directory of its own. What tests would print is shown if something fails."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    top = tempfile.mkdtemp(prefix='meshshim-bench-')
    log = io.StringIO()
    t = None
    try:
        os.chmod(top, 0o755)
        t = harness.Test(build, top, pki.Pki(os.path.join(top, 'pki')), False)
        with contextlib.redirect_stdout(log):
            return measure(t, options)
    except (harness.Failure, harness.Skip) as failure:
        print(log.getvalue()[-3000:], failure, sep='\n')
    except (OSError, subprocess.CalledProcessError):
        print(log.getvalue()[-3000:])
        traceback.print_exc()
    finally:
        if t:
            t.cleanup()
        shutil.rmtree(top, ignore_errors=True)
    return None


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--smoke', action='store_true', help='once, for a moment')
    parser.add_argument('--peers', action='store_true', help='nginx, haproxy and stunnel, too')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--ms', type=int, default=600, help='of one run')
    parser.add_argument('--readme', help='write the tables here')
    parser.add_argument('--plot', help='draw the ratios here, with gnuplot')
    parser.add_argument('build', help='where libmeshshim.so is')
    return parser.parse_args()


def main():
    arguments = parse()
    options = Options(arguments)
    results = in_context(arguments.build, options)
    if results is None:
        return 1
    if options.smoke:
        print(results.counted())
        return 0
    print(results.text())
    if arguments.readme:
        pathlib.Path(arguments.readme).write_text(results.readme(arguments.plot))
    if arguments.plot:
        results.plot(arguments.plot)
    return 0


if __name__ == '__main__':
    sys.exit(main())
