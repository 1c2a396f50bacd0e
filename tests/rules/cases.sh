# SPDX-License-Identifier: Apache-2.0
# Sourced by run.sh: what a plain file beside its output cannot say.

# --- files of every kind ---------------------------------------------------
expect "missing file" 1 no-such.cfg <<'OUT'
no-such.cfg: error: No such file or directory
OUT

mkdir "$tmp/empty"
expect "empty directory" 0 "$tmp/empty" <<OUT
$tmp/empty: warning: no *.cfg file in this directory
OUT

mkdir "$tmp/dir"
cp good.founding.cfg "$tmp/dir/10-base.cfg"
echo 'this is not read' >"$tmp/dir/notes.txt"
echo 'neither is this' >"$tmp/dir/.hidden.cfg"
expect "directory" 0 "$tmp/dir" </dev/null
echo 'serviceEntrys = ( );' >"$tmp/dir/05-more.cfg"
expect "directory, in order" 1 "$tmp/dir" <<OUT
$tmp/dir/05-more.cfg:1: error: unknown key "serviceEntrys" in a rule file (did you mean "serviceEntries"?)
OUT

mkfifo "$tmp/fifo"
expect "FIFO" 1 "$tmp/fifo" <<OUT
$tmp/fifo: error: not a regular file
OUT

expect "device" 1 /dev/zero <<'OUT'
/dev/zero: error: not a regular file
OUT

printf 'a = "x\000y";\n' >"$tmp/nul.cfg"
expect "NUL byte" 1 "$tmp/nul.cfg" <<OUT
$tmp/nul.cfg:1: error: NUL byte in the file
OUT

printf '\n\n# \377\376\n' >"$tmp/utf8.cfg"
expect "invalid UTF-8" 1 "$tmp/utf8.cfg" <<OUT
$tmp/utf8.cfg:3: error: invalid UTF-8
OUT

printf '\357\273\277' | cat - good.founding.cfg >"$tmp/bom.cfg"
expect "byte order mark" 0 "$tmp/bom.cfg" </dev/null

truncate -s 100M "$tmp/huge.cfg"
expect "100 MB" 1 "$tmp/huge.cfg" <<OUT
$tmp/huge.cfg: error: larger than 64 MiB
OUT

head -c 100000 /dev/zero | tr '\0' '(' | sed 's/^/a = /' >"$tmp/deep.cfg"
expect "deep nesting" 1 "$tmp/deep.cfg" <<OUT
$tmp/deep.cfg:1: error: nested deeper than 64 levels
OUT

if [ "$(id -u)" -ne 0 ]; then
	cp good.founding.cfg "$tmp/secret.cfg"
	chmod 0 "$tmp/secret.cfg"
	expect "unreadable file" 1 "$tmp/secret.cfg" <<OUT
$tmp/secret.cfg: error: Permission denied
OUT
fi

# --- @include --------------------------------------------------------------
mkdir -p "$tmp/inc/sub"
cp good.founding.cfg "$tmp/inc/sub/rules.inc"
echo '@include "sub/rules.inc"' >"$tmp/inc/top.cfg"
expect "include beside the file" 0 "$tmp/inc/top.cfg" </dev/null

printf '# one\n  @include "sub/part.inc" # and more\nmeshConfg = { };\n' >"$tmp/inc/lines.cfg"
printf 'serviceEntries = (\n  { name = "a";\n    hots = [ "a.example" ]; }\n);\n' >"$tmp/inc/sub/part.inc"
expect "lines of included files" 1 "$tmp/inc/lines.cfg" <<OUT
$tmp/inc/lines.cfg:3: error: unknown key "meshConfg" in a rule file (did you mean "meshConfig"?)
$tmp/inc/sub/part.inc:2: error: [IST0106] service entry must have at least one host
$tmp/inc/sub/part.inc:3: error: unknown key "hots" in ServiceEntry (did you mean "hosts"?)
OUT

printf 'a = ;\n' >"$tmp/inc/sub/syntax.inc"
printf '\n@include "sub/syntax.inc"\n' >"$tmp/inc/syntax.cfg"
expect "syntax error in an included file" 1 "$tmp/inc/syntax.cfg" <<OUT
$tmp/inc/sub/syntax.inc:1: error: syntax error
OUT

printf '@include "b.inc"\n' >"$tmp/inc/a.cfg"
printf '\n@include "a.cfg"\n' >"$tmp/inc/b.inc"
expect "cyclic include" 1 "$tmp/inc/a.cfg" <<OUT
$tmp/inc/b.inc:2: error: cannot include "$tmp/inc/a.cfg": it includes itself
OUT

printf '@include "sub"\n' >"$tmp/inc/d.cfg"
expect "include of a directory" 1 "$tmp/inc/d.cfg" <<OUT
$tmp/inc/d.cfg:1: error: cannot include "$tmp/inc/sub": is a directory
OUT

mkfifo "$tmp/inc/pipe"
printf '@include "%s/inc/pipe"\n' "$tmp" >"$tmp/inc/f.cfg"
expect "include of a FIFO" 1 "$tmp/inc/f.cfg" <<OUT
$tmp/inc/f.cfg:1: error: cannot include "$tmp/inc/pipe": not a regular file
OUT

printf '/* @include "sub"\n@include "sub" */\n# @include "sub"\n' | cat - good.founding.cfg >"$tmp/inc/c.cfg"
expect "include in a comment" 0 "$tmp/inc/c.cfg" </dev/null

printf 'a = "\n@include \\"sub\\"\n";\n' >"$tmp/inc/s.cfg"
expect "include in a string" 1 "$tmp/inc/s.cfg" <<OUT
$tmp/inc/s.cfg:1: error: unknown key "a" in a rule file
OUT

printf '@include "sub/rules.inc" @include "sub"\n' >"$tmp/inc/t.cfg"
expect "two includes in a line" 1 "$tmp/inc/t.cfg" <<OUT
$tmp/inc/t.cfg:1: error: unexpected text after @include
OUT

printf '/* open\n' >"$tmp/inc/sub/open.inc"
printf '@include "sub/open.inc"\nx = 1;\n' >"$tmp/inc/o.cfg"
expect "comment left open in an included file" 1 "$tmp/inc/o.cfg" <<OUT
$tmp/inc/sub/open.inc:1: error: unterminated comment
OUT

# --- several files ---------------------------------------------------------
expect "two files are one set" 0 split.services.cfg split.routes.cfg </dev/null
expect "colon-separated list" 0 split.services.cfg:split.routes.cfg </dev/null
expect "half of a set" 1 split.routes.cfg <<'OUT'
split.routes.cfg:6: error: [IST0101] Referenced host not found: "api.example.com"
OUT
expect "same file twice" 1 split.services.cfg:./split.services.cfg <<'OUT'
./split.services.cfg:4: error: ServiceEntry "api" is already defined (split.services.cfg:3)
./split.services.cfg:5: warning: host "api.example.com" is already defined by service entry "api" (split.services.cfg:5): the first one wins
OUT
expect "an unreadable file hides no other error" 1 no-such.cfg:split.routes.cfg:bad.unknown-key.cfg <<'OUT'
no-such.cfg: error: No such file or directory
bad.unknown-key.cfg:4: error: unknown key "locaton" in ServiceEntry (did you mean "location"?)
OUT
printf 'meshConfig = { };\n' >"$tmp/mesh1.cfg"
cp "$tmp/mesh1.cfg" "$tmp/mesh2.cfg"
expect "two meshConfigs" 1 "$tmp/mesh1.cfg" "$tmp/mesh2.cfg" <<OUT
$tmp/mesh2.cfg:1: error: meshConfig is already defined ($tmp/mesh1.cfg:1)
OUT
MESHSHIM_RULES=good.founding.cfg
export MESHSHIM_RULES
expect "MESHSHIM_RULES" 0 </dev/null
unset MESHSHIM_RULES

# --- the command line ------------------------------------------------------
expect "no rules" 2 <<'OUT'
meshshim-check: no rule file given, and MESHSHIM_RULES is not set
Try 'meshshim-check --help'.
OUT
expect "unknown format" 2 --format xml good.founding.cfg <<'OUT'
meshshim-check: --format is text or json, not: xml
Try 'meshshim-check --help'.
OUT
expect "-H without --explain" 2 -H 'A: b' good.founding.cfg <<'OUT'
meshshim-check: -H belongs to --explain
Try 'meshshim-check --help'.
OUT
expect "--explain without a URL" 2 --explain <<'OUT'
meshshim-check: --explain needs a URL
Try 'meshshim-check --help'.
OUT
expect "--explain with another scheme" 2 --explain ftp://webserver/ good.founding.cfg <<'OUT'
meshshim-check: only http://, https:// and tcp:// URLs can be explained: ftp://webserver/
Try 'meshshim-check --help'.
OUT
expect "bad header" 2 --explain http://webserver/ -H nonsense good.founding.cfg <<'OUT'
meshshim-check: a header must look like 'Name: value': nonsense
Try 'meshshim-check --help'.
OUT
expect "JSON, nothing to say" 0 --format json good.founding.cfg <<'OUT'
[]
OUT
expect "JSON" 1 --format json bad.unknown-key.cfg no-such.cfg <<'OUT'
[
  { "file": "bad.unknown-key.cfg", "line": 4, "severity": "error", "code": null, "resource": "ServiceEntry api", "message": "unknown key \"locaton\" in ServiceEntry (did you mean \"location\"?)" },
  { "file": "no-such.cfg", "line": null, "severity": "error", "code": null, "resource": null, "message": "No such file or directory" }
]
OUT

# --- bodies of direct responses --------------------------------------------
# body SIZE: a rule file with a directResponse of that many bytes.
body() {
	printf 'virtualServices = ( { name = "web"; hosts = [ "web" ]; http = (\n'
	printf '  { directResponse = { status = 200; body = { string = "'
	head -c "$1" /dev/zero | tr '\0' x
	printf '"; }; }; }\n); } );\n'
}
body 1000000 >"$tmp/body.cfg"
expect "directResponse of 1 MB" 1 "$tmp/body.cfg" <<OUT
$tmp/body.cfg:2: error: [IST0106] large direct_responses may impact control plane performance, must be less than 1MB
OUT
body 100001 >"$tmp/body.cfg"
expect "directResponse of more than 100 kB" 1 -q --strict "$tmp/body.cfg" <<OUT
$tmp/body.cfg:2: warning: [IST0133] large direct_responses may impact control plane performance
OUT
# --- scale -----------------------------------------------------------------
awk 'BEGIN {
	n = 10000
	print "serviceEntries = ("
	for (i = 0; i < n; i++)
		printf "%s{ name = \"s%d\"; hosts = [ \"h%d.example.com\" ]; resolution = \"DNS\";\n" \
		    "ports = ( { number = 443; name = \"tls\"; protocol = \"TLS\"; } ); }\n", i ? "," : "", i, i
	print ");\nvirtualServices = ("
	for (i = 0; i < n; i++)
		printf "%s{ name = \"v%d\"; hosts = [ \"v%d\" ]; http = ( { route = ( { destination = " \
		    "{ host = \"h%d.example.com\"; }; } ); } ); }\n", i ? "," : "", i, i, i
	print ");\ndestinationRules = ("
	for (i = 0; i < n; i++)
		printf "%s{ name = \"d%d\"; host = \"h%d.example.com\"; " \
		    "trafficPolicy = { tls = { mode = \"SIMPLE\"; }; }; }\n", i ? "," : "", i, i
	print ");"
}' >"$tmp/large.cfg"
expect "30,000 resources" 0 "$tmp/large.cfg" </dev/null

# --- the manual page -------------------------------------------------------
# Sections ".SS Message" with entries ".TP" / ".B key" are the keys; the top level is ".SS Top level".
awk '/^\.SS / { message = $2 == "Top" ? "" : $2 "."; next }
     /^\.SH / { message = "-" }
     tp && /^\.BR? / && message != "-" { print message $2 }
     { tp = /^\.TP/ }' ../../rules/meshshim.cfg.5 | sort >"$tmp/got"
"$check" --keys | sort >"$tmp/want"
status=0
wanted "meshshim.cfg(5) documents every key" && verdict "meshshim.cfg(5) documents every key" 0
