// SPDX-License-Identifier: Apache-2.0
// c-ares asks a name server of ours, and what it answers is dialled: PORT-OF-DNS URL
const dns = require('dns'), http = require('http');
const url = new URL(process.argv[3]);
dns.setServers([`127.0.0.1:${process.argv[2]}`]);
dns.resolve4('webserver', (error, addresses) => {
    console.log(error, addresses);
    http.get({ host: addresses[0], port: url.port, path: '/text', agent: false,
        headers: { Host: 'webserver' } },
    (answer) => answer.on('data', (chunk) => process.stdout.write(chunk)));
});
