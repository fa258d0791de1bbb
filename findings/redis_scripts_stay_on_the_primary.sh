#!/usr/bin/env bash
# What one would expect: a replica of Redis holds what its primary holds, so that after a failover `EVALSHA` of a script
# that was loaded, and has run thousands of times, goes on as before.
# What happens: since Redis 7 a replica is told the effects of scripts alone. The digest is unknown there (`NOSCRIPT`),
# although each write of the script has arrived; a library of functions has arrived, too.
# Whom it hurts: programs that load their script at the start. They run for months, and each write fails from the
# failover on, until somebody restarts the program or it answers NOSCRIPT by loading again.
#
# Needs Linux, and apt-get as root if Redis is not there. Takes some seconds.
set -euo pipefail

if ! command -v redis-server >/dev/null; then
    [ "$(id -u)" -eq 0 ] || { echo "redis-server is missing, and only root may install it" >&2; exit 2; }
    echo "installing redis-server"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends redis-server
    } >/dev/null
fi
redis-server --version | cut -d' ' -f1-3

folder=$(mktemp -d)
mkdir "$folder/old" "$folder/new"
trap 'kill ${servers:-} 2>/dev/null || true; rm -rf "$folder"' EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
redis-server --port "$port" --bind 127.0.0.1 --unixsocket "$folder/old/socket" --save '' --dir "$folder/old" \
    --repl-diskless-sync-delay 0 >"$folder/old/log" 2>&1 &
servers=$!
redis-server --port 0 --unixsocket "$folder/new/socket" --save '' --dir "$folder/new" \
    --replicaof "127.0.0.1 $port" >"$folder/new/log" 2>&1 &
servers+=" $!"
old() { redis-cli -s "$folder/old/socket" "$@"; }
new() { redis-cli -s "$folder/new/socket" "$@"; }
link() { new INFO replication 2>/dev/null | tr -d '\r' | sed -n 's/^master_link_status://p'; }
until [ "$(link)" = up ]; do sleep 0.1; done

digest=$(old SCRIPT LOAD "return redis.call('SET', KEYS[1], ARGV[1])")
old FUNCTION LOAD "#!lua name=places
    redis.register_function('keep', function(keys, args) return redis.call('SET', keys[1], args[1]) end)" >/dev/null
old EVALSHA "$digest" 1 jane here >/dev/null
old WAIT 1 10000 >/dev/null
echo "on the replica: jane is $(new GET jane), the script exists: $(new SCRIPT EXISTS "$digest")"
new REPLICAOF NO ONE >/dev/null
script=$(new EVALSHA "$digest" 1 jane there)
function=$(new FCALL keep 1 jane there)
echo "after the failover: the script says $script; the function says $function"
[[ $script == NOSCRIPT* ]] && [ "$function" = OK ]
