// SPDX-License-Identifier: Apache-2.0
// Worker threads, each with an event loop of its own: URL
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const http = require('http');

function ask(url, done) {
    http.get(url, { agent: false }, (answer) => {
        let body = '';
        answer.on('data', (chunk) => { body += chunk; });
        answer.on('end', () => done(`${answer.statusCode} ${body}`));
    });
}

if (isMainThread) {
    const url = process.argv[2];
    const workers = [...Array(4).keys()].map((n) => new Promise((resolve, reject) => {
        const worker = new Worker(__filename, { workerData: `${url}/text?${n}` });
        worker.on('message', resolve);
        worker.on('error', reject);
    }));
    Promise.all(workers).then((answers) => {
        console.log(answers);
        ask(url + '/text?main', console.log);
    });
} else {
    ask(workerData, (text) => parentPort.postMessage(text));
}
