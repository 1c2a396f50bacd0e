# SPDX-License-Identifier: Apache-2.0
"""The programs of the matrix that cannot be intercepted: meshshim-check --app has to say so of each,
the wrapper refuses to run it, and preloaded by hand it never reaches a host of the mesh."""

import os
import shutil
import subprocess

import harness
import web
from matrix import CLIENTS, REFUSED, At, installed, missing, predict, row, tell_version

SOURCE = CLIENTS / 'client.c'


def build(t, argv, **env):
    """Compile; gcc warns of getaddrinfo(3) in static programs, which is the point here."""
    subprocess.run([str(word) for word in argv], check=True, cwd=t.dir, capture_output=True,
                   env={'PATH': harness.PATH, 'HOME': str(t.dir), **env})
    return t.dir / 'client'


@row('static C program', 'gcc', lanes=(REFUSED,), reason='static')
def static(t):
    return build(t, ['gcc', '-static', SOURCE, '-o', 'client'])


@row('C program with musl', 'musl-gcc', lanes=(REFUSED,), reason='musl')
def musl(t):
    return build(t, ['musl-gcc', SOURCE, '-o', 'client'])


@row('Go, CGO_ENABLED=0', 'go', 'version', lanes=(REFUSED,), reason='go')
def go_static(t):
    return build_go(t, '0')


@row('Go with cgo', 'go', 'version', lanes=(REFUSED,), reason='go')
def go_dynamic(t):
    return build_go(t, '1')


def build_go(t, cgo):
    return build(t, ['go', 'build', '-o', 'client', CLIENTS / 'client.go'], CGO_ENABLED=cgo,
                 GO111MODULE='off', GOCACHE=str(t.dir / 'cache'), GOFLAGS='-p=1')


@row('setuid copy', 'gcc', lanes=(REFUSED,), reason='setuid')
def setuid(t):
    """Of another user, as else it has no more rights than we have."""
    if os.getuid() != 0:
        raise harness.Skip('only root can make a program setuid for somebody else')
    program = build(t, ['gcc', SOURCE, '-o', 'client'])
    shutil.chown(program, 'nobody')
    program.chmod(0o4755)
    return program


@row('busybox wget, static', 'busybox', '--help', lanes=(REFUSED,), reason='static',
     arguments=lambda at: ['wget', '-q', '-O', '-', f'{at.url}/text'])
def busybox(t):
    """Of the package busybox-static, which cannot be installed beside busybox."""
    program = t.root / 'build' / 'busybox-static'
    return program if program.exists() else missing('busybox-static')


def command(row, program, at):
    """What makes a program of this row ask for /text."""
    arguments = row.options.get('arguments', lambda at: [at.host, at.port])
    return [program, *arguments(at)]


def refused(t, row):
    tell_version(t, [installed(row.program), *row.version.split()])
    program = row.function(t)
    site = web.Web(t)
    alone, shim = (At(t, site, REFUSED, under) for under in (False, True))
    result = alone.run(command(row, program, alone))
    t.equal(result.status, 0, 'exit status without the shim')
    t.contains(result.out, web.TEXT.decode(), 'stdout without the shim')
    t.equal(len(site.take()), 1, 'requests at the origin without the shim')

    answer = predict(t, program)
    t.equal(answer['reason'], row.options['reason'], 'what --app says')
    argv = command(row, program, shim)
    result = shim.run(argv)
    t.check(result.status != 0, f'it reached a host of the mesh: {result}')
    t.equal(site.take(), [], 'requests at the origin')
    result = t.run([t.wrapper, '-r', shim.options['rules'], *argv])
    t.equal(result.status, 126, 'status of the wrapper')
    t.contains(result.err, answer['message'], 'what the wrapper says')
    print(f'RESULT: cannot be intercepted, as predicted: {answer["reason"]}')
