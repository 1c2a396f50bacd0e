# SPDX-License-Identifier: Apache-2.0
"""Promise 5: the library's private parts and those of its host do not mix."""

import harness
import mesh
import origin

# A regular expression that needs the engine.
MATCH = 'match = ( { uri = { regex = "/any(thing|one)?[^/]*"; }; } );'


@harness.test()
def hostile(t):
    """A program that exports functions named as ours, each aborting when called."""
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca'), match=MATCH))
    out = t.succeed([t.guest('hostile'), 'webserver', 80, origin.BODY], rules=rules)
    t.contains(out, 'none of them stepped on', 'stdout')
    server.only_requests(2)


@harness.test()
def allocator(t):
    """A program with an allocator of its own: whatever is allocated is freed by the same one."""
    if t.san:
        raise harness.Skip('the sanitizer is the allocator')
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca'), match=MATCH))
    out = t.succeed([t.guest('allocator'), 'webserver', 80, origin.BODY], rules=rules)
    t.contains(out, 'all of it our own', 'stdout')
    server.only_requests(1)


NODE = '''
const crypto = require('crypto'), fs = require('fs'), http = require('http'),
    https = require('https');
const [url, ca] = process.argv.slice(1);
function get(module, target, options, done) {
    module.get(target, options, (response) => {
        let body = '';
        response.on('data', (chunk) => { body += chunk; });
        response.on('end', () => {
            console.log(response.statusCode, body.trim());
            done();
        });
    });
}
function digest() {
    console.log(crypto.createHash('sha256').update('abc').digest('hex').slice(0, 8));
}
const own = { ca: fs.readFileSync(ca), agent: false };
digest();
get(https, url, own, () => get(http, 'http://webserver/anything?x=1', { agent: false },
    () => get(https, url, own, digest)));
'''

PYTHON = '''
import hashlib, ssl, sys, urllib.request
def get(url, context=None):
    with urllib.request.urlopen(url, context=context, timeout=20) as response:
        print(response.status, response.read().decode().strip())
def digest():
    print(hashlib.sha256(b'abc').hexdigest()[:8])
own = ssl.create_default_context(cafile=sys.argv[2])
digest()
get(sys.argv[1], own)
get('http://webserver/anything?x=1')
get(sys.argv[1], own)
digest()
'''

DIGEST = 'ba7816bf'


@harness.test(cases=['node', 'python3'])
def own_tls(t, which):
    """A program with an OpenSSL of its own uses both in one process."""
    server, own = origin.Nginx(t), origin.Nginx(t, 'local')
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca'), match=MATCH))
    program = {'node': [t.tool('node'), '-e', NODE], 'python3': [harness.PYTHON, '-c', PYTHON]}
    out = t.succeed([*program[which], f'https://127.0.0.1:{own.port}/', t.pki.cert('ca')],
                    rules=rules)
    t.equal(out.splitlines(), [DIGEST, *[f'200 {origin.BODY}'] * 3, DIGEST], 'stdout')
    origin.check_founding(t, server.only_requests(1)[0])
    own.only_requests(2)


def exports(t, library):
    out = t.succeed([t.tool('nm'), '-D', '--defined-only', library])
    return {line.split()[-1].split('@')[0] for line in out.splitlines()}


@harness.test()
def bindings(t):
    """In Node, which exports an OpenSSL and much more, the library uses names of libc and of
    nothing else, and others use none of its names but the hooks."""
    if t.san:
        raise harness.Skip('the sanitizer is one more library to be bound to')
    server = origin.Nginx(t)
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    script = "require('http').get('http://webserver/', { agent: false }, (r) => r.resume())"
    t.run([t.tool('node'), '-e', script], rules=rules,
          env={'LD_DEBUG': 'bindings', 'LD_DEBUG_OUTPUT': str(t.dir / 'bindings')})
    server.only_requests(1)
    lines = [line for path in t.dir.glob('bindings.*') for line in path.read_text().splitlines()
             if 'binding file ' in line]
    # binding file USER [0] to PROVIDER [0]: normal symbol `NAME' [VERSION]
    users = {line.split('binding file ')[1].split()[0] for line in lines}
    libc = next(user for user in users if user.endswith('/libc.so.6'))
    loader = next(line.split(' to ')[1].split()[0] for line in lines if '/ld-linux' in line)
    hooks = exports(t, t.shim)
    # A program may hold the address that stands for one of libc's functions, so the name counts.
    allowed = exports(t, libc) | exports(t, loader) | hooks
    count = 0
    for line in lines:
        user = line.split('binding file ')[1].split()[0]
        provider = line.split(' to ')[1].split()[0]
        name = line.split('`')[1].split("'")[0]
        if user == str(t.shim):
            count += 1
            t.check(name in allowed, f'the library uses {name} of {provider}')
        elif provider == str(t.shim):
            t.check(name in hooks, f'{user} uses {name} of the library')
        elif '/libconfig.so' in user:
            t.check(provider == user or name in allowed, f'libconfig uses {name} of {provider}')
    t.check(count > 20, 'the loader said nothing of the library')
    t.check(any('/libconfig.so' in user for user in users), 'no rules were read')


@harness.test()
def deferred_tables(t):
    """OpenSSL's tables are nobody's copy before the bridge starts, and read-only from then on."""
    server = origin.Nginx(t)
    script = '''if 1:
        import re, sys, urllib.request
        def tables():
            sizes = {'rw-p': 0, 'r--p': 0}
            dirty = 0
            for entry in re.split(r'(?m)^(?=[0-9a-f]+-[0-9a-f]+ )', open('/proc/self/smaps').read()):
                head = re.match(r'([0-9a-f]+)-([0-9a-f]+) (....) .*libmeshshim\\.so', entry)
                if head:
                    dirty += int(re.search(r'Private_Dirty: *(\\d+)', entry)[1])
                    if head[3] in sizes:
                        sizes[head[3]] += (int(head[2], 16) - int(head[1], 16)) >> 10
            return sizes['rw-p'], sizes['r--p'], dirty
        before = tables()
        print(urllib.request.urlopen('http://webserver/anything?x=1').read().decode().strip())
        after = tables()
        print(after[0] <= before[0] - 300, after[1] >= before[1] + 300, before[2] < int(sys.argv[1]))
        print(before, after)'''
    rules = t.rules(mesh.founding(server.port, t.pki.cert('ca')))
    # A sanitizer has tables of its own.
    out = t.succeed([harness.PYTHON, '-c', script, 5000 if t.san else 150],
                    rules=rules).splitlines()
    t.equal(out[:2], [origin.BODY, 'True True True'], f'KiB {out[2:]}')
