#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh PATH-TO-meshshim-check: the rule corpus.
#
#   good.*.cfg   must load without a word, but for the infos that drop_notes() names
#   warn.*.cfg   must load, saying exactly what warn.*.out holds; an error under --strict if that
#                is a warning
#   bad.*.cfg    must have errors, saying exactly what bad.*.out holds; good.*.cfg of that name is
#                the same without them
#   *.explain    first line: arguments; the rest: what must be printed
#   *.table      questions to --explain --format json, one line each: see table.py
#   *.dump, *.json, *.dot
#                what --dump, --dump --format json and --graph make of the *.cfg of that name
#
# What good and warn files are dumped as must load, mean the same, and be dumped as the same bytes
# again. Both must make a graph.
#
# Then the cases that are no plain files, and the manual pages against the program.
# T=name runs only cases whose name contains it. Last line: "N passed, N failed".
set -u

[ $# -eq 1 ] || { echo "usage: $0 PATH-TO-meshshim-check" >&2; exit 2; }
check=$(CDPATH='' cd -- "$(dirname -- "$1")" && pwd)/$(basename -- "$1")
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
top=$(mktemp -d) || exit 2
trap 'rm -rf "$top"' EXIT
workers=
trap 'kill $workers 2>/dev/null; wait; exit 130' INT TERM
cd "$here" || exit 2
unset MESHSHIM_RULES
# libconfig 1.5 loses the string that it was reading when it met a syntax error.
echo 'leak:libconfig' >"$top/lsan"
export LSAN_OPTIONS="suppressions=$top/lsan:print_suppressions=0"
passed=0
failed=0

wanted() {
	case $1 in *"${T:-}"*) return 0 ;; esac
	return 1
}

# verdict NAME WANTED-STATUS: compares $status, $tmp/want and $tmp/got.
verdict() {
	if [ "$status" -eq "$2" ] && cmp -s "$tmp/want" "$tmp/got"; then
		passed=$((passed + 1))
		return
	fi
	failed=$((failed + 1))
	echo "FAIL $1: exit status $status, expected $2"
	diff -u "$tmp/want" "$tmp/got"
}

# run ARGUMENTS...: $status, and everything that was said in $tmp/all.
run() {
	timeout 60 "$check" "$@" >"$tmp/all" 2>&1
	status=$?
}

# expect NAME WANTED-STATUS ARGUMENTS...: the expected output is on standard input.
expect() {
	name=$1 want=$2
	shift 2
	cat >"$tmp/want"
	wanted "$name" || return
	run "$@"
	$filter <"$tmp/all" >"$tmp/got"
	verdict "$name" "$want"
}

# Without the lines that diagnostics quote.
unquoted() {
	sed '/^ *[0-9]* | /d'
}

# Without infos that most files give rise to, and the lines that they quote: what the bridge does not
# carry out, and that the system's CA store is used.
drop_notes() {
	awk '/^ *[0-9]+ \| / && note { note = 0; next }
	     !/^ *[0-9]+ \| / && /: info: ([^[].* is not carried out by libmeshshim|\[IST012[89]\] )/ {
	         note = 1; next }
	     { note = 0; print }'
}

# Without either.
plain() {
	drop_notes | unquoted
}

# The dump of a usable file: it loads without errors, and its dump is the same. Both are kept as
# JSON too, for compare_json().
round_trip() {
	wanted "$1 dump" || return
	timeout 60 "$check" -q --dump "$1" >"$tmp/want" 2>/dev/null
	first=$?
	cp "$tmp/want" "$tmp/dumped.cfg"
	timeout 60 "$check" -q "$tmp/dumped.cfg" >"$tmp/got" 2>&1 &&
		timeout 60 "$check" -q --dump "$tmp/dumped.cfg" >"$tmp/got" 2>&1
	status=$(($? + first))
	verdict "$1 dump" 0
	timeout 60 "$check" -q --dump --format json "$1" >"$tmp/json/$1" 2>/dev/null
	timeout 60 "$check" -q --dump --format json "$tmp/dumped.cfg" >"$tmp/json/$1.again" 2>/dev/null
}

compare_json() {
	python3 -c '
import json, os, sys
passed = failed = 0
for name in sorted(os.listdir(sys.argv[1])):
    if name.endswith(".again"):
        continue
    path = os.path.join(sys.argv[1], name)
    try:
        same = json.load(open(path)) == json.load(open(path + ".again"))
    except ValueError as error:
        same = False
        print(error)
    passed += same
    failed += not same
    if not same:
        print(f"FAIL {name}: --dump --format json")
print(passed, failed)' "$tmp/json" >"$tmp/got" || echo "0 1" >>"$tmp/got"
	sed '$d' "$tmp/got"
	read -r p f <<END
$(sed -n '$p' "$tmp/got")
END
	passed=$((passed + p))
	failed=$((failed + f))
}

# Quotes and braces are balanced, and every line is a node, an edge or the frame.
graph() {
	wanted "$1 graph" || return
	timeout 60 "$check" -q --graph "$1" >"$tmp/all" 2>/dev/null
	status=$?
	awk '{ line = $0; gsub(/"([^"\\]|\\.)*"/, "S", line) }
	     NR == 1 ? line != "digraph meshshim {" : NR == 2 ? line != "  rankdir=LR;" : \
	         line !~ /^  S( -> S)?( \[[a-z]+=(S|[a-z]+)(, [a-z]+=(S|[a-z]+))*\])?;$/ && line != "}"
	     line == "}" { end = NR }
	     END { if (NR < 3 || end != NR) print "the graph is not closed" }' "$tmp/all" >"$tmp/got"
	: >"$tmp/want"
	verdict "$1 graph" 0
}

good() {
	if wanted "$1"; then
		run "$1"
		drop_notes <"$tmp/all" >"$tmp/got"
		: >"$tmp/want"
		verdict "$1" 0
	fi
	round_trip "$1"
	graph "$1"
}

warn() {
	if wanted "$1"; then
		run "$1"
		drop_notes <"$tmp/all" >"$tmp/got"
		cp "${1%.cfg}.out" "$tmp/want"
		verdict "$1" 0
		strict=0
		grep -q ': warning: ' "${1%.cfg}.out" && strict=1
		run --strict -q "$1"
		unquoted <"$tmp/all" >"$tmp/got"
		unquoted <"${1%.cfg}.out" | grep ': warning: ' >"$tmp/want"
		verdict "$1 --strict -q" "$strict"
	fi
	expect "$1 -q" 0 -q "$1" </dev/null
	round_trip "$1"
	graph "$1"
}

bad() {
	wanted "$1" || return
	run "$1"
	drop_notes <"$tmp/all" >"$tmp/got"
	cp "${1%.cfg}.out" "$tmp/want"
	verdict "$1" 1
}

# What is to be said against the rules goes to standard error, the answer does not.
explain() {
	wanted "$1" || return
	sed 1d "$1" >"$tmp/want"
	eval "timeout 60 \"\$check\" $(sed -n 1p "$1")" >"$tmp/got" 2>/dev/null
	status=$?
	verdict "$1" 0
}

table() {
	wanted "$1" || return
	python3 ./table.py "$check" "$1" >"$tmp/got" 2>&1 || cat "$tmp/got"
	p=$(sed -n '$s/ passed.*//p' "$tmp/got")
	f=$(sed -n '$s/.*passed, \([0-9]*\) failed/\1/p' "$tmp/got")
	passed=$((passed + ${p:-0}))
	failed=$((failed + ${f:-1}))
}

# What is found fault with in bad.X.cfg has to be put right in good.X.cfg: a check that finds fault
# with everything is no check.
twins() {
	wanted "twins" || return
	status=0
	: >"$tmp/want"
	for each in bad.*.cfg; do
		[ -f "good.${each#bad.}" ] || echo "$each has no good.${each#bad.}"
	done >"$tmp/got"
	verdict "twins" 0
}

# whole FILE ARGUMENTS...: a file is the whole answer.
whole() {
	file=$1
	shift
	wanted "$file" || return
	timeout 60 "$check" -q "$@" "${file%.*}.cfg" >"$tmp/got" 2>/dev/null
	status=$?
	cp "$file" "$tmp/want"
	verdict "$file" 0
}

one() {
	case $1 in
	good.*.cfg) good "$1" ;;
	warn.*.cfg) warn "$1" ;;
	bad.*.cfg) bad "$1" ;;
	*.explain) explain "$1" ;;
	*.table) table "$1" ;;
	*.dump) whole "$1" --dump ;;
	*.json) whole "$1" --dump --format json ;;
	*.dot) whole "$1" --graph ;;
	esac
}

# part NUMBER: every $parts-th file, beginning with that one; 0: the other cases.
part() {
	tmp=$top/$1
	mkdir -p "$tmp/json"
	if [ "$1" -eq 0 ]; then
		filter=plain
		. ./cases.sh
		twins
	else
		filter=cat
		at=0
		for each in *; do
			at=$((at + 1))
			[ $((at % parts + 1)) -ne "$1" ] || one "$each"
		done
		compare_json
	fi
	echo "$passed $failed" >"$tmp/count"
}

parts=$(getconf _NPROCESSORS_ONLN 2>/dev/null) || parts=2
i=0
while [ $i -le "$parts" ]; do
	mkdir "$top/$i"
	part $i >"$top/$i/out" 2>&1 &
	workers="$workers $!"
	i=$((i + 1))
done
wait
for directory in "$top"/*/; do
	cat "$directory/out"
	p=0 f=1
	[ ! -f "$directory/count" ] || read -r p f <"$directory/count"
	passed=$((passed + p))
	failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
