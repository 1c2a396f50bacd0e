# SPDX-License-Identifier: Apache-2.0
"""The same through real programs, as they are installed: GETs of 1 KB over kept connections.

Each goes plain through the library, plain through nginx, and speaks HTTPS itself. Programs that say
how long their requests took are believed; of curl's time that of a run with one request is taken
off.
"""

import pathlib
import re
import resource
import time

import harness
import paths

HERE = pathlib.Path(__file__).resolve().parent
LANES = ('https', 'nginx', 'meshshim', 'meshshim-kernel')


class Used:
    """One run: requests per second, and CPU time per request in us, of the program and of the
    proxy and the origin."""

    def __init__(self, count, seconds, own, others, served=None):
        self.rate = count / seconds
        self.own = own / count * 1e6
        self.others = others / (served or count) * 1e6
        self.total = self.own + self.others


def curl(run, url, ms):
    count = max(20, ms * 4)
    authority = ['--cacert', run.t.pki.cert('ca')]

    def go(n):
        out, seconds, own, others = run.timed(
            ['curl', '-q', '-sS', '-f', *authority, '-o', '/dev/null', '-w',
             '%{http_code} %{size_download}\n', f'{url}?[1-{n}]'])
        run.t.equal(out, '200 1024\n' * n, 'what curl says')
        return seconds, own, others

    one, many = go(1), go(count + 1)
    return Used(count, *(b - a for a, b in zip(one, many)))


def script(*command):
    def go(run, url, ms):
        out, _, _, others = run.timed([*command, url, run.t.pki.cert('ca'), ms])
        count, seconds, own, served = map(float, out.split())
        return Used(count, seconds, own, others, served)
    return go


def ab(run, url, ms):
    count = max(80, ms * 8)
    out, _, own, others = run.timed(['ab', '-q', '-k', '-c', 8, '-n', count, url])
    # HTTP/1.0 and no word of what an answer should be: nothing may differ from the first one.
    for text in (f'Complete requests:      {count}\n', 'Failed requests:        0\n',
                 f'HTML transferred:       {count * 1024} bytes\n'):
        run.t.contains(out, text, 'what ab says')
    run.t.check('Non-2xx' not in out, out)
    return Used(count, found(r'Time taken for tests: +([0-9.]+) seconds', out), own, others)


def wrk(run, url, ms):
    out, _, own, others = run.timed(['wrk', '-t', 1, '-c', 8, '-d', max(1, round(ms / 1000)), url])
    run.t.check('Non-2xx' not in out and 'Socket errors' not in out, out)
    count = found(r'(\d+) requests in', out)
    return Used(count, count / found(r'Requests/sec: +([0-9.]+)', out), own, others)


def found(pattern, text):
    match = re.search(pattern, text)
    if not match:
        raise harness.Failure(f'no {pattern} in:\n{text}')
    return float(match[1])


class Program:
    """`needs` tells whether it is installed; `make deps` brings the `basic` ones."""

    def __init__(self, name, title, needs, go, basic=False):
        self.name, self.title, self.needs, self.go, self.basic = name, title, needs, go, basic


ALL = (
    Program('curl', 'curl, many URLs, one connection', ['curl', '--version'], curl,
            basic=True),
    Program('requests', 'Python requests.Session', [harness.PYTHON, '-c', 'import requests'],
            script(harness.PYTHON, '-B', HERE / 'session.py')),
    Program('node', 'Node.js, agent with 8 connections', ['node', '--version'],
            script('node', HERE / 'agent.js'), basic=True),
    Program('ab', 'ab -k -c 8 (HTTPS: unverified)', ['ab', '-V'], ab),
    Program('wrk', 'wrk -t 1 -c 8 (HTTPS: unverified)', ['wrk', '-v'], wrk),
)


class Runner:
    """One program over one path; what the functions above start goes through here."""

    def __init__(self, t, where, path):
        self.t, self.where, self.path = t, where, path

    def timed(self, argv):
        """stdout, wall clock seconds, CPU seconds of the program, those of proxy and origin."""
        served = [*self.path.pids, *self.where.pids]
        before, used, start = paths.cpu(served), own_children(), time.monotonic()
        out = self.t.succeed(argv, rules=self.path.rules, env=self.path.env)
        seconds = time.monotonic() - start
        return out, seconds, own_children() - used, paths.cpu(served) - before


def own_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def installed(t, program):
    """Whether it runs here at all."""
    try:
        # wrk -v has something to say and fails.
        return t.run(program.needs).status == 0 or program.name == 'wrk'
    except FileNotFoundError:
        return False


def measure(t, where, path, program, ms):
    scheme = 'https' if path.name == 'https' else 'http'
    port = '' if path.port == 80 else f':{path.port}'
    return program.go(Runner(t, where, path), f'{scheme}://{path.host}{port}/tls/1k', ms)
