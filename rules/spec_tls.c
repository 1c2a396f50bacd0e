/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ClientTLSSettings (networking.istio.io/v1). Without caCertificates the system's CA store verifies,
 * so that Istio's IST0128 and IST0129, which lament that nothing does, have nothing to say here.
 */
#include <string.h>

#include "rules/hostname.h"
#include "rules/schema.h"

static bool is_set(const struct text *text)
{
	return text->s && *text->s;
}

static void check_sni(struct reader *reader, void *value)
{
	struct text *sni = value;
	struct hostname_error error;
	char name[256];

	if (!*sni->s) {
		sni->s = NULL;
		return;
	}
	if (strlen(sni->s) > 255 || strchr(sni->s, ' ')) {
		reader_refuse(reader, &sni->where, "sni: \"%.64s\" is no name of a server", sni->s);
		sni->s = NULL;
		return;
	}
	/* Underscores are in the names that Istio itself makes. */
	for (size_t i = 0; i <= strlen(sni->s); i++)
		name[i] = sni->s[i] == '_' ? '-' : sni->s[i];
	if (!hostname_is_address(sni->s, NULL) && !hostname_is_fqdn(name, &error) &&
	    !strchr(sni->s, '_'))
		reader_say(reader, SEVERITY_WARNING, NULL, &sni->where, "sni: %s", error.text);
	hostname_normalize(sni->s, strlen(sni->s), name);
	sni->s = region_strdup(&reader->rules->region, name);
}

static void check_mutual(struct reader *reader, const struct tls_settings *tls)
{
	if (!is_set(&tls->client_certificate))
		reader_error(reader, &tls->where, "client certificate required for mutual tls");
	if (!is_set(&tls->private_key))
		reader_error(reader, &tls->where, "private key required for mutual tls");
}

static void check_tls(struct reader *reader, void *group)
{
	const struct tls_settings *tls = group;

	if (!tls->mode.where.file)
		reader_say(reader, SEVERITY_WARNING, NULL, &tls->where,
			       "tls has no mode: Istio's default DISABLE leaves the other settings "
			       "without effect");
	if (tls->mode.set && tls->mode.value == TLS_MODE_MUTUAL && !tls->credential.file)
		check_mutual(reader, tls);
	else if (tls->mode.set && tls->mode.value == TLS_MODE_SIMPLE &&
		 (is_set(&tls->client_certificate) || is_set(&tls->private_key)))
		reader_say(reader, SEVERITY_WARNING, NULL, &tls->where,
			       "clientCertificate and privateKey have no effect in mode SIMPLE "
			       "(use MUTUAL)");
	if (!tls->insecure_skip_verify.value)
		return;
	if (tls->mode.value != TLS_MODE_DISABLE &&
	    (is_set(&tls->ca_certificates) || tls->subject_alt_names.n))
		reader_error(reader, &tls->where,
			     "cannot specify CaCertificates or SubjectAltNames when "
			     "InsecureSkipVerify is set true");
	reader_say(reader, SEVERITY_WARNING, NULL, &tls->insecure_skip_verify.where,
		       "insecureSkipVerify: the server's certificate is not verified, anybody can "
		       "answer in its place");
}

static const struct choice_name tls_modes[] = {
    {.name = "DISABLE", .value = TLS_MODE_DISABLE},
    {.name = "SIMPLE", .value = TLS_MODE_SIMPLE},
    {.name = "MUTUAL", .value = TLS_MODE_MUTUAL},
    {.name = "ISTIO_MUTUAL",
     .refusal = "ISTIO_MUTUAL is not supported, there are no mesh certificates: use SIMPLE, or "
		"MUTUAL with clientCertificate and privateKey"},
    {.name = NULL},
};

static const struct key tls_keys[] = {
    KEY_CHOICE(struct tls_settings, mode, "mode", tls_modes),
    KEY_TEXT(struct tls_settings, client_certificate, "clientCertificate", .path = true),
    KEY_TEXT(struct tls_settings, private_key, "privateKey", .path = true),
    KEY_TEXT(struct tls_settings, ca_certificates, "caCertificates", .path = true),
    KEY_TEXTS(struct tls_settings, subject_alt_names, "subjectAltNames"),
    KEY_TEXT(struct tls_settings, sni, "sni", .check = check_sni),
    KEY_FLAG(struct tls_settings, insecure_skip_verify, "insecureSkipVerify"),
    KEY_TEXT(struct tls_settings, ca_crl, "caCrl", .path = true),
    KEY_REFUSED("credentialName", "there are no Kubernetes secrets, name files with "
				  "caCertificates, clientCertificate and privateKey instead",
		.offset = offsetof(struct tls_settings, credential)),
};
const struct schema tls_settings_schema =
    SCHEMA("ClientTLSSettings", struct tls_settings, tls_keys, .check = check_tls);
