# SPDX-License-Identifier: Apache-2.0
"""The demo, as a newcomer sees it. (Not through make, which would install packages and build.)"""

import os

import harness


@harness.test(timeout=60)
def shows_everything(t):
    before = set(os.listdir(t.dir))
    result = t.run([t.root / 'samples/octopus/demo.sh', t.build],
                   env={'LD_PRELOAD': t.sanitizer()})
    t.equal((result.status, result.err), (0, ''), f'outcome; stdout:\n{result.out}')
    for text in ('GET /anything?x=1', 'Host: webserver',
                 'server name  raw.githubusercontent.com',
                 'GET /mcasperson/NodejsProxy/master/externalservice1.txt?x=1 HTTP/1.1',
                 'Host         raw.githubusercontent.com', 'TLSv1.3',
                 'Proxying value: External Service 1 - Took ', 'All as the rules say.'):
        t.contains(result.out, text, 'stdout')
    t.equal(set(os.listdir(t.dir)), before, 'files that are left')


@harness.test(timeout=60)
def fails_when_something_is_wrong(t):
    """Without a library the demo says so, and cleans up."""
    before = set(os.listdir(t.dir))
    (t.dir / 'empty').mkdir()
    result = t.run([t.root / 'samples/octopus/demo.sh', t.dir / 'empty'])
    t.equal(result.status, 1, 'exit status')
    t.contains(result.err, 'demo: FAILED: ', 'stderr')
    t.equal(set(os.listdir(t.dir)), before | {'empty'}, 'files that are left')


@harness.test()
def make_demo_shows_it(t):
    """What the tests above run is what the target runs."""
    lines = (t.root / 'Makefile').read_text().splitlines()
    rule = lines[next(i for i, line in enumerate(lines) if line.startswith('demo:')):]
    recipe = rule[1:next(i for i, line in enumerate(rule) if i and not line.startswith('\t'))]
    t.equal(recipe[-1], '\t@samples/octopus/demo.sh $(B)', 'the last line of the recipe')


@harness.test()
def rules_are_the_three_resources(t):
    """mesh.cfg as it is, without endpoints and CA, is valid."""
    result = t.run([t.build / 'meshshim-check', '-q', t.root / 'samples/octopus/mesh.cfg'])
    t.equal((result.status, result.out), (0, ''), 'outcome')
