# SPDX-License-Identifier: Apache-2.0
"""subprocess and multiprocessing: children of every kind ask. python_subprocess.py URL"""
import multiprocessing
import subprocess
import sys
import urllib.request

url = sys.argv[1]


def fetch(n):
    with urllib.request.urlopen(f'{url}/text?{n}', timeout=30) as answer:
        return answer.read()


if __name__ == '__main__':
    print(fetch(0))
    for n, close_fds in enumerate((True, False)):
        script = f'import urllib.request as u; print(u.urlopen("{url}/text?sub{n}").read())'
        print(subprocess.run([sys.executable, '-c', script], close_fds=close_fds, check=True,
                             capture_output=True).stdout)
    for kind in ('fork', 'spawn', 'forkserver'):
        with multiprocessing.get_context(kind).Pool(2) as pool:
            print(kind, pool.map(fetch, range(1, 5)))
            pool.close()
            pool.join()
    print(fetch(9))
