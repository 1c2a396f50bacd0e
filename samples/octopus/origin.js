// SPDX-License-Identifier: Apache-2.0
//
// The local stand-in for raw.githubusercontent.com: HTTPS on loopback, one file to serve.
//
//     node origin.js CERTIFICATE KEY [PORT]
//
// PORT defaults to 0, a free one. The first line on stdout names the port; then comes one line for
// each request, saying what arrived: server name of the TLS handshake (SNI), TLS version, Host
// field and request line.
'use strict';

const fs = require('fs');
const https = require('https');

const files = {
    '/mcasperson/NodejsProxy/master/externalservice1.txt': 'External Service 1\n',
};

const [certificate, key, port] = process.argv.slice(2);
const server = https.createServer({
    cert: fs.readFileSync(certificate),
    key: fs.readFileSync(key),
});

server.on('request', (request, response) => {
    const body = files[request.url.split('?')[0]];

    request.resume();
    response.writeHead(body ? 200 : 404, { 'Content-Type': 'text/plain' });
    response.end(body || 'no such file\n');
    console.log(`sni=${request.socket.servername || '-'} tls=${request.socket.getProtocol()}` +
        ` host=${request.headers.host || '-'}` +
        ` request="${request.method} ${request.url} HTTP/${request.httpVersion}"`);
});

// What is not TLS, or a handshake that came to nothing, is worth a line too.
server.on('tlsClientError', (error) => console.log(`handshake failed: ${error.message}`));

server.listen(Number(port || 0), '127.0.0.1', () => {
    console.log(`origin listening on port ${server.address().port}`);
});
