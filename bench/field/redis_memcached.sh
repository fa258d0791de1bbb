#!/usr/bin/env bash
# Finds redis-server, memcached and mosquitto, the reference points, and installs Debian's packages where that is
# allowed. What cannot be had is named in a sentence and skipped. Nothing is left running, and nothing behind but the
# packages.
#
#     bench/field/redis_memcached.sh
set -euo pipefail

# Only a test names another.
policy=${POLICY_RC_D:-/usr/sbin/policy-rc.d}

# Debian starts a server that it installs; these are only to be found. The file says no, and is removed also if this is
# interrupted: one that stays would keep every later package from starting its server. So it says no only while this
# process lives, whatever becomes of that.
install_quietly() {
    echo "Installing with apt-get, for comparison: $*."
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        trap 'exit 130' INT TERM HUP
        printf '#!/bin/sh\n[ ! -e /proc/%s ] || exit 101\n' "$$" > "$policy"
        chmod +x "$policy"
    fi
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"; } \
        > /dev/null 2>&1
}

missing=()
for server in redis-server memcached mosquitto; do
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
if command -v mosquitto > /dev/null; then
    echo "mosquitto: ready, $(mosquitto -h | grep -o -m 1 'version [0-9.]*')."
else
    echo "mosquitto: skipped, mosquitto is missing (Debian: apt-get install mosquitto)."
fi
