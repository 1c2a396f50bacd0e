# SPDX-License-Identifier: Apache-2.0
"""What the client does, and one run of it."""

import paths


class Workload:
    def __init__(self, name, title, options, file='1k', post=False, traced=(300, 900)):
        self.name, self.title, self.file, self.post = name, title, file, post
        self.size = paths.SIZES[file]
        self.options = [*options, '-s', self.size] + (['-p'] if post else [])
        self.traced = traced    # requests of a short and of a long run under strace

    def target(self, path):
        return [path.host, path.port, path.top + ('sink' if self.post else self.file)]

    def rate(self, run):
        """Of one run: requests per second, or MB per second where the body is what takes the
        time."""
        return run.rate * (self.size / 1e6 if self.unit == 'MB/s' else 1)

    @property
    def unit(self):
        return 'MB/s' if self.file == '1m' else 'req/s'


def epoll(connections):
    return ['-e', '-c', connections]


ALL = (
    Workload('blocking', 'GET 1 KB, one blocking connection', []),
    Workload('epoll-1', 'GET 1 KB, epoll, 1 connection', epoll(1)),
    Workload('epoll-8', 'GET 1 KB, epoll, 8 connections', epoll(8)),
    Workload('epoll-64', 'GET 1 KB, epoll, 64 connections', epoll(64), traced=(500, 1500)),
    Workload('threads', 'GET 1 KB, 4 threads with 8 connections each', ['-j', 4, *epoll(8)]),
    Workload('new', 'GET 1 KB, a new connection for each request, blocking', ['-f'],
             traced=(50, 150)),
    Workload('get', 'GET 1 MB, one blocking connection', [], '1m', traced=(10, 30)),
    Workload('get-8', 'GET 1 MB, epoll, 8 connections', epoll(8), '1m', traced=(20, 60)),
    Workload('post', 'POST 1 MB, one blocking connection', [], '1m', True, traced=(10, 30)),
    Workload('post-8', 'POST 1 MB, epoll, 8 connections', epoll(8), '1m', True, traced=(20, 60)),
)


class Run:
    """What one run of the client said: requests, seconds, p50, p99, and CPU time in us for all
    requests: user, system, proxy, origin."""

    def __init__(self, line):
        for word in line.split():
            key, value = word.split('=')
            setattr(self, key, float(value))

    @property
    def rate(self):
        return self.requests / self.seconds

    def each(self, *names):
        """Microseconds per request."""
        return sum(getattr(self, name) for name in names) / self.requests

    @property
    def total(self):
        return self.each('user', 'system', 'proxy', 'origin')


class Bench:
    """The client of one build, in the context of `t` (tests/preload/harness.py)."""

    def __init__(self, t, where):
        self.t, self.where = t, where
        self.client = t.build / 'tests' / 'bench' / 'client'

    def run(self, workload, path, *options):
        """One run; anything but errors=0 and silence is a failure."""
        watch = [f'{label}={",".join(map(str, pids))}' for label, pids in
                 (('proxy', path.pids), ('origin', self.where.pids)) if pids]
        out = self.t.succeed([self.client, *path.options, *workload.options, *options,
                              *(word for text in watch for word in ('-C', text)),
                              *workload.target(path)], rules=path.rules, env=path.env)
        run = Run('proxy=0 ' + out)
        self.t.equal(run.errors, 0, f'errors of {workload.name} over {path.name}')
        return run

    def measure(self, workload, path, ms, warm):
        return self.run(workload, path, '-w', warm, '-d', ms)

    def once(self, workload, path):
        """A few requests, however long they take."""
        return self.run(workload, path, '-N', workload.traced[0])

    def calls(self, workload, path):
        """System calls per request of the client's process, with all of its threads: what a long
        run makes more of than a short one."""
        short, long = (self._traced(workload, path, n) for n in workload.traced)
        return (long[0] - short[0]) / (long[1] - short[1])

    def _traced(self, workload, path, count):
        t = self.t
        trace = t.dir / 'trace'
        # The library is for the client, not for strace.
        env = {**t.environment(path.rules), **path.env}
        inner = [word for name in ('LD_PRELOAD', 'MESHSHIM_RULES', *path.env) if name in env
                 for word in ('-E', f'{name}={env[name]}')]
        out = t.succeed(['strace', '-f', '-qq', '-c', '-o', trace, *inner, self.client,
                         *path.options, *workload.options, '-N', count, *workload.target(path)])
        total = trace.read_text().splitlines()[-1].split()
        t.equal(total[-1], 'total', 'the last word of strace')
        return int(total[3]), Run(out).requests

    def idle(self, path, connections, in_turn):
        """Bytes of heap in use, and of the process's own memory, for an idle connection."""
        out = self.t.succeed([self.client, *path.options, '-I' if in_turn else '-i', '-c',
                              connections, path.host, path.port, path.top + '1k'],
                             rules=path.rules, env=path.env)
        told = dict(word.split('=') for word in out.split())
        return float(told['heap']), float(told['pss'])
