# SPDX-License-Identifier: Apache-2.0
# Sourced by run.sh: what a plain file beside its output cannot say.

# run ARGUMENTS...: $status, $tmp/got (standard output), $tmp/err.
run() {
	timeout -s KILL 60 "$import" "$@" >"$tmp/got" 2>"$tmp/err"
	status=$?
}

# --- the founding scenario -------------------------------------------------
name="the founding post's resources are samples/octopus/mesh.cfg"
if wanted "$name"; then
	run -q -o "$tmp/founding.cfg" good.founding.yaml
	"$check" -q --dump "$tmp/founding.cfg" >"$tmp/got" 2>&1
	"$check" -q --dump ../../samples/octopus/mesh.cfg >"$tmp/want" 2>&1
	same "$name" 0
fi

# --- inputs ----------------------------------------------------------------
name="standard input, with and without \"-\""
if wanted "$name"; then
	run good.founding.yaml
	sed 's/good\.founding\.yaml/<stdin>/' "$tmp/got" >"$tmp/want"
	run <good.founding.yaml
	same "$name" 0
	run - <good.founding.yaml
	same "$name" 0
fi

name="a pipe as a file"
if wanted "$name"; then
	run good.http.yaml
	sed "s|good\.http\.yaml|$tmp/fifo|" "$tmp/got" >"$tmp/want"
	mkfifo "$tmp/fifo"
	cat good.http.yaml >"$tmp/fifo" &
	run "$tmp/fifo"
	same "$name" 0
fi

name="several files are one set"
if wanted "$name"; then
	run -q good.http.yaml good.https.yaml
	grep -c '^# *ServiceEntry\|^ *# ServiceEntry' "$tmp/got" >"$tmp/count"
	echo 2 >"$tmp/want"
	cp "$tmp/count" "$tmp/got"
	same "$name" 0
fi

name="UTF-16 and byte order marks"
if wanted "$name"; then
	run good.https.yaml
	sed "s|good\.https\.yaml|<stdin>|" "$tmp/got" >"$tmp/want"
	{ printf '\357\273\277'; cat good.https.yaml; } >"$tmp/bom.yaml"
	run <"$tmp/bom.yaml"
	same "$name, UTF-8" 0
	{ printf '\377\376'; sed 's/$/\r/' good.https.yaml | tr -d '\r' |
	    od -An -v -tu1 -w1 | while read -r byte; do printf "\\$(printf %o "$byte")\\0"; done; } >"$tmp/utf16.yaml"
	run <"$tmp/utf16.yaml"
	same "$name, UTF-16" 0
fi

name="lines that end in CR LF"
if wanted "$name"; then
	run good.https.yaml
	sed "s|good\.https\.yaml|<stdin>|" "$tmp/got" >"$tmp/want"
	sed 's/$/\r/' good.https.yaml >"$tmp/crlf.yaml"
	run <"$tmp/crlf.yaml"
	same "$name" 0
fi

expect "a missing file" 1 no-such.yaml good.http.yaml <<'OUT'
no-such.yaml: error: No such file or directory
OUT
expect "a directory" 1 . <<'OUT'
.: error: Is a directory
OUT
printf '{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}}\n' >"$tmp/skipped.yaml"
expect "only what is skipped" 1 "$tmp/skipped.yaml" <<OUT
error: nothing to import: no ServiceEntry, VirtualService, DestinationRule or MeshConfig in the input
$tmp/skipped.yaml:1: info: Deployment "web" is skipped
OUT
expect "nothing at all" 1 <<'OUT'
error: no resources in the input
OUT
printf -- '---\n# nothing\n---\n...\n---\nnull\n' >"$tmp/empty.yaml"
expect "empty documents" 1 "$tmp/empty.yaml" <<'OUT'
error: no resources in the input
OUT
truncate -s 100M "$tmp/huge.yaml"
expect "100 MB" 1 "$tmp/huge.yaml" <<OUT
$tmp/huge.yaml: error: larger than 64 MiB
OUT
rm -f "$tmp/huge.yaml"
printf 'kind: "a\0b"\n' >"$tmp/nul.yaml"
expect "a NUL byte" 1 "$tmp/nul.yaml" <<OUT
$tmp/nul.yaml:1: error: YAML: control characters are not allowed
OUT
printf 'a: b\n\n# \377\n' >"$tmp/utf8.yaml"
expect "bytes that are no UTF-8" 1 "$tmp/utf8.yaml" <<OUT
$tmp/utf8.yaml:3: error: YAML: invalid leading UTF-8 octet
     3 | # ...
OUT
printf 'a: \033[31mred\n' >"$tmp/escape.yaml"
expect "an escape sequence" 1 "$tmp/escape.yaml" <<OUT
$tmp/escape.yaml:1: error: YAML: control characters are not allowed
     1 | a: ?[31mred
OUT
head -c 100000 /dev/zero | tr '\0' '[' >"$tmp/deep.yaml"
name="deep nesting"
if wanted "$name"; then
	run "$tmp/deep.yaml"
	sed -n 1p "$tmp/err" >"$tmp/got"
	echo "$tmp/deep.yaml:1: error: nested deeper than 64 levels" >"$tmp/want"
	same "$name" 1
fi
name="too many values"
if wanted "$name"; then
	{ echo 'a: ['; head -c 2500000 /dev/zero | tr '\0' ',' | sed 's/,/1,/g'; } >"$tmp/many.yaml"
	run "$tmp/many.yaml"
	sed -n 1p "$tmp/err" >"$tmp/got"
	echo "$tmp/many.yaml:2: error: more than 2000000 values, each alias counted as what it stands for" >"$tmp/want"
	same "$name" 1
	rm -f "$tmp/many.yaml"
fi

name="many errors"
if wanted "$name"; then
	{
		echo 'apiVersion: networking.istio.io/v1'
		echo 'kind: VirtualService'
		echo 'metadata: {name: many}'
		echo 'spec:'
		echo '  http:'
		echo '  - &x {match: [{one: 1, two: 2}]}'
		awk 'BEGIN {for (i = 0; i < 1499; i++) print "  - *x"}'
	} >"$tmp/errors.yaml"
	run -q --keep-going "$tmp/errors.yaml" good.http.yaml
	grep -c ': error:' "$tmp/err" >"$tmp/count"
	sed -n '$p' "$tmp/err" >>"$tmp/count"
	grep -c '^# .*: error:' "$tmp/got" >>"$tmp/count"
	grep '^# \.\.\.' "$tmp/got" >>"$tmp/count"
	cp "$tmp/count" "$tmp/got"
	printf '%s\n' 1000 '... and 3500 more errors' 1000 '# ... and 3500 more' >"$tmp/want"
	same "$name" 1
fi

name="many notes, one error"
if wanted "$name"; then
	{
		awk 'BEGIN {
			for (i = 0; i < 1200; i++)
				print "---\n{apiVersion: v1, kind: Pod, metadata: {name: a}}"
		}'
		printf -- '---\n[]\n'
	} >"$tmp/notes.yaml"
	run "$tmp/notes.yaml"
	{ wc -l <"$tmp/err"; tail -n 3 "$tmp/err"; } >"$tmp/got"
	cat >"$tmp/want" <<OUT
1003
$tmp/notes.yaml:2402: error: a resource must be a map with apiVersion, kind, metadata and spec
  2402 | []
... and 200 more, no errors
OUT
	same "$name" 1
fi

# --- what has no effect ----------------------------------------------------
for file in good.ignored good.mesh-values; do
	name="$file: meshshim-check --strict"
	wanted "$name" || continue
	run -q -o "$tmp/strict.cfg" "$file.yaml"
	timeout -s KILL 60 "$check" --strict "$tmp/strict.cfg" >"$tmp/got" 2>&1
	status=$?
	: >"$tmp/want"
	same "$name" 0
done

# --- delegates -------------------------------------------------------------
# delegates NAME RESOURCES: the routes that the rule file has for "shop", and what the import said.
# Resources are "namespace/name" of delegates, "none" for no namespace; standard input is what the root
# delegates to, one a line.
delegates() {
	name="delegates: $1"
	wanted "$name" || return
	{
		printf 'apiVersion: networking.istio.io/v1\nkind: VirtualService\n'
		printf 'metadata: {name: root%s}\nspec:\n  hosts: [shop]\n  http:\n' "$2"
		sed 's/.*/  - delegate: &/'
		shift 2
		for resource; do
			printf -- '---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n'
			printf 'metadata: {name: %s, namespace: %s}\n' "${resource#*/}" "${resource%/*}"
			printf 'spec: {http: [{route: [{destination: {host: in-%s.example}}]}]}\n' \
				"${resource%/*}"
		done | sed 's/, namespace: none}/}/'
	} >"$tmp/delegates.yaml"
	run -o "$tmp/delegates.cfg" "$tmp/delegates.yaml"
	timeout -s KILL 60 "$check" -q --explain http://shop/ "$tmp/delegates.cfg" 2>/dev/null |
		grep -o 'in-[a-z0-9-]*' | sort -u >"$tmp/got"
	grep -o 'warning: .*' "$tmp/err" >>"$tmp/got"
	same "$name" 0
}

echo 'in-ns2' >"$tmp/want"
delegates "in another namespace" ', namespace: ns1' ns2/d <<'OUT'
{name: d, namespace: ns2}
OUT
cat >"$tmp/want" <<'OUT'
warning: delegate "d" is not in namespace "ns9" (there is one in "ns2"): as Istio, meshshim does not find it, and drops its route
OUT
delegates "in none that was named" ', namespace: ns1' ns2/d <<'OUT'
{name: d, namespace: ns9}
OUT
cat >"$tmp/want" <<'OUT'
warning: delegate "d" is not in namespace "ns9" (there is one in "ns2"): as Istio, meshshim does not find it, and drops its route
OUT
delegates "another's name has a dot" ', namespace: ns1' ns2/d ns3/d.ns9 none/d.ns9.missing <<'OUT'
{name: d, namespace: ns9}
OUT
cat >"$tmp/want" <<'OUT'
warning: delegate "d" is not in namespace "ns1" (there is one in "ns2"): as Istio, meshshim does not find it, and drops its route
OUT
delegates "the root's own namespace" ', namespace: ns1' ns2/d <<'OUT'
{name: d}
OUT
cat >"$tmp/want" <<'OUT'
warning: delegate "d" is in several namespaces, and none is named: it is not found, and its route is dropped
OUT
delegates "no namespace, several to choose from" '' ns1/d ns2/d <<'OUT'
{name: d}
OUT
echo 'in-none' >"$tmp/want"
delegates "one that tells no namespace" ', namespace: ns1' none/d <<'OUT'
{name: d, namespace: ns9}
OUT

# --- outputs ---------------------------------------------------------------
name="-o writes what would be printed"
if wanted "$name"; then
	run good.http.yaml
	cp "$tmp/got" "$tmp/want"
	run -o "$tmp/out.cfg" good.http.yaml
	cp "$tmp/out.cfg" "$tmp/got"
	same "$name" 0
	[ "$(stat -c %a "$tmp/out.cfg")" = 644 ] && pass || fail "$name: mode"
fi

name="an existing file is kept on errors"
if wanted "$name"; then
	mkdir "$tmp/kept"
	echo '# precious' >"$tmp/kept/out.cfg"
	run -o "$tmp/kept/out.cfg" good.http.yaml bad.syntax.yaml
	cp "$tmp/kept/out.cfg" "$tmp/got"
	echo '# precious' >"$tmp/want"
	same "$name" 1
	run -o "$tmp/kept/out.cfg" </dev/null
	cp "$tmp/kept/out.cfg" "$tmp/got"
	same "$name, empty input" 1
	ls -A "$tmp/kept" >"$tmp/got"
	echo out.cfg >"$tmp/want"
	status=0
	same "$name, nothing beside it" 0
fi

name="a link is followed, the mode stays"
if wanted "$name"; then
	mkdir "$tmp/real"
	: >"$tmp/real/file.cfg"
	chmod 600 "$tmp/real/file.cfg"
	ln -s real/file.cfg "$tmp/link.cfg"
	run good.http.yaml
	cp "$tmp/got" "$tmp/want"
	run -o "$tmp/link.cfg" good.http.yaml
	cp "$tmp/real/file.cfg" "$tmp/got"
	same "$name" 0
	[ -L "$tmp/link.cfg" ] && [ "$(stat -c %a "$tmp/real/file.cfg")" = 600 ] && pass || fail "$name"
fi

name="the owner stays"
if wanted "$name" && [ "$(id -u)" = 0 ]; then
	: >"$tmp/owned.cfg"
	chown 12345:54321 "$tmp/owned.cfg" 2>/dev/null
	chmod 640 "$tmp/owned.cfg"
	stat -c '%u %g %a' "$tmp/owned.cfg" >"$tmp/want"
	run -o "$tmp/owned.cfg" good.http.yaml
	stat -c '%u %g %a' "$tmp/owned.cfg" >"$tmp/got"
	same "$name" 0
fi

# Without rights over another's file, and where nothing can be put beside it: as nobody, who may
# write to it.
name="overwritten in place"
if wanted "$name" && [ "$(id -u)" = 0 ] && setpriv --reuid 65534 --clear-groups true 2>/dev/null; then
	for mode in 777 755; do
		rm -rf "$tmp/place"
		mkdir "$tmp/place"
		head -c 100000 /dev/zero | tr '\0' '#' >"$tmp/place/out.cfg"
		chmod 666 "$tmp/place/out.cfg"
		chmod "$mode" "$tmp/place"
		chmod 755 "$tmp"
		run - <good.http.yaml
		cp "$tmp/got" "$tmp/want"
		timeout -s KILL 60 setpriv --reuid 65534 --clear-groups "$import" \
			-o "$tmp/place/out.cfg" - <good.http.yaml 2>"$tmp/err"
		status=$?
		cp "$tmp/place/out.cfg" "$tmp/got"
		same "$name, $mode" 0
		stat -c %u "$tmp/place"/* >"$tmp/got"
		echo 0 >"$tmp/want"
		same "$name, $mode: owner" 0
	done
fi

name="a file that is mounted"
if wanted "$name" && unshare -rm true 2>/dev/null; then
	mkdir "$tmp/mounted"
	echo '# outside' >"$tmp/outside.cfg"
	: >"$tmp/mounted/out.cfg"
	unshare -rm sh -c 'mount --bind "$1" "$2" && timeout -s KILL 60 "$3" -o "$2" good.http.yaml' \
		sh "$tmp/outside.cfg" "$tmp/mounted/out.cfg" "$import" 2>"$tmp/err"
	status=$?
	run good.http.yaml
	cp "$tmp/got" "$tmp/want"
	cp "$tmp/outside.cfg" "$tmp/got"
	same "$name" 0
	ls -A "$tmp/mounted" >"$tmp/got"
	echo out.cfg >"$tmp/want"
	same "$name, nothing beside it" 0
fi

name="/dev/stdout that is a file"
if wanted "$name" && [ -e /dev/stdout ]; then
	run good.http.yaml
	{ echo '# before'; cat "$tmp/got"; echo '# after'; } >"$tmp/want"
	{
		echo '# before'
		timeout -s KILL 60 "$import" -o /dev/stdout good.http.yaml 2>"$tmp/err"
		status=$?
		echo '# after'
	} >"$tmp/got"
	same "$name" 0
	ln -s /dev/fd/4 "$tmp/four"
	{
		echo '# before' >&4
		timeout -s KILL 60 "$import" -o "$tmp/four" good.http.yaml 2>"$tmp/err"
		status=$?
		echo '# after' >&4
	} 4>"$tmp/got"
	same "$name, by a link" 0
fi

name="beyond the limit for files"
if wanted "$name"; then
	mkdir "$tmp/limit"
	echo '# precious' >"$tmp/limit/out.cfg"
	(
		ulimit -f 0
		timeout -s KILL 60 "$import" -q -o "$tmp/limit/out.cfg" good.http.yaml 2>&1
	) | cat >"$tmp/got"
	{ ls -A "$tmp/limit"; cat "$tmp/limit/out.cfg"; } >>"$tmp/got"
	printf '%s\n' "meshshim-import: $tmp/limit/out.cfg: File too large" out.cfg '# precious' >"$tmp/want"
	status=0
	same "$name" 0
fi

# The signal comes as soon as there is another file; the text takes a while to write.
name="a signal while the file is written"
if wanted "$name"; then
	mkdir "$tmp/signal"
	: >"$tmp/signal/out.cfg"
	{
		printf 'apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: big}\nspec:\n'
		printf '  hosts: [a.example.com]\n  resolution: DNS\n'
		printf '  ports: [{number: 80, name: http, protocol: HTTP}]\n  subjectAltNames:\n  - "'
		head -c 20000000 /dev/zero | tr '\0' x
		printf '"\n'
	} >"$tmp/big.yaml"
	for signal in TERM INT HUP; do
		timeout -s KILL 60 sh -c 'trap - INT; exec "$@"' sh "$import" -q -o "$tmp/signal/out.cfg" \
			"$tmp/big.yaml" 2>/dev/null &
		i=0
		while [ ! -e "$tmp/signal"/out.cfg.* ] && [ $i -lt 100000 ] && kill -0 $! 2>/dev/null; do
			i=$((i + 1))
		done
		kill -s "$signal" $! 2>/dev/null
		wait $! 2>/dev/null
	done
	ls -A "$tmp/signal" >"$tmp/got"
	echo out.cfg >"$tmp/want"
	status=0
	same "$name" 0
	rm -rf "$tmp/signal" "$tmp/big.yaml"
fi

expect "a folder that is not there" 1 -q -o "$tmp/none/out.cfg" good.http.yaml <<OUT
meshshim-import: $tmp/none/out.cfg: No such file or directory
OUT
name="a full disk"
if wanted "$name" && [ -e /dev/full ]; then
	timeout -s KILL 60 "$import" -q good.http.yaml >/dev/full 2>"$tmp/got"
	status=$?
	echo "meshshim-import: standard output: No space left on device" >"$tmp/want"
	same "$name" 1
fi

# --- --keep-going ----------------------------------------------------------
name="--keep-going"
if wanted "$name"; then
	run --keep-going good.https.yaml bad.unknown-field.yaml bad.syntax.yaml
	cp keep-going.cfg "$tmp/want"
	same "$name" 1
	cp "$tmp/got" "$tmp/keep.cfg"
	usable "$name: meshshim-check" "$tmp/keep.cfg"
fi

name="--keep-going with nothing to keep"
if wanted "$name"; then
	echo '# precious' >"$tmp/precious.cfg"
	echo 'a: [' >"$tmp/broken.yaml"
	for file in "$tmp/broken.yaml" bad.unknown-field.yaml; do
		run --keep-going -o "$tmp/precious.cfg" "$file"
		{ grep -v : "$tmp/err"; grep '^info' "$tmp/err"; cat "$tmp/precious.cfg"; } |
			grep -v ' | ' >"$tmp/got"
		printf '%s\n' 'info: nothing is written, as no resource could be taken' '# precious' >"$tmp/want"
		same "$name, $file" 1
	done
fi

# --- -q --------------------------------------------------------------------
expect "-q: errors only" 0 -q -o "$tmp/quiet.cfg" good.ignored.yaml </dev/null

# --- the command line ------------------------------------------------------
expect "an unknown option" 2 --nonsense <<OUT
$import: unrecognized option '--nonsense'
Try 'meshshim-import --help'.
OUT
expect "an option without its value" 2 -o <<OUT
$import: option requires an argument -- 'o'
Try 'meshshim-import --help'.
OUT
