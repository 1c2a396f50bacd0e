# SPDX-License-Identifier: Apache-2.0
"""A WSGI application that asks somebody else: $URL says whom."""
import os
import urllib.request


def application(environ, start_response):
    with urllib.request.urlopen(os.environ['URL'] + environ['PATH_INFO'], timeout=30) as answer:
        body = answer.read()
    start_response(f'{answer.status} as there', [('Content-Length', str(len(body)))])
    return [body]
