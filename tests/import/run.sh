#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh PATH-TO-meshshim-import PATH-TO-meshshim-check: Istio's YAML becomes rule files.
#
#   good.*.yaml  must be imported, into exactly good.*.cfg where there is one; its notes and warnings
#                are exactly good.*.out, or there are none. meshshim-check must find no error in
#                what comes out.
#   bad.*.yaml   must be refused, saying exactly what bad.*.out holds, and nothing is written
#   *.explain    first line: a good.*.yaml and meshshim-check's arguments after --explain; the rest:
#                lines that its answer must hold
#
# Then the cases that are no plain files.
# T=name runs only cases whose name contains it. Last line: "N passed, N failed".
set -u

[ $# -eq 2 ] || { echo "usage: $0 PATH-TO-meshshim-import PATH-TO-meshshim-check" >&2; exit 2; }
import=$(CDPATH='' cd -- "$(dirname -- "$1")" && pwd)/$(basename -- "$1")
check=$(CDPATH='' cd -- "$(dirname -- "$2")" && pwd)/$(basename -- "$2")
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
cd "$here" || exit 2
unset MESHSHIM_RULES
umask 022
passed=0
failed=0

wanted() {
	case $1 in *"${T:-}"*) return 0 ;; esac
	return 1
}

pass() {
	passed=$((passed + 1))
}

fail() {
	failed=$((failed + 1))
	echo "FAIL $*"
}

# same NAME WANTED-STATUS: compares $status, and $tmp/want with $tmp/got.
same() {
	if [ "$status" -eq "$2" ] && cmp -s "$tmp/want" "$tmp/got"; then
		pass
		return
	fi
	fail "$1: exit status $status, expected $2"
	diff -u "$tmp/want" "$tmp/got"
}

# expect NAME WANTED-STATUS ARGUMENTS...: standard input is what must come out, both streams.
expect() {
	name=$1 want=$2
	shift 2
	cat >"$tmp/want"
	wanted "$name" || return
	timeout -s KILL 60 "$import" "$@" >"$tmp/got" 2>&1 </dev/null
	status=$?
	same "$name" "$want"
}

# usable NAME FILE: a rule file in which meshshim-check finds no error.
usable() {
	timeout -s KILL 60 "$check" -q "$2" >"$tmp/got" 2>&1
	status=$?
	: >"$tmp/want"
	same "$1" 0
}

# --- what can be imported --------------------------------------------------
for file in good.*.yaml; do
	wanted "$file" || continue
	base=${file%.yaml}
	timeout -s KILL 60 "$import" "$file" >"$tmp/$base.cfg" 2>"$tmp/got"
	status=$?
	cat "$base.out" >"$tmp/want" 2>/dev/null || : >"$tmp/want"
	same "$file" 0
	usable "$file: meshshim-check" "$tmp/$base.cfg"
	[ -e "$base.cfg" ] || continue
	if cmp -s "$base.cfg" "$tmp/$base.cfg"; then
		pass
	else
		fail "$file: another rule file"
		diff -u "$base.cfg" "$tmp/$base.cfg"
	fi
done

# The arguments after the file are the shell's words.
for file in *.explain; do
	wanted "$file" || continue
	read -r yaml args <"$file"
	timeout -s KILL 60 "$import" -q -o "$tmp/rules.cfg" "$yaml" ||
		{ fail "$file: $yaml is not imported"; continue; }
	eval "timeout -s KILL 60 \"\$check\" -q --format json --explain $args \"\$tmp/rules.cfg\"" >"$tmp/got" 2>&1
	missing=
	sed 1d "$file" >"$tmp/lines"
	while IFS= read -r line; do
		grep -qF -- "$line" "$tmp/got" || missing="$missing
  missing: $line"
	done <"$tmp/lines"
	if [ -z "$missing" ]; then
		pass
	else
		fail "$file$missing"
		cat "$tmp/got"
	fi
done

# --- what cannot -----------------------------------------------------------
for file in bad.*.yaml; do
	expect "$file" 1 "$file" <"${file%.yaml}.out"
done

. ./cases.sh

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
