// SPDX-License-Identifier: Apache-2.0
// A cluster whose workers ask when they are told: URL
const cluster = require('cluster'), http = require('http');

function ask(url, done) {
    http.get(url, { agent: false }, (answer) => {
        let body = '';
        answer.on('data', (chunk) => { body += chunk; });
        answer.on('end', () => done(`${answer.statusCode} ${body}`));
    });
}

if (cluster.isPrimary) {
    const answers = [];
    ask(process.argv[2] + '/text?primary', (text) => {
        console.log(text);
        for (let n = 0; n < 3; n++) {
            const worker = cluster.fork();
            worker.on('message', (message) => {
                answers.push(message);
                worker.disconnect();
            });
            worker.send(`${process.argv[2]}/text?${n}`);
        }
    });
    cluster.on('exit', (worker, code) => {
        answers.push(`exit ${code}`);
        if (answers.length === 6)
            console.log(answers.sort());
    });
} else {
    process.on('message', (url) => ask(url, (text) => process.send(text)));
}
