#!/usr/bin/env bash
# Removes what running the herd left behind: logs, process records, journals. Refuses while a server runs. It removes
# only files that run.sh and its servers made, by their names; whatever else is in the folder stays.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/records.sh"

# remove_logs NAME: those of a server, rotated by itself or by logrotate.
remove_logs() {
    local file
    rm -f -- "$run/$1.log" "$run/$1.out" "$run/$1.pid"
    for file in "$run/$1.log."*; do
        if [[ $file =~ \.log\.(old-)?[0-9]+(\.gz)?$ ]]; then
            rm -f -- "$file"
        fi
    done
}

# remove_journal NAME: that of a server, in a folder of its own.
remove_journal() {
    local folder=$run/data/$1 file
    if [ -L "$run/data" ] || [ -L "$folder" ] || [ ! -d "$folder" ]; then
        return
    fi
    for file in "$folder"/*; do
        if [[ ${file##*/} =~ ^(lock|admin\.sock|database\.unread)$ ]] ||
            [[ ${file##*/} =~ ^(journal|snapshot)-[0-9]{10}(\.[0-9]+)?\.log(\.tmp|\.damaged|\.buffer)?$ ]]; then
            rm -f -- "$file"
        fi
    done
    rmdir --ignore-fail-on-non-empty "$folder"
}

need_linux
[ -d "$run" ] || { echo "There is nothing to clean."; exit 0; }
alive=$(running | xargs)
[ -z "$alive" ] || die "still running: $alive; stop them with $(dirname "$0")/kill.sh first"
[ -f "$run/lock" ] && [ -f "$run/herd" ] || die "$run is not a folder that run.sh made; remove it yourself"
# A folder of an earlier release has the names in `herd` alone.
names=$(cat "$run/names" 2>/dev/null || cut -d ' ' -f 1 "$run/herd")
for name in $names; do
    if [[ $name =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]*$ ]]; then
        remove_logs "$name"
        remove_journal "$name"
    fi
done
if [ -d "$run/data" ] && [ ! -L "$run/data" ]; then
    rmdir --ignore-fail-on-non-empty "$run/data"
fi
rm -f -- "$run/lock" "$run/herd" "$run/names"
if rmdir "$run" 2>/dev/null; then
    echo "Removed $run."
else
    echo "Removed what the herd left in $run; this is not ours and stays: $(ls -A "$run" | xargs)"
fi
