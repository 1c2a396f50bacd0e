# SPDX-License-Identifier: Apache-2.0
"""Programs that clear the environment of those that they execute (failure class 2.1), and
MESHSHIM_FOLLOW=1, which puts back what the library needs. Off, nothing changes."""

import json

import harness
import mesh
import origin
import test_wrapper

WAYS = ('execve', 'execvpe', 'execle', 'fexecve', 'execveat', 'syscall-execve',
        'syscall-execveat', 'execv', 'execvp', 'execl', 'execlp', 'clearenv', 'posix_spawn',
        'posix_spawnp', 'vfork', 'handler')


def founding(t):
    server = origin.Nginx(t)
    return server, t.rules(mesh.founding(server.port, t.pki.cert('ca')))


def kept(t):
    """What a child's environment has to have for the sanitizer's sake."""
    env = t.environment(preload=True)
    names = ('ASAN_OPTIONS', 'UBSAN_OPTIONS') if t.sanitizer() else ()
    keep = {name: env[name] for name in names}
    if t.sanitizer():
        keep['LD_PRELOAD'] = t.sanitizer()
    return keep


def words(env):
    return [f'{name}={value}' for name, value in env.items()]


def followed(t, env, rules, **more):
    """`env` as a followed child sees it."""
    new = dict(env)
    new['LD_PRELOAD'] = ':'.join(filter(None, [env.get('LD_PRELOAD'), str(t.shim)]))
    for name in {'MESHSHIM_FAST_LANE'} & set(t.environment(rules)):
        new[name] = t.environment(rules)[name]
    return {'MESHSHIM_RULES': str(rules), 'MESHSHIM_FOLLOW': '1', **more, **new}


def show(t, way, child, rules=None, argv=None, **options):
    """Execute env(1), or `argv`, in one of the ways, and return the variables that it prints."""
    out = t.succeed([t.guest('follower'), way, *words(child), '--', *(argv or [t.tool('env')])],
                    rules=rules, **options)
    lines = out.splitlines()
    variables = dict(line.split('=', 1) for line in lines)
    t.equal(len(variables), len(lines), f'one line for each variable of {lines}')
    return variables


@harness.test(cases=WAYS)
def every_way(t, way):
    """The new environment by each of the functions, off and on; arguments arrive as they were."""
    rules = t.rules(mesh.founding(1, t.pki.cert('ca')))
    env = {'A': 'a', **kept(t), 'B': ''}
    for argv in ([t.tool('env')], [t.tool('env'), '-u', 'NOTHING', t.tool('env')]):
        t.equal(show(t, way, env, argv=argv), env, 'environment without the library')
        t.equal(show(t, way, env, rules, argv), env, 'environment with following off')
        seen = show(t, way, env, rules, argv, env={'MESHSHIM_FOLLOW': '1'})
        t.equal(seen, followed(t, env, rules), 'environment with MESHSHIM_FOLLOW=1')


@harness.test()
def what_stays_as_it_is(t):
    """What the program sets itself is never replaced, and nothing is added twice."""
    rules = t.rules(mesh.founding(1, t.pki.cert('ca')))
    san = [t.sanitizer()] if t.sanitizer() else []
    other = test_wrapper.compile_c(t, 'other.so', 'int meshshim_test_nothing;', '-shared', '-fPIC')
    keep = kept(t)
    follow = {'MESHSHIM_FOLLOW': '1', 'MESHSHIM_LOG_LEVEL': 'warn'}

    def check(given, wanted, what):
        t.equal(show(t, 'execve', {**keep, **given}, rules, env=follow), {**keep, **wanted}, what)

    def added(given):
        return followed(t, {**keep, **given}, rules, MESHSHIM_LOG_LEVEL='warn')

    two = {'LD_PRELOAD': ':'.join([*san, str(other)])}
    check(two, added(two), 'an LD_PRELOAD of its own gets our entry at its end')
    t.check(added(two)['LD_PRELOAD'].endswith(f'other.so:{t.shim}'), 'at the end')
    empty = {'LD_PRELOAD': ':'.join(san)}
    check(empty, added(empty), 'an empty LD_PRELOAD')
    own = {'MESHSHIM_RULES': '/their/own'}
    check(own, added(own), 'rules of its own')
    disabled = {'MESHSHIM_DISABLE': '1'}
    check(disabled, disabled, 'MESHSHIM_DISABLE=1')
    for separator in (':', ' '):
        whole = {'LD_PRELOAD': separator.join([*san, str(t.shim), str(other)]),
                 'MESHSHIM_RULES': str(rules)}
        check(whole, whole, 'an environment that lacks nothing')
        half = {'LD_PRELOAD': whole['LD_PRELOAD']}
        check(half, {**added({}), **half}, 'an environment that lacks the rules')


@harness.test()
def relative_names(t):
    """Rules, log and library as they were meant at the start, for a child in another directory."""
    server, rules = founding(t)
    script = f'import os, sys; os.chdir("/"); os.execve(sys.argv[1], sys.argv[1:], {kept(t)!r})'
    env = {'MESHSHIM_FOLLOW': '1', 'MESHSHIM_RULES': 'mesh.cfg', 'MESHSHIM_LOG': 'log',
           'MESHSHIM_LOG_LEVEL': 'info',
           'LD_PRELOAD': ':'.join(filter(None, [t.sanitizer(), './libmeshshim.so']))}
    (t.dir / 'libmeshshim.so').symlink_to(t.shim)
    out = t.succeed([harness.PYTHON, '-c', script, *harness.FETCH, 'http://webserver/anything?x=1'],
                    env=env)
    t.equal(out, origin.BODY + '\n', 'stdout')
    t.contains((t.dir / 'log').read_text(), 'registry hosts', 'the log')
    origin.check_founding(t, server.only_requests(1)[0])


PYTHON = '''
import json, os, subprocess, sys
env, argv = json.loads(sys.argv[1]), sys.argv[2:]
for options in ({}, {'close_fds': False}, {'start_new_session': True}):
    print(subprocess.run(argv, env=env, check=True, capture_output=True, text=True,
                         **options).stdout.strip())
pid = os.posix_spawn(argv[0], argv, env)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
'''

NODE = '''
const child = require('child_process');
const env = JSON.parse(process.argv[1]), argv = process.argv.slice(2);
function next(count) {
    const it = child.spawn(argv[0], argv.slice(1), { env, stdio: 'inherit' });
    it.on('exit', (code) => { if (code || count == 1) process.exit(code); next(count - 1); });
}
next(4);
'''

PERL = '''
my $fetch = shift @ARGV; %ENV = map { split /=/, $_, 2 } splice(@ARGV, 0, $fetch);
system { $ARGV[0] } @ARGV and exit 1 for 1 .. 4;
'''


@harness.test(timeout=60, cases=['env', 'python3', 'node', 'perl', 'sh'])
def programs(t, which):
    """Programs that start others with a cleared environment: env -i, python3's subprocess and
    posix_spawn, Node's child_process, perl, a shell; with an engine of the parent's and without."""
    server, rules = founding(t)
    keep = kept(t)
    fetch = [*harness.FETCH, 'http://webserver/anything?x=1']
    quoted = ' '.join(f"'{word}'" for word in [*words(keep), *fetch])
    unset = f'LD_PRELOAD={t.sanitizer() or ""}; unset MESHSHIM_RULES MESHSHIM_FOLLOW'
    if not t.sanitizer():
        unset += ' LD_PRELOAD'
    argv = {
        'env': [t.tool('env'), '-i', *words(keep), *fetch],
        'python3': [harness.PYTHON, '-c', PYTHON, json.dumps(keep), *fetch],
        'node': [t.tool('node'), '-e', NODE, json.dumps(keep), *fetch],
        'perl': [t.tool('perl'), '-e', PERL, len(keep), *words(keep), *fetch],
        'sh': ['/bin/sh', '-c', f'{unset}; for i in 1 2 3 4; do env {quoted}; done'],
    }[which]
    count = 1 if which == 'env' else 4
    lost = t.run(argv, rules=rules)
    t.check(lost.status != 0 and origin.BODY not in lost.out, 'followed without being asked to')
    out = t.succeed(argv, rules=rules, env={'MESHSHIM_FOLLOW': '1'})
    t.equal(out, f'{origin.BODY}\n' * count, 'stdout')
    server.only_requests(count)


@harness.test()
def too_large(t):
    """Beyond its bound an environment is passed on as it is, with a warning: exec never fails."""
    rules = t.rules(mesh.founding(1, t.pki.cert('ca')))
    for count, whole in ((1500, True), (2500, False)):
        env = {**kept(t), **{f'V{i}': str(i) for i in range(count)}}
        result = t.run([t.guest('follower'), 'execve', *words(env), '--', t.tool('env')],
                       rules=rules, env={'MESHSHIM_FOLLOW': '1', 'MESHSHIM_LOG_LEVEL': 'warn'})
        t.equal(result.status, 0, 'status')
        t.equal('MESHSHIM_RULES=' in result.out, whole, f'followed with {count} variables')
        t.equal('is passed on as it is' in result.err, not whole, 'warning')


@harness.test()
def failing_exec(t):
    """An exec(2) that fails says why, as ever."""
    rules = t.rules(mesh.founding(1, t.pki.cert('ca')))
    text = t.file('text', 'no program\n')
    for way in WAYS:
        for program in ('/no/such/program', str(t.dir), str(text)):
            argv = [t.guest('follower'), way, '--', program, 'a', 'b', 'c']
            wanted = t.run(argv)
            for env in ({}, {'MESHSHIM_FOLLOW': '1'}):
                seen = t.run(argv, rules=rules, env=env)
                t.equal((seen.status, seen.out, seen.err), (wanted.status, wanted.out, wanted.err),
                        f'{way} of {program} with {env}')


@harness.test()
def wrapper(t):
    """meshshim -f"""
    server, rules = founding(t)
    fetch = [t.tool('env'), '-i', *words(kept(t)), *harness.FETCH, 'http://webserver/anything?x=1']
    t.check(test_wrapper.wrap(t, '-r', rules, *fetch).status != 0, 'followed without -f')
    for option in ('-f', '--follow'):
        result = test_wrapper.wrap(t, option, '-r', rules, *fetch)
        t.equal((result.status, result.out, result.err), (0, origin.BODY + '\n', ''), option)
    server.only_requests(2)
