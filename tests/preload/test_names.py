# SPDX-License-Identifier: Apache-2.0
"""Names: a registry host is to a program what a host of /etc/hosts is, in every way of asking; all
other names and addresses are what they are without the library. Both are said by libc itself, in
runs without the library, row by row."""

import ctypes.util
import itertools
import re
import subprocess

import harness
import mesh
import origin
from machine import Machine

EAI_NONAME, EAI_NODATA = -2, -5
HOST_NOT_FOUND, NO_DATA = 1, 4
NO_FAMILY = re.compile(r'" (1|77)\b')
HOSTS = '''127.0.0.1 localhost
192.0.2.80 other.test www.other.test
2001:db8::80 other.test
198.51.100.9 under_score.other.test
'''
REGISTRY = ('both.test', 'four.test', 'six.test', 'a.wild.test')

# What is no registry name, however near it comes.
OTHERS = ('127.0.0.1', '0x7f.1', '0177.1', '2130706433', '1.2.3.4.5', '::1', 'fe80::1%lo',
          'fe80::1%nosuch', '240.240.1.2', '2001:2::f0f0:102', '::ffff:240.240.1.2', '0.0.0.0', '::',
          '[::1]', 'localhost', 'other.test', 'OTHER.test', 'other.test.', 'no.such.name', 'a b', '',
          'under_score.other.test', '.', '..', 'a..b', '*', ' both.test', 'both.test ', 'both..test',
          'both.test..', '.both.test', 'x.both.test', 'wild.test', '.wild.test', 'a..wild.test',
          'a b.wild.test', '-a.wild.test', 'a' * 64 + '.wild.test', '.'.join(['a' * 63] * 4),
          '.'.join(['a' * 60] * 4) + '.abcde.wild.test', 'b' * 300)


def rules(t):
    def host(name, extra=''):
        return mesh.service(1, name=name, host=name, extra=extra,
                            ports='{ number = 80; name = "http"; protocol = "HTTP"; }',
                            endpoint_ports='')

    return t.rules(mesh.rule_set([host('both.test'),
                                  host('four.test', 'addresses = [ "203.0.113.4" ];'),
                                  host('six.test', 'addresses = [ "2001:db8::6" ];'),
                                  host('*.wild.test')]))


def ask(t, path, names, **options):
    """The addresses that names have under the library: (name, family) to address."""
    script = '''if 1:
        import socket, sys
        for name in sys.argv[1:]:
            for family in (socket.AF_INET, socket.AF_INET6):
                try:
                    found = socket.getaddrinfo(name, 80, family, socket.SOCK_STREAM)
                    print(name, int(family), found[0][4][0])
                except socket.gaierror as error:
                    print(name, int(family), error.errno)'''
    out = t.succeed([harness.PYTHON, '-c', script, *names], rules=path, **options)
    return {tuple(line.split()[:2]): line.split()[2] for line in out.splitlines()}


def hosts_of(addresses, families, also=''):
    """Lines of /etc/hosts that say what the registry says."""
    return HOSTS + ''.join(f'{address} {name} {also and name + also}\n'
                           for (name, family), address in addresses.items()
                           if family in families and address[0] != '-')


def table(t, kind, arguments, **options):
    """The rows of guest_names_table: (question, answer)."""
    out = t.succeed([t.guest('guest_names_table'), kind, *arguments], **options)
    return [tuple(line.split(' =>', 1)) for line in out.splitlines()]


def compare(t, wanted, seen, what):
    t.check(len(wanted) > 50, f'{what}: only {len(wanted)} rows')
    t.equal(len(seen), len(wanted), f'{what}: rows')
    different = [(one, other) for one, other in zip(wanted, seen) if one != other]
    for one, other in different[:10]:
        print(f'{one[0]} =>\n  expected{one[1]}\n  observed{other[1]}')
    t.check(not different, f'{what}: {len(different)} of {len(wanted)} rows differ')


def wide(question):
    """Whether a row of getaddrinfo(3) is about IPv6, by the family or the name."""
    return question.split()[-3:-2] == ['10'] or 'six.test' in question


def as_in_dns(row, full):
    """What libc says where DNS, not a file, knows the name without an address of the family. `full`
    answers the same question for a name with both. And a success leaves errno as it was."""
    question, answer = row
    if answer == f' {EAI_NONAME}' and full.startswith(' 0'):
        answer = f' {EAI_NODATA}'
    if answer.startswith(' 0 errno '):
        answer = ' 0 ' + answer.split(maxsplit=3)[3]
    return question, answer


@harness.test(timeout=60, cases=['forward', 'flags'])
def registry(t, kind):
    """getaddrinfo(3): every family, type, protocol, flag and service. A program that leaves the
    family open gets IPv4 alone: no two families to race that end in the same place."""
    path = rules(t)
    addresses = ask(t, path, REGISTRY)
    names = ('Both.TEST', 'both.test.', *REGISTRY[kind == 'forward':])
    machine = Machine(t, hosts=hosts_of(addresses, ('2',), '.'))
    only4 = table(t, kind, names)
    machine.write('hosts', hosts_of(addresses, ('2', '10'), '.'))
    both = table(t, kind, names)
    full = itertools.cycle(answer for _, answer in both[:len(both) // len(names)])
    wanted = [as_in_dns(row46 if wide(row4[0]) else row4, answer)
              for row4, row46, answer in zip(only4, both, full)]
    machine.write('hosts', HOSTS)
    compare(t, wanted, table(t, kind, names, rules=path), 'getaddrinfo')


@harness.test(timeout=60)
def others(t):
    """What is no registry name, and every form of an address, whatever is asked about it."""
    path = rules(t)
    Machine(t, hosts=HOSTS)
    for kind, arguments in (('forward', ['NULL', 'fe80::1%lo', 'both.test..']),
                            ('flags', ['NULL', *OTHERS]), ('hostent', OTHERS[::3])):
        alone = table(t, kind, arguments)
        compare(t, alone, table(t, kind, arguments, rules=path), kind)


@harness.test()
def hostent(t):
    """gethostbyname(3) and gethostbyname2(3), and their _r forms with every size of buffer."""
    path = rules(t)
    addresses = ask(t, path, REGISTRY)
    names = ('BOTH.test', *REGISTRY)
    machine = Machine(t, hosts=hosts_of(addresses, ('2', '10')))
    # DNS, unlike a file, tells a name without such an address from no name.
    wanted = [(question, answer.replace(f'h_errno {HOST_NOT_FOUND}', f'h_errno {NO_DATA}')
               if not NO_FAMILY.search(question) else answer)
              for question, answer in table(t, 'hostent', names)]
    machine.write('hosts', HOSTS)
    compare(t, wanted, table(t, 'hostent', names, rules=path), 'gethostby*')
    dotted = [(question.replace('test.', 'test'), answer) for question, answer in
              table(t, 'hostent', ['both.test.'], rules=path)]
    t.equal(dotted, table(t, 'hostent', ['both.test'], rules=path), 'with a final dot')


@harness.test(timeout=60)
def reverse(t):
    """getnameinfo(3) with every set of flags and short buffers, and gethostbyaddr(3): an address
    that was given to a name, one that was not, and one that is somebody else's."""
    path = rules(t)
    addresses = ask(t, path, REGISTRY[:1])
    asked = [*addresses.values(), '240.240.1.1', '2001:2::1', '192.0.2.80', '192.0.2.81', '127.0.0.1']
    machine = Machine(t, hosts=hosts_of(addresses, ('2', '10')))
    wanted = table(t, 'reverse', asked)
    machine.write('hosts', HOSTS)
    compare(t, wanted, table(t, 'reverse', asked, rules=path), 'the way back')


@harness.test()
def getaddrinfo_a(t):
    """Waiting, polling and notified by thread or signal; registry hosts among others and alone."""
    path = rules(t)
    addresses = ask(t, path, REGISTRY[:1])
    machine = Machine(t, hosts=hosts_of(addresses, ('2', '10')))
    argv = [t.guest('guest_names_async'), 'both.test', 'other.test']
    wanted = t.succeed(argv)
    t.contains(wanted, '240.240.', 'what is expected')
    machine.write('hosts', HOSTS)
    t.equal(t.succeed(argv, rules=path), wanted, 'what the guest saw')


# --- names that stand for others --------------------------------------------

@harness.test()
def search(t):
    """A name finds what libc's resolver would make of it, by resolv.conf and its variables; a final
    dot says that it is whole."""
    def host(name):
        return mesh.service(1, name=name, host=name)
    path = t.rules(mesh.rule_set([host('web.ns.svc.cluster.local'), host('*.corp.example'),
                                  host('api'), host(mesh.HOST)]))
    machine = Machine(t, hosts=HOSTS + '192.0.2.81 fax printer # in the hall\n',
                      **{'resolv.conf': 'search ns.svc.cluster.local corp.example\n'})
    t.file('aliases', f'hub {mesh.HOST}\n')
    none = str(EAI_NONAME)

    def same(name, other, **env):
        found = ask(t, path, [name, other], env=env)
        for family in ('2', '10'):
            t.check(found[other, family].startswith(('240.240.', '2001:2:')), f'{other}: {found}')
            t.equal(found[name, family], found[other, family], f'{name} for {other}, {family}')

    def real(name, address=none, **env):
        t.equal(ask(t, path, [name], env=env)[name, '2'], address, f'the address of {name}')

    same('web', 'web.ns.svc.cluster.local')
    same('Web.NS.svc.cluster.local.', 'web.ns.svc.cluster.local')
    same(mesh.HOST + '.', mesh.HOST)
    same(mesh.HOST + '.ns.svc.cluster.local', mesh.HOST)
    same('api.ns.svc.cluster.local.', 'api')
    same('intranet', 'intranet.corp.example')
    real('web.')
    real('web.svc.cluster.local')
    real('api.corp.example.', ask(t, path, ['api.corp.example'])['api.corp.example', '2'])
    real('www.debian.org')
    real('localhost', '127.0.0.1')
    real('printer', '192.0.2.81')
    real('hub.')
    same('hub', mesh.HOST, HOSTALIASES=str(t.dir / 'aliases'))
    same('web.ns', 'web.ns.svc.cluster.local', LOCALDOMAIN='svc.cluster.local')
    real('web', LOCALDOMAIN='elsewhere.test')
    machine.write('resolv.conf', 'domain corp.example\n')
    real('web', ask(t, path, ['web.corp.example'])['web.corp.example', '2'])
    machine.write('resolv.conf', 'search svc.cluster.local\noptions ndots:5\n')
    same('web.ns', 'web.ns.svc.cluster.local')
    # The canonical name is the one that was found, the whole way.
    out = t.succeed([harness.PYTHON, '-c', 'import socket; print(socket.getaddrinfo('
                     '"WEB.ns", 80, flags=socket.AI_CANONNAME)[0][3], socket.getfqdn("web.ns"), '
                     'socket.gethostbyname_ex("web.ns")[0])'], rules=path)
    t.equal(out.split(), ['web.ns.svc.cluster.local'] * 3, 'canonical names')


@harness.test()
def international_names(t):
    """With AI_IDN libc converts a name before it asks; what comes out may be a registry host."""
    if not ctypes.util.find_library('idn2'):
        raise harness.Skip('libidn2 is not installed')
    path = t.rules(mesh.rule_set([mesh.service(1, host='xn--bcher-kva.test')]))
    Machine(t, hosts=HOSTS + '192.0.2.1 xn--bcher-kva.test\n')
    script = """if 1:
        import socket, sys
        for name in sys.argv[1:]:
            # As bytes: Python would convert a text by itself.
            print(socket.getaddrinfo(name.encode(), 80, socket.AF_INET, socket.SOCK_STREAM, 0,
                                     0x40)[0][4][0])"""
    argv = [harness.PYTHON, '-c', script, 'xn--bcher-kva.test', 'b\u00fccher.test',
            'B\u00dcCHER.test']
    t.equal(set(t.succeed(argv).split()), {'192.0.2.1'}, 'without the library')
    found = set(t.succeed(argv, rules=path).split())
    t.check(len(found) == 1 and found.pop().startswith('240.240.'), 'the address under it')


@harness.test()
def search_end_to_end(t):
    """The request goes where the host that was found is routed, whatever its Host says."""
    Machine(t, **{'resolv.conf': 'search ns.svc.cluster.local\n'})
    server = origin.Nginx(t)
    t.needs([t.tool('curl'), '-s', f'http://127.0.0.1:{server.plain_port}/'])
    path = t.rules(mesh.unchanged(server.port, t.pki.cert('ca'), host='web.ns.svc.cluster.local'))
    for host in ('web', 'web.ns.svc.cluster.local.', 'WEB'):
        out = t.succeed([t.tool('curl'), '-sS', '--noproxy', '*', f'http://{host}/anything'],
                        rules=path)
        t.equal(out, origin.BODY + '\n', f'the answer for {host}')


@harness.test()
def short_names_of_services(t):
    """With a namespace, every form of a service's name is one host, at one address."""
    text = mesh.rule_set([mesh.service(1, host='web.ns.svc.cluster.local')],
                         mesh='meshConfig = { workload = { namespace = "ns"; }; };\n')
    forms = ['web', 'web.ns', 'web.ns.svc', 'web.ns.svc.cluster.local', 'WEB.ns.svc.cluster.local.']
    found = ask(t, t.rules(text), forms)
    for family in ('2', '10'):
        t.equal(len({found[form, family] for form in forms}), 1, f'addresses: {found}')
    t.check(found['web', '2'].startswith('240.240.'), f'{found}')



@harness.test()
def reload(t):
    """Threads ask while rules come and go: hosts are added, reordered and taken away, and a host has
    the same address all the time and in every process."""
    def write(*hosts):
        entries = [mesh.service(1, name=host, host=host) for host in hosts]
        t.file('new.cfg', mesh.rule_set(entries)).rename(path)
        return entries

    Machine(t, hosts=HOSTS)
    path = t.dir / 'mesh.cfg'
    write('stable.test', 'gone.test')
    child = t.start([t.guest('guest_names_crowd'), 'stable.test', 'a.test', 'z.test'], rules=path,
                    stdout=subprocess.PIPE)
    t.equal(child.stdout.readline(), b'a.test?\n', 'the first question')
    write('z1.test', 'stable.test', 'gone.test', *[f'h{i}.test' for i in range(200)], 'a.test')
    t.equal(child.stdout.readline(), b'z.test?\n', 'the second question')
    write('z.test', 'stable.test', 'a.test')
    address = child.stdout.read().decode().strip()
    t.equal(child.wait(20), 0, 'exit status')
    t.equal(ask(t, path, ['stable.test'])['stable.test', '2'], address, 'in another process')


# --- when something is missing ----------------------------------------------

@harness.test(timeout=60)
def memory(t):
    """Each allocation fails in turn: an error that programs know, or the address as ever."""
    if t.san:
        raise harness.Skip('the allocator is the sanitizer\'s')
    Machine(t, hosts=HOSTS + '192.0.2.1 both.test\n')
    out = t.succeed([t.guest('guest_names_scarce'), 'memory', 'both.test', 'wild.test'],
                    rules=rules(t), env={'MESHSHIM_LOG': str(t.dir / 'log')})
    t.equal(out.count('many allocations'), 2, 'rounds')


@harness.test()
def descriptors(t):
    """No descriptor is to be had: what is known is answered, the rest an error that programs know."""
    Machine(t, hosts=HOSTS + '192.0.2.1 both.test\n')
    t.succeed([t.guest('guest_names_scarce'), 'descriptors', 'both.test', 'wild.test'],
              rules=rules(t), env={'MESHSHIM_LOG': str(t.dir / 'log')})


@harness.test(cases=['broken', 'missing'])
def no_rules(t, how):
    """Rules that cannot be loaded: names give errors that programs know, and numbers are numbers."""
    path = t.dir / 'broken.cfg'
    if how == 'broken':
        t.file('broken.cfg', 'serviceEntries = ( {')
    machine = Machine(t, hosts=HOSTS)
    log = {'MESHSHIM_LOG': str(t.dir / 'log')}
    argv = [t.guest('guest_names_scarce'), 'codes']
    t.succeed([*argv, 'other.test', 'wild.test'], rules=path, env=log)
    t.succeed([*argv, 'no.such.name', 'wild.test'], rules=path, env=log)
    machine.write('nsswitch.conf', 'hosts: dns\n')
    machine.write('resolv.conf', 'nameserver 192.0.2.77\n')
    t.succeed([*argv, 'no.such.name', 'wild.test'], rules=path, env=log)
