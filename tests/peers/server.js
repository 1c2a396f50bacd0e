// SPDX-License-Identifier: Apache-2.0
// Chunks: server.js FD CERT KEY -- what arrives goes back as it comes; of nothing, odd sizes.
const fs = require('fs');
const [fd, cert, key] = process.argv.slice(2);

require('https').createServer({cert: fs.readFileSync(cert), key: fs.readFileSync(key)}, (request, response) => {
    response.setHeader('Trailer', 'X-End');
    if (request.url === '/chunked') {
        for (let size = 1; size < 300000; size = size * 3 + 1)
            response.write('x'.repeat(size));
        response.addTrailers({'X-End': 'yes'});
        response.end();
    } else {
        request.on('data', data => response.write(data));
        request.on('end', () => response.end());
    }
}).listen({fd: Number(fd)});
