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

# nested OPEN CLOSE: a value that deep.
nested() {
	awk -v open="$1" -v close_="$2" 'BEGIN {
		n = 100000
		printf "a = "
		for (i = 0; i < n; i++)
			printf "%s", open
		for (i = 0; i < n; i++)
			printf "%s", close_
		print ";"
	}' >"$tmp/nested.cfg"
	expect "deeply nested $1" 1 "$tmp/nested.cfg" <<OUT
$tmp/nested.cfg:1: error: nested deeper than 64 levels
OUT
}
nested '{ a = ' '; }'
nested '( ' ' )'
nested '[' ']'

# Bytes that look like nothing in particular; the generator is fixed.
LC_ALL=C awk 'BEGIN {
	for (i = 0; i < 65536; i++) {
		seed = (seed * 69069 + 1) % 4294967296
		printf "%c", 1 + int(seed / 65536) % 255
	}
}' >"$tmp/binary.cfg"
expect "binary data" 1 "$tmp/binary.cfg" <<OUT
$tmp/binary.cfg:1: error: invalid UTF-8
OUT
LC_ALL=C awk 'BEGIN {
	for (i = 0; i < 65536; i++) {
		seed = (seed * 69069 + 1) % 4294967296
		printf "%c", 32 + int(seed / 65536) % 95
	}
	print ""
}' >"$tmp/noise.cfg"
expect "printable noise" 1 "$tmp/noise.cfg" <<OUT
$tmp/noise.cfg:1: error: syntax error
OUT

# long BEFORE AFTER: a megabyte between them.
long() {
	printf '%s' "$1"
	head -c 1048576 /dev/zero | tr '\0' y
	printf '%s\n' "$2"
}
long 'serviceEntries = ( { name = "a"; hosts = [ "' '" ]; } );' >"$tmp/string.cfg"
expect "1 MB string" 1 "$tmp/string.cfg" <<OUT
$tmp/string.cfg:1: error: [IST0106] domain name "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy..." too long (max 255)
OUT
long 'x = "open ' '' >"$tmp/open.cfg"
expect "1 MB string without an end" 1 "$tmp/open.cfg" <<OUT
$tmp/open.cfg:1: error: unterminated string
OUT
long '# ' '' >"$tmp/comment.cfg"
expect "1 MB comment" 0 "$tmp/comment.cfg" </dev/null
awk 'BEGIN {
	printf "serviceEntries = ("
	for (i = 0; i < 12000; i++)
		printf "%s{ name = \"s%d\"; hosts = [ \"h%d.example.com\" ]; resolution = \"DNS\"; " \
		    "location = 1; }", i ? ", " : " ", i, i
	print " );"
}' >"$tmp/line.cfg"
timeout 60 "$check" "$tmp/line.cfg" >"$tmp/all" 2>&1
status=$?
printf '%s\n' 24000 172 >"$tmp/want"
{ wc -l <"$tmp/all" && sed -n 2p "$tmp/all" | tr -d '\n' | wc -c; } | tr -d ' ' >"$tmp/got"
wanted "1 MB line with 12,000 errors" && verdict "1 MB line with 12,000 errors" 1

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

mkdir "$tmp/bomb"
for i in 1 2 3 4 5 6 7 8 9; do
	for j in 1 2 3 4 5 6 7 8 9 10; do echo "@include \"$((i + 1)).inc\""; done >"$tmp/bomb/$i.inc"
done
: >"$tmp/bomb/10.inc"
expect "include bomb" 1 "$tmp/bomb/1.inc" <<OUT
$tmp/bomb/9.inc:5: error: cannot include "$tmp/bomb/10.inc": more than 1000 files are included
OUT

awk 'BEGIN { for (i = 0; i < 100000; i++) printf "k%d = 1;\n", i }' >"$tmp/many.cfg"
expect "too many settings" 1 "$tmp/many.cfg" <<OUT
$tmp/many.cfg:1001: error: more than 1000 settings in one group
OUT

awk 'BEGIN { for (i = 0; i < 100000; i++) printf "k%d // of two lines\n= 1;\n", i }' >"$tmp/many.cfg"
expect "too many settings over two lines" 1 "$tmp/many.cfg" <<OUT
$tmp/many.cfg:2002: error: more than 1000 settings in one group
OUT
echo '};' >"$tmp/close.inc"
awk 'BEGIN {
	for (i = 0; i < 60; i++) {
		printf "g%d = {\n@include \"close.inc\"\n", i
		for (j = 0; j < 990; j++)
			printf "k%d = 1;\n", n++
	}
}' >"$tmp/many.cfg"
expect "too many settings, groups closed elsewhere" 1 "$tmp/many.cfg" <<OUT
$tmp/many.cfg:1003: error: more than 1000 settings in one group
OUT

printf '"ok.example",\n"bad..example"\n' >"$tmp/inc/sub/hosts.inc"
cat >"$tmp/inc/list.cfg" <<'CFG'
serviceEntries = ( { name = "a"; resolution = "DNS"; hosts = [
@include "sub/hosts.inc"
  , "x..example" # this
    "y"

  ]; ports = ( { number = 80; name = "http"; protocol = "HTTP"; } );
} );
CFG
expect "lines of strings in a list" 1 "$tmp/inc/list.cfg" <<OUT
$tmp/inc/list.cfg:3: error: [IST0106] domain name "x..exampley" invalid (label "" invalid)
$tmp/inc/sub/hosts.inc:2: error: [IST0106] domain name "bad..example" invalid (label "" invalid)
OUT

printf '@include "no.inc"\nx = 9999999999;\n@include "sub"\ny = 9999999999;\n' >"$tmp/inc/each.cfg"
expect "each include and each number" 1 "$tmp/inc/each.cfg" <<OUT
$tmp/inc/each.cfg:1: error: cannot include "$tmp/inc/no.inc": No such file or directory
$tmp/inc/each.cfg:2: error: integer 9999999999 is out of range
$tmp/inc/each.cfg:3: error: cannot include "$tmp/inc/sub": is a directory
$tmp/inc/each.cfg:4: error: integer 9999999999 is out of range
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
for option in --help --version --keys --dump; do
	wanted "$option, no room" || continue
	"$check" -q $option good.founding.cfg >/dev/full 2>"$tmp/got"
	status=$?
	echo 'meshshim-check: standard output: No space left on device' >"$tmp/want"
	verdict "$option, no room" 1
done
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
expect "JSON, nothing to say" 0 -q --format json good.founding.cfg <<'OUT'
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
body 1048577 >"$tmp/body.cfg"
expect "directResponse of more than 1 MB" 1 "$tmp/body.cfg" <<OUT
$tmp/body.cfg:2: error: [IST0106] large direct_responses may impact control plane performance, must be less than 1MB
OUT
for size in 102401 1048576; do
	body $size >"$tmp/body.cfg"
	expect "directResponse of $size bytes" 1 -q --strict "$tmp/body.cfg" <<OUT
$tmp/body.cfg:2: warning: [IST0133] large direct_responses may impact control plane performance
OUT
done
body 102400 >"$tmp/body.cfg"
expect "directResponse of 100 kB" 0 -q --strict "$tmp/body.cfg" </dev/null

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
awk '{ print }
     END { for (i = 0; i < 720000; i++)
	print "# a comment that makes it a large file, of which nothing else is to be said" }' \
    "$tmp/large.cfg" >"$tmp/sixty.cfg"
expect "60 MB" 0 -q "$tmp/sixty.cfg" </dev/null
rm -f "$tmp/sixty.cfg"

# --- diagnostics -----------------------------------------------------------
filter=cat
expect "the system's CA store is named" 0 good.founding.cfg <<'OUT'
good.founding.cfg:21: info: [IST0128] DestinationRule github has TLS mode set to SIMPLE but no caCertificates are set to validate server identity for host: raw.githubusercontent.com (the system's CA store is used)
    21 |   trafficPolicy = { tls = { mode = "SIMPLE"; }; };
OUT
expect "and for one port" 0 patterns.ist0129.cfg <<'OUT'
patterns.ist0129.cfg:12: info: [IST0129] DestinationRule api has TLS mode set to MUTUAL but no caCertificates are set to validate server identity for host: api.example.com at port 443 (the system's CA store is used)
    12 |       tls = { mode = "MUTUAL"; clientCertificate = "c.pem"; privateKey = "k.pem"; };
OUT
printf 'serviceEntries = ( {\n\tname = "a"; # \001\177\302\233\342\200\256 and blanks  \t\n} );' >"$tmp/quote.cfg"
expect "the line in question" 1 "$tmp/quote.cfg" <<OUT
$tmp/quote.cfg:1: error: [IST0106] service entry must have at least one host
     1 | serviceEntries = ( {
OUT
sed -i 's/name/naem/' "$tmp/quote.cfg"
expect "control characters in a quoted line" 1 "$tmp/quote.cfg" <<OUT
$tmp/quote.cfg:1: error: [IST0106] service entry must have a name
     1 | serviceEntries = ( {
$tmp/quote.cfg:1: error: [IST0106] service entry must have at least one host
     1 | serviceEntries = ( {
$tmp/quote.cfg:2: error: unknown key "naem" in ServiceEntry (did you mean "name"?)
     2 | $(printf '\t')naem = "a"; # ???? and blanks
OUT
long 'x = "é' '";' | tr -d '\r' >"$tmp/cut.cfg"
expect "a long line is cut" 1 "$tmp/cut.cfg" <<OUT
$tmp/cut.cfg:1: error: unknown key "x" in a rule file
     1 | x = "é$(head -c 154 /dev/zero | tr '\0' y)...
OUT
printf '@include "\033[31m.inc"\n' >"$tmp/escape.cfg"
expect "control characters in a message" 1 "$tmp/escape.cfg" <<OUT
$tmp/escape.cfg:1: error: cannot include "$tmp/?[31m.inc": No such file or directory
     1 | @include "?[31m.inc"
OUT
filter=plain
cat >"$tmp/escape.cfg" <<'CFG'
meshConfig = { outboundTrafficPolicy = { mode = "\x1b[31m\xff"; };
  connectTimeout = "1s\n"; };
CFG
expect "control characters in values" 1 "$tmp/escape.cfg" <<OUT
$tmp/escape.cfg:1: error: OutboundTrafficPolicy.mode holds a control character
$tmp/escape.cfg:2: error: MeshConfig.connectTimeout holds a control character
OUT
# What is wrong does not come in the order of lines.
awk 'BEGIN {
	print "serviceEntries = ("
	for (i = 0; i < 10000; i++)
		printf "%s{ name = \"s%d\"; hosts = [ \"h%d.example\" ];\nlocation = \"MESH_INTERNAL\";\n\n\n\n\nports = ( { number = 80; name = \"http\";\n" \
		    "protocol = \"HTTP2\"; } );\n}\n", i ? "," : "", i, i
	print ");"
}' >"$tmp/infos.cfg"
timeout 20 "$check" "$tmp/infos.cfg" >"$tmp/all" 2>&1
status=$?
echo 40000 >"$tmp/want"
wc -l <"$tmp/all" | tr -d ' ' >"$tmp/got"
wanted "20,000 infos and warnings" && verdict "20,000 infos and warnings" 0
expect "--strict -q" 1 --strict -q warn.catch-all.cfg <<'OUT'
warn.catch-all.cfg:12: warning: VirtualService rule "late" not used (a match of everything is defined before, warn.catch-all.cfg:11)
OUT
expect "--strict, infos only" 0 -q --strict canonical.infos.cfg </dev/null
expect "JSON of infos" 0 --format json canonical.infos.cfg <<'OUT'
[
  { "file": "canonical.infos.cfg", "line": 8, "severity": "info", "code": null, "resource": "ServiceEntry a", "message": "ServicePort.protocol HTTP2 is not carried out by libmeshshim.so of this version, which refuses these rules" }
]
OUT
expect "commands that the bridge does not know" 0 --format json gaps.header-command.cfg <<'OUT'
[
  { "file": "gaps.header-command.cfg", "line": 7, "severity": "info", "code": null, "resource": "VirtualService web", "message": "Header.value %DYNAMIC_METADATA(a:b)% is not carried out by libmeshshim.so of this version, which refuses these rules" },
  { "file": "gaps.header-command.cfg", "line": 8, "severity": "info", "code": null, "resource": "VirtualService web", "message": "Header.value %REQ% is not carried out by libmeshshim.so of this version, which refuses these rules" },
  { "file": "gaps.header-command.cfg", "line": 8, "severity": "info", "code": null, "resource": "VirtualService web", "message": "Header.value %START_TIME(%s)% is not carried out by libmeshshim.so of this version, which refuses these rules" },
  { "file": "gaps.header-command.cfg", "line": 8, "severity": "info", "code": null, "resource": "VirtualService web", "message": "Header.value %PROTOCOL(x)% is not carried out by libmeshshim.so of this version, which refuses these rules" }
]
OUT
expect "JSON with a code" 1 -q --format json split.routes.cfg <<'OUT'
[
  { "file": "split.routes.cfg", "line": 6, "severity": "error", "code": "IST0101", "resource": "VirtualService api", "message": "Referenced host not found: \"api.example.com\"" }
]
OUT

# --- dump and graph --------------------------------------------------------
mkdir -p "$tmp/tls/certs"
cat >"$tmp/tls/mesh.cfg" <<'CFG'
@include "certs/rules.inc"
serviceEntries = ( { name = "a"; hosts = [ "a.example", "b.example", "c.example" ]; resolution = "DNS";
  ports = ( { number = 443; name = "tls"; protocol = "TLS"; } ); } );
CFG
cat >"$tmp/tls/certs/rules.inc" <<'CFG'
destinationRules = (
  { name = "a"; host = "a.example"; trafficPolicy = { tls = { mode = "MUTUAL"; clientCertificate = "client.pem";
    privateKey = "../key.pem"; caCertificates = "/etc/ca.pem"; }; }; },
  { name = "b"; host = "b.example"; trafficPolicy = { tls = { mode = "SIMPLE"; caCertificates = "system"; }; }; },
  { name = "c"; host = "c.example"; trafficPolicy = { tls = { mode = "SIMPLE"; caCertificates = "ca \"1\".pem"; }; }; }
);
CFG
ln -s tls "$tmp/link"
cat >"$tmp/want" <<OUT
client.pem $tmp/tls/certs/client.pem
privateKey $tmp/tls/certs/../key.pem
caCertificates /etc/ca.pem
caCertificates system
caCertificates $tmp/tls/certs/ca "1".pem
OUT
(cd "$tmp" && timeout 60 "$check" --dump --format json link/mesh.cfg) >"$tmp/all" 2>&1
status=$?
sed -n 's/\\"/"/g; s/"clientCertificate"/"client.pem"/
	s/^ *"\(client.pem\|privateKey\|caCertificates\)": "\(.*\)",\{0,1\}$/\1 \2/p' "$tmp/all" >"$tmp/got"
wanted "files become absolute" && verdict "files become absolute" 0

expect "--dump of nothing" 0 --dump good.empty.cfg </dev/null
expect "--dump of nothing as JSON" 0 --dump --format json good.empty.cfg <<'OUT'
{
  "serviceEntries": [],
  "virtualServices": [],
  "destinationRules": [],
  "meshConfig": {}
}
OUT
expect "--graph of nothing" 0 --graph good.empty.cfg <<'OUT'
digraph meshshim {
  rankdir=LR;
}
OUT
expect "--graph, destinations that are missing" 0 --graph split.routes.cfg <<'OUT'
split.routes.cfg:6: error: [IST0101] Referenced host not found: "api.example.com"
digraph meshshim {
  rankdir=LR;
  "host api" [shape=ellipse, label="api"];
  "host api" -> "http api 0";
  "http api 0" [shape=note, label="api http #0"];
  "missing api.example.com" [shape=box, style=dashed];
  "http api 0" -> "missing api.example.com";
}
OUT
expect "an answer counts, whatever is to be said" 0 --strict --graph warn.gateways.cfg <<'OUT'
warn.gateways.cfg:10: warning: virtual service has no effect here: its gateways do not include "mesh"
digraph meshshim {
  rankdir=LR;
  "host api.example.com" [shape=ellipse, label="api.example.com"];
  "cluster api.example.com:80" [shape=box, label="api.example.com:80\nno TLS added\nat api.example.com:80"];
  "host api.example.com" -> "cluster api.example.com:80";
}
OUT
expect "--dump of rules that are refused" 1 --dump bad.unknown-key.cfg <<'OUT'
bad.unknown-key.cfg:4: error: unknown key "locaton" in ServiceEntry (did you mean "location"?)
OUT
for pair in "--dump --explain" "--dump --graph" "--graph --explain"; do
	# shellcheck disable=SC2086
	expect "$pair" 2 $pair good.founding.cfg <<'OUT'
meshshim-check: only one of --explain, --dump, --graph and --app can be given
Try 'meshshim-check --help'.
OUT
done
expect "--graph --format json" 2 --graph --format json good.founding.cfg <<'OUT'
meshshim-check: --graph has no JSON form
Try 'meshshim-check --help'.
OUT
expect "options behind operands" 0 good.empty.cfg --dump --format json <<'OUT'
{
  "serviceEntries": [],
  "virtualServices": [],
  "destinationRules": [],
  "meshConfig": {}
}
OUT
expect "-- ends options" 1 -- --dump <<'OUT'
--dump: error: No such file or directory
OUT
echo 'meshshim-check: standard output: No space left on device' >"$tmp/want"
timeout 60 "$check" -q --dump good.founding.cfg >/dev/full 2>"$tmp/got"
status=$?
wanted "standard output is full" && verdict "standard output is full" 1

# --- the manual pages ------------------------------------------------------
# meshshim-check(1): its options are those of --help, its codes those of the sources.
{
	"$check" --help | sed -n 's/^  \(-[^ ]*, \)\{0,1\}\(--*[a-zA-Z]*\).*/\2/p'
	cat ../../rules/*.c | grep -o '"IST[0-9]*"' | tr -d '"'
} | sort -u >"$tmp/want"
awk 'tp && /^\.B/ { gsub(/\\-/, "-"); n = split($0, words, /[ "]+/)
	for (i = 2; i <= n; i++)
		if (words[i] ~ /^(--?[a-zA-Z]+|IST[0-9]+)$/ && words[i] !~ /^-[qh]$/) print words[i] }
     { tp = /^\.TP/ }' ../../tools/meshshim-check.1 | sort -u >"$tmp/got"
status=0
wanted "meshshim-check(1) has every option and code" && verdict "meshshim-check(1) has every option and code" 0

# Sections ".SS Message" with entries ".TP" / ".B key" are the keys; the top level is ".SS Top level".
awk '/^\.SS / { message = $2 == "Top" ? "" : $2 "."; next }
     /^\.SH / { message = "-" }
     tp && /^\.BR? / && message != "-" { print message $2 }
     { tp = /^\.TP/ }' ../../rules/meshshim.cfg.5 | sort >"$tmp/got"
"$check" --keys | sort -u >"$tmp/want"
status=0
wanted "meshshim.cfg(5) documents every key" && verdict "meshshim.cfg(5) documents every key" 0
