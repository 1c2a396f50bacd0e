# SPDX-License-Identifier: Apache-2.0
"""asyncio: ten connections at once. python_asyncio.py HOST PORT"""
import asyncio
import sys


async def fetch(n):
    reader, writer = await asyncio.open_connection(*sys.argv[1:3])
    writer.write(f'GET /text?{n} HTTP/1.1\r\nHost: {sys.argv[1]}\r\n\r\n'.encode())
    head = await reader.readuntil(b'\r\n\r\n')
    body = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return head.split(b'\r\n')[0], body


async def main():
    for status, body in await asyncio.gather(*map(fetch, range(10))):
        print(status, body)

asyncio.run(main())
