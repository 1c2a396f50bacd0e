#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The founding scenario, live, on loopback: demo.sh BUILD_DIR (called by `make demo`).
#
# Starts a stand-in for raw.githubusercontent.com with a certificate of a throw-away CA, runs the
# unmodified proxy.js under the shim, sends it one request, and shows what the program asked for,
# what left the process and what came back. Exits with 1 if any of it is not as it should be.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:?usage: demo.sh BUILD_DIR}" && pwd)
name=raw.githubusercontent.com
file=/mcasperson/NodejsProxy/master/externalservice1.txt

tmp=$(mktemp -d)
origin_pid= proxy_pid=
cleanup() {
    local pid
    for pid in $proxy_pid $origin_pid; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

title() { printf '\n== %s\n' "$*"; }
show() { sed 's/^/    /'; }
fail() {
    printf '\ndemo: FAILED: %s\n' "$*" >&2
    local log
    for log in "$tmp"/*.err; do
        if [ -s "$log" ]; then
            sed "s/^/  $(basename "$log" .err): /" "$log" >&2
        fi
    done
    exit 1
}
for tool in node openssl; do
    command -v "$tool" >/dev/null || fail "$tool is not installed (make deps)"
done

# Both servers say on their first line which port they got; later lines of the origin say what
# arrived. Reading them from a FIFO is all the waiting that is needed.
port_of() { # FD NAME
    local line
    IFS= read -r -t 30 -u "$1" line || fail "the $2 did not start"
    printf '%s\n' "${line##* }"
}

title "A certificate authority and a certificate for $name, both thrown away afterwards"
{
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
        -subj '/CN=meshshim demo CA' -keyout "$tmp/ca.key" -out "$tmp/ca.pem" \
        -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign'
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" \
        -keyout "$tmp/leaf.key" -out "$tmp/leaf.csr"
    printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth\n' "$name" >"$tmp/leaf.ext"
    openssl x509 -req -days 1 -in "$tmp/leaf.csr" -CA "$tmp/ca.pem" -CAkey "$tmp/ca.key" \
        -CAcreateserial -extfile "$tmp/leaf.ext" -out "$tmp/leaf.pem"
} >"$tmp/openssl.err" 2>&1 || fail 'openssl could not make the certificates'
openssl x509 -in "$tmp/leaf.pem" -noout -subject -issuer | show
rm -f "$tmp/openssl.err"

title "The stand-in for $name: HTTPS on loopback"
mkfifo "$tmp/origin.out" "$tmp/proxy.out"
node "$here/origin.js" "$tmp/leaf.pem" "$tmp/leaf.key" 0 >"$tmp/origin.out" 2>"$tmp/origin.err" &
origin_pid=$!
exec 3<"$tmp/origin.out"
origin_port=$(port_of 3 origin)
echo "listening on 127.0.0.1:$origin_port" | show

title 'The rules: mesh.cfg, pointed to the stand-in'
point_to="\1endpoints = ( { address = \"127.0.0.1\";"
point_to+=" ports = ( { name = \"https\"; value = $origin_port; } ); } );"
sed -e "s|^\( *\)resolution = \"DNS\";|&\n$point_to|" \
    -e "s|mode = \"SIMPLE\";|& caCertificates = \"$tmp/ca.pem\";|" "$here/mesh.cfg" >"$tmp/mesh.cfg"
diff "$here/mesh.cfg" "$tmp/mesh.cfg" | show && fail 'mesh.cfg could not be pointed to the stand-in'

title 'meshshim-check mesh.cfg'
"$build/meshshim-check" "$tmp/mesh.cfg" 2>&1 | show || fail 'the rules are not valid'
echo 'the rules are valid' | show

title 'PROXYURL=http://webserver meshshim -r mesh.cfg -- node proxy.js'
PROXYURL=http://webserver "$build/meshshim" -r "$tmp/mesh.cfg" -- \
    node "$here/proxy.js" 0 >"$tmp/proxy.out" 2>"$tmp/proxy.err" &
proxy_pid=$!
exec 4<"$tmp/proxy.out"
proxy_port=$(port_of 4 proxy)
echo "listening on 127.0.0.1:$proxy_port" | show

url="http://127.0.0.1:$proxy_port/anything?x=1"
if command -v curl >/dev/null; then
    answer=$(env -u LD_PRELOAD curl -sS --noproxy '*' --max-time 30 "$url" 2>"$tmp/client.err") ||
        fail "no answer from $url"
else
    answer=$(http_proxy='' python3 -c 'import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=30).read().decode())' "$url" \
        2>"$tmp/client.err") || fail "no answer from $url"
fi
IFS= read -r -t 30 -u 3 arrived || fail "nothing arrived at the stand-in; the answer was: $answer"
field() { sed -n "s/.*$1=\(\"[^\"]*\"\|[^ ]*\).*/\1/p" <<<"$arrived" | tr -d '"'; }

title 'What the program asked for: plain HTTP, a name that no DNS server knows'
printf 'GET /anything?x=1\nHost: webserver\n' | show

title "What left the process: HTTPS, as the stand-in for $name saw it"
printf 'TLS version  %s\nserver name  %s\nrequest      %s\nHost         %s\n' \
    "$(field tls)" "$(field sni)" "$(field request)" "$(field host)" | show

title 'What came back'
printf '%s\n' "$answer" | show

# Is all of it as the rules say?
[ "$(field sni)" = "$name" ] || fail "the server name is not $name: $arrived"
[ "$(field host)" = "$name" ] || fail "Host is not $name: $arrived"
[ "$(field request)" = "GET $file?x=1 HTTP/1.1" ] || fail "another request arrived: $arrived"
case $(field tls) in
TLSv1.2 | TLSv1.3) ;;
*) fail "not TLS 1.2 or 1.3: $arrived" ;;
esac
case $answer in
'Proxying value: External Service 1 - Took '*' milliseconds') ;;
*) fail "another answer came back: $answer" ;;
esac
kill "$proxy_pid" && { wait "$proxy_pid" || true; }
proxy_pid=
kill "$origin_pid" && { wait "$origin_pid" || true; }
origin_pid=
if IFS= read -r -t 30 -u 3 more; then
    fail "something else arrived at the stand-in: $more"
fi
[ ! -s "$tmp/proxy.err" ] || fail 'the program wrote to stderr'
printf '\nAll as the rules say.\n'
