# SPDX-License-Identifier: Apache-2.0
"""meshshim-check --app: its verdict on programs of every kind, in words and as JSON."""

import json
import os
import random
import shutil
import subprocess

import harness
from test_wrapper import STATIC, compile_c


def app(t, program, *options, **more):
    """Run it. Built with a sanitizer, the runtime is in the tool itself."""
    return t.run([t.build / 'meshshim-check', '--app', *options, program], **more)


def verdict(t, program, reason, *notes, **more):
    """The verdict and the notes, the same in both forms. Returns the JSON object."""
    text, plain = (app(t, program, *options, **more) for options in ([], ['--format', 'json']))
    status = 1 if reason else 0
    t.equal((text.status, plain.status), (status, status), f'exit statuses for {program}')
    t.equal((text.err, plain.err), ('', ''), 'stderr')
    answer = json.loads(plain.out)
    t.equal(list(answer), ['program', 'path', 'file', 'interceptable', 'reason', 'message', 'notes'],
            'keys')
    t.equal((answer['program'], answer['interceptable'], answer['reason']),
            (str(program), not reason, reason), 'the verdict')
    t.equal([note['note'] for note in answer['notes']], list(notes), f'notes on {program}')
    first, *further = text.out.splitlines()
    t.equal(first, f'{program}: cannot be intercepted: {answer["message"]}' if reason else
            f'{program}: can be intercepted', 'the first line')
    t.equal(further, [f'  note: {note["message"]}' for note in answer['notes']], 'further lines')
    return answer


def executable(t, name, content):
    path = t.file(name, content)
    path.chmod(0o755)
    return path


def patched(t, name, at, new):
    """A copy of a program with other bytes somewhere."""
    data = open('/bin/ls', 'rb').read()
    at = data.index(at) if isinstance(at, bytes) else at
    return executable(t, name, data[:at] + new + data[at + len(new):])


LOADER = b'/lib64/ld-linux'
START = 'void _start(void) { for (;;); }\n'


@harness.test()
def can_be_intercepted(t):
    for program in ('/bin/ls', 'curl', 'wget', harness.PYTHON, 'bash', 'nginx', 'openssl'):
        answer = verdict(t, program, None)
        t.check(os.path.samefile(answer['path'], shutil.which(program, path=harness.PATH)),
                f'{answer["path"]} is another program')
        t.equal(answer['file'], answer['path'], 'what was looked into')
    for flags in (['-no-pie'], ['-pie', '-fPIE'], ['-s'], ['-Wl,-z,now'], ['-Wl,--hash-style=sysv']):
        verdict(t, compile_c(t, 'dynamic', STATIC, *flags), None)


@harness.test()
def not_there(t):
    folder = t.dir / 'folder'
    folder.mkdir()
    plain = t.file('plain', '#!/bin/sh\n')
    for program, reason in (('no-such-program', 'missing'), ('/no/such/program', 'missing'),
                            ('', 'missing'), (folder, 'not-executable'),
                            (plain, 'not-executable'), ('x/' * 5000, 'not-executable')):
        verdict(t, program, reason)


@harness.test()
def static(t):
    for flag in ('-static', '-static-pie'):
        verdict(t, compile_c(t, 'static', STATIC, flag), 'static')
    # With a loader and no library: nothing of it can go through libc.
    verdict(t, compile_c(t, 'alone', START, '-nostdlib', '-pie', '-fPIE'), 'static')


@harness.test()
def other_machines(t):
    verdict(t, patched(t, 'class', 4, bytes([3 - open('/bin/ls', 'rb').read(5)[4]])), 'class')
    verdict(t, patched(t, 'order', 5, b'\2'), 'machine')
    verdict(t, patched(t, 'machine', 18, b'\xf7\0'), 'machine')
    try:
        program = compile_c(t, 'm32', START, '-m32', '-nostdlib')
    except subprocess.CalledProcessError as error:
        print(f'no compiler for 32 bits: {error}')
    else:
        verdict(t, program, 'class')


@harness.test()
def other_loaders(t):
    verdict(t, patched(t, 'musl', LOADER, b'/lib/ld-musl-x.so.1\0'), 'musl')
    verdict(t, patched(t, 'away', LOADER, b'/lib64/ld-nowhere.so\0'), 'loader')


@harness.test()
def privileges(t):
    for mode, reason in ((0o4755, 'setuid'), (0o2755, 'setgid')):
        shutil.copy('/bin/ls', t.dir / reason)
        (t.dir / reason).chmod(mode)
        verdict(t, t.dir / reason, reason)
        # The bits of a script mean nothing to Linux, those of its interpreter do.
        script = executable(t, 'script', f'#!{t.dir / reason}\n')
        verdict(t, script, reason)
        plain = executable(t, 'plain', '#!/bin/sh\n')
        plain.chmod(mode)
        verdict(t, plain, None, 'script')
    copy = t.dir / 'copy'
    shutil.copy('/bin/ls', copy)
    try:
        # VFS_CAP_REVISION_2, no flags, CAP_NET_RAW permitted.
        os.setxattr(copy, 'security.capability',
                    bytes.fromhex('0000000200200000000000000000000000000000'))
    except OSError as error:
        raise harness.Skip(f'no file capabilities here: {error}')
    verdict(t, copy, 'capabilities')


@harness.test()
def go(t):
    """Go's marks: the note with the build id, or a section. (Real Go programs: check-programs.)"""
    mark = t.file('mark', b'\xff Go buildinf:')
    plain = compile_c(t, 'plain', STATIC)
    verdict(t, plain, None)
    for section in ('.go.buildinfo', '.note.go.buildid'):
        t.succeed([t.tool('objcopy'), f'--add-section={section}={mark}', plain, t.dir / 'go'])
        answer = verdict(t, t.dir / 'go', 'go')
        t.contains(answer['message'], 'Go program', 'the message')
    note = ('__asm__(".section .note.go.buildid,\\"a\\",@note\\n.balign 4\\n.long 4, 4, 4\\n'
            '.asciz \\"Go\\\\0\\"\\n.long 0\\n.previous\\n");\n')
    verdict(t, compile_c(t, 'note', note + STATIC), 'go')
    verdict(t, compile_c(t, 'static', note + STATIC, '-static'), 'go')
    # Of a library's, only the program's own part can be intercepted.
    compile_c(t, 'libgo.so', note + 'int of_go;\n', '-shared', '-fPIC')
    user = compile_c(t, 'user', 'extern int of_go; int main(void) { return of_go; }\n', '-L.', '-lgo',
                     '-Wl,-rpath,$ORIGIN')
    verdict(t, user, None, 'go')


@harness.test()
def scripts(t):
    for line in ('/bin/sh', '/bin/sh -e', ' /bin/sh', '/usr/bin/env sh', '/usr/bin/env -S sh -e'):
        script = executable(t, 'script', f'#!{line}\n')
        answer = verdict(t, script, None, 'script')
        t.equal(os.path.basename(answer['file']), 'sh', 'what was looked into')
        t.equal(answer['path'], str(script), 'what would be executed')
    inner = executable(t, 'inner', f'#!{script}\n')
    verdict(t, inner, None, 'script')
    program = compile_c(t, 'static', STATIC, '-static')
    for line in (program, f'/usr/bin/env {program}', '/usr/bin/env static', f'{t.dir}/chain'):
        executable(t, 'chain', f'#!{program}\n')
        script = executable(t, 'script', f'#!{line}\n')
        answer = verdict(t, script, 'static', env={'PATH': f'{t.dir}:{harness.PATH}'})
        t.equal(answer['file'], str(program), 'what was looked into')
    loop = executable(t, 'loop', f'#!{t.dir}/loop\n')
    for script in (loop, executable(t, 'none', '#!\n'), executable(t, 'gone', '#!/no/such/thing\n'),
                   executable(t, 'env', '#!/usr/bin/env no-such-program\n')):
        verdict(t, script, 'script')


@harness.test()
def resolvers(t):
    """Its own library, one that a library needs, or nothing but symbols."""
    library = 'int ares_init(void); int ares_init(void) { return 0; }\n'
    compile_c(t, 'libcares.so', library, '-shared', '-fPIC', '-Wl,-soname,libcares.so')
    caller = 'int ares_init(void); int main(void) { return ares_init(); }\n'
    between = 'int ares_init(void); int go(void); int go(void) { return ares_init(); }\n'
    rpath = '-Wl,-rpath,$ORIGIN'
    verdict(t, compile_c(t, 'direct', caller, '-L.', '-lcares', rpath), None, 'resolver')
    compile_c(t, 'libbetween.so', between, '-shared', '-fPIC', '-L.', '-lcares', rpath)
    user = 'int go(void); int main(void) { return go(); }\n'
    indirect = compile_c(t, 'indirect', user, '-L.', '-lbetween', '-Wl,-rpath-link,.', rpath)
    answer = verdict(t, indirect, None, 'resolver')
    t.contains(answer['notes'][0]['message'], 'libcares.so', 'the note')
    # Where the loader looks by the environment.
    bare = compile_c(t, 'bare', user, '-L.', '-lbetween', '-Wl,-rpath-link,.')
    verdict(t, bare, None)
    verdict(t, bare, None, 'resolver', env={'LD_LIBRARY_PATH': str(t.dir)})
    # Linked in: programs that export their symbols show it.
    inside = compile_c(t, 'inside', library + STATIC, '-rdynamic')
    verdict(t, inside, None, 'resolver')
    own = '#include <resolv.h>\nint main(void) { return res_query("a", 1, 1, 0, 0); }\n'
    verdict(t, compile_c(t, 'own', own, '-lresolv'), None, 'resolver')
    t.equal(app(t, inside, '-q').out, f'{inside}: can be intercepted\n', 'stdout with -q')


@harness.test()
def io_uring(t):
    source = ('#include <liburing.h>\nint main(void)\n'
              '{ struct io_uring ring; return io_uring_queue_init(2, &ring, 0); }\n')
    answer = verdict(t, compile_c(t, 'uring', source, '-luring'), None, 'io_uring')
    t.contains(answer['notes'][0]['message'], 'liburing', 'the note')


@harness.test(timeout=60)
def damaged(t):
    """Cut short or with wrong bytes: a verdict, and never a crash or a long wait."""
    good = compile_c(t, 'good', STATIC, '-s').read_bytes()
    verdict(t, executable(t, 'text', 'echo hello\n'), 'format')
    verdict(t, executable(t, 'empty', b''), 'format')
    verdict(t, patched(t, 'core', 16, b'\4\0'), 'format')
    for size in (3, 4, 5, 16, 63, 100, 300, len(good) // 2):
        verdict(t, executable(t, 'cut', good[:size]), 'broken' if size > 3 else 'format')
    chance = random.Random(1)
    wrong = 0
    for _ in range(150):
        data = bytearray(good)
        # Headers, loader, notes and dynamic section are at the beginning and before the end.
        for _ in range(chance.randint(1, 4)):
            data[chance.choice((chance.randrange(1200), chance.randrange(len(data))))] = \
                chance.choice((0, 1, 0x7f, 0x80, 0xff))
        result = app(t, executable(t, 'damaged', bytes(data)), timeout=20)
        t.check(result.status in (0, 1) and result.out.count('\n') >= 1 and not result.err,
                f'with {data[:64].hex()}...: {result}')
        wrong += result.status
    t.check(wrong, 'no damage was noticed')


@harness.test()
def usage(t):
    check = t.build / 'meshshim-check'
    for args in (['--app'], ['--app', 'ls', 'cat'], ['--app', '--dump', 'ls'],
                 ['--app', '-H', 'a: b', 'ls'], ['--app', '--format', 'xml', 'ls']):
        result = t.run([check, *args])
        t.equal((result.status, result.out), (2, ''), f'outcome of {args}')
        t.check(result.err.startswith('meshshim-check: '), f'stderr is {result.err!r}')
    help_text = t.succeed([check, '--help'])
    t.contains(help_text, '--app', 'help')
    # An answer that cannot be written is no answer.
    with open('/dev/full', 'wb') as full:
        child = t.start([check, '--app', 'ls'], stdout=full, stderr=full)
        t.equal(child.wait(20), 1, 'status with a full disk')
