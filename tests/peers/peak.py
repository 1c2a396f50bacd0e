# SPDX-License-Identifier: Apache-2.0
"""peak.py FILE PROGRAM [ARG...]: run a program, and write into FILE how many KB it took at most.

A process starts with the peak of the one that made it, so that a large parent would hide it."""

import os
import sys

pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
with open(sys.argv[1], 'w') as file:
    file.write(str(usage.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
