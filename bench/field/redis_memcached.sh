#!/usr/bin/env bash
# Finds redis-server and memcached, the reference points, and installs Debian's packages where that is allowed.
# What cannot be had is named in a sentence and skipped. Nothing is left running.
#
#     bench/field/redis_memcached.sh
set -euo pipefail

policy=/usr/sbin/policy-rc.d

# Debian starts a server that it installs; these are only to be found. The file says no while it is there.
install_quietly() {
    local written=
    if [ ! -e "$policy" ]; then
        written=yes
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod +x "$policy"
    fi
    local outcome=0
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"; } \
        > /dev/null 2>&1 || outcome=$?
    [ -z "$written" ] || rm -f "$policy"
    return "$outcome"
}

missing=()
for server in redis-server memcached; do
    command -v "$server" > /dev/null || missing+=("$server")
done
if [ "${#missing[@]}" -gt 0 ] && [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then
    install_quietly "${missing[@]}" || echo "apt-get could not install ${missing[*]}."
fi

if command -v redis-server > /dev/null; then
    echo "redis: ready, $(redis-server --version | grep -o 'v=[0-9.]*')."
else
    echo "redis: skipped, redis-server is missing (Debian: apt-get install redis-server)."
fi
if command -v memcached > /dev/null; then
    echo "memcached: ready, $(memcached -V)."
else
    echo "memcached: skipped, memcached is missing (Debian: apt-get install memcached)."
fi
