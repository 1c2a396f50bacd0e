# SPDX-License-Identifier: Apache-2.0
"""A throw-away certificate authority, made with the openssl command."""

import pathlib
import subprocess

HOST = 'raw.githubusercontent.com'


class Pki:
    """Certificates as PEM files: pki.cert(NAME) and pki.key(NAME).

    ca        the authority that rules name in caCertificates
    host      for raw.githubusercontent.com, by ca
    other     for other.example, by ca
    expired   for raw.githubusercontent.com, by ca, until yesterday
    unknown   for raw.githubusercontent.com, by an authority that nobody trusts
    client    a client's, by ca
    local     for localhost and 127.0.0.1, by ca
    secure    for secure.example and 127.0.0.1, by ca
    address   for 127.0.0.1 and ::1 and no name, by ca
    revoked   for raw.githubusercontent.com, by ca, in its list pki.crl
    late      a client's, by ca, until yesterday
    foreign   a client's, by an authority that nobody trusts
    """

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir()
        for name in ('ca', 'stranger'):
            self._authority(name)
        self._leaf('host', 'ca', f'DNS:{HOST}')
        self._leaf('other', 'ca', 'DNS:other.example')
        self._leaf('expired', 'ca', f'DNS:{HOST}', days=-1)
        self._leaf('unknown', 'stranger', f'DNS:{HOST}')
        self._leaf('client', 'ca', 'DNS:client.example', usage='clientAuth')
        self._leaf('local', 'ca', 'DNS:localhost,IP:127.0.0.1')
        self._leaf('secure', 'ca', 'DNS:secure.example,IP:127.0.0.1')
        self._leaf('address', 'ca', 'IP:127.0.0.1,IP:::1')
        self._leaf('revoked', 'ca', f'DNS:{HOST}')
        self._leaf('late', 'ca', 'DNS:client.example', days=-1, usage='clientAuth')
        self._leaf('foreign', 'stranger', 'DNS:client.example', usage='clientAuth')
        self.crl = self.dir / 'ca.crl'
        self._revoke('revoked')

    def cert(self, name):
        return self.dir / f'{name}.pem'

    def key(self, name):
        return self.dir / f'{name}.key'

    def _openssl(self, *args):
        subprocess.run(['openssl', *map(str, args)], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def _new_key(self, name):
        return ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
                '-keyout', self.key(name))

    def _authority(self, name):
        self._openssl('req', '-x509', *self._new_key(name), '-days', 2,
                      '-subj', f'/CN=meshshim test {name}', '-out', self.cert(name),
                      '-addext', 'basicConstraints=critical,CA:TRUE',
                      '-addext', 'keyUsage=critical,keyCertSign,cRLSign')

    def _leaf(self, name, issuer, names, days=2, usage='serverAuth'):
        request, extensions = self.dir / f'{name}.csr', self.dir / f'{name}.ext'
        extensions.write_text(f'subjectAltName={names}\nextendedKeyUsage={usage}\n')
        # The common name says nothing that a client may rely on.
        self._openssl('req', *self._new_key(name), '-subj', f'/CN=meshshim test {name}',
                      '-out', request)
        self._openssl('x509', '-req', '-in', request, '-days', days, '-CA', self.cert(issuer),
                      '-CAkey', self.key(issuer), '-CAcreateserial', '-extfile', extensions,
                      '-out', self.cert(name))
        self.key(name).chmod(0o644)

    def _revoke(self, name):
        """Make ca's list of revoked certificates, with this one in it."""
        index, config = self.dir / 'index', self.dir / 'ca.cnf'
        index.touch()
        config.write_text(f'[ca]\ndefault_ca=ours\n[ours]\ndatabase={index}\n'
                          'default_md=sha256\ndefault_crl_days=2\n')
        authority = ('-config', config, '-cert', self.cert('ca'), '-keyfile', self.key('ca'))
        self._openssl('ca', *authority, '-revoke', self.cert(name))
        self._openssl('ca', *authority, '-gencrl', '-out', self.crl)
