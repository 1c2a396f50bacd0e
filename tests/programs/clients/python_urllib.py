# SPDX-License-Identifier: Apache-2.0
"""urllib: a page and a form. python_urllib.py URL [CA]"""
import ssl
import sys
import urllib.request

url, *ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca[0]) if ca else None
for data in (None, b'a=1&b=2'):
    with urllib.request.urlopen(f'{url}/echo' if data else f'{url}/text', data, 30,
                                context=context) as answer:
        print(answer.status, answer.headers['Content-Type'], answer.read())
