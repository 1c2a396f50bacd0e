// SPDX-License-Identifier: Apache-2.0
// Its own TLS: URL CA
const https = require('https');
const ca = require('fs').readFileSync(process.argv[3]);
https.get(process.argv[2] + '/text', { ca, agent: false }, (answer) => {
    answer.on('data', (chunk) => process.stdout.write(chunk));
});
