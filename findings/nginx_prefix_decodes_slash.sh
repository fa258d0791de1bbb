#!/usr/bin/env bash
# What one would expect: a proxy that takes a prefix off a path leaves the rest as it came, or encodes again what it has
# decoded. A name of one segment, such as `jane%2Fphone`, stays one.
# What happens: `proxy_pass http://server/;` of nginx, with anything behind the server's address, decodes the path and
# encodes most of it again (blanks, percent signs, question marks), but not `%2F`: one segment becomes two. It makes one
# of two slashes, too. Without anything behind the address the path passes as it came.
# Whom it hurts: interfaces that have a name in one segment of a path, behind a prefix: identifiers with a slash in them
# (OwnTracks' user and device, say) get 404, all others work.
#
# Needs Linux, Python 3, curl, and apt-get as root if nginx is not there. Takes some seconds.
set -euo pipefail

export PATH=$PATH:/usr/sbin
if ! command -v nginx >/dev/null; then
    [ "$(id -u)" -eq 0 ] || { echo "nginx is missing, and only root may install it" >&2; exit 2; }
    echo "installing nginx"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends nginx-light
    } >/dev/null
fi
nginx -v 2>&1

folder=$(mktemp -d)
trap 'kill ${proxy:-} ${server:-} 2>/dev/null || true; rm -rf "$folder"' EXIT

# A server that answers with the path that it was asked for.
cat >"$folder/server.py" <<'PYTHON'
import http.server, os, sys

class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *what):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Echo)
with open(sys.argv[1] + ".tmp", "w") as file:
    print(server.server_port, file=file)
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
server.serve_forever()
PYTHON
python3 "$folder/server.py" "$folder/port" &
server=$!
while [ ! -e "$folder/port" ]; do kill -0 "$server"; sleep 0.05; done
read -r port <"$folder/port"

cat >"$folder/nginx.conf" <<CONFIG
daemon off;
pid $folder/pid;
error_log $folder/error.log;
events {}
http {
    access_log off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    server {
        listen unix:$folder/socket;
        location /taken/off/ { proxy_pass http://127.0.0.1:$port/; }
        location /left/ { proxy_pass http://127.0.0.1:$port; }
    }
}
CONFIG
nginx -c "$folder/nginx.conf" &
proxy=$!
while [ ! -S "$folder/socket" ]; do kill -0 "$proxy"; sleep 0.05; done

failed=0
expect() {
    local got
    got=$(curl --silent --path-as-is --unix-socket "$folder/socket" "http://localhost$1")
    echo "$1 arrives as $got"
    [ "$got" = "$2" ] || { echo "expected $2" >&2; failed=1; }
}
expect /taken/off/clients/jane%2Fphone /clients/jane/phone
expect /taken/off/clients/jane%20phone /clients/jane%20phone
expect /taken/off/clients/jane%25phone /clients/jane%25phone
expect /taken/off/clients/jane%3Fphone /clients/jane%3Fphone
expect /taken/off/a//b /a/b
expect /left/clients/jane%2Fphone /left/clients/jane%2Fphone
exit "$failed"
