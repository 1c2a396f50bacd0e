# meshshim -- GNU make, no configure step.
#
#   make                 build/libmeshshim.so and the tools: meshshim, meshshim-check, meshshim-import
#   make deps            install what is missing for building and testing (Debian 12)
#   make demo            the founding scenario, live, on loopback
#   make check           build and run the tests
#   make check-long      tests that take longer
#   make check-programs  a table: each installed program with and without the library
#   make check-peers     the library before servers of all kinds, and gigabytes
#   make check-leaks     each of them in a network whose wire is recorded
#   make check-cpython   CPython's own tests, with and without the library
#   make check-threads   the bridge's tests under ThreadSanitizer
#   make deps-programs   install what programs, leaks, peers and cpython need
#   make bench           what it costs, against direct HTTPS; ROUNDS=5 MS=600
#   make bench-peers     against nginx, haproxy and stunnel, too; writes tests/bench/README.md
#   make install         PREFIX (/usr/local), DESTDIR, LIBDIR, BINDIR, MANDIR
#   make uninstall       remove what install put there
#   make clean           remove build/
#   make help            this text
#
# Variants, each in a folder of its own below build/:
#   SAN=address,undefined   with sanitizers
#   DEBUG=1                 without optimisation
#   SWITCH=1                with changes of lane at random, in a fifth of the program's calls
# V=1 shows the commands. CC, CPPFLAGS, CFLAGS, LDFLAGS and LDLIBS are yours; the
# Makefile's own flags are kept apart, so setting CFLAGS loses nothing. WERROR=1
# makes warnings errors. T=name runs only tests whose name contains it.

SAN    ?=
DEBUG  ?=
SWITCH ?=
comma  := ,
variant := $(if $(DEBUG),debug)$(if $(SAN),$(if $(DEBUG),-)$(subst $(comma),-,$(SAN)))$(if $(filter clang%,$(CC)),-$(notdir $(CC)))$(if $(SWITCH),-switch)
B      := $(patsubst %/,%,build/$(patsubst -%,%,$(variant)))

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man

INSTALL    ?= install
PKG_CONFIG ?= pkg-config
VERSION    := 0.1
LLHTTP     := /usr/share/llhttp

# --- flags -----------------------------------------------------------------
CFLAGS ?= -g
my-cppflags := -I. -I/usr/share/include/llhttp -DLLHTTP_STRICT_MODE=1 -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -DHASH_NONFATAL_OOM=1 -DNDEBUG \
    $(if $(SWITCH),-DSWITCH_LANES=50)
my-cflags   := -std=gnu11 -fPIC -fvisibility=hidden -pthread -MMD -MP \
    -ftls-model=initial-exec -fno-semantic-interposition \
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
    -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wformat=2 \
    $(if $(DEBUG),-O0,-O2) $(if $(WERROR),-Werror)
my-ldflags  := -pthread
ifneq ($(SAN),)
my-cflags  += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
my-ldflags += -fsanitize=$(SAN)
endif
# The library is optimised as a whole, where the compiler also leaves objects that all else can link in the
# ordinary way: GCC, not clang.
whole := $(if $(SAN)$(DEBUG),,$(shell echo 'int main(void) { return 0; }' | $(CC) -Werror -flto=auto \
    -ffat-lto-objects -x c -o /dev/null - 2>/dev/null && echo -O3 -flto=auto))
my-ldflags += $(if $(whole),-fno-lto)
# What shim/memory_wrap.c is for; a sanitizer has an allocator of its own.
wrap        := $(if $(SAN),,$(addprefix -Wl$(comma)--wrap=,malloc calloc realloc free strdup strndup qsort))
# The library is private (promise 5): its own copies of OpenSSL, PCRE2 and llhttp are linked
# in and hidden, and it exports what shim/hooks.def lists, nothing else.
so-ldflags  := -shared -Wl,-soname,libmeshshim.so -Wl,--version-script=$(B)/meshshim.map \
    -Wl,--exclude-libs,ALL -Wl,-Bsymbolic -Wl,-z,now -Wl,-z,relro -Wl,-z,nodelete \
    -Wl,-z,text -Wl,--gc-sections $(if $(SAN),,-Wl$(comma)-z$(comma)defs) $(wrap)

# --- what is built ---------------------------------------------------------
rules-src  := $(wildcard rules/*.c)
shim-src   := $(wildcard shim/*.c shim/bridge/*.c)
# What the unit tests can link: everything that interposes nothing, and the tools' reader of ELF.
core-src   := $(filter-out shim/init.c shim/hook_%.c shim/memory_wrap.c,$(shim-src)) tools/program_elf.c
tool-src   := $(wildcard tools/*.c tools/link/*.c)
unit-src   := $(wildcard tests/unit/*.c)
guest-src  := $(wildcard tests/preload/*.c)
bench-src  := $(wildcard tests/bench/*.c)
obj         = $(patsubst %.c,$(B)/%.o,$(1))
llhttp-obj := $(B)/llhttp/llhttp.o $(B)/llhttp/api.o $(B)/llhttp/http.o

so      := $(B)/libmeshshim.so
check   := $(B)/meshshim-check
wrapper := $(B)/meshshim
import  := $(B)/meshshim-import
oracle  := $(B)/tests/re2/oracle
unit    := $(B)/tests/unit/unit
guests  := $(patsubst %.c,$(B)/%,$(guest-src))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2);)

all: $(so) $(check) $(wrapper) $(import)

$(B)/librules.a: $(call obj,$(rules-src))
	$(call say,AR,$@) rm -f $@; $(AR) rcs $@ $^

$(B)/meshshim.map: shim/hooks.def
	@mkdir -p $(@D)
	$(call say,GEN,$@) { echo '{ global:'; \
	    sed -n 's/^HOOK([^,]*, *\([a-z0-9_]*\),.*/\t\1;/p' $<; echo 'local: *; };'; } >$@

# The layering is in the link lines: rules/ sees neither sockets nor OpenSSL, the
# tools and the unit tests of rules/ cannot reach the hooks.
$(so): $(call obj,$(if $(SAN),$(filter-out shim/memory_wrap.c,$(shim-src)),$(shim-src))) $(B)/librules.a $(llhttp-obj) $(B)/openssl/libssl.a $(B)/openssl/libcrypto.a \
    $(B)/meshshim.map $(B)/tools/link/defer
	$(call say,LD,$@) $(CC) $(my-ldflags) $(whole) $(so-ldflags) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) \
	    -Wl,-Bstatic -lpcre2-8 -Wl,-Bdynamic $(LDLIBS) && $(B)/tools/link/defer $@

# OpenSSL's tables, in sections of their own: shim/deferred.h says what for.
deferred := .data.rel.ro=.deferred .data.rel.ro.local=.deferred .data=.deferred.data .data.rel=.deferred.data \
    .data.rel.local=.deferred.data
$(B)/openssl/%.a: $(B)/.flags
	@mkdir -p $(@D)
	$(call say,COPY,$@) objcopy $(foreach d,$(deferred),--rename-section \
	    $(d)$(comma)alloc$(comma)load$(comma)data$(comma)contents) $$($(CC) -print-file-name=$*.a) $@

$(B)/tools/link/defer: $(B)/tools/link/defer.o
	$(call say,LD,$@) $(CC) $(my-ldflags) $(LDFLAGS) -o $@ $< $(LDLIBS)

$(check): $(call obj,$(filter tools/meshshim-check.c tools/check_%.c tools/program%.c,$(tool-src))) $(B)/librules.a
	$(call say,LD,$@) $(CC) $(my-ldflags) $(LDFLAGS) -o $@ $^ -lconfig -lpcre2-8 $(LDLIBS)

$(wrapper): $(call obj,$(filter tools/meshshim.c tools/program.c tools/program_elf.c,$(tool-src))) $(B)/librules.a
	$(call say,LD,$@) $(CC) $(my-ldflags) $(LDFLAGS) -o $@ $^ -lconfig -lpcre2-8 $(LDLIBS)

$(import): $(call obj,$(filter tools/meshshim-import.c tools/import_%.c tools/check_quote.c,$(tool-src))) $(B)/librules.a
	$(call say,LD,$@) $(CC) $(my-ldflags) $(LDFLAGS) -o $@ $^ -lyaml -lconfig -lpcre2-8 $(LDLIBS)

$(B)/tools/meshshim.o: my-cppflags += -DLIBDIR='"$(LIBDIR)"'

$(unit): $(call obj,$(unit-src) $(core-src)) $(B)/librules.a $(llhttp-obj)
	$(call say,LD,$@) $(CC) $(my-ldflags) $(LDFLAGS) -o $@ $^ -lcheck -lsubunit -lm -lrt \
	    -lssl -lcrypto -lpcre2-8 $(LDLIBS)

# The list of suites is the list of files: tests/unit/test_foo.c defines foo_suite().
$(B)/tests/unit/suites.h: $(B)/.flags
	@mkdir -p $(@D)
	$(call say,GEN,$@) for f in $(patsubst tests/unit/test_%.c,%,$(filter tests/unit/test_%,$(unit-src))); \
	    do echo "SUITE($$f)"; done >$@
$(B)/tests/unit/main.o: $(B)/tests/unit/suites.h
$(B)/tests/unit/%.o: my-cppflags += -I$(B)/tests/unit

# Programs that the preload tests run; a "guest-ldflags: ..." comment in a source adds flags.
$(B)/tests/preload/%: $(B)/tests/preload/%.o
	$(call say,LD,$@) $(CC) $(my-ldflags) $(LDFLAGS) -o $@ $< \
	    $$(sed -n 's/.*guest-ldflags: *\([^*]*\).*/\1/p' tests/preload/$*.c) $(LDLIBS)

# RE2 itself judges our regular expressions; nothing but this test needs C++.
$(oracle): tests/re2/oracle.cc $(wildcard tests/re2/*.def) $(B)/librules.a
	@mkdir -p $(@D)
	$(call say,CXX,$@) $(CXX) -std=c++17 -O2 -g -I. -Wall -Wextra $(my-ldflags) -o $@ $< $(B)/librules.a \
	    -lre2 -lpcre2-8 $(LDLIBS)

$(B)/tests/bench/bench_%: $(B)/tests/bench/bench_%.o $(B)/librules.a
	$(call say,LD,$@) $(CC) $(my-ldflags) $(LDFLAGS) -o $@ $^ -lconfig -lpcre2-8 $(LDLIBS)

# The load client, with the very OpenSSL that the library has inside.
$(B)/tests/bench/client: $(call obj,$(filter tests/bench/client%,$(bench-src)))
	$(call say,LD,$@) $(CC) $(my-ldflags) $(LDFLAGS) -o $@ $^ -Wl,-Bstatic -lssl -lcrypto \
	    -Wl,-Bdynamic $(LDLIBS)

$(B)/shim/%.o $(B)/rules/%.o $(B)/llhttp/%.o: my-cflags += $(if $(whole),$(whole) -ffat-lto-objects)

$(B)/llhttp/%.o: $(LLHTTP)/%.c $(B)/.flags
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(my-cppflags) $(CPPFLAGS) \
	    $(filter-out -W%,$(my-cflags)) -Wno-unused $(CFLAGS) -c -o $@ $<

# Objects depend on the flags they were built with ...
$(B)/%.o: %.c $(B)/.flags
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(my-cppflags) $(CPPFLAGS) $(my-cflags) $(CFLAGS) -c -o $@ $<

# ... and on source files that come or go.
flags := $(sort $(rules-src) $(shim-src) $(tool-src) $(unit-src)) $(CC) $(my-cppflags) \
    $(CPPFLAGS) $(my-cflags) $(CFLAGS) $(my-ldflags) $(whole) $(so-ldflags) $(LDFLAGS) $(LIBDIR)
$(B)/.flags: FORCE
	@mkdir -p $(@D); echo '$(subst ','\'',$(flags))' | cmp -s - $@ || \
	    echo '$(subst ','\'',$(flags))' >$@
FORCE:

-include $(patsubst %.o,%.d,$(call obj,$(rules-src) $(shim-src) $(tool-src) $(unit-src) $(guest-src) $(bench-src)))

# --- tests -----------------------------------------------------------------
export SAN SWITCH T
# Where packages can be installed, the tests and the demo see to them by themselves.
with-deps := $(if $(shell command -v apt-get),deps)

check: $(with-deps)
	+@$(MAKE) --no-print-directory check-all

check-all: check-headers check-unit check-rules check-import check-re2 check-exports check-layers check-preload check-bench check-install

check-unit: $(unit)
	$(call say,TEST,unit) $(unit)

check-rules: $(check)
	$(call say,TEST,rules) tests/rules/run.sh $(check)

check-import: $(import) $(check)
	$(call say,TEST,import) tests/import/run.sh $(import) $(check)

# Pairs of pattern and text whose answers RE2 has to share; the seed is fixed, the order of
# failures too.
PAIRS ?= 100000
check-re2: $(if $(SAN),,$(oracle))
	$(if $(SAN),@echo "  SKIP  re2: the oracle is built without sanitizers",$(call say,TEST,re2) $(oracle) --seed 1 --pairs $(PAIRS))

check-preload: all $(guests)
	$(call say,TEST,preload) tests/preload/run.py $(B)

check-long: $(with-deps)
	+@$(MAKE) --no-print-directory check-preload-long

check-preload-long: all $(guests)
	$(call say,TEST,preload-long) tests/preload/run.py --long $(B)

check-programs: all
	$(if $(SAN),@echo "  SKIP  programs: most of them do not bear a sanitizer's runtime",$(call say,TEST,programs) tests/programs/run.py $(B))

check-leaks: all
	$(if $(SAN),@echo "  SKIP  leaks: most programs do not bear a sanitizer's runtime",$(call say,TEST,leaks) tests/programs/run.py --leaks $(B))

# The suites that have threads, and those of what threads share. The library itself can be preloaded
# into no program under gcc's ThreadSanitizer, so that crowd is the program. (Without process: its
# vfork is a fork there.)
threaded := bridge crowd dial dns dns_relay door door_early fds fork log loop mesh names pool registry resolve thread tls_stream
check-threads:
	+@$(MAKE) --no-print-directory SAN=thread check-suites
check-suites: $(unit)
	$(Q)for suite in $(threaded); do CK_RUN_SUITE=$$suite \
	    TSAN_OPTIONS=die_after_fork=0:suppressions=$(CURDIR)/tests/tsan.supp $(unit) || exit 1; done

check-peers: all
	$(if $(SAN),@echo "  SKIP  peers: most clients do not bear a sanitizer's runtime",$(call say,TEST,peers) tests/peers/run.py $(B))

# A library with faults, on which CPython's tests have to show that they see some.
liar := $(B)/tests/cpython/liar.so
$(liar): tests/cpython/liar.c
	@mkdir -p $(@D)
	$(call say,LD,$@) $(CC) $(filter-out -MMD -MP,$(my-cflags)) -fvisibility=default -D_GNU_SOURCE -shared -o $@ $<

check-cpython: all $(liar)
	$(if $(SAN),@echo "  SKIP  cpython: Python does not bear a sanitizer's runtime",$(call say,TEST,cpython) tests/cpython/run.py $(B))

# ROUNDS runs of MS milliseconds of everything. The smoke test runs once through what needs no peers.
ROUNDS  ?= 5
MS      ?= 600
benches := $(addprefix $(B)/tests/bench/,bench_cost bench_rules client)
bench: $(benches) $(so)
	$(Q)tests/bench/run.py --rounds $(ROUNDS) --ms $(MS) $(B)

bench-peers: $(if $(with-deps),deps-bench)
	+@$(MAKE) --no-print-directory bench-readme
bench-readme: $(benches) $(so)
	$(Q)tests/bench/run.py --rounds $(ROUNDS) --ms $(MS) --peers \
	    --readme tests/bench/README.md --plot tests/bench/ratios.svg $(B)

check-bench: $(benches) $(so)
	$(call say,TEST,bench) tests/bench/run.py --smoke $(B)

# Every header compiles alone.
check-headers: $(patsubst %,$(B)/%.hdr,$(wildcard rules/*.h shim/*.h shim/bridge/*.h))
$(B)/%.h.hdr: %.h
	@mkdir -p $(@D)
	$(call say,HDR,$<) printf '#include "%s"\n' $< | \
	    $(CC) $(my-cppflags) $(filter-out -MMD -MP,$(my-cflags)) -fsyntax-only -xc - && touch $@

# Promise 5: exports are the list of hooks, NEEDED is libc, nothing is relocated in the text; and
# memory is our own (shim/memory.h).
check-exports: $(so)
	$(call say,TEST,exports) sed -n 's/^HOOK([^,]*, *\([a-z0-9_]*\),.*/\1/p' shim/hooks.def | sort >$(B)/hooks.txt; \
	    nm -D --defined-only $(so) | awk '{print $$3}' | sed 's/@.*//' | sort | diff -u $(B)/hooks.txt -
	$(Q)! readelf -d $(so) | sed -n 's/.*(NEEDED).*\[\(.*\)\]/unexpected NEEDED: \1/p' | \
	    grep -vE ' (libc\.so\.6$(if $(SAN),|libasan.*|libubsan.*|libtsan.*|libm\.so.*|libgcc_s.*|ld-linux.*))$$'
	$(Q)! readelf -d $(so) | grep TEXTREL
	$(if $(SAN),,$(Q)! nm -D --undefined-only $(so) | grep -wE 'malloc|calloc|strdup|strndup|qsort')
	$(if $(SAN),,$(Q)readelf -d $(so) | \
	    awk '/RELACOUNT/ && $$3 > 4000 {print "the loader has " $$3 " relocations to make"; exit 1}')

# rules/ is a pure library: it may parse, match, read files and allocate, nothing else. The
# shim calls what it hooks only through shim/libc.h, and never ends or prints to its host. Neither
# asks what the program's locale thinks of letters and numbers: rules/ascii.h, rules/decimal.h.
localized := __ctype_(b|tolower|toupper)_loc|(is(al(num|pha)|digit|xdigit|upper|lower|space|print|punct|cntrl|graph)|to(lower|upper)|strn?casecmp)(_l)?|strcasestr|strcoll|strto(d|f|ld)|atof
forbidden := socket|connect|send|recv|poll|epoll_.*|pthread_create|_?exit|abort|__assert_fail|printf|puts|perror|SSL_.*|EVP_.*|X509_.*
check-layers: $(B)/librules.a $(call obj,$(shim-src)) check-exports
	$(call say,TEST,layers) ! nm -u $(B)/librules.a | awk '$$1 == "U" {print $$2}' | sort -u | grep -xE '$(forbidden)'
	$(Q)! nm -u $(call obj,$(shim-src)) | awk '$$1 == "U" {print $$2}' | sort -u | grep -xFf $(B)/hooks.txt
	$(Q)! nm -u $(call obj,$(shim-src)) | awk '$$1 == "U" {print $$2}' | sort -u | \
	    grep -xE '_?exit|abort|__assert_fail|printf|puts|perror'
	$(Q)! nm -u $(B)/librules.a $(call obj,$(shim-src)) | awk '$$1 == "U" {print $$2}' | sort -u | \
	    grep -xE '$(localized)'

check-install: all
	$(call say,TEST,install) $(MAKE) -s install DESTDIR=$(abspath $(B))/pkg >/dev/null && \
	    test -e $(B)/pkg$(LIBDIR)/libmeshshim.so && \
	    $(MAKE) -s uninstall DESTDIR=$(abspath $(B))/pkg >/dev/null && \
	    test -z "$$(find $(B)/pkg ! -type d)" && rm -rf $(B)/pkg

# --- the founding scenario -------------------------------------------------
demo: $(with-deps)
	+@$(MAKE) --no-print-directory all
	@samples/octopus/demo.sh $(B)

# --- dependencies ----------------------------------------------------------
# Debian 12's names. A web server is needed as a file, not as a running service: a policy of
# "start nothing" is put in place while it is installed, unless the machine has its own.
deps-build := gcc libc6-dev make pkg-config libssl-dev libconfig-dev libyaml-dev libpcre2-dev uthash-dev libxxhash-dev \
    node-llhttp
deps-test  := check locales g++ libre2-dev binutils openssl curl wget python3 nodejs nginx-light liburing-dev strace procps netbase \
    libjemalloc2 libtcmalloc-minimal4 faketime

# Clients of all kinds, for check-programs and check-leaks. The static busybox is only a file, as its
# package cannot be installed beside the dynamic one's.
programs   := apache2-utils aria2 busybox chromium git golang-go gunicorn haproxy iproute2 libwww-perl musl-tools \
    openjdk-17-jdk-headless perl php-cli php-curl python3-requests ruby socat wrk
# Servers of all kinds, for check-peers; some of the above are more of them.
programs   += apache2-bin postgresql-15 postgresql-client-15 python3-websockets redis-server redis-tools
# Python's own tests, for check-cpython.
programs   += libpython3.11-testsuite

# The peers of bench-peers, programs to measure, and what draws the plot.
bench-deps := apache2-utils gnuplot-nox haproxy python3-requests stunnel4 wrk

build/busybox-static: | deps-programs-installed
	@mkdir -p $(@D); dir=$$(mktemp -d) && trap "rm -rf $$dir" EXIT && cd $$dir && \
	sudo=; test "$$(id -u)" = 0 || sudo=sudo; $$sudo apt-get update -qq && \
	apt-get download -qq -o APT::Sandbox::User=root busybox-static && \
	dpkg-deb --fsys-tarfile busybox-static_*.deb | tar -xO ./bin/busybox >busybox && \
	install -m 755 busybox $(CURDIR)/$@

deps: packages := $(deps-build) $(deps-test)
deps-programs: build/busybox-static
deps-programs-installed: packages := $(deps-build) $(deps-test) $(programs)
deps-bench: packages := $(deps-build) $(deps-test) $(bench-deps)
deps deps-bench deps-programs-installed:
	@missing=$$(for p in $(packages); do \
	    dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	test -n "$$missing" || exit 0; \
	command -v apt-get >/dev/null || { echo "please install, under Debian's names:" $$missing; exit 1; }; \
	sudo=; test "$$(id -u)" = 0 || sudo=sudo; \
	echo "installing:" $$missing; \
	policy=/usr/sbin/policy-rc.d; \
	if ! test -e $$policy; then \
	    printf '#!/bin/sh\nexit 101\n' | $$sudo tee $$policy >/dev/null; $$sudo chmod 755 $$policy; \
	    trap "$$sudo rm -f $$policy" EXIT INT TERM; \
	fi; \
	$$sudo apt-get update -qq && \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null

# --- install ---------------------------------------------------------------
man1 := $(wildcard tools/*.1)
man5 := $(wildcard rules/*.5)
install: all
	$(Q)$(INSTALL) -d $(DESTDIR)$(LIBDIR) $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5
	$(Q)$(INSTALL) -m 755 $(so) $(DESTDIR)$(LIBDIR)/libmeshshim.so
	$(Q)$(INSTALL) -m 755 $(check) $(wrapper) $(import) $(DESTDIR)$(BINDIR)/
	$(Q)$(INSTALL) -m 644 $(man1) $(DESTDIR)$(MANDIR)/man1/
	$(Q)$(if $(man5),$(INSTALL) -m 644 $(man5) $(DESTDIR)$(MANDIR)/man5/)

uninstall:
	$(Q)rm -f $(DESTDIR)$(LIBDIR)/libmeshshim.so $(DESTDIR)$(BINDIR)/meshshim-check \
	    $(DESTDIR)$(BINDIR)/meshshim $(DESTDIR)$(BINDIR)/meshshim-import $(patsubst tools/%,$(DESTDIR)$(MANDIR)/man1/%,$(man1)) \
	    $(patsubst rules/%,$(DESTDIR)$(MANDIR)/man5/%,$(man5))

clean:
	rm -rf build

help:
	@sed -n '3,26s/^# \{0,1\}//p' Makefile

.PHONY: all bench bench-peers bench-readme check check-all check-bench check-unit check-rules check-import check-re2 check-preload check-preload-long check-long check-headers check-exports \
    check-layers check-install check-leaks check-peers check-suites check-threads check-programs check-cpython demo deps deps-bench deps-programs deps-programs-installed install uninstall clean help FORCE
