// SPDX-License-Identifier: Apache-2.0
// The built-in fetch: URL
(async () => {
    const url = process.argv[2];
    const get = await fetch(url + '/text');
    console.log(get.status, await get.text());
    const post = await fetch(url + '/echo', { method: 'POST', body: JSON.stringify({ a: 1 }) });
    console.log(post.status, await post.json());
    const many = await Promise.all([...Array(8).keys()].map((n) => fetch(`${url}/text?${n}`)));
    console.log(many.map((answer) => answer.status).join());
    for (const answer of many)
        await answer.text();
})();
