#!/usr/bin/env bash
# What one would expect: `<` between two strings in a script of Redis compares bytes, as Redis does everywhere else, so
# that "newer wins" decides alike on every server.
# What happens: Redis takes the collation of its environment at the start (version 7.0 has no setting for it), and Lua
# compares strings by it. Under C "B" comes before "a", under en_US.UTF-8 behind it, and punctuation weighs next to
# nothing. `redis.conf` is the same on both servers, and nothing is logged.
# Whom it hurts: scripts that keep the greater of two texts (times, versions, names): a primary that was started by
# systemd and a replica that was started from a shell decide differently after a failover.
#
# Needs Linux, and apt-get as root if Redis or the sources of locales are not there. Takes some seconds.
set -euo pipefail

if ! command -v redis-server >/dev/null || [ ! -e /usr/share/i18n/locales/en_US ]; then
    [ "$(id -u)" -eq 0 ] || { echo "redis-server or locales are missing, and only root may install them" >&2; exit 2; }
    echo "installing redis-server and locales"
    { apt-get update &&
        DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends redis-server locales
    } >/dev/null
fi
redis-server --version | cut -d' ' -f1-3

folder=$(mktemp -d)
trap 'kill ${server:-} 2>/dev/null || true; rm -rf "$folder"' EXIT
localedef -i en_US -f UTF-8 "$folder/en_US.UTF-8"

# compare LOCALE: what a server in this locale thinks of three pairs.
compare() {
    LOCPATH=$folder LC_ALL=$1 redis-server --port 0 --unixsocket "$folder/socket" --save '' --dir "$folder" \
        >"$folder/log" 2>&1 &
    server=$!
    while [ ! -S "$folder/socket" ]; do kill -0 "$server"; sleep 0.05; done
    redis-cli -s "$folder/socket" EVAL "
        local said = {}
        for _, pair in ipairs({{'a', 'B'}, {'a/b', 'a-c'}, {'2', '10'}}) do
            table.insert(said, pair[1] .. ' < ' .. pair[2] .. ': ' .. tostring(pair[1] < pair[2]))
        end
        return table.concat(said, ', ')" 0
    kill "$server"
    wait "$server" || true
    server=
    rm -f "$folder/socket"
}
bytes=$(compare C)
words=$(compare en_US.UTF-8)
echo "C: $bytes"
echo "en_US.UTF-8: $words"
[ "$bytes" = "a < B: false, a/b < a-c: false, 2 < 10: false" ] &&
    [ "$words" = "a < B: true, a/b < a-c: true, 2 < 10: false" ]
