#!/usr/bin/env bash
# Builds and starts every server of the herd, each in a session of its own, so that they outlive the terminal.
#
#   scripts/run.sh                          the built-in herd
#   scripts/run.sh herd.toml                the herd of a file (or HERD=herd.toml scripts/run.sh)
#   scripts/run.sh herd.toml --places FILE  options for every `proxyherd serve`
#
# Servers that run already are left alone, so run.sh also brings back one that was killed. Logs, process records
# and the servers' data go to `run/`, which only you can read. The built-in herd logs every request and every reply, as
# the original does, unless --log-level says something else. PROXYHERD_BIN names a program to start instead of building
# it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/records.sh"

# How long a server may take until it answers. A fraction of a second is usual.
READY_SECONDS=${READY_SECONDS:-10}
# How long a server may take to end when the herd cannot be started.
STOP_SECONDS=5
# What is kept of a server's standard error, which tells why it cannot start. Its log has all that comes later, and is
# rotated.
OUT_BYTES_MAX=65536

main() {
    need setsid "it comes with util-linux"
    need flock "it comes with util-linux"
    need timeout "it comes with coreutils"
    need_linux
    local herd=${HERD:-}
    if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
        herd=$1
        shift
    fi
    [ -z "$herd" ] || [ -r "$herd" ] || die "there is no herd file $herd"
    herd_args=()
    [ -z "$herd" ] || herd_args=(--herd "$herd")
    serve_args=("$@")
    if [ -z "$herd" ] && [[ " $* " != *" --log-level"* ]]; then
        serve_args=(--log-level debug "$@")
    fi

    build
    # Logs and journals tell where clients are.
    umask 077
    mkdir -p "$run" || die "cannot make the folder $run"
    exec 9>"$run/lock"
    flock -n 9 || die "another run.sh is at work"
    list=$("$bin" herd --list "${herd_args[@]}") || die "the herd is not valid, see above"
    [ -n "$list" ] || die "the herd has no servers"
    refuse_another_herd

    missing=()
    while read -r name _; do
        [ -n "$(pid_of "$name")" ] || missing+=("$name")
    done <<<"$list"
    if [ ${#missing[@]} -eq 0 ]; then
        echo "The herd is already running. Stop it with $(script kill.sh)."
        exit 0
    fi
    refuse_taken_ports
    printf '%s\n' "$list" >"$run/herd"
    # For clean.sh, which touches nothing else.
    touch "$run/names"
    cut -d ' ' -f 1 <<<"$list" | sort -u - "$run/names" -o "$run/names"
    trap 'give_up "interrupted"' INT TERM HUP
    for name in "${missing[@]}"; do
        start "$name"
    done
    for name in "${missing[@]}"; do
        await "$name"
    done
    # What answered may have been another program on the port, while our server was dying.
    for name in "${missing[@]}"; do
        [ -n "$(pid_of "$name")" ] || give_up "$name died right after it started"
    done
    trap - INT TERM HUP
    print_next_steps
}

build() {
    if [ -n "${PROXYHERD_BIN:-}" ]; then
        bin=$PROXYHERD_BIN
        command -v "$bin" >/dev/null || die "PROXYHERD_BIN is $bin, which cannot be started"
        return
    fi
    build_release || die "the program does not build, see above"
    bin=$built
}

# The records of another herd in the same folder would be lost.
refuse_another_herd() {
    [ -n "$(running)" ] || return 0
    if [ "$(cat "$run/herd" 2>/dev/null)" != "$list" ]; then
        die "servers of another herd are running: stop them with $(script kill.sh) first"
    fi
}

refuse_taken_ports() {
    local name client peer address
    while read -r name client peer; do
        case " ${missing[*]} " in *" $name "*) ;; *) continue ;; esac
        for address in $client $peer; do
            if is_taken "$address"; then
                die "$name cannot have $address: another program listens there (find it with: ss -ltnp)"
            fi
        done
    done <<<"$list"
}

is_taken() {
    local host port
    read -r host port <<<"$(host_and_port "$1")"
    # The descriptor is closed again as soon as it is open.
    # shellcheck disable=SC2016 # the inner bash expands these
    timeout 2 bash -c 'exec 3<>"/dev/tcp/$1/$2"' - "$host" "$port" 2>/dev/null
}

# host_and_port ADDRESS: `127.0.0.1 80` of `127.0.0.1:80`, `::1 80` of `[::1]:80`.
host_and_port() {
    local host=${1%:*}
    host=${host#[}
    echo "${host%]} ${1##*:}"
}

start() {
    # What reads from the server must hold nothing that others wait for: neither the lock nor our standard error.
    exec 8> >(exec setsid head -c "$OUT_BYTES_MAX" >"$run/$1.out" 2>/dev/null 9>&-)
    # Without job control the background process is not a group's leader, so setsid becomes the server
    # itself and $! is its process.
    setsid "$bin" serve "$1" "${herd_args[@]}" --log-dir "$run" --data-dir "$run/data/$1" "${serve_args[@]}" \
        </dev/null >&8 2>&8 8>&- 9>&- &
    record "$1" $!
    exec 8>&-
}

# Waits until the server answers a line: `x` is no command, and the reply says so.
await() {
    local name=$1 deadline=$((SECONDS + READY_SECONDS)) client
    client=$(address_of "$name")
    until [ "$(echo x | timeout 2 "$bin" client "$client" 2>/dev/null)" = "? x" ]; do
        [ -n "$(pid_of "$name")" ] || give_up "$name ($client) ended instead of starting"
        [ "$SECONDS" -lt "$deadline" ] || give_up "$name ($client) does not answer after $READY_SECONDS s"
        sleep 0.05
    done
}

address_of() {
    local name client
    while read -r name client _; do
        [ "$name" != "$1" ] || echo "$client"
    done <<<"$list"
}

# give_up WHY: shows the end of the logs of the server that WHY begins with, and stops what was started here.
give_up() {
    trap - INT TERM HUP
    echo "run.sh: $1" >&2
    local name=${1%% *} file
    # What it has said may be on its way to the file.
    sleep 0.1
    for file in "$run/$name.out" "$run/$name.log"; do
        if [ -s "$file" ]; then
            echo "the end of $file:" >&2
            tail -n 10 "$file" | cut -c 1-300 | sed 's/^/    /' >&2
        fi
    done
    stop "$STOP_SECONDS" "${missing[@]}" >&2
    exit 1
}

# A script of this folder as the user would call it from the working directory.
script() {
    local folder
    folder=$(dirname "$0")
    echo "$folder/$1"
}

print_next_steps() {
    local first_name first last
    read -r first_name first _ <<<"$list"
    read -r _ last _ <<<"${list##*$'\n'}"
    cat <<END
The herd is up: $(wc -l <<<"$list") servers, with their logs in $run.
Tell one server where you are, and ask another:

    nc $(host_and_port "$first")
    IAMAT phone +34.068930-118.445127 $(date +%s)

    nc $(host_and_port "$last")
    WHATSAT phone 10 5

Without nc: $bin client $first
The log of the first: tail -f $run/$first_name.log
Stop the herd: $(script kill.sh)
END
}

main "$@"
