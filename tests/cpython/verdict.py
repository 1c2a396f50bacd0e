# SPDX-License-Identifier: Apache-2.0
"""When are two lanes different?

Tests of sockets that are about time fail now and then, with no library in the process. So what
differs once is run again, in both lanes at the same time, over and over, and the lanes are
different if those reruns tell them apart: if, by Fisher's exact test, outcomes as unequal as those
seen would come about by chance in less than one of a hundred cases. That takes five rounds where a
test always fails under the library and never without, fourteen where it fails in half of them.

The first difference does not count: among thousands of tests, some have one. A test is run alone
first and, if that shows nothing, with its module. What cannot be told apart is printed as
unsteady, with all that was seen.
"""

from collections import Counter
from math import comb

BY_CHANCE = 0.01
ROUNDS = 20             # of the test alone
ROUNDS_IN_MODULE = 5    # of its whole module, if the test alone shows no difference


def fisher(a, n, b, m):
    """The probability, two-sided, that `a` of `n` and `b` of `m` come from the same urn."""
    def weight(x):
        return comb(n, x) * comb(m, a + b - x)
    observed = weight(a)
    weights = [weight(x) for x in range(max(0, a + b - m), min(n, a + b) + 1)]
    return sum(w for w in weights if w <= observed) / sum(weights)


def told_apart(alone, shim):
    """Can two lists of outcomes be told from each other?"""
    a, b = Counter(alone), Counter(shim)
    return any(fisher(a[outcome], len(alone), b[outcome], len(shim)) < BY_CHANCE
               for outcome in a | b)


def counted(outcomes):
    """'passed (3 of 5), failed: OSError (2 of 5)'"""
    return ', '.join(f'{outcome} ({n} of {len(outcomes)})'
                     for outcome, n in Counter(outcomes).most_common())


def check():
    """What is said above is so."""
    assert abs(fisher(3, 4, 1, 4) - 34 / 70) < 1e-9, 'the lady who tasted tea'
    assert not told_apart(['passed'] * 4, ['failed'] * 4)
    assert told_apart(['passed'] * 5, ['failed'] * 5)
    assert not told_apart(['passed'] * 12, ['passed', 'failed'] * 6)
    assert told_apart(['passed'] * 14, ['passed', 'failed'] * 7)
    assert not told_apart(['passed', 'failed'] * 10, ['failed', 'passed'] * 10)
