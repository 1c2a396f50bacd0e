/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dlopen(3) with RTLD_DEEPBIND: a module so loaded, and the libraries that come with it, find libc
 * before any preloaded library. PHP loads all its extensions like that, libcurl with one of them:
 * it would ask the real DNS for a mesh host, and go there in plaintext. When dlopen(3) has
 * returned, what the loader bound to libc's version of a hooked function is bound to the hook, as
 * without RTLD_DEEPBIND. What the module brings along itself stays, for that is what the flag is
 * for.
 *
 * The module's constructors have run by then; what they connect to is not seen.
 *
 * dlopen(3) looks at who calls it: that object's DT_RUNPATH and $ORIGIN count. So every call that
 * is none of our business is passed on as a jump, with the caller's return address; and one with
 * RTLD_DEEPBIND whose meaning depends on the caller is, too, and stays unseen.
 *
 * Lists of objects are walked under the loader's lock, and nothing is called there but mprotect(2).
 */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

#include "shim/hook.h"
#include "shim/log.h"

#if defined(__x86_64__)
#define RELOC_SLOT   R_X86_64_JUMP_SLOT
#define RELOC_GLOBAL R_X86_64_GLOB_DAT
#define RELOC_WORD   R_X86_64_64
#else
#define RELOC_SLOT   R_AARCH64_JUMP_SLOT
#define RELOC_GLOBAL R_AARCH64_GLOB_DAT
#define RELOC_WORD   R_AARCH64_ABS64
#endif

static const struct {
	const char *name;
	void (*hook)(void);
} functions[] = {
#define HOOK(type, name, parameters, arguments) {#name, (void (*)(void))hook_##name},
#include "shim/hooks.def"
#undef HOOK
};

#define N_FUNCTIONS (sizeof(functions) / sizeof(*functions))

/* What is looked for, and in which objects. */
struct search {
	uintptr_t libcs[N_FUNCTIONS]; /* 0: the module has one of its own, or none */
	unsigned long long first;     /* number of the first object that is new */
	unsigned long long at;
	unsigned failed; /* functions that could not be bound to their hooks */
};

struct object {
	uintptr_t base, start, end; /* where it is mapped */
	uintptr_t relro, relro_end; /* what the loader has made read-only, in pages */
	const ElfW(Sym) * symbols;
	const char *names;
	struct {
		const ElfW(Rela) * entries;
		size_t size;
	} data, slots;
};

static void read_segments(struct object *object, const struct dl_phdr_info *info,
			  const ElfW(Dyn) * *dynamic)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	object->base = info->dlpi_addr;
	object->start = UINTPTR_MAX;
	for (const ElfW(Phdr) *p = info->dlpi_phdr; p < info->dlpi_phdr + info->dlpi_phnum; p++) {
		uintptr_t start = info->dlpi_addr + p->p_vaddr;
		uintptr_t end = start + p->p_memsz;

		if (p->p_type == PT_LOAD && start < object->start)
			object->start = start;
		if (p->p_type == PT_LOAD && end > object->end)
			object->end = end;
		if (p->p_type == PT_DYNAMIC)
			*dynamic = (const ElfW(Dyn) *)start;
		if (p->p_type == PT_GNU_RELRO) {
			object->relro = start & ~(page - 1);
			object->relro_end = end & ~(page - 1);
		}
	}
}

/* The loader has made addresses of what is one. */
static void read_dynamic(struct object *object, const ElfW(Dyn) * entry)
{
	for (; entry->d_tag != DT_NULL; entry++)
		switch (entry->d_tag) {
		case DT_SYMTAB:
			object->symbols = (const ElfW(Sym) *)entry->d_un.d_ptr;
			break;
		case DT_STRTAB:
			object->names = (const char *)entry->d_un.d_ptr;
			break;
		case DT_RELA:
			object->data.entries = (const ElfW(Rela) *)entry->d_un.d_ptr;
			break;
		case DT_RELASZ:
			object->data.size = entry->d_un.d_val / sizeof(ElfW(Rela));
			break;
		case DT_JMPREL:
			object->slots.entries = (const ElfW(Rela) *)entry->d_un.d_ptr;
			break;
		case DT_PLTRELSZ:
			object->slots.size = entry->d_un.d_val / sizeof(ElfW(Rela));
			break;
		default:
			break;
		}
}

static bool is_libcs(const struct search *search, uintptr_t value)
{
	for (size_t i = 0; i < N_FUNCTIONS; i++)
		if (value == search->libcs[i])
			return true;
	return false;
}

/* The hook for what a relocation is bound to, or will be at its first call; 0: it stays. */
static uintptr_t hook_for(const struct search *search, const struct object *object,
			  const ElfW(Rela) * relocation, uintptr_t value)
{
	unsigned type = ELF64_R_TYPE(relocation->r_info);
	const ElfW(Sym) *symbol = object->symbols + ELF64_R_SYM(relocation->r_info);

	if (type != RELOC_SLOT && type != RELOC_GLOBAL && type != RELOC_WORD)
		return 0;
	if (symbol == object->symbols || symbol->st_shndx != SHN_UNDEF)
		return 0;
	bool later = type == RELOC_SLOT && value >= object->start && value < object->end;

	if (!later && !is_libcs(search, value))
		return 0;
	for (size_t i = 0; i < N_FUNCTIONS; i++)
		if (search->libcs[i] && (later || value == search->libcs[i]) &&
		    strcmp(object->names + symbol->st_name, functions[i].name) == 0)
			return (uintptr_t)functions[i].hook;
	return 0;
}

static void rebind(struct search *search, const struct object *object,
		   const ElfW(Rela) * relocations, size_t n)
{
	const size_t size = object->relro_end - object->relro;
	bool opened = false;

	for (size_t i = 0; i < n; i++) {
		uintptr_t *place = (uintptr_t *)(object->base + relocations[i].r_offset);
		uintptr_t hook = hook_for(search, object, &relocations[i], *place);

		if (!hook)
			continue;
		if (!opened && (uintptr_t)place >= object->relro &&
		    (uintptr_t)place < object->relro_end) {
			opened = mprotect((void *)object->relro, size, PROT_READ | PROT_WRITE) == 0;
			if (!opened) {
				search->failed++;
				continue;
			}
		}
		__atomic_store_n(place, hook, __ATOMIC_RELEASE);
	}
	if (opened)
		(void)!mprotect((void *)object->relro, size, PROT_READ);
}

static int rebind_object(struct dl_phdr_info *info, size_t size, void *context)
{
	struct search *search = context;
	const ElfW(Dyn) *dynamic = NULL;
	struct object object = {0};

	(void)size;
	if (search->at++ < search->first)
		return 0;
	read_segments(&object, info, &dynamic);
	if (dynamic)
		read_dynamic(&object, dynamic);
	if (!object.symbols || !object.names)
		return 0;
	if (object.data.entries)
		rebind(search, &object, object.data.entries, object.data.size);
	if (object.slots.entries)
		rebind(search, &object, object.slots.entries, object.slots.size);
	return 0;
}

/* How many objects there are: new ones are appended. */
static int count_objects(struct dl_phdr_info *info, size_t size, void *count)
{
	(void)size;
	*(unsigned long long *)count = info->dlpi_adds - info->dlpi_subs;
	return 1;
}

/* The module's libraries are searched in the same order as the module's names are. */
static void find_libcs(struct search *search, void *module)
{
	void *libc = real.dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);

	if (!libc)
		return;
	for (size_t i = 0; i < N_FUNCTIONS; i++) {
		void *function = dlsym(libc, functions[i].name);

		if (function == dlsym(module, functions[i].name))
			search->libcs[i] = (uintptr_t)function;
	}
	dlclose(libc);
	dlerror(); /* what was not found is of no interest to the program */
}

/* Whether dlopen(3) does the same for us as for the object with the code at `caller`. */
static bool is_caller_irrelevant(const char *file, const void *caller)
{
	struct link_map *map;
	Dl_info info;

	if (!file || strchr(file, '$'))
		return !file;
	if (strchr(file, '/'))
		return true;
	if (!dladdr1(caller, &info, (void **)&map, RTLD_DL_LINKMAP) || !map)
		return false;
	for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++)
		if (entry->d_tag == DT_RUNPATH || entry->d_tag == DT_RPATH)
			return false;
	return true;
}

static void *open_deep(const char *file, int flags)
{
	struct search search = {0};

	dl_iterate_phdr(count_objects, &search.first);
	void *module = real.dlopen(file, flags);

	if (!module)
		return NULL;
	struct guard guard = guard_enter();

	find_libcs(&search, module);
	dl_iterate_phdr(rebind_object, &search);
	if (search.failed)
		log_warn("%s: loaded with RTLD_DEEPBIND, and its memory cannot be changed: it does "
			 "not find the mesh",
			 file ? file : "");
	guard_leave(&guard, 0);
	return module;
}

/* A jump, whatever else the compiler is told. */
#if defined(__clang__)
#define JUMP   __attribute__((musttail)) return
#define JUMPER __attribute__((no_sanitize("address", "undefined", "thread")))
#else
#define JUMP   return
#define JUMPER __attribute__((no_sanitize("address", "undefined", "thread"), optimize("O2")))
#endif

JUMPER void *hook_dlopen(const char *file, int flags)
{
	if (!real.dlopen)
		libc_bind();
	if ((flags & RTLD_DEEPBIND) && hook_awake() &&
	    is_caller_irrelevant(file, __builtin_return_address(0)))
		return open_deep(file, flags);
	JUMP real.dlopen(file, flags);
}
EXPORT(dlopen)
