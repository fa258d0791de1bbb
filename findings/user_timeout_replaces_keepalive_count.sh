#!/usr/bin/env bash
# What one would expect: with TCP_USER_TIMEOUT beside TCP keep-alive on an idle connection, whichever comes first ends
# it: so many probes without an answer (TCP_KEEPCNT), or so long without one.
# What happens: on Linux the count is ignored as soon as there is a user timeout. Three probes, one a second, end a dead
# connection after 4 s; with a user timeout of 10 s beside them, after 10 s; with one of 2.5 s and 30 probes, after 3 s.
# Whom it hurts: servers of mobile clients that set both, the timeout as an upper bound for data that is not
# acknowledged: phones that have vanished are held for all of it, whatever the count says.
#
# Needs Linux, Python 3, iproute2, and root for two network namespaces of its own. Takes some twelve seconds.
set -euo pipefail

[ "$(id -u)" -eq 0 ] || { echo "network namespaces need root" >&2; exit 2; }
echo "Linux $(uname -r | cut -d. -f1-2)"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The far end of the connections: on a word it loses the way back, so that nothing is answered from then on.
cat >"$folder/far.py" <<'PYTHON'
import socket, subprocess, sys

sys.stdin.readline()
listener = socket.create_server(("10.9.0.2", 7))
print("listens", flush=True)
held = [listener.accept()[0] for _ in range(3)]
sys.stdin.readline()
subprocess.run(["ip", "route", "add", "blackhole", "10.9.0.1/32"], check=True)
print("is cut off", flush=True)
sys.stdin.readline()
PYTHON
cat >"$folder/near.py" <<'PYTHON'
import socket, subprocess, sys, threading, time

far = subprocess.Popen(
    ["unshare", "--net", "sh", "-c", f"echo there; exec python3 {sys.argv[1]}/far.py"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
far.stdout.readline()
for command in (
    f"ip link add near type veth peer name far netns {far.pid}",
    "ip addr add 10.9.0.1/24 dev near",
    "ip link set near up",
    f"nsenter --net --target {far.pid} ip addr add 10.9.0.2/24 dev far",
    f"nsenter --net --target {far.pid} ip link set far up",
):
    subprocess.run(command.split(), check=True)

def tell_far():
    far.stdin.write("\n")
    far.stdin.flush()
    far.stdout.readline()

def connect(probes, user_timeout_ms):
    connection = socket.create_connection(("10.9.0.2", 7))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, probes)
    if user_timeout_ms:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, user_timeout_ms)
    return connection

tell_far()
cases = [(3, 0, 4), (3, 10_000, 10), (30, 2_500, 3)]
connections = [connect(probes, timeout) for probes, timeout, _ in cases]
tell_far()
start = time.monotonic()
lasted = [None] * len(cases)

def wait(at):
    try:
        connections[at].recv(1)
    except TimeoutError:
        lasted[at] = time.monotonic() - start

threads = [threading.Thread(target=wait, args=(at,)) for at in range(len(cases))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(60)
far.kill()
for (probes, timeout, _), seconds in zip(cases, lasted):
    print(f"{probes} probes, user timeout {timeout / 1000} s: ended after {seconds:.1f} s")
is_so = all(abs(seconds - expected) < 1.5 for (_, _, expected), seconds in zip(cases, lasted))
sys.exit(0 if is_so else 1)
PYTHON
unshare --net python3 "$folder/near.py" "$folder"
