# SPDX-License-Identifier: Apache-2.0
"""The list of what broke elsewhere (README.md) and the tests agree."""

import pathlib
import re

import harness


@harness.test()
def all_are_tests(t):
    """Every test that the list names is one: renamed tests are renamed there."""
    text = (pathlib.Path(__file__).parent / 'README.md').read_text()
    named = re.findall(r'`([a-z_]+\.[a-z0-9_]+(?:\[[^]]+\])?)`', text.partition('| No. |')[2])
    cases = [case.name for case in harness.CASES]
    for name in named:
        t.check(any(case == name or case.startswith(name + '[') for case in cases),
                f'{name} is no test')
    t.check(len(named) > 100, f'{len(named)} names in the list')
