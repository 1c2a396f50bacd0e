#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh PATH-TO-meshshim-check: the rule corpus.
#
#   good.*.cfg   must load without a word, but for what the bridge does not carry out
#   warn.*.cfg   must load, saying exactly what warn.*.out holds; an error under --strict
#   bad.*.cfg    must be refused, saying exactly what bad.*.out holds
#   *.explain    first line: arguments; the rest: what must be printed
#   *.table      questions to --explain --format json, one line each: see table.py
#
# What good and warn files are dumped as must load and be dumped as the same bytes again.
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
	timeout 20 "$check" "$@" >"$tmp/all" 2>&1
	status=$?
	$filter <"$tmp/all" >"$tmp/got"
	verdict "$name" "$want"
}
filter=cat

# Without the lines that diagnostics quote.
unquoted() {
	sed '/^ *[0-9]* | /d'
}

# Infos about what the bridge does not carry out, with the lines that they quote.
drop_gaps() {
	awk '/: info: .* is not carried out by libmeshshim/ { quoted = 1; next }
	     quoted && /^ *[0-9]+ \| / { quoted = 0; next }
	     { quoted = 0; print }'
}

# round_trip FILE: its dump, dumped again.
round_trip() {
	wanted "$1 dump" || return
	timeout 20 "$check" -q --dump "$1" >"$tmp/want" 2>/dev/null
	cp "$tmp/want" "$tmp/dumped.cfg"
	timeout 20 "$check" -q --dump "$tmp/dumped.cfg" >"$tmp/got" 2>&1
	status=$?
	verdict "$1 dump" 0
}

for file in good.*.cfg; do
	: >"$tmp/want"
	if wanted "$file"; then
		timeout 20 "$check" "$file" >"$tmp/all" 2>&1
		status=$?
		drop_gaps <"$tmp/all" >"$tmp/got"
		verdict "$file" 0
	fi
	round_trip "$file"
done
for file in warn.*.cfg; do
	: >"$tmp/want"
	strict=0
	grep -q ': warning: ' "${file%.cfg}.out" && strict=1
	if wanted "$file"; then
		timeout 20 "$check" "$file" >"$tmp/all" 2>&1
		status=$?
		drop_gaps <"$tmp/all" >"$tmp/got"
		cp "${file%.cfg}.out" "$tmp/want"
		verdict "$file" 0
		timeout 20 "$check" --strict -q "$file" >/dev/null 2>&1
		status=$?
		: >"$tmp/want"
		: >"$tmp/got"
		verdict "$file --strict" "$strict"
	fi
	expect "$file -q" 0 -q "$file" </dev/null
	round_trip "$file"
done
for file in bad.*.cfg; do
	expect "$file" 1 "$file" <"${file%.cfg}.out"
done
# What is to be said against the rules goes to standard error, the answer does not.
for file in *.explain; do
	wanted "$file" || continue
	sed 1d "$file" >"$tmp/want"
	eval "timeout 20 \"\$check\" $(sed -n 1p "$file")" >"$tmp/got" 2>/dev/null
	status=$?
	verdict "$file" 0
done

for file in *.table; do
	wanted "$file" || continue
	python3 ./table.py "$check" "$file" >"$tmp/got" 2>&1 || cat "$tmp/got"
	passed=$((passed + $(sed -n '$s/ passed.*//p' "$tmp/got")))
	failed=$((failed + $(sed -n '$s/.*passed, \([0-9]*\) failed/\1/p' "$tmp/got")))
done

filter=unquoted
. ./cases.sh

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
