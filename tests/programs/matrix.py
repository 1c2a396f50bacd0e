# SPDX-License-Identifier: Apache-2.0
"""One row of the matrix: a program runs once without the shim and once with it, against the same
origin, and exit status, output and the requests that the origin saw have to be the same.

A recipe is a function of (t, at) that runs its program through at.run() and returns the Result.
"""

import json
import pathlib
import pwd
import os
import re
import shutil

import harness
import mesh
import web

CLIENTS = pathlib.Path(__file__).resolve().parent / 'clients'
SECURE = 'secure.example'

# mesh: http://webserver/ under the shim, the origin's plain port without. tls: the program's own TLS
# to a host of the mesh, passed through. outside: a host that is in no rule; nothing may differ.
# refused: programs that cannot be intercepted (refused.py).
MESH, TLS, OUTSIDE, REFUSED = 'mesh', 'tls', 'outside', 'refused'

# The origin's ports that requests come to, without the shim and with it.
PORTS = {MESH: ('plain', 'mesh'), TLS: ('own', 'own'), OUTSIDE: ('plain', 'plain')}

# Fields that are between neighbours (RFC 9110, 7.6.1), besides those that Connection names.
HOP_BY_HOP = {'connection', 'keep-alive', 'proxy-connection', 'te', 'upgrade'}

ROWS = []


class Row:
    def __init__(self, name, program, version, lane, function, options):
        self.name, self.program, self.version, self.lane = name, program, version, lane
        self.function, self.options = function, options


def row(name, program, version='--version', lanes=(MESH,), **options):
    """Register a recipe. `program` is what meshshim-check --app is asked about; `version` its
    arguments that tell the version.

    Options: clean (a function of the output: what has to be the same in it), distinct (the
    number of requests is by chance), also (further ports that are asked), needs (a function of t
    that may raise Skip)."""
    def register(function):
        for lane in lanes:
            ROWS.append(Row(name, program, version, lane, function, options))
        return function
    return register


def missing(name):
    """A program that is not installed. CI has them all."""
    kind = harness.Failure if os.environ.get('CI') else harness.Skip
    raise kind(f'{name} is not installed (make deps-programs)')


def installed(name):
    return shutil.which(name, path=harness.PATH) or missing(name)


class At:
    """Where a recipe runs: with or without the shim, and what to ask then."""

    watched = False         # by the recorder of the leak test
    dns = None              # the DNS server, if there is one

    def __init__(self, t, site, lane, shim):
        self.t, self.site, self.lane, self.shim = t, site, lane, shim
        self.dir = t.dir / ('shim' if shim else 'alone')
        self.dir.mkdir()
        self.host, self.port = self.target()
        scheme = 'https' if lane == TLS else 'http'
        default = self.port == (443 if lane == TLS else 80)
        self.authority = self.host if default else f'{self.host}:{self.port}'
        self.url = f'{scheme}://{self.authority}'
        self.other_url = f'https://127.0.0.1:{site.own}'
        self.ca = t.pki.cert('ca')
        self.options = {}
        if shim:
            self.options['rules'] = t.rules(self.rules())

    def target(self):
        """The host and the port that are asked."""
        if self.lane == OUTSIDE:
            return 'localhost', self.site.plain
        if self.lane == TLS:
            return (SECURE, 443) if self.shim else ('127.0.0.1', self.site.own)
        return ('webserver', 80) if self.shim else ('127.0.0.1', self.site.plain)

    def rules(self):
        """http://webserver/ goes to the origin over TLS as it is; https://secure.example/ is
        there."""
        return rules(self.t, self.site.mesh, self.site.own)

    def run(self, argv, **options):
        return self.t.run(argv, **{'cwd': self.dir, 'timeout': 120, **self.options, **options})

    def start(self, argv, **options):
        return self.t.start(argv, **{'cwd': self.dir, **self.options, **options})

    def run_as_nobody(self, argv, env=None):
        """As a user without rights, if we are root; the library is copied to where that user may
        read it."""
        env = {'HOME': str(self.dir), 'TMPDIR': str(self.dir), **(env or {})}
        more = {}
        if self.shim:
            env['LD_PRELOAD'] = str(shutil.copy(self.t.shim, self.dir))
        if os.getuid() == 0:
            user = pwd.getpwnam('nobody')
            try:
                os.chown(self.dir, user.pw_uid, user.pw_gid)
            except OSError as error:
                raise harness.Skip(f'nobody but root is known here: {error.strerror}') from None
            more = {'user': user.pw_uid, 'group': user.pw_gid, 'extra_groups': []}
        return self.run(argv, env=env, **more)

    def neutral(self, text):
        """Text without the names in which the two runs have to differ."""
        if self.lane != OUTSIDE:
            for name in (self.authority, self.host, '127.0.0.1', 'webserver', SECURE, mesh.HOST):
                text = text.replace(name, 'HOST')
        return text.replace(str(self.dir), 'DIR')

    def seen(self, request):
        """A request at the origin, as far as it has to be the same."""
        fields = [(name, self.neutral(value)) for name, value in request.fields]
        line = self.neutral(request.line)
        if self.lane == MESH:
            # What is between neighbours, the bridge has for itself: the version, and some fields.
            line = line.replace('HTTP/1.0', 'HTTP/1.1')
            named = {word.strip().lower() for name, value in fields
                     if name.lower() == 'connection' for word in value.split(',')}
            fields = [(name, value) for name, value in fields
                      if name.lower() not in HOP_BY_HOP | named]
        return line, fields, request.body


def rules(t, to_mesh, to_own, policy='', address='127.0.0.1', own_address='127.0.0.1'):
    return mesh.rule_set(
        [mesh.service(to_mesh, address=address),
         mesh.service(to_own, 'secure', SECURE, address=own_address)],
        [mesh.virtual(rewrite=f'rewrite = {{ authority = "{mesh.HOST}"; }};')],
        [mesh.destination(t.pki.cert('ca'))], policy)


def tell_version(t, argv):
    """For the table, through the log."""
    result = t.run(argv, timeout=30)
    found = re.search(r'\d+(\.\d+)+[\w.-]*', result.out + result.err)
    print(f'VERSION: {found.group() if found else "?"}')


def predict(t, program):
    """The answer of meshshim-check --app."""
    result = t.run([t.build / 'meshshim-check', '--app', '--format', 'json', program])
    answer = json.loads(result.out)
    t.equal(result.status, 0 if answer['interceptable'] else 1, 'status of meshshim-check --app')
    return answer


def outcome(t, row, site, shim):
    at = At(t, site, row.lane, shim)
    site.take()
    result = row.function(t, at)
    clean = row.options.get('clean', lambda text: text)
    requests = [at.seen(request) for request in site.requests]
    requests.sort(key=repr)
    if row.options.get('distinct'):
        requests = [request for i, request in enumerate(requests) if request not in requests[:i]]
    return {'exit status': result.status, 'stdout': clean(at.neutral(result.out)),
            'stderr': clean(at.neutral(result.err)), 'requests at the origin': requests,
            'ports': {request.port for request in site.take()}}


def same(t, row):
    """The test behind a row: both runs agree, and what they agree in is a success."""
    installed(row.program)
    row.options.get('needs', lambda t: None)(t)
    tell_version(t, [installed(row.program), *row.version.split()])
    answer = predict(t, row.program)
    t.equal(answer['interceptable'], True, f'what --app says of {row.program}: {answer}')
    site = web.Web(t)
    alone, shim = (outcome(t, row, site, under) for under in (False, True))
    t.equal(alone['exit status'], 0, 'exit status without the shim')
    t.check(alone['requests at the origin'], 'no request came without the shim')
    also = row.options.get('also', set())
    for seen, port in zip((alone, shim), PORTS[row.lane]):
        t.equal(seen.pop('ports'), {port} | also, 'the ports that were asked')
    for what, value in alone.items():
        t.equal(shim[what], value, what)
