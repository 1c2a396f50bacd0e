/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/shadow.h"

#include <stdlib.h>

#include "shim/bridge/pipe.h"

struct shadow {
	struct io io; /* first: a struct io * of this kind is a struct shadow * */
	struct io *pipe;
	bool abandoned; /* closed by its owner: it goes when the answer is over */
	bool over;	/* the exchange has closed its end */
};

static void shadow_free(struct shadow *shadow)
{
	io_close(shadow->pipe, false);
	free(shadow);
}

/* Read the answer away. */
static void drain(void *arg)
{
	struct shadow *shadow = arg;
	char drop[4096];
	ssize_t n;

	do
		n = io_read(shadow->pipe, drop, sizeof(drop));
	while (n > 0);
	if (n == IO_EOF || n == IO_ERR) {
		shadow->over = true;
		pipe_on_ready(shadow->pipe, NULL, NULL);
		if (shadow->abandoned)
			shadow_free(shadow);
	}
}

static int shadow_handshake(struct io *io)
{
	(void)io;
	return 0;
}

static ssize_t shadow_read(struct io *io, void *data, size_t size)
{
	(void)io;
	(void)data;
	(void)size;
	return IO_WANT_READ;
}

static ssize_t shadow_write(struct io *io, const void *data, size_t size)
{
	struct shadow *shadow = (struct shadow *)io;
	ssize_t n = io_write(shadow->pipe, data, size);

	if (n == IO_ERR)
		err_set(&io->err, 0, "%s", io_error(shadow->pipe));
	return n;
}

static int shadow_shutdown(struct io *io)
{
	return io_shutdown(((struct shadow *)io)->pipe);
}

static void shadow_close(struct io *io, bool reset)
{
	struct shadow *shadow = (struct shadow *)io;

	if (reset) {
		io_close(shadow->pipe, true);
		free(shadow);
	} else if (shadow->over || io_shutdown(shadow->pipe) < 0) {
		shadow_free(shadow);
	} else {
		shadow->abandoned = true;
	}
}

static const struct io_ops shadow_ops = {
    .name = "shadow",
    .handshake = shadow_handshake,
    .read = shadow_read,
    .write = shadow_write,
    .shutdown = shadow_shutdown,
    .close = shadow_close,
};

struct io *shadow_new(struct loop *loop, struct io **down)
{
	struct shadow *shadow = calloc(1, sizeof(*shadow));
	struct io *ends[2];

	if (!shadow || pipe_new(loop, ends, SHADOW_MAX) < 0) {
		free(shadow);
		return NULL;
	}
	shadow->io.ops = &shadow_ops;
	shadow->pipe = ends[0];
	pipe_on_ready(shadow->pipe, drain, shadow);
	*down = ends[1];
	return &shadow->io;
}
