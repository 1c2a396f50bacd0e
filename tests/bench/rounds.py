# SPDX-License-Identifier: Apache-2.0
"""Rounds, and which of them count.

What others do on the machine goes into whatever is measured meanwhile, and not into all paths
alike. So each round also tells how much CPU time was used that was neither ours nor the servers': a
round in which others had more than a tenth of a processor is disturbed, and another one is made,
three times as many as wanted at most. The least disturbed ones count. Results have no say in it.
"""

import os
import resource
import time

import paths

QUIET = 0.1     # of one processor
TIMES = 3


def busy():
    """CPU seconds of everything on this machine, the hypervisor's share included."""
    with open('/proc/stat') as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf('SC_CLK_TCK')


def ours(pids):
    """CPU seconds of this process, of the programs that it has run, and of the servers."""
    total = paths.cpu(pids)
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total


class Round:
    """One run over each path, and the share of a processor that others had meanwhile."""

    def __init__(self, runs, others):
        self.runs, self.others = runs, others


def one(lanes, pids, measure):
    start, all_before, ours_before = time.monotonic(), busy(), ours(pids)
    runs = {path.name: measure(path) for path in lanes}
    others = (busy() - all_before) - (ours(pids) - ours_before)
    return Round(runs, max(0, others / (time.monotonic() - start)))


def choose(wanted, lanes, pids, measure, progress):
    """`wanted` rounds over all lanes, as {path: [what measure(path) returned]}, and the shares that
    others had in them."""
    made = []
    while sum(each.others <= QUIET for each in made) < wanted and len(made) < wanted * TIMES:
        progress(f'round {len(made) + 1}')
        made.append(one(lanes, pids, measure))
    chosen = sorted(made, key=lambda each: each.others)[:wanted]
    return ({path.name: [each.runs[path.name] for each in chosen] for path in lanes},
            [each.others for each in chosen])
