/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream under test, joined over memory to a TLS server that OpenSSL runs in the same process.
 * Nothing waits: link_drive() moves both ends on until neither can.
 */
#ifndef TESTS_UNIT_TLS_LINK_H
#define TESTS_UNIT_TLS_LINK_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "shim/bridge/tls.h"
#include "tests/unit/ca.h"

/* What the server does; one serves several connections and resumes their sessions. */
struct server {
	const struct cert *cert;      /* sent with the CAs above it */
	const struct cert *client_ca; /* a client certificate of this CA is demanded */
	int min_version, max_version; /* 0: any */
	const char *alpn;	      /* the protocol that it picks, NULL: none */
	/* private */
	SSL_CTX *ctx;
};

void server_release(struct server *server);

struct link {
	struct io *client; /* the stream under test; NULL once link_close_client() was called */
	struct io *lower;  /* memory: what is below the client */
	struct io *far;	   /* memory: the server's end */
	SSL *ssl;	   /* the server */
	BIO *in, *out;
	char unsent[32768]; /* records of the server that the memory had no room for */
	size_t unsent_len;
	char received[1 << 20]; /* application data that the server got */
	size_t received_len;
	bool offered_http1;    /* ALPN */
	char sni[256];	       /* "": none */
	char client_name[256]; /* common name of the client's certificate, "": none */
	int outcome;	       /* of the client's handshake */
};

/* Join a client to the server and drive the handshake to its end. `per_call`: bytes that move at a
 * time, 0: any. */
struct link *link_new(struct tls *tls, const struct client_tls *settings, const char *server_name,
		      struct server *server, size_t per_call);

/* The same, in steps: no handshake yet. */
struct link *link_prepare(struct tls *tls, const struct client_tls *settings,
			  const char *server_name, struct server *server);

/* Move both ends on until neither can: the client's handshake, what the server has to read. */
void link_drive(struct link *link);

/* Let the server send data, close_notify, or nothing but its end. */
void link_server_write(struct link *link, const void *data, size_t n);
void link_server_close(struct link *link, bool notify);

void link_close_client(struct link *link, bool reset);
void link_free(struct link *link);

#endif
