/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that exports, under the names of the shim's private libraries, functions that abort:
 * hostile HOST PORT BODY. Fetches /anything?x=1 and insists on 200 and BODY.
 * guest-ldflags: -rdynamic
 */
#include <dlfcn.h>

#include "tests/preload/guest.h"

/* clang-format off */
#define OPENSSL_TRAPS \
	TRAP(OPENSSL_init_ssl) TRAP(OPENSSL_init_crypto) TRAP(SSL_CTX_new) TRAP(SSL_new) \
	TRAP(SSL_connect) TRAP(SSL_do_handshake) TRAP(SSL_read) TRAP(SSL_read_ex) TRAP(SSL_write) \
	TRAP(SSL_write_ex) TRAP(SSL_free) TRAP(BIO_new) TRAP(BIO_meth_new) TRAP(X509_verify_cert) \
	TRAP(X509_check_host) TRAP(EVP_CIPHER_CTX_new) TRAP(EVP_DigestInit_ex) TRAP(RAND_bytes) \
	TRAP(CRYPTO_malloc) TRAP(CRYPTO_free) TRAP(ERR_get_error)
#define PARSER_TRAPS \
	TRAP(config_read_file) TRAP(pcre2_compile_8) TRAP(pcre2_match_8) \
	TRAP(pcre2_match_data_create_8) TRAP(pcre2_code_free_8) TRAP(llhttp_init) \
	TRAP(llhttp_execute) TRAP(llhttp_settings_init) TRAP(llhttp__internal_execute)
/* What libconfig, a shared library, calls of itself. AddressSanitizer forbids RTLD_DEEPBIND,
 * without which such calls go to the program. */
#ifdef __SANITIZE_ADDRESS__
#define INNER_TRAPS
#else
#define INNER_TRAPS \
	TRAP(config_init) TRAP(config_destroy) TRAP(config_read) TRAP(config_lookup) \
	TRAP(config_setting_get_member) TRAP(config_setting_get_elem) TRAP(config_setting_add) \
	TRAP(config_setting_length) TRAP(config_set_include_dir)
#endif
#define TRAPS OPENSSL_TRAPS PARSER_TRAPS INNER_TRAPS
/* clang-format on */

#define TRAP(name)                                                                                 \
	void name(void);                                                                           \
	__attribute__((visibility("default"))) void name(void)                                     \
	{                                                                                          \
		static const char text[] = #name "() of the program was called\n";                 \
                                                                                                   \
		if (write(2, text, sizeof(text) - 1) < 0)                                          \
			_exit(99);                                                                 \
		abort();                                                                           \
	}
TRAPS
#undef TRAP

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*trap)(void);
	} traps[] = {
#define TRAP(name) {#name, name},
	    TRAPS
#undef TRAP
	};

	if (argc != 4)
		die("usage: hostile HOST PORT BODY");
	/* The traps are set: whoever looks these names up globally gets ours. */
	for (size_t i = 0; i < sizeof(traps) / sizeof(traps[0]); i++) {
		void *found = dlsym(RTLD_DEFAULT, traps[i].name);

		if (!found || memcmp(&found, &traps[i].trap, sizeof(found)) != 0)
			die("%s is not exported", traps[i].name);
	}
	expect(argv[1], argv[2], "/anything?x=1", argv[3]);
	expect(argv[1], argv[2], "/anything?x=2", argv[3]);
	printf("%zu traps, none of them stepped on\n", sizeof(traps) / sizeof(traps[0]));
	return 0;
}
