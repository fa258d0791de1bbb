#!/usr/bin/env bash
# What one would expect: what a search of Redis finds within 1,100 km, a search from the same place finds within
# 1,200 km too.
# What happens: at 80 degrees north and 0.5 degrees beside the date line a member that is 29 km away, on the other side
# of that line, is found within 1,100 km, is missing within 1,200 km, and is found again within 1,300 km.
# Whom it hurts: ships, aircraft and buoys of high latitudes. Nothing says that the answer is not whole, and a search
# "in growing circles until enough are found" can lose what it has seen already.
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
trap 'kill ${server:-} 2>/dev/null || true; rm -rf "$folder"' EXIT
redis-server --port 0 --unixsocket "$folder/socket" --save '' --dir "$folder" >"$folder/log" 2>&1 &
server=$!
while [ ! -S "$folder/socket" ]; do kill -0 "$server"; sleep 0.05; done
redis() { redis-cli -s "$folder/socket" "$@"; }

redis GEOADD ships 179 80 west-of-the-line -179 80 east-of-the-line 179 81 farther-north >/dev/null
seen=
for radius in 100 500 1100 1200 1300; do
    found=$(redis GEOSEARCH ships FROMLONLAT -179.5 80 BYRADIUS "$radius" km ASC WITHDIST | paste -sd' ')
    echo "within $radius km: $found"
    seen+="$radius:$(tr ' ' '\n' <<<"$found" | grep -c -- - || true) "
done
[ "$seen" = "100:2 500:3 1100:3 1200:1 1300:3 " ]
