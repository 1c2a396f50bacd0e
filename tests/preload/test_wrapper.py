# SPDX-License-Identifier: Apache-2.0
"""The wrapper command: what it runs, what it refuses, and with which status."""

import os
import shutil
import subprocess

import harness
import mesh
import origin


def wrap(t, *args, env=None, wrapper=None, **options):
    """Run the wrapper. Built with a sanitizer, the runtime has to be preloaded in front."""
    if t.sanitizer():
        env = {'LD_PRELOAD': t.sanitizer(), **(env or {})}
    return t.run([wrapper or t.wrapper, *args], env=env, **options)


def compile_c(t, name, source, *flags):
    """A program made for one test, without the build's flags."""
    (t.dir / f'{name}.c').write_text(source)
    subprocess.run([os.environ.get('CC', 'gcc'), t.dir / f'{name}.c', *flags, '-o', t.dir / name],
                   check=True, cwd=t.dir)
    return t.dir / name


def founding(t):
    server = origin.Nginx(t)
    return server, t.rules(mesh.founding(server.port, t.pki.cert('ca')))


def refused(t, result, status, *texts):
    t.equal(result.status, status, f'exit status; stderr is {result.err!r}')
    t.equal(result.out, '', 'stdout')
    t.check(result.err.startswith('meshshim: ') and result.err.count('\n') == 1,
            f'not one line on stderr: {result.err!r}')
    for text in texts:
        t.contains(result.err, text, 'stderr')


@harness.test()
def runs_a_program(t):
    server, rules = founding(t)
    result = wrap(t, '-r', rules, '--', *harness.FETCH, 'http://webserver/anything?x=1')
    t.equal((result.status, result.out, result.err), (0, origin.BODY + '\n', ''), 'outcome')
    origin.check_founding(t, server.only_requests(1)[0])


@harness.test()
def relative_rules(t):
    """-r and $MESHSHIM_RULES with relative paths, for a program that changes its directory."""
    server, rules = founding(t)
    os.mkdir(t.dir / 'empty')
    script = f'cd / && {" ".join(harness.FETCH)} "http://webserver/anything?x=1"'
    for args, env in ((['-r', 'mesh.cfg:empty'], {}), ([], {'MESHSHIM_RULES': 'mesh.cfg'})):
        result = wrap(t, *args, 'sh', '-c', script, env=env)
        t.equal((result.status, result.out, result.err), (0, origin.BODY + '\n', ''), 'outcome')
    result = wrap(t, '-r', 'mesh.cfg:empty', 'sh', '-c', 'echo "$MESHSHIM_RULES"')
    t.equal(result.out, f'{rules}:{t.dir}/empty\n', 'MESHSHIM_RULES')
    server.only_requests(2)


@harness.test()
def passes_everything_on(t):
    """Arguments, options behind the program, standard input, exit status, signals."""
    _, rules = founding(t)
    result = wrap(t, '-r', rules, 'sh', '-c', 'cat; printf "<%s>" "$@"; exit 7', 'x', '-v', 'a b',
                  '', stdin=b'in ')
    t.equal((result.status, result.out, result.err), (7, 'in <-v><a b><>', ''), 'outcome')
    result = wrap(t, '-r', rules, 'sh', '-c', 'kill -KILL $$')
    t.equal(result.status, -9, 'status of a program that was killed')


@harness.test()
def installed(t):
    """From where `make install` put it, without a build folder in reach."""
    server, rules = founding(t)
    made = t.make('install', f'DESTDIR={t.dir}/pkg')
    t.equal((made.status, made.err), (0, ''), 'make install')
    wrapper, library, page = [next((t.dir / 'pkg').rglob(name)) for name in
                              ('bin/meshshim', 'libmeshshim.so', 'man1/meshshim.1')]
    result = wrap(t, '-r', rules, *harness.FETCH, 'http://webserver/anything?x=1', wrapper=wrapper)
    t.equal((result.status, result.out, result.err), (0, origin.BODY + '\n', ''), 'outcome')
    result = wrap(t, '-r', rules, 'sh', '-c', 'echo "$LD_PRELOAD"', wrapper=wrapper)
    t.contains(result.out, str(library), 'LD_PRELOAD')
    t.check(page.stat().st_size, 'the manual page is empty')
    server.only_requests(1)


@harness.test()
def existing_preload(t):
    """What is in LD_PRELOAD stays, in front."""
    _, rules = founding(t)
    other = compile_c(t, 'other.so', 'int meshshim_test_nothing;', '-shared', '-fPIC')
    before = ':'.join(filter(None, [t.sanitizer(), str(other)]))
    result = wrap(t, '-r', rules, 'sh', '-c', 'echo "$LD_PRELOAD"', env={'LD_PRELOAD': before})
    t.equal((result.out, result.err), (f'{before}:{t.shim}\n', ''), 'LD_PRELOAD')
    result = wrap(t, '-r', rules, t.wrapper, 'sh', '-c', 'echo "$LD_PRELOAD"',
                  env={'LD_PRELOAD': before})
    t.equal(result.out, f'{before}:{t.shim}\n', 'LD_PRELOAD of a wrapper in a wrapper')


@harness.test()
def verbose(t):
    _, rules = founding(t)
    show = ['sh', '-c', 'echo "$MESHSHIM_LOG_LEVEL"']
    for args, env, wanted in (([], {}, ''), (['-v'], {}, 'info'),
                              (['-v'], {'MESHSHIM_LOG_LEVEL': 'debug'}, 'debug')):
        result = wrap(t, *args, '-r', rules, *show, env=env)
        t.equal(result.out.strip(), wanted, f'MESHSHIM_LOG_LEVEL with {args} {env}')


@harness.test()
def warnings_only_when_asked(t):
    _, rules = founding(t)
    insecure = t.rules(rules.read_text().replace('mode = "SIMPLE";', 'mode = "SIMPLE"; '
                                                 'insecureSkipVerify = true;')
                       .replace(f'caCertificates = "{t.pki.cert("ca")}";', ''), 'insecure.cfg')
    quiet, loud = (wrap(t, *args, '-r', insecure, '/bin/true') for args in ([], ['-v']))
    t.equal((quiet.status, quiet.err), (0, ''), 'without -v')
    t.equal(loud.status, 0, 'status with -v')
    t.contains(loud.err, 'insecure.cfg:', 'stderr with -v')
    t.contains(loud.err, ': warning: ', 'stderr with -v')


@harness.test()
def scripts(t):
    """Their interpreters are looked into, and they run."""
    server, rules = founding(t)
    for i, line in enumerate(('/bin/sh', '/usr/bin/env sh', '/usr/bin/env -S sh')):
        script = t.file(f'script{i}', f'#!{line}\n{" ".join(harness.FETCH)} http://webserver/{i}\n')
        script.chmod(0o755)
        result = wrap(t, '-r', rules, script)
        t.equal((result.status, result.out, result.err), (0, origin.BODY + '\n', ''), line)
    server.only_requests(3)


STATIC = 'int main(void) { return 0; }\n'


@harness.test()
def static_program(t):
    _, rules = founding(t)
    program = compile_c(t, 'static', STATIC, '-static')
    t.equal(t.run([program]).status, 0, 'status without the wrapper')
    refused(t, wrap(t, '-r', rules, program), 126, str(program), 'static')
    pie = compile_c(t, 'static-pie', STATIC, '-static-pie')
    refused(t, wrap(t, '-r', rules, pie), 126, str(pie), 'static')
    # Behind a script, behind env.
    for line in (program, f'/usr/bin/env {program}', '/usr/bin/env static'):
        script = t.file('script', f'#!{line}\n')
        script.chmod(0o755)
        refused(t, wrap(t, '-r', rules, script, env={'PATH': f'{t.dir}:{harness.PATH}'}), 126,
                'static')


@harness.test()
def privileged_programs(t):
    """The loader drops LD_PRELOAD for them."""
    _, rules = founding(t)
    copy = t.dir / 'copy'
    for mode, word in ((0o4755, 'setuid'), (0o2755, 'setgid')):
        shutil.copy('/bin/ls', copy)
        copy.chmod(mode)
        refused(t, wrap(t, '-r', rules, copy), 126, str(copy), word)
        copy.unlink()
    shutil.copy('/bin/ls', copy)
    try:
        # VFS_CAP_REVISION_2, no flags, CAP_NET_RAW permitted.
        os.setxattr(copy, 'security.capability',
                    bytes.fromhex('0000000200200000000000000000000000000000'))
    except OSError as error:
        raise harness.Skip(f'no file capabilities here: {error}')
    refused(t, wrap(t, '-r', rules, copy), 126, str(copy), 'file capabilities')


@harness.test()
def other_kinds_of_programs(t):
    _, rules = founding(t)
    ls = open('/bin/ls', 'rb').read()
    note = '__asm__(".section .note.go.buildid,\\"a\\",@note\\n.balign 4\\n.long 4, 4, 4\\n" \
".asciz \\"Go\\\\0\\"\\n.long 0\\n.previous\\n");\n'
    go = compile_c(t, 'go', note + STATIC)
    loader = ls[ls.index(b'/lib64/ld-linux'):].split(b'\0')[0]
    musl = b'/lib/ld-musl-x86_64.so.1'.ljust(len(loader), b'\0')[:len(loader)]
    for name, content, text in (
            ('musl', ls.replace(loader, musl), 'musl'),
            ('machine', ls[:18] + b'\xb7\0' + ls[20:] if ls[18] != 0xb7 else
             ls[:18] + b'\x3e\0' + ls[20:], 'another machine'),
            ('class', ls[:4] + bytes([3 - ls[4]]) + ls[5:], 'another word size'),
            ('text', b'echo hello\n', 'neither'),
            ('short', ls[:100], 'broken'),
            ('core', ls[:16] + b'\4\0' + ls[18:], 'no executable'),
            ('noone', b'#!/no/such/interpreter\n', '/no/such/interpreter'),
            ('noenv', b'#!/usr/bin/env no-such-program\n', 'no-such-program')):
        path = t.file(name, content)
        path.chmod(0o755)
        status = 127 if name == 'noenv' else 126
        refused(t, wrap(t, '-r', rules, path), status, str(path), text)
    refused(t, wrap(t, '-r', rules, go), 126, 'Go program')


@harness.test()
def not_found_or_not_executable(t):
    """As env(1) does."""
    _, rules = founding(t)
    plain = t.file('plain', '#!/bin/sh\n')
    folder = t.dir / 'folder'
    folder.mkdir()
    env = {'PATH': f'{t.dir}:/usr/bin:/bin'}
    for program in ('no-such-program', './no-such-program', '/no/such/program', '', plain, 'plain',
                    folder, 'folder'):
        wanted = t.run([t.tool('env'), program], env=env).status
        t.check(wanted in (126, 127), f'env says {wanted} for {program!r}')
        refused(t, wrap(t, '-r', rules, program, env=env), wanted, str(program))


@harness.test()
def bad_rules(t):
    """All errors, as file:line, status 1; the program is not run."""
    rules = t.rules('foo = 1;\nbar = 2;\n', 'bad.cfg')
    result = wrap(t, '-r', rules, 'touch', 'ran')
    t.equal((result.status, result.out), (1, ''), 'outcome')
    for line in (1, 2):
        t.contains(result.err, f'{rules}:{line}: error: ', 'stderr')
    t.check(not (t.dir / 'ran').exists(), 'the program ran')
    result = wrap(t, '-r', 'missing.cfg', 'touch', 'ran')
    t.equal((result.status, result.out), (1, ''), 'outcome')
    t.contains(result.err, 'missing.cfg: error: ', 'stderr')


@harness.test()
def usage(t):
    _, rules = founding(t)
    for args in ([], ['-r', rules], ['-x', 'ls'], ['-r'], ['ls'], ['-r', '', 'ls'],
                 ['-r', ':', 'ls']):
        result = wrap(t, *args)
        t.equal((result.status, result.out), (2, ''), f'outcome of {args}')
        t.check(result.err, f'{args}: nothing on stderr')
    for args, text in ((['-h'], 'usage: meshshim'), (['--help'], 'Exit status'),
                       (['--version'], 'meshshim 0.')):
        result = wrap(t, *args)
        t.equal((result.status, result.err), (0, ''), f'outcome of {args}')
        t.contains(result.out, text, f'stdout of {args}')


@harness.test()
def library_that_cannot_be_named(t):
    """LD_PRELOAD is split at spaces and colons: a path with one cannot be said."""
    _, rules = founding(t)
    for name in ('with space', 'with:colon'):
        folder = t.dir / name
        folder.mkdir()
        for file in (t.wrapper, t.shim):
            shutil.copy(file, folder)
        refused(t, wrap(t, '-r', rules, '/bin/true', wrapper=folder / 'meshshim'), 126,
                'LD_PRELOAD cannot hold')


@harness.test()
def no_library(t):
    _, rules = founding(t)
    shutil.copy(t.wrapper, t.dir)
    result = wrap(t, '-r', rules, '/bin/true', wrapper=t.dir / 'meshshim')
    if os.path.exists('/usr/local/lib/libmeshshim.so'):
        raise harness.Skip('the library is installed on this machine')
    refused(t, result, 126, 'libmeshshim.so is neither')
