#!/usr/bin/env bash
# Stops the servers that run.sh started, or only those named: `scripts/kill.sh Parker`. They are asked to end
# (SIGTERM), and killed only if they have not ended when the time is up.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/records.sh"

# A server finishes the requests in hand and drains its links; draining has a deadline of its own.
KILL_AFTER_SECONDS=${KILL_AFTER_SECONDS:-10}

need_linux
for name in "$@"; do
    [ -e "$run/$name.pid" ] || die "no server $name was started by run.sh; there are: $(recorded | xargs)"
done
names=("$@")
[ $# -gt 0 ] || mapfile -t names < <(recorded)
[ ${#names[@]} -gt 0 ] || { echo "No server is running."; exit 0; }

mapfile -t alive < <(running_of "${names[@]}")
for name in "${names[@]}"; do
    case " ${alive[*]} " in *" $name "*) ;; *) echo "$name was not running any more" ;; esac
done
stop "$KILL_AFTER_SECONDS" "${names[@]}"
[ -z "$(running_of "${names[@]}")" ] || exit 1
echo "Servers stopped: ${#alive[@]}"
