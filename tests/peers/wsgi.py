# SPDX-License-Identifier: Apache-2.0
"""The application behind gunicorn: answers that have no length, and so go in chunks."""

import application


def answer(environ, start_response):
    start_response('200 OK', [('Content-Type', 'application/octet-stream')])
    if environ['PATH_INFO'] == '/chunked':
        return application.chunks()
    return iter(lambda: environ['wsgi.input'].read(10000), b'')
