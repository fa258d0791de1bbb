#!/usr/bin/env bash
# Removes what running the herd left behind: logs, process records, journals. Refuses while a server runs.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/records.sh"

need_linux
[ -d "$run" ] || { echo "There is nothing to clean."; exit 0; }
alive=$(running | xargs)
[ -z "$alive" ] || die "still running: $alive; stop them with $(dirname "$0")/kill.sh first"
# Everything in the folder goes, so be sure that it is the one that run.sh made.
[ -e "$run/lock" ] || die "$run is not a folder that run.sh made; remove it yourself"
rm -rf -- "$run"
echo "Removed $run."
