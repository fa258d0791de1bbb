#!/usr/bin/env bash
# What one would expect: a relay of TCP passes on the end of each direction. A client that has sent its request and shut
# down its sending side (`nc -N`, a pipe into `nc`) still gets the answer, as it does without the relay.
# What happens: nginx's stream relay closes both directions when one of them ends. The answer is lost, the client sees a
# clean end and no error. `proxy_half_close on` (since 1.21.4) keeps the other direction; it is off unless one asks.
# Whom it hurts: line protocols used from scripts, which work on the same machine and answer nothing through a relay.
#
# Needs Linux, Python 3, and apt-get as root if nginx or its module is not there. Takes some seconds.
set -euo pipefail

export PATH=$PATH:/usr/sbin
module=/usr/lib/nginx/modules/ngx_stream_module.so
if ! command -v nginx >/dev/null || [ ! -e "$module" ]; then
    [ "$(id -u)" -eq 0 ] || { echo "nginx is missing, and only root may install it" >&2; exit 2; }
    echo "installing nginx and its stream module"
    { apt-get update &&
        DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends nginx-light libnginx-mod-stream
    } >/dev/null
fi
nginx -v 2>&1

folder=$(mktemp -d)
trap 'kill ${proxy:-} ${server:-} 2>/dev/null || true; rm -rf "$folder"' EXIT

# A server that answers when the request has come to its end, and works on it for a moment.
cat >"$folder/server.py" <<'PYTHON'
import os, socket, sys, time

listener = socket.create_server(("127.0.0.1", 0))
with open(sys.argv[1] + ".tmp", "w") as file:
    print(listener.getsockname()[1], file=file)
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
while True:
    connection, _ = listener.accept()
    request = b""
    while piece := connection.recv(100):
        request += piece
    time.sleep(0.2)
    try:
        connection.sendall(b"answer to " + request)
    except OSError:
        pass
    connection.close()
PYTHON
python3 "$folder/server.py" "$folder/port" &
server=$!
while [ ! -e "$folder/port" ]; do kill -0 "$server"; sleep 0.05; done
read -r port <"$folder/port"

cat >"$folder/nginx.conf" <<CONFIG
load_module $module;
daemon off;
pid $folder/pid;
error_log $folder/error.log;
events {}
stream {
    server { listen unix:$folder/usual; proxy_pass 127.0.0.1:$port; }
    server { listen unix:$folder/half; proxy_pass 127.0.0.1:$port; proxy_half_close on; }
}
CONFIG
nginx -c "$folder/nginx.conf" &
proxy=$!
while [ ! -S "$folder/half" ]; do kill -0 "$proxy"; sleep 0.05; done

python3 - "$folder" "$port" <<'PYTHON'
import socket, sys

folder, port = sys.argv[1], int(sys.argv[2])

def ask(connection):
    connection.settimeout(10)
    connection.sendall(b"hello")
    connection.shutdown(socket.SHUT_WR)
    answer = b""
    while piece := connection.recv(100):
        answer += piece
    return answer

def relay(name):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(f"{folder}/{name}")
    return connection

answers = {
    "without a relay": ask(socket.create_connection(("127.0.0.1", port))),
    "through nginx": ask(relay("usual")),
    "through nginx with proxy_half_close": ask(relay("half")),
}
for how, answer in answers.items():
    print(f"{how}: {answer}")
sys.exit(list(answers.values()) != [b"answer to hello", b"", b"answer to hello"])
PYTHON
