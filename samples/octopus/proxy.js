// SPDX-License-Identifier: Apache-2.0
//
// A small proxy that knows nothing of meshes, rules or TLS: it answers every request by fetching
// PROXYURL + path over plain HTTP, and says how long that took.
//
//     PROXYURL=http://webserver node proxy.js [PORT]
//
// PORT (argument, else the environment's PORT) defaults to 3030; 0 picks a free one. The port is
// printed once it can be used.
'use strict';

const http = require('http');

const upstream = process.env.PROXYURL || 'http://webserver';
const port = Number(process.argv[2] || process.env.PORT || 3030);

function fetchText(url, done) {
    const request = http.get(url, (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('error', done);
        response.on('end', () =>
            done(null, response.statusCode, Buffer.concat(chunks).toString().trim()));
    });
    request.on('error', done);
}

const server = http.createServer((request, response) => {
    const started = Date.now();
    fetchText(upstream + (request.url === '/' ? '' : request.url), (error, status, body) => {
        const value = error ? String(error) : `Proxying value: ${body}`;
        response.writeHead(error ? 502 : status, { 'Content-Type': 'text/plain' });
        response.end(`${value} - Took ${Date.now() - started} milliseconds\n`);
    });
});

server.listen(port, '127.0.0.1', () => {
    console.log(`proxy for ${upstream} listening on port ${server.address().port}`);
});
