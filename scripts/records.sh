# Sourced by the other scripts: the records of the servers that run.sh started, one file for each in the run folder.
#
# A record is `PID START BOOT`: when the process began (in ticks since the machine did) and the machine's
# boot. A process with the same PID but another beginning is another program's and is never touched.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Another folder keeps a second herd, such as that of a test, apart from the first.
run=${PROXYHERD_RUN_DIR:-$root/run}

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# need TOOL HOW: one sentence for a tool that is missing.
need() {
    command -v "$1" >/dev/null || die "needs \`$1\`, which is not here: $2"
}

# build_release: builds the program as users run it; its path is then in `built`.
build_release() { build_with_cargo release build --release --package proxyherd; }

# build_tested: the same with the program of the tests, which has been built if they have been run.
build_tested() { build_with_cargo debug test --no-run --workspace --test processes; }

build_with_cargo() {
    local folder=$1 target=${CARGO_TARGET_DIR:-target}
    need cargo "install Rust from https://rustup.rs"
    [ "${target#/}" != "$target" ] || target=$root/$target
    # shellcheck disable=SC2034 # for the script that sourced this
    built=$target/$folder/proxyherd
    (cd "$root" && cargo "${@:2}" --locked)
}

need_linux() {
    [ -r /proc/self/stat ] || die "needs /proc to tell its own processes from others, so it runs on Linux only"
}

# begun PID: when it began, or nothing if it is gone. A zombie is gone: only its parent has not waited for it yet.
begun() {
    local stat
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
    # The name in parentheses may hold anything; after it the state is the 1st field, the beginning the 20th.
    read -r -a stat <<<"${stat##*) }"
    [ "${stat[0]}" = Z ] || [ "${stat[0]}" = X ] || echo "${stat[19]}"
}

# record NAME PID
record() {
    local beginning
    beginning=$(begun "$2")
    # A server that has ended already gets a beginning that no process can have.
    echo "$2 ${beginning:--} $(</proc/sys/kernel/random/boot_id)" >"$run/$1.pid"
}

# pid_of NAME: the process recorded under it, if it still runs.
pid_of() {
    local pid start boot
    [ -r "$run/$1.pid" ] || return 0
    read -r pid start boot <"$run/$1.pid" || return 0
    case $pid in '' | *[!0-9]*) return 0 ;; esac
    if [ "$boot" = "$(</proc/sys/kernel/random/boot_id)" ] && [ "$start" = "$(begun "$pid")" ]; then
        echo "$pid"
    fi
}

# recorded: the names that have a record.
recorded() {
    local file
    for file in "$run"/*.pid; do
        if [ -e "$file" ]; then
            file=${file##*/}
            echo "${file%.pid}"
        fi
    done
}

# running: the names whose process runs.
running() {
    local name
    for name in $(recorded); do
        if [ -n "$(pid_of "$name")" ]; then
            echo "$name"
        fi
    done
}

# stop SECONDS NAME...: asks the servers to end, and ends those by force that have not when the time is up.
# Says on stdout which needed force.
stop() {
    # SECONDS counts whole seconds: one more, so that no server has less time than it was promised.
    local deadline=$((SECONDS + $1 + 1)) name pid left
    shift
    for name in "$@"; do
        pid=$(pid_of "$name")
        [ -z "$pid" ] || kill -TERM "$pid" 2>/dev/null || true
    done
    while :; do
        left=
        for name in "$@"; do
            [ -z "$(pid_of "$name")" ] || left="$left $name"
        done
        [ -n "$left" ] || break
        if [ "$SECONDS" -ge "$deadline" ]; then
            for name in $left; do
                pid=$(pid_of "$name")
                [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
                echo "$name did not end when asked and was killed"
            done
            # The kernel takes a moment; a process stuck in it would take for ever.
            deadline=$((SECONDS + 5))
            while [ -n "$(running_of "$@")" ] && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.05; done
            break
        fi
        sleep 0.05
    done
    for name in "$@"; do
        if [ -n "$(pid_of "$name")" ]; then
            echo "$name cannot be killed (process $(pid_of "$name"))" >&2
        else
            rm -f "$run/$name.pid"
        fi
    done
}

# running_of NAME...: those of them that run.
running_of() {
    local name
    for name in "$@"; do
        [ -z "$(pid_of "$name")" ] || echo "$name"
    done
}
