# SPDX-License-Identifier: Apache-2.0
"""The fast lane for sockets in epoll sets: whatever a program does there, it sees what it sees without it."""

import time
import zlib

import harness
import mesh
import origin
import scripted
import test_fast

FAST = test_fast.FAST


def patient(stream):
    """As test_fast.echo, and what is POSTed to /slow is read slowly."""
    more = stream.more

    def slowly():
        time.sleep(0.002)
        return more()
    while (head := stream.head()) is not None:
        method, path, _ = head.split(' ', 2)
        stream.more = slowly if path.startswith('/slow') else more
        body = stream.body(head)
        stream.more = more
        respond(stream, method, path, body)


def respond(stream, method, path, body):
    _, what, arg = path.split('/', 2)
    if what == 'size':
        stream.send(test_fast.answer((test_fast.PATTERN * (int(arg) // 251 + 1))[:int(arg)]))
        return
    if what == 'wait':
        time.sleep(int(arg) / 1000)
    stream.send(test_fast.answer(b'%s %s %d %08x\n' % (method.encode(), path.encode(), len(body),
                                                       zlib.adler32(body))))


def brief(how, seconds=0.1):
    """An origin that ends a connection on which nothing comes for so long."""
    def script(stream):
        while True:
            stream.s.settimeout(seconds)
            try:
                head = stream.head()
            except scripted.Hung:
                stream.end(how)
                return
            stream.s.settimeout(20)
            if head is None:
                return
            method, path, _ = head.split(' ', 2)
            respond(stream, method, path, stream.body(head))
    return script


def both(t, mode, *args, program='fast_epoll', script=patient, plain=True):
    """A guest without the library, and with it. Returns what it says with it."""
    if plain:
        server = scripted.Scripted(t, script)
        t.succeed([t.guest(program), mode, '127.0.0.1', server.port, *args])
        t.equal(server.errors, [], 'what the origin failed of without the library')
    server = scripted.Scripted(t, script, 'host')
    rules = t.rules(mesh.unchanged(server.port, t.pki.cert('ca')))
    out = t.succeed([t.guest(program), mode, 'webserver', '80', *args], rules=rules, env=FAST)
    t.equal(server.errors, [], 'what the origin failed of')
    return out.strip()


def took_it(t, out):
    if not t.switch:  # else lanes are changed at random
        t.equal(out, '0', 'bytes that the kernel carried')


LANES = {'level': True, 'edge': True, 'edge-short': True, 'hangup': True, 'to-out': True, 'to-out-edge': True,
         'edge-both': True, 'edge-all': True, 'level-both': False, 'wait-both': False, 'oneshot': False}


SOME = ('level', 'to-out', 'edge-both')


@harness.test(timeout=60, cases=SOME)
def manners(t, manner):
    """Whatever it is registered for. Who is told of EPOLLOUT all the time does not take the fast lane."""
    out = both(t, 'manner', manner)
    if LANES[manner]:
        took_it(t, out)


@harness.test(timeout=60, long=True, cases=[name for name in LANES if name not in SOME])
def more_manners(t, manner):
    manners(t, manner)


@harness.test(timeout=60, cases=['late', 'nothing'])
def registers(t, mode):
    both(t, mode)


@harness.test(timeout=60, long=True)
def before(t):
    """Registered before it is connected."""
    both(t, 'before')


@harness.test(timeout=60, cases=['notify'])
def data(t, how):
    """Its data change, also while nothing is under way."""
    both(t, 'data', script=brief(how), plain=False)


@harness.test(timeout=60, cases=['level 65536', 'edge 4096'])
def bodies(t, case):
    both(t, 'bodies', *case.split())


@harness.test(timeout=60, long=True, cases=[f'{manner} {room}' for manner in ('level', 'edge', 'edge-short')
                                            for room in (1, 100, 4096, 16384, 65536)])
def all_bodies(t, case):
    bodies(t, case)


@harness.test(timeout=60, cases=['level', 'any-way-edge'])
def mixed(t, manner):
    """Requests at random over many connections, also by system calls that no hook sees."""
    both(t, 'mixed', manner, '1000', plain=False)


@harness.test(timeout=60, long=True, cases=['level', 'edge', 'any-way', 'any-way-edge', 'any-way-both'])
def long_mixed(t, manner):
    both(t, 'mixed', manner, '10000', plain=False)


ENDS = {'close': 0, 'range': 1, 'over': 2, 'shutdown': 3, 'delete': 4, 'bare': 5, 'over3': 6}


@harness.test(timeout=60, cases=['level range', 'edge over', 'to-out close'])
def crowd(t, case):
    """No event of a connection that is closed, however it was."""
    manner, end = case.split()
    both(t, 'crowd', manner, str(ENDS[end]), '1000', plain=False)


@harness.test(timeout=60, long=True, cases=[f'{manner} {end}' for manner in ('level', 'edge', 'edge-both', 'to-out')
                                            for end in ENDS])
def long_crowd(t, case):
    manner, end = case.split()
    both(t, 'crowd', manner, str(ENDS[end]), '10000', plain=False)


@harness.test(timeout=60, cases=['level reset'])
def idle(t, case):
    """That an upstream connection ends is no business of a connection that has nothing under way."""
    manner, how = case.split()
    both(t, 'idle', manner, script=brief(how), plain=False)


@harness.test(timeout=60, long=True, cases=[f'{manner} {how}' for manner in ('level', 'edge', 'edge-both', 'hangup')
                                            for how in ('notify', 'close', 'reset')])
def more_idle(t, case):
    idle(t, case)


@harness.test(timeout=60)
def busy(t):
    """Who was not there for a while takes the fast lane again."""
    out = both(t, 'busy', plain=False)
    took_it(t, out)


@harness.test(timeout=60, long=True, cases=['reset', 'close'])
def more_data(t, how):
    data(t, how)


@harness.test(timeout=60, cases=['taken'])
def room(t, what):
    """Who waits for room hears that there is, whatever has become of the upstream connection."""
    both(t, 'room', what, script=brief('notify') if what == 'ended' else patient, plain=False)


@harness.test(timeout=60, cases=['edge-both-count', 'edge-count'])
def counts(t, manner):
    """Who takes a short count for a socket that is full hears when there is room again."""
    both(t, 'short-counts', manner)


@harness.test(timeout=60, long=True)
def room_ended(t):
    room(t, 'ended')


SETS = 'fast_epoll_sets'


@harness.test(timeout=60, cases=['fork', 'copies', 'two', 'gone'])
def sets(t, mode):
    both(t, mode, program=SETS)


@harness.test(timeout=60, long=True, cases=['reuse', 'nested', 'numbers'])
def more_sets(t, mode):
    both(t, mode, program=SETS)


@harness.test(timeout=60)
def moves(t):
    took_it(t, both(t, 'moves', program=SETS))


@harness.test(timeout=60)
def many_sets(t):
    took_it(t, both(t, 'many', '600', program=SETS, plain=False))


@harness.test(timeout=60, cases=['write', 'both'])
def shuts(t, how):
    both(t, 'shuts', how, program=SETS)


@harness.test(timeout=60, cases=['level', 'oneshot', 'own'])
def threads(t, how):
    """A set for all threads, or one for each."""
    both(t, 'threads', how, program=SETS)


# Requests at once over connections that are kept, a long answer that is stopped for a while among them; their
# upstream connections end when they have been idle.
NODE = '''
const http = require('http');
const agent = new http.Agent({keepAlive: true, maxSockets: 10});
const sockets = new Set();
function get(path, body) {
  return new Promise((resolve, reject) => {
    const r = http.request({host: 'webserver', path, agent, method: body ? 'POST' : 'GET',
                            headers: {'Content-Length': body ? body.length : 0}}, a => {
      const parts = [];
      a.on('data', part => {
        parts.push(part);
        if (path.includes('/size/') && Math.random() < 0.1) {
          a.pause();
          setTimeout(() => a.resume(), 5);
        }
      });
      a.on('end', () => resolve(Buffer.concat(parts)));
      a.on('error', reject);
    });
    r.on('socket', s => sockets.add(s));
    r.on('error', reject);
    r.end(body);
  });
}
async function one(i) {
  if (i % 10 == 0) {
    const a = await get('/size/300000');
    if (a.length != 300000 || !a.every((b, k) => b == k % 251)) throw 'another body';
  } else {
    const body = i % 3 ? null : Buffer.alloc(20000, i);
    const a = String(await get('/echo/' + i, body));
    if (!a.startsWith(`${body ? 'POST' : 'GET'} /echo/${i} ${body ? 20000 : 0} `)) throw 'not ' + a;
  }
}
(async () => {
  for (let round = 0; round < 3; round++) {
    await Promise.all(Array.from({length: 150}, (_, i) => one(i)));
    await new Promise(r => setTimeout(r, 300));
  }
  console.log(sockets.size);
  agent.destroy();
})().catch(e => { console.error(e); process.exit(1); });
'''

ASYNCIO = '''
import asyncio

async def answer(r):
    head = await r.readuntil(b'\\r\\n\\r\\n')
    return await r.readexactly(int(head.lower().split(b'content-length: ')[1].split()[0]))

async def talk(i):
    r, w = await asyncio.open_connection('webserver', 80)
    for round in range(3):
        for k in range(15):
            body = bytes(1000000 if k == 7 else 0)
            path = '/size/300000' if k == 5 else f'/echo/{i}.{k}'
            method = 'POST' if body else 'GET'
            w.write(f'{method} {path} HTTP/1.1\\r\\nHost: webserver\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n'
                    .encode() + body)
            await w.drain()
            if k == 5:
                r._transport.pause_reading()
                await asyncio.sleep(0.02)
                r._transport.resume_reading()
                assert await answer(r) == (bytes(range(251)) * 1200)[:300000]
            else:
                a = await answer(r)
                assert a.startswith(f'{method} {path} {len(body)} '.encode()), (a, path)
        await asyncio.sleep(0.5)
    w.close()

async def main():
    await asyncio.gather(*(talk(i) for i in range(12)))
asyncio.run(main())
'''


@harness.test(timeout=60)
def node(t):
    """Its connections stay open while those to the origin end."""
    t.needs(['node', '-e', '0'])
    server = scripted.Scripted(t, brief('notify'), 'host')
    rules = t.rules(mesh.unchanged(server.port, t.pki.cert('ca')))
    t.equal(t.succeed(['node', '-e', NODE], rules=rules, env=FAST), '10\n', 'connections of its own')
    t.equal(server.errors, [], 'what the origin failed of')


@harness.test(timeout=60, long=True)
def asyncio(t):
    server = scripted.Scripted(t, brief('notify', 0.3), 'host')
    rules = t.rules(mesh.unchanged(server.port, t.pki.cert('ca')))
    t.succeed([harness.PYTHON, '-c', ASYNCIO], rules=rules, env=FAST)
    t.equal(server.errors, [], 'what the origin failed of')


@harness.test(timeout=60)
def curl(t):
    """Many at once."""
    t.needs([t.tool('curl'), '-s', f'http://127.0.0.1:{origin.Nginx(t).plain_port}/'])
    server = scripted.Scripted(t, brief('notify'), 'host')
    rules = t.rules(mesh.unchanged(server.port, t.pki.cert('ca')))
    seen = t.succeed(['curl', '-sS', '--no-progress-meter', '--parallel', '--parallel-max', '10',
                      '-w', '%{http_code} %{size_download}\n', '-o', t.dir / 'part#1',
                      'http://webserver/size/[10000-10060]'], rules=rules, env=FAST)
    t.equal(sorted(seen.split('\n')[:-1]), [f'200 {n}' for n in range(10000, 10061)], 'answers')
    t.equal(server.errors, [], 'what the origin failed of')


WRK = ('wrk', '-t2', '-c20', '-d1s')


@harness.test(timeout=60, long=True)
def wrk(t):
    """No answer is lost or wrong, as it counts."""
    t.needs(['wrk', '--version'])
    server = scripted.Scripted(t, patient, 'host')
    rules = t.rules(mesh.unchanged(server.port, t.pki.cert('ca')))
    out = t.succeed([*WRK, 'http://webserver/echo/wrk'], rules=rules, env=FAST)
    t.check('Socket errors' not in out and 'Non-2xx' not in out, out)
    t.equal(server.errors, [], 'what the origin failed of')
