// SPDX-License-Identifier: Apache-2.0
// agent.js URL CA MS: GETs with an agent that keeps its connections, eight at a time.
'use strict';
const fs = require('fs');
const [url, authority, ms] = process.argv.slice(2);
const http = require(new URL(url).protocol === 'https:' ? 'https' : 'http');
const agent = new http.Agent({ keepAlive: true, maxSockets: 8, ca: fs.readFileSync(authority) });

const get = () => new Promise((resolve, reject) => {
    http.get(url, { agent }, response => {
        let size = 0;
        response.on('data', data => { size += data.length; });
        response.on('end', () => response.statusCode === 200 && size === 1024
            ? resolve() : reject(new Error(`${response.statusCode}, ${size} bytes`)));
    }).on('error', reject);
});

const all = async until => {
    let count = 0;
    await Promise.all(Array.from({ length: 8 }, async () => {
        do {
            await get();
            count++;
        } while (performance.now() < until);
    }));
    return count;
};

(async () => {
    const warm = await all(performance.now() + ms / 4);
    const before = process.cpuUsage(), start = performance.now();
    const count = await all(start + Number(ms));
    const seconds = (performance.now() - start) / 1000, cpu = process.cpuUsage(before);
    console.log(count, seconds, (cpu.user + cpu.system) / 1e6, count + warm);
    agent.destroy();
})();
