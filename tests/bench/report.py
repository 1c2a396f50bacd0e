# SPDX-License-Identifier: Apache-2.0
"""What was measured, as tables and as a plot.

A ratio is that of two runs of one round; what is printed is the median of all rounds, with the
smallest and the largest. Absolute numbers are medians.
"""

import os
import pathlib
import platform
import statistics
import subprocess
import tempfile
import time

import applications
import workloads

BASE = 'https'
PACKAGES = ('gcc', 'libssl-dev', 'nginx-light', 'haproxy', 'stunnel4', 'curl', 'python3-requests',
            'nodejs', 'apache2-utils', 'wrk')
# What the library is compared with, in the table of ratios.
RATIOS = (('meshshim', 'https'), ('meshshim', 'nginx'), ('meshshim', 'haproxy'),
          ('meshshim-kernel', 'https'), ('meshshim-kernel', 'nginx'),
          ('meshshim-kernel', 'haproxy'))
COLOURS = {'http': '#bbbbbb', 'nginx': '#2e8b57', 'haproxy': '#4169e1', 'stunnel': '#daa520',
           'meshshim': '#c0392b', 'meshshim-kernel': '#e6a49b'}

INTRODUCTION = '''\
# What it costs

Made by `make bench-peers`; every figure below is of that run. `make bench` prints the part without
proxies. `ROUNDS=n` and `MS=n` say how often and how long.

The same C client (`client.c`) does the same work over each path:

| Path | What it is |
| --- | --- |
{lanes}

The origin is one nginx with one worker: TLS 1.3, ECDSA P-256, files of 1 KB and 1 MB, and a sink
that reads a body to its end. The peers have one worker, keep their connections to the origin where
they can, verify chain and name, and log no requests (`paths.py`). Client and library are built with
the same OpenSSL. Every answer is checked: status, length, and the body at both ends of each piece
that was read; whatever is not right makes the run fail.

All paths of a table ran by turns, {rounds} rounds of {ms} ms each after {warm} ms to warm up. "of
https" is the median of the ratios within a round, with the smallest and the largest. Rounds in
which other work had more than a tenth of a processor were repeated, up to three times as many
(`rounds.py`); what others had in those that count is said at each table. CPU time is in
microseconds per request, over all threads: in the client's column it includes the library's own
thread. All is on loopback, where a round trip costs nothing: a real network makes handshakes dearer
and hops relatively cheaper.
'''


def median(values):
    return statistics.median(values)


def spread(values, form='{:.2f}'):
    """Median, smallest and largest."""
    return f'{form} ({form}-{form})'.format(median(values), min(values), max(values))


def table(head, rows):
    """Markdown; all but the first column to the right."""
    rows = [head, ['---'] + ['--:'] * (len(head) - 1), *rows]
    return '\n'.join('| ' + ' | '.join(row) + ' |' for row in rows) + '\n'


def section(title, *parts):
    return '\n'.join([f'\n## {title}\n', *parts])


class Results:
    def __init__(self, options, lanes):
        self.options, self.lanes = options, lanes
        # {workload: {path: [a run for each round]}}; {workload: {path: system calls per request}};
        # {program: {path: [a run for each round]}}
        self.runs, self.calls, self.programs = {}, {}, {}
        self.others = {}        # {workload or program: [what others used, for each round]}
        self.idle, self.idle_count = {}, 0
        self.cost = self.rules = ''
        self.load = os.getloadavg()[0]
        self.started = time.gmtime()

    # --- numbers -----------------------------------------------------------

    def ratios(self, runs, path, base, value=lambda run: run.rate):
        """Of the runs of one workload; [] where one of the two did not run."""
        return [value(a) / value(b) for a, b in zip(runs.get(path, []), runs.get(base, []))]

    def counted(self):
        """What the smoke test says."""
        runs = [run for each in self.runs.values() for many in each.values() for run in many]
        return (f'{len(runs)} runs of {len(self.runs)} workloads, '
                f'{sum(len(each) for each in self.programs.values())} of '
                f'{len(self.programs)} programs, {int(sum(run.requests for run in runs))} requests '
                'measured, no errors')

    # --- tables ------------------------------------------------------------

    def workload_table(self, workload):
        runs, rows = self.runs[workload.name], []
        calls = self.calls.get(workload.name, {})
        for path, mine in runs.items():
            def mid(*names):
                return median([run.each(*names) for run in mine])

            user, system = mid('user'), mid('system')
            rate = median([workload.rate(run) for run in mine])
            rows.append([
                path, f'{rate:.0f}', spread(self.ratios(runs, path, BASE)),
                f'{median([run.p50 for run in mine]):.0f}',
                f'{median([run.p99 for run in mine]):.0f}',
                f'{user + system:.1f} ({user:.1f} + {system:.1f})',
                f'{mid("proxy"):.1f}', f'{mid("origin"):.1f}',
                spread(self.ratios(runs, path, BASE, lambda run: run.total)),
                f'{calls[path]:.1f}' if path in calls else ''])
        head = ['path', workload.unit, 'of https', 'p50 us', 'p99 us', 'client CPU (user + system)',
                'proxy', 'origin', 'all CPU, of https', 'system calls']
        return f'### {workload.title}\n\n' + table(head, rows) + self.disturbed(workload.name)

    def disturbed(self, *names):
        shares = [100 * share for name in names for share in self.others.get(name, [])]
        return f'\nOthers had {spread(shares, "{:.0f}")} % of a processor.\n' if shares else ''

    def ratio_table(self):
        shown = [(a, b) for a, b in RATIOS
                 if any(a in runs and b in runs for runs in self.runs.values())]
        rows = []
        for workload in workloads.ALL:
            runs = self.runs.get(workload.name)
            if not runs:
                continue
            row = [workload.title]
            row += [spread(self.ratios(runs, a, b)) for a, b in shown]
            row.append(spread(self.ratios(runs, 'meshshim', BASE, lambda run: run.total)))
            rows.append(row)
        return table(['', *(f'{a} / {b}' for a, b in shown), 'all CPU, meshshim / https'], rows)

    def program_table(self):
        rows = []
        for program in applications.ALL:
            runs = self.programs.get(program.name)
            if not runs:
                continue
            for path, mine in runs.items():
                rows.append([
                    program.title, path, f'{median([run.rate for run in mine]):.0f}',
                    spread(self.ratios(runs, path, BASE)),
                    spread(self.ratios(runs, path, 'nginx')) if 'nginx' in runs else '',
                    f'{median([run.own for run in mine]):.1f}',
                    f'{median([run.others for run in mine]):.1f}'])
        return table(['program', 'path', 'req/s', 'of https', 'of nginx', 'its CPU, us',
                      'proxy and origin'], rows) + self.disturbed(*self.programs)

    def idle_table(self):
        rows = [[path, *(f'{size / 1024:.1f}' for both in sizes for size in both)]
                for path, sizes in self.idle.items()]
        return table(['path', 'in turn: heap, KB', 'Pss, KB', 'at once: heap, KB', 'Pss, KB'], rows)

    def body(self):
        parts = [section('Ratios', self.ratio_table()), section('Workloads')]
        parts += [self.workload_table(workload) for workload in workloads.ALL
                  if workload.name in self.runs]
        if self.programs:
            parts.append(section('Real programs', 'GETs of 1 KB over kept connections.\n',
                                 self.program_table()))
        if self.idle:
            parts.append(section(
                'Idle connections', f'What each of {self.idle_count} connections holds that is '
                'idle after a request, when they had\ntheir requests in turn, and when all had one '
                'under way at once: the heap in use, and memory\nthat is the process\'s own. The '
                'kernel\'s buffers are not in it.\n', self.idle_table()))
        parts.append(section('Where it is not needed', f'```\n{self.cost}```'))
        parts.append(section('Rule sets', f'```\n{self.rules}```\n'))
        return '\n'.join(parts)

    def text(self):
        return '\n'.join([self.machine(), self.body()])

    def readme(self, plot):
        lanes = '\n'.join(f'| `{path.name}` | {path.title} |' for path in self.lanes)
        parts = [INTRODUCTION.format(lanes=lanes, rounds=self.options.rounds, ms=self.options.ms,
                                     warm=self.options.warm)]
        parts.append(section('The machine', self.machine()))
        if plot:
            parts.append(f'\n![requests per second, of direct HTTPS]({pathlib.Path(plot).name})\n')
        return ''.join(parts) + self.body()

    def machine(self):
        model = next((line.split(':')[1].strip() for line in open('/proc/cpuinfo')
                      if line.startswith('model name')), platform.machine())
        memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30
        try:
            system = platform.freedesktop_os_release().get('PRETTY_NAME', '')
        except OSError:
            system = ''
        installed = subprocess.run(
            ['dpkg-query', '-W', '-f', '${Package} ${Version}\n', *PACKAGES], check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True).stdout if system.startswith('Debian') else ''
        lines = [f'- {time.strftime("%Y-%m-%d %H:%M", self.started)} UTC; load average before it '
                 f'began: {self.load:.2f}',
                 f'- {len(os.sched_getaffinity(0))} processors, {model}; {memory:.0f} GB of memory',
                 f'- Linux {platform.release()}, {system}',
                 f'- {", ".join(line for line in installed.splitlines() if line[-1] != " ")}']
        return '\n'.join(lines) + '\n'

    # --- the plot ----------------------------------------------------------

    def plot(self, file):
        """Bars with their spread, one group for each workload."""
        series = [path.name for path in self.lanes if path.name in COLOURS]
        shown = [workload for workload in workloads.ALL if workload.name in self.runs]
        blocks = []
        for path in series:
            lines = []
            for workload in shown:
                ratios = self.ratios(self.runs[workload.name], path, BASE)
                lines.append(f'"{workload.name}" {median(ratios)} {min(ratios)} {max(ratios)}')
            blocks.append('\n'.join(lines) + '\n')
        with tempfile.NamedTemporaryFile('w', suffix='.dat') as data:
            data.write('\n\n'.join(blocks))
            data.flush()
            bars = ', '.join(
                f"'{data.name}' index {i} using 2:3:4:xtic(1) title '{path}' linecolor rgb "
                f"'{COLOURS[path]}'" for i, path in enumerate(series))
            subprocess.run(['gnuplot'], input=f'''
                set terminal svg size 1200,520 noenhanced font 'sans-serif,13' background '#ffffff'
                set output '{file}'
                set title 'requests per second, of direct HTTPS by the same client (logarithmic)'
                set style data histograms
                set style histogram errorbars gap 2
                set errorbars small linewidth 1 linecolor rgb '#333333'
                set style fill solid noborder
                set boxwidth 0.9
                set logscale y 2
                set yrange [0.125:32]
                set ytics ('1/8' 0.125, '1/4' 0.25, '1/2' 0.5, '1' 1, '2' 2, '4' 4, '8' 8, '16' 16)
                set grid ytics
                set key outside bottom center horizontal
                set arrow from graph 0, first 1 to graph 1, first 1 nohead lw 2 lc rgb '#333333'
                plot {bars}
                ''', check=True, text=True)
