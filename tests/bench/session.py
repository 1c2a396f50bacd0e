# SPDX-License-Identifier: Apache-2.0
"""session.py URL CA MS: GETs through one requests.Session, one after the other."""

import resource
import sys
import time

import requests


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


url, authority, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]) / 1000
session = requests.Session()
session.trust_env = False
session.verify = authority


def get():
    response = session.get(url)
    assert response.status_code == 200 and len(response.content) == 1024, response


get()
count, used, start = 0, cpu(), time.monotonic()
while time.monotonic() < start + seconds:
    get()
    count += 1
print(count, time.monotonic() - start, cpu() - used, count + 1)
