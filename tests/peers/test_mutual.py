# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end: every way in which certificates are wrong, on both sides of an nginx that
asks for one. What fails is a 503 whose reason is OpenSSL's."""

import harness
import mesh
import origin
import peers

ASKS = 'ssl_verify_client {how}; ssl_client_certificate {ca};'
RESET = 'upstream connect error or disconnect/reset before headers. '


class Asking:
    """nginx that asks for certificates of `ca`'s, itself with `cert`."""

    def __init__(self, t, version='TLSv1.3', cert='host', how='on'):
        self.t = t
        self.server = origin.Nginx(t, cert, protocols=version,
                                   tls=ASKS.format(how=how, ca=t.pki.cert('ca')))

    def ask(self, client=None, ca='ca', extra=''):
        """One request. Returns status and body as the program sees them."""
        pki = self.t.pki
        own = '' if not client else (f'clientCertificate = "{pki.cert(client)}"; '
                                     f'privateKey = "{pki.key(client)}"; ')
        rules = self.t.rules(mesh.founding(self.server.port, pki.cert(ca), own + extra,
                                           'MUTUAL' if client else 'SIMPLE'))
        out = self.t.succeed([*harness.FETCH, '--status', 'http://webserver/'], rules=rules)
        body, status = out.rstrip('\n').rsplit('\n', 1)
        return status, body.rstrip('\n')

    def refuses(self, reason, *args, **options):
        status, body = self.ask(*args, **options)
        self.t.equal(status, '503', 'status')
        self.t.check(body.startswith(RESET) and 'reset reason: ' in body and reason in body,
                     f'expected {reason!r} in {body!r}')

    def seen(self):
        return [(line.status, line.client) for line in self.server.seen()]


@harness.test(timeout=60, cases=peers.BOTH)
def client_certificates(t, version):
    nginx = Asking(t, version)
    t.equal(nginx.ask('client'), ('200', origin.BODY), 'with a good certificate')
    # nginx takes the handshake to its end, and says what it thinks of the certificate in HTTP.
    for client, what in ((None, 'No required SSL certificate was sent'),
                         ('late', 'The SSL certificate error'),
                         ('foreign', 'The SSL certificate error')):
        status, body = nginx.ask(client)
        t.equal(status, '400', f'status with {client}')
        t.contains(body, what, f'answer with {client}')
    t.equal(nginx.ask('client'), ('200', origin.BODY), 'with the good certificate again')


@harness.test(timeout=60, cases=peers.BOTH)
def server_certificates(t, version):
    for cert, reason in (('unknown', 'unable to get local issuer certificate'),
                         ('expired', 'certificate has expired'),
                         ('other', 'hostname mismatch')):
        nginx = Asking(t, version, cert)
        nginx.refuses(reason, 'client')
        t.equal(nginx.seen(), [], f'requests that reached {cert}')
    nginx = Asking(t, version)
    nginx.refuses('unable to get local issuer certificate', 'client', ca='stranger')
    nginx.refuses('hostname mismatch', 'client', extra='subjectAltNames = [ "other.example" ];')
    t.equal(nginx.seen(), [], 'requests that reached the right one')
    t.equal(nginx.ask('client', extra=f'subjectAltNames = [ "other.example", "{mesh.HOST}" ];'),
            ('200', origin.BODY), 'with one of several names')


@harness.test(timeout=60, cases=peers.BOTH)
def revoked(t, version):
    listed = f'caCrl = "{t.pki.crl}";'
    nginx = Asking(t, version, 'revoked')
    t.equal(nginx.ask('client'), ('200', origin.BODY), 'without the list')
    nginx.refuses('certificate revoked', 'client', extra=listed)
    t.equal(Asking(t, version).ask('client', extra=listed), ('200', origin.BODY),
            'a certificate that is not in the list')


@harness.test(timeout=60)
def addresses(t):
    """A certificate for an address, as it is asked for by subjectAltNames; and what is no match."""
    nginx = Asking(t, cert='address', how='off')
    t.equal(nginx.ask(extra='subjectAltNames = [ "127.0.0.1" ];'), ('200', origin.BODY),
            'an IPv4 address')
    t.equal(nginx.ask(extra='subjectAltNames = [ "0:0:0:0:0:0:0:1" ];'), ('200', origin.BODY),
            'an IPv6 address')
    for name in ('127.0.0.2', '::2', 'localhost'):
        nginx.refuses('mismatch', extra=f'subjectAltNames = [ "{name}" ];')


@harness.test(timeout=60)
def versions(t):
    """An origin that is too old is refused, with OpenSSL's reason."""
    nginx = Asking(t, 'TLSv1.1', how='off')
    status, body = nginx.ask()
    t.equal(status, '503', 'status')
    t.contains(body, 'TLS_error: ', 'reason')
