# SPDX-License-Identifier: Apache-2.0
"""A client for tests that are not about clients: fetch.py [OPTION...] URL...

Each URL over a connection of its own; prints the bodies, with --status each followed by its status.
"""

import argparse
import os
import shutil
import ssl
import sys
import urllib.error
import urllib.request


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--header', action='append', default=[])
    parser.add_argument('--data')
    parser.add_argument('--upload', help='PUT this file')
    parser.add_argument('--chunked', action='store_true', help='upload without Content-Length')
    parser.add_argument('--output', default='/dev/stdout')
    parser.add_argument('--status', action='store_true')
    parser.add_argument('--cacert')
    parser.add_argument('urls', nargs='+')
    options = parser.parse_args()

    context = ssl.create_default_context(cafile=options.cacert) if options.cacert else None
    headers = dict(header.split(': ', 1) for header in options.header)
    for url in options.urls:
        data = options.data.encode() if options.data else None
        if options.upload:
            data = open(options.upload, 'rb')
            if not options.chunked:
                headers['Content-Length'] = str(os.stat(options.upload).st_size)
        request = urllib.request.Request(url, data, headers,
                                         method='PUT' if options.upload else None)
        try:
            response = urllib.request.urlopen(request, timeout=20, context=context)
        except urllib.error.HTTPError as error:
            response = error
        with response, open(options.output, 'wb') as output:
            shutil.copyfileobj(response, output)
        if options.status:
            print(f'\n{response.status}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
