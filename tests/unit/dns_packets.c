/* SPDX-License-Identifier: Apache-2.0 */
#include "dns_packets.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/mesh.h"

static char rules_file[64];

size_t dns_query(uint8_t *out, const char *name, unsigned type)
{
	static const uint8_t head[12] = {0x12, 0x34, 1, 0, 0, 1};
	uint8_t *end = out + sizeof(head);

	memcpy(out, head, sizeof(head));
	while (*name) {
		size_t len = strcspn(name, ".");

		*end++ = (uint8_t)len;
		memcpy(end, name, len);
		end += len;
		name += len + (name[len] == '.');
	}
	*end++ = 0;
	*end++ = (uint8_t)(type >> 8);
	*end++ = (uint8_t)type;
	*end++ = 0;
	*end++ = 1;
	return (size_t)(end - out);
}

void dns_rules_begin(void)
{
	static const char text[] =
	    "serviceEntries = ( { name = \"x\"; hosts = [ \"alpha.test\", \"*.wild.test\" ];"
	    " resolution = \"DNS\"; endpoints = ( { address = \"127.0.0.1\"; } );"
	    " ports = ( { number = 80; name = \"http\"; protocol = \"HTTP\"; } ); } );\n";

	strcpy(rules_file, "/tmp/test-dns-XXXXXX");
	int fd = mkstemp(rules_file);

	ck_assert_int_eq(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	setenv("MESHSHIM_RULES", rules_file, 1);
	unsetenv("MESHSHIM_DISABLE");
	mesh_init();
}

void dns_rules_end(void)
{
	unlink(rules_file);
}
