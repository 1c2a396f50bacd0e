# SPDX-License-Identifier: Apache-2.0
"""WebSockets: websocket.py serve FD CERT KEY, an echo; websocket.py talk URL, which talks to one."""

import asyncio
import socket
import ssl
import sys

import websockets


async def echo(connection, path=None):
    async for message in connection:
        await connection.send(message)


async def serve(fd, cert, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    async with websockets.serve(echo, sock=socket.socket(fileno=int(fd)), ssl=context,
                                max_size=None):
        await asyncio.Future()


async def talk(url):
    async with websockets.connect(url, max_size=None) as one, \
            websockets.connect(url, max_size=None) as other:
        for connection in (one, other, one):
            for size in (0, 1, 125, 126, 65535, 65536, 3000000):
                await connection.send(b'm' * size)
                assert await connection.recv() == b'm' * size
        many = [f'message {i}' for i in range(2000)]
        for message in many:  # all of them under way at once
            await one.send(message)
        assert [await one.recv() for message in many] == many
        await (await one.ping())
    print(one.close_code, other.close_code)


if sys.argv[1] == 'serve':
    asyncio.run(serve(*sys.argv[2:]))
else:
    asyncio.run(talk(*sys.argv[2:]))
