// SPDX-License-Identifier: Apache-2.0
// http with an agent that keeps its connection, and https beside it: URL HTTPS-URL CA
const fs = require('fs'), http = require('http'), https = require('https');
const [url, other, ca] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const own = new https.Agent({ ca: fs.readFileSync(ca) });

function ask(target, options, body) {
    return new Promise((resolve, reject) => {
        const request = (target.startsWith('https') ? https : http).request(target, options, (answer) => {
            let length = 0;
            answer.on('data', (chunk) => { length += chunk.length; });
            answer.on('end', () => resolve(`${answer.statusCode} ${length}`));
        });
        request.on('error', reject);
        request.end(body);
    });
}

(async () => {
    console.log(await ask(url + '/text', { agent }));
    console.log(await ask(other + '/text', { agent: own }));
    console.log(await ask(url + '/echo', { agent, method: 'POST' }, 'some text'));
    console.log(await ask(other + '/echo', { agent: own, method: 'POST' }, 'some text'));
    console.log(await ask(url + '/big', { agent }));
    agent.destroy();
    own.destroy();
})();
