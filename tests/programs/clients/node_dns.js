// SPDX-License-Identifier: Apache-2.0
// c-ares asks the name server, and what it answers is dialled: SERVER NAME URL
const dns = require('dns'), http = require('http');
const [, , server, name, base] = process.argv;
const url = new URL(base);
dns.setServers([server]);
dns.resolve4(name, (error, addresses) => {
    console.log(error, addresses.length);
    http.get({ host: addresses[0], port: url.port, path: '/text', agent: false,
        headers: { Host: name } },
    (answer) => answer.on('data', (chunk) => process.stdout.write(chunk)));
});
