/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/dns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "shim/address.h"
#include "shim/bridge/dialled.h"
#include "shim/container_of.h"
#include "shim/dns_answer.h"
#include "shim/libc.h"
#include "shim/log.h"

/* The datagrams of one socket of the program to one server. */
struct dns_flow {
	struct dns_window *window;
	struct sockaddr_storage from; /* the program's socket */
	uint32_t claim;
	struct watch watch; /* the socket that is connected to the server */
	struct timer idle;
	struct dns_flow *next, *prev;
};

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	return a->ss_family == b->ss_family && memcmp(a, b, address_size(a->ss_family)) == 0;
}

/* What identifies a server: without the flow label, say. */
static void essence(struct sockaddr_storage *out, const struct sockaddr *addr)
{
	memset(out, 0, sizeof(*out));
	if (addr->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)addr;
		struct sockaddr_in v4 = {
		    .sin_family = AF_INET, .sin_port = in->sin_port, .sin_addr = in->sin_addr};

		memcpy(out, &v4, sizeof(v4));
	} else {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;
		struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
					  .sin6_port = in6->sin6_port,
					  .sin6_addr = in6->sin6_addr,
					  .sin6_scope_id = in6->sin6_scope_id};

		memcpy(out, &v6, sizeof(v6));
	}
}

/* ---- flows ------------------------------------------------------------------------------ */

static void flow_free(struct dns_flow *flow)
{
	struct dns *dns = flow->window->dns;
	int fd = flow->watch.fd;

	timer_clear(dns->loop, &flow->idle);
	loop_unwatch(dns->loop, &flow->watch);
	if (fd >= 0)
		real.close(fd);
	DL_DELETE(dns->flows, flow);
	dns->n_flows--;
	free(flow);
}

static bool free_descriptor(struct dns *dns)
{
	if (dns->free_descriptor && dns->free_descriptor(dns))
		return true;
	if (!dns->flows)
		return false;
	flow_free(dns->flows->prev);
	return true;
}

static int open_socket(struct dns *dns, int family)
{
	int fd;

	do
		fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	while (fd < 0 && errno == EMFILE && free_descriptor(dns));
	return fd;
}

static void flow_idle(struct timer *timer)
{
	flow_free(container_of(timer, struct dns_flow, idle));
}

/* By a seccomp filter: what there is to read cannot be, and would be reported for ever. */
static bool is_forbidden(void)
{
	return errno == EPERM || errno == ENOSYS;
}

/* What the server says. An error, such as a port that nobody listens on, is an answer that does not
 * come: no program can be told of it through a socket that is not its own. */
static void flow_ready(struct watch *watch, uint32_t events)
{
	struct dns_flow *flow = container_of(watch, struct dns_flow, watch);
	struct dns *dns = flow->window->dns;

	(void)events;
	for (int i = 0; i < LOOP_BATCH; i++) {
		ssize_t n = real.recv(watch->fd, dns->buffer, sizeof(dns->buffer), MSG_DONTWAIT);

		if (n < 0) {
			if (is_forbidden())
				flow_free(flow);
			return;
		}
		real.sendto(flow->window->fd, dns->buffer, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL,
			    (struct sockaddr *)&flow->from, address_size(flow->from.ss_family));
	}
}

/* A socket connected to the server, with the address that the program's socket has: unless it has a
 * loopback address only because it talks to a window. */
static int flow_socket(struct dns_window *window, const struct sockaddr_storage *from)
{
	struct sockaddr_storage source = *from;
	int fd = open_socket(window->dns, window->server.ss_family);

	if (fd < 0)
		return -1;
	if (source.ss_family == AF_INET)
		((struct sockaddr_in *)&source)->sin_port = 0;
	else
		((struct sockaddr_in6 *)&source)->sin6_port = 0;
	if (address_is_remote((struct sockaddr *)&source, address_size(source.ss_family)) ||
	    !address_is_remote((struct sockaddr *)&window->server,
			       address_size(window->server.ss_family)))
		(void)!bind(fd, (struct sockaddr *)&source, address_size(source.ss_family));
	if (real.connect(fd, (struct sockaddr *)&window->server,
			 address_size(window->server.ss_family)) == 0)
		return fd;
	real.close(fd);
	return -1;
}

static struct dns_flow *flow_new(struct dns_window *window, const struct sockaddr_storage *from,
				 uint32_t claim)
{
	struct dns *dns = window->dns;
	struct dns_flow *flow = calloc(1, sizeof(*flow));

	if (dns->n_flows >= DNS_FLOWS)
		flow_free(dns->flows->prev);
	int fd = flow ? flow_socket(window, from) : -1;
	if (fd < 0) {
		free(flow);
		return NULL;
	}
	flow->window = window;
	flow->from = *from;
	flow->claim = claim;
	flow->watch.fd = -1;
	flow->watch.ready = flow_ready;
	flow->idle.fire = flow_idle;
	if (loop_watch(dns->loop, &flow->watch, fd, EPOLLIN) < 0) {
		real.close(fd);
		free(flow);
		return NULL;
	}
	DL_PREPEND(dns->flows, flow);
	dns->n_flows++;
	return flow;
}

/* The flow of a socket of the program. One that an earlier socket with the same port has left
 * behind is not used: nobody gets another one's answers. */
static struct dns_flow *flow_for(struct dns_window *window, const struct sockaddr_storage *from,
				 uint32_t claim)
{
	struct dns *dns = window->dns;
	struct dns_flow *flow;

	DL_FOREACH (dns->flows, flow)
		if (flow->window == window && same_address(&flow->from, from))
			break;
	if (flow && flow->claim == claim) {
		DL_DELETE(dns->flows, flow);
		DL_PREPEND(dns->flows, flow);
		return flow;
	}
	if (flow)
		flow_free(flow);
	return flow_new(window, from, claim);
}

/* ---- windows ---------------------------------------------------------------------------- */

/* dns->buffer came in through the window. */
static void come_in(struct dns_window *window, size_t len, const struct sockaddr_storage *from)
{
	struct dns *dns = window->dns;
	uint8_t reply[DNS_REPLY_MAX];
	uint32_t claim = dns_claim_of(&dns->claims, from->ss_family, (struct sockaddr *)from);

	if (!claim) {
		log_info("dropped a DNS query that nobody in this process made");
		return;
	}
	size_t reply_len = dns_answer(dns->buffer, len, reply);
	if (reply_len) {
		real.sendto(window->fd, reply, reply_len, MSG_DONTWAIT | MSG_NOSIGNAL,
			    (const struct sockaddr *)from, address_size(from->ss_family));
		return;
	}
	struct dns_flow *flow = flow_for(window, from, claim);
	if (!flow) {
		log_warn("a DNS query cannot be sent: %s", strerror(errno));
		return;
	}
	timer_set(dns->loop, &flow->idle, DNS_FLOW_MS);
	/* A second attempt, for the first one may only report what an earlier datagram met with. */
	if (real.send(flow->watch.fd, dns->buffer, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		real.send(flow->watch.fd, dns->buffer, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void window_ready(struct watch *watch, uint32_t events)
{
	struct dns_window *window = container_of(watch, struct dns_window, watch);
	struct dns *dns = window->dns;

	(void)events;
	pthread_mutex_lock(&dns->lock);
	window->used = ++dns->turn;
	pthread_mutex_unlock(&dns->lock);
	for (int i = 0; i < LOOP_BATCH; i++) {
		struct sockaddr_storage from = {0};
		socklen_t len = sizeof(from);
		ssize_t n = real.recvfrom(watch->fd, dns->buffer, sizeof(dns->buffer), MSG_DONTWAIT,
					  (struct sockaddr *)&from, &len);

		if (n < 0) {
			if (is_forbidden())
				loop_unwatch(dns->loop, watch);
			return;
		}
		come_in(window, (size_t)n, &from);
	}
}

static void window_close(struct dns_window *window)
{
	struct dns *dns = window->dns;
	struct dns_flow *flow, *next;

	if (!window->port)
		return;
	DL_FOREACH_SAFE (dns->flows, flow, next)
		if (flow->window == window)
			flow_free(flow);
	dialled_close_window(window->server.ss_family, window->port);
	loop_unwatch(dns->loop, &window->watch);
	real.close(window->fd);
	pthread_mutex_lock(&dns->lock);
	window->port = 0;
	pthread_mutex_unlock(&dns->lock);
}

/* Returns the port, 0 with errno. */
static uint16_t window_open(struct dns_window *window, const struct sockaddr_storage *server)
{
	struct sockaddr_storage addr = {.ss_family = server->ss_family};
	socklen_t len = address_size(server->ss_family);
	int one = 1;

	if (server->ss_family == AF_INET)
		((struct sockaddr_in *)&addr)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&addr)->sin6_addr = in6addr_loopback;
	int fd = open_socket(window->dns, server->ss_family);
	if (fd < 0)
		return 0;
	if (server->ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	window->watch.ready = window_ready;
	if (bind(fd, (struct sockaddr *)&addr, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&addr, &len) < 0 ||
	    loop_watch(window->dns->loop, &window->watch, fd, EPOLLIN) < 0) {
		int error = errno;

		real.close(fd);
		errno = error;
		return 0;
	}
	window->fd = fd;
	/* Where port and family are is the same in both kinds. */
	return ntohs(((struct sockaddr_in *)&addr)->sin_port);
}

/* Called with `lock`. */
static struct dns_window *find(struct dns *dns, const struct sockaddr_storage *server)
{
	for (size_t i = 0; i < DNS_WINDOWS; i++)
		if (dns->windows[i].port && same_address(&dns->windows[i].server, server))
			return &dns->windows[i];
	return NULL;
}

uint16_t dns_find_window(struct dns *dns, const struct sockaddr *server)
{
	struct sockaddr_storage wanted;

	essence(&wanted, server);
	pthread_mutex_lock(&dns->lock);
	struct dns_window *window = find(dns, &wanted);
	uint16_t port = window ? window->port : 0;
	if (window)
		window->used = ++dns->turn;
	pthread_mutex_unlock(&dns->lock);
	return port;
}

uint16_t dns_open_window(struct dns *dns, const struct sockaddr *server, struct err *err)
{
	struct dns_window *window = &dns->windows[0];
	uint16_t port = dns_find_window(dns, server);
	struct sockaddr_storage wanted;

	if (port)
		return port;
	essence(&wanted, server);
	/* A free one, or the one that was unused for longest. */
	pthread_mutex_lock(&dns->lock);
	for (size_t i = 0; i < DNS_WINDOWS && window->port; i++)
		if (!dns->windows[i].port || dns->windows[i].used < window->used)
			window = &dns->windows[i];
	pthread_mutex_unlock(&dns->lock);
	window_close(window);
	port = window_open(window, &wanted);
	if (!port) {
		err_set_errno(err, errno, "cannot open a window for DNS on %s",
			      wanted.ss_family == AF_INET6 ? "[::1]" : "127.0.0.1");
		return 0;
	}
	dialled_open_window(wanted.ss_family, port, (struct sockaddr *)&wanted);
	pthread_mutex_lock(&dns->lock);
	window->server = wanted;
	window->port = port;
	window->used = ++dns->turn;
	pthread_mutex_unlock(&dns->lock);
	return port;
}

/* ---- life ------------------------------------------------------------------------------- */

int dns_init(struct dns *dns, struct loop *loop, struct err *err)
{
	memset(dns, 0, sizeof(*dns));
	if (dialled_init() < 0) {
		err_set_errno(err, errno, "no memory for the bridge");
		return -1;
	}
	if (dns_claims_init(&dns->claims, err) < 0)
		return -1;
	dns->loop = loop;
	pthread_mutex_init(&dns->lock, NULL);
	for (size_t i = 0; i < DNS_WINDOWS; i++) {
		dns->windows[i].dns = dns;
		dns->windows[i].watch.fd = -1;
	}
	return 0;
}

void dns_release(struct dns *dns)
{
	for (size_t i = 0; i < DNS_WINDOWS; i++)
		window_close(&dns->windows[i]);
	dns_claims_release(&dns->claims);
	pthread_mutex_destroy(&dns->lock);
}
