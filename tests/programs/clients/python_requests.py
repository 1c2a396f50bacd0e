# SPDX-License-Identifier: Apache-2.0
"""requests: a session. python_requests.py URL"""
import sys

import requests

with requests.Session() as session:
    session.trust_env = False
    for answer in (session.get(sys.argv[1] + '/text'), session.head(sys.argv[1] + '/big'),
                   session.post(sys.argv[1] + '/echo', data={'a': '1'}),
                   session.post(sys.argv[1] + '/echo', json={'a': [1, 2]})):
        print(answer.status_code, answer.headers['Content-Length'], answer.text)
