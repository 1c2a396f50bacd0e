#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh PATH-TO-meshshim-check: the rule corpus.
#
#   good.*.cfg   must load without a word
#   warn.*.cfg   must load, saying exactly what warn.*.out holds; an error under --strict
#   bad.*.cfg    must be refused, saying exactly what bad.*.out holds
#   *.explain    first line: arguments; the rest: what must be printed
#
# Then the cases that are no plain files, and the manual page against the tables.
# T=name runs only cases whose name contains it. Last line: "N passed, N failed".
set -u

[ $# -eq 1 ] || { echo "usage: $0 PATH-TO-meshshim-check" >&2; exit 2; }
check=$(CDPATH='' cd -- "$(dirname -- "$1")" && pwd)/$(basename -- "$1")
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
cd "$here" || exit 2
unset MESHSHIM_RULES
# libconfig 1.5 loses the string that it was reading when it met a syntax error.
echo 'leak:libconfig' >"$tmp/lsan"
export LSAN_OPTIONS="suppressions=$tmp/lsan:print_suppressions=0"
passed=0
failed=0

wanted() {
	case $1 in *"${T:-}"*) return 0 ;; esac
	return 1
}

# verdict NAME WANTED-STATUS: compares status, $tmp/want and $tmp/got.
verdict() {
	if [ "$status" -eq "$2" ] && cmp -s "$tmp/want" "$tmp/got"; then
		passed=$((passed + 1))
		return
	fi
	failed=$((failed + 1))
	echo "FAIL $1: exit status $status, expected $2"
	diff -u "$tmp/want" "$tmp/got"
}

# expect NAME WANTED-STATUS ARGUMENTS...: the expected output is on standard input.
expect() {
	name=$1 want=$2
	shift 2
	cat >"$tmp/want"
	wanted "$name" || return
	timeout 20 "$check" "$@" >"$tmp/got" 2>&1
	status=$?
	verdict "$name" "$want"
}

for file in good.*.cfg; do
	expect "$file" 0 "$file" </dev/null
done
for file in warn.*.cfg; do
	expect "$file" 0 "$file" <"${file%.cfg}.out"
	expect "$file --strict" 1 --strict -q "$file" <"${file%.cfg}.out"
	expect "$file -q" 0 -q "$file" </dev/null
done
for file in bad.*.cfg; do
	expect "$file" 1 "$file" <"${file%.cfg}.out"
done
for file in *.explain; do
	sed 1d "$file" >"$tmp/body"
	eval "expect \"\$file\" 0 $(sed -n 1p "$file")" <"$tmp/body"
done

. ./cases.sh

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
