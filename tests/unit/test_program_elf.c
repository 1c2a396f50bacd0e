/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/program_elf.h"

/* A small program: its segments, a Go note, a dynamic section, and two sections at its end. */
struct image {
	ElfW(Ehdr) header;
	ElfW(Phdr) segments[4];
	char loader[16];
	struct {
		ElfW(Nhdr) header;
		char name[4], id[4];
	} note;
	ElfW(Dyn) dynamic[6];
	char names[48];
	char section_names[32];
	ElfW(Shdr) sections[2];
};

#define AT(field) offsetof(struct image, field)

static const char names[] = "\0libc.so.6\0/opt/lib\0ares_init\0connect";

static void make_image(struct image *image)
{
	const struct image made = {
	    .segments = {{.p_type = PT_LOAD, .p_vaddr = 0x1000, .p_filesz = AT(sections)},
			 {.p_type = PT_INTERP, .p_offset = AT(loader), .p_filesz = 8},
			 {.p_type = PT_NOTE, .p_offset = AT(note), .p_filesz = sizeof(image->note)},
			 {.p_type = PT_DYNAMIC,
			  .p_offset = AT(dynamic),
			  .p_filesz = sizeof(image->dynamic)}},
	    .loader = "/ld.so1",
	    .note = {.header = {.n_namesz = 4, .n_descsz = 4}, .name = "GNU"},
	    .dynamic = {{.d_tag = DT_NEEDED, .d_un.d_val = 1},
			{.d_tag = DT_STRTAB, .d_un.d_ptr = 0x1000 + AT(names)},
			{.d_tag = DT_STRSZ, .d_un.d_val = sizeof(names)},
			{.d_tag = DT_RUNPATH, .d_un.d_val = 11},
			{.d_tag = DT_NULL},
			{.d_tag = DT_NEEDED, .d_un.d_val = 20}},
	    .section_names = "\0.text\0.go.buildinfo",
	    .sections = {{.sh_name = 1, .sh_offset = AT(section_names)}, {.sh_name = 1}},
	};
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	ElfW(Ehdr) own;

	ck_assert(fd >= 0 && read(fd, &own, sizeof(own)) == sizeof(own));
	close(fd);
	*image = made;
	memcpy(image->names, names, sizeof(names));
	image->header = own;
	image->header.e_phoff = AT(segments);
	image->header.e_phnum = 4;
	image->header.e_shoff = AT(sections);
	image->header.e_shnum = 2;
	image->header.e_shstrndx = 0;
}

static enum elf_kind read_image(struct elf *elf, const void *image, size_t size)
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("image", MFD_CLOEXEC);
	ck_assert(fd >= 0 && ftruncate(fd, (off_t)size) == 0 &&
		  pwrite(fd, image, size, 0) == (ssize_t)size);
	return elf_read(elf, fd);
}

static void count_name(void *context, const char *name)
{
	ck_assert(*name && strlen(name) < 64);
	++*(int *)context;
}

/* Everything that can be asked of it. */
static int ask(const struct elf *elf)
{
	char text[32];
	size_t at = 0;
	int n = 0;

	while (elf_next_string(elf, DT_NEEDED, &at, text, sizeof(text)))
		ck_assert(strlen(text) < sizeof(text));
	elf_each_name(elf, count_name, &n);
	return n;
}

START_TEST(what_it_says)
{
	struct image image;
	struct elf elf;
	char text[32];
	size_t at = 0;

	make_image(&image);
	ck_assert_int_eq(read_image(&elf, &image, sizeof(image)), ELF_OURS);
	ck_assert_str_eq(elf.loader, "/ld.so1");
	ck_assert(!elf.go);
	ck_assert(elf_next_string(&elf, DT_NEEDED, &at, text, sizeof(text)));
	ck_assert_str_eq(text, "libc.so.6");
	/* What stands behind DT_NULL is not there. */
	ck_assert(!elf_next_string(&elf, DT_NEEDED, &at, text, sizeof(text)));
	at = 0;
	ck_assert(elf_next_string(&elf, DT_RUNPATH, &at, text, sizeof(text)));
	ck_assert_str_eq(text, "/opt/lib");
	at = 0;
	ck_assert(!elf_next_string(&elf, DT_RUNPATH, &at, text, strlen("/opt/lib")));
	ck_assert_int_eq(ask(&elf), 4);
}
END_TEST

START_TEST(marks_of_go)
{
	struct image image;
	struct elf elf;

	make_image(&image);
	memcpy(image.note.name, "Go\0", 4);
	ck_assert_int_eq(read_image(&elf, &image, sizeof(image)), ELF_OURS);
	ck_assert(elf.go);
	make_image(&image);
	image.sections[1].sh_name = 7;
	ck_assert_int_eq(read_image(&elf, &image, sizeof(image)), ELF_OURS);
	ck_assert(elf.go);
	/* Without sections the program runs as well. */
	ck_assert_int_eq(read_image(&elf, &image, AT(sections)), ELF_OURS);
	ck_assert(!elf.go);
}
END_TEST

START_TEST(kinds)
{
	struct image image;
	struct elf elf;

	make_image(&image);
	image.header.e_ident[EI_CLASS] ^= 3;
	ck_assert_int_eq(read_image(&elf, &image, sizeof(image)), ELF_OTHER_CLASS);
	make_image(&image);
	image.header.e_ident[EI_DATA] ^= 3;
	ck_assert_int_eq(read_image(&elf, &image, sizeof(image)), ELF_OTHER_MACHINE);
	make_image(&image);
	image.header.e_machine++;
	ck_assert_int_eq(read_image(&elf, &image, sizeof(image)), ELF_OTHER_MACHINE);
	make_image(&image);
	image.header.e_type = ET_CORE;
	ck_assert_int_eq(read_image(&elf, &image, sizeof(image)), ELF_NO_PROGRAM);
	make_image(&image);
	image.loader[7] = 'x'; /* the kernel wants its path terminated */
	ck_assert_int_eq(read_image(&elf, &image, sizeof(image)), ELF_BROKEN);
	make_image(&image);
	image.header.e_phnum = 0xffff;
	ck_assert_int_eq(read_image(&elf, &image, sizeof(image)), ELF_BROKEN);
}
END_TEST

/* Cut at every byte: what it needs to run is all there, or it is broken. */
START_TEST(cut_short)
{
	struct image image;
	struct elf elf;

	make_image(&image);
	for (size_t size = 0; size < sizeof(image); size++) {
		enum elf_kind kind = read_image(&elf, &image, size);

		ck_assert_int_eq(kind, size < AT(sections) ? ELF_BROKEN : ELF_OURS);
		if (kind == ELF_OURS)
			ask(&elf);
	}
}
END_TEST

/* Every byte with other values, and every word at its limits. */
START_TEST(damaged)
{
	static const unsigned char values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	struct image image, copy;
	struct elf elf;

	make_image(&image);
	for (size_t i = 0; i < sizeof(image); i++) {
		for (size_t j = 0; j < sizeof(values) + 8; j++) {
			unsigned char *byte = (unsigned char *)&copy + i;

			copy = image;
			*byte =
			    j < sizeof(values) ? values[j] : *byte ^ (1 << (j - sizeof(values)));
			if (read_image(&elf, &copy, sizeof(copy)) == ELF_OURS)
				ask(&elf);
		}
		if (i % 8)
			continue;
		for (size_t j = 0; j < sizeof(values); j++) {
			copy = image;
			memset((unsigned char *)&copy + i, values[j], 8);
			if (read_image(&elf, &copy, sizeof(copy)) == ELF_OURS)
				ask(&elf);
		}
	}
}
END_TEST

Suite *program_elf_suite(void);
Suite *program_elf_suite(void)
{
	Suite *suite = suite_create("program_elf");
	TCase *tests = tcase_create("program_elf");

	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, what_it_says);
	tcase_add_test(tests, marks_of_go);
	tcase_add_test(tests, kinds);
	tcase_add_test(tests, cut_short);
	tcase_add_test(tests, damaged);
	suite_add_tcase(suite, tests);
	return suite;
}
