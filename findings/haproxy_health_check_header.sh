#!/usr/bin/env bash
# What one would expect: a health check of HAProxy that sends the PROXY header says that it is no client, as
# the specification provides for (version 1 `UNKNOWN`, version 2 `LOCAL`), so that a server need not count it.
# What happens: that holds for version 2 alone. With version 1 the check names a TCP connection like any client's, from
# HAProxy's own end of it, so only the addresses tell it apart.
# Whom it hurts: servers that count, limit or log clients by the header. They see a client every two seconds, which
# connects from the proxy's own address and says nothing.
#
# Needs Linux, Python 3, and apt-get as root if HAProxy is not there. Takes some ten seconds.
set -euo pipefail

if ! command -v haproxy >/dev/null && [ ! -x /usr/sbin/haproxy ]; then
    [ "$(id -u)" -eq 0 ] || { echo "haproxy is missing, and only root may install it" >&2; exit 2; }
    echo "installing haproxy"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends haproxy
    } >/dev/null
fi
export PATH=$PATH:/usr/sbin
haproxy -v | sed -n 1p

folder=$(mktemp -d)
trap 'kill "${proxy:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
export folder

# Two listeners note the first bytes of each connection, which only HAProxy makes.
cat >"$folder/listen.py" <<'PYTHON'
import os, socket, sys, threading, time

folder = os.environ["folder"]
listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
seen = [None, None]

def listen(at):
    connection, peer = listeners[at].accept()
    connection.settimeout(5)
    seen[at] = (peer, connection.recv(4096))
    connection.close()

threads = [threading.Thread(target=listen, args=(at,)) for at in range(2)]
for thread in threads:
    thread.start()
ports = [listener.getsockname()[1] for listener in listeners]
with open(f"{folder}/ports.tmp", "w") as file:
    print(*ports, file=file)
os.rename(f"{folder}/ports.tmp", f"{folder}/ports")
for thread in threads:
    thread.join(20)
if None in seen:
    sys.exit("no health check has come within 20 s")
(peer, first), (_, second) = seen
print("version 1:", first)
print("version 2:", second[:16].hex(" "))
names_a_client = first.startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")
names_its_own_end = names_a_client and int(first.split()[4]) == peer[1]
is_local = second[:12] == b"\r\n\r\n\0\r\nQUIT\n" and second[12] == 0x20
print("version 1 names a TCP connection, from HAProxy's own end of it:", names_its_own_end)
print("version 2 says LOCAL:", is_local)
sys.exit(0 if names_its_own_end and is_local else 1)
PYTHON
python3 "$folder/listen.py" &
listener=$!
while [ ! -e "$folder/ports" ]; do
    kill -0 "$listener" 2>/dev/null || exit 1
    sleep 0.05
done
read -r first second <"$folder/ports"

cat >"$folder/haproxy.cfg" <<CONFIG
defaults
    mode tcp
    timeout connect 2s
    timeout client 5s
    timeout server 5s
    timeout check 2s
# Without a front end HAProxy has nothing to do, and ends.
frontend unused
    bind unix@$folder/unused
    default_backend version1
backend version1
    server one 127.0.0.1:$first send-proxy check check-send-proxy inter 1s
backend version2
    server two 127.0.0.1:$second send-proxy-v2 check check-send-proxy inter 1s
CONFIG
haproxy -f "$folder/haproxy.cfg" -db >"$folder/log" 2>&1 &
proxy=$!
wait "$listener"
