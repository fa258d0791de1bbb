#!/usr/bin/env bash
# Measures the server against event-driven ones, and says what the results come to.
#
#     scripts/bench.sh SUITE [OPTIONS]   one of those in bench/README.md, or quick or full
#     scripts/bench.sh targets [FILE]    which targets a file of results meets [default: bench/results/full.jsonl]
#     scripts/bench.sh compare FILE FILE which ratios two runs agree on
#     scripts/bench.sh load [OPTIONS]    the load generator alone
#
# With `--before COMMIT` the threaded server of that commit takes part as the variant `before`: it is built at first,
# below target/bench.
#
# `quick` is all suites in a small form, under four minutes; `full` takes about an hour and goes on where it was
# stopped. bench/README.md says what each suite measures and how to read it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ $# -eq 0 ]; then
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "scripts/$(basename "${BASH_SOURCE[0]}")" >&2
    exit 2
fi

what=$1
shift
before=
options=()
while [ $# -gt 0 ]; do
    case $1 in
        --before)
            before=$(git rev-parse --verify --quiet "${2-}^{commit}") || {
                echo "--before needs a commit of this repository, such as HEAD~10" >&2
                exit 2
            }
            shift
            ;;
        *) options+=("$1") ;;
    esac
    shift
done
set -- "${options[@]}"
programs=$(cargo metadata --format-version 1 --no-deps --offline --locked |
    sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release

case $what in
    targets | compare | load)
        cargo build --release --locked --package proxyherd-bench --bin suite --bin load
        ;;
    *)
        cargo build --release --locked --package proxyherd --package proxyherd-bench --bins
        rm -f "$programs/before"
        if [ -n "$before" ]; then
            tree=target/bench/before/$before
            mkdir -p "$tree"
            git archive "$before" | tar -x -C "$tree"
            (cd "$tree" && CARGO_TARGET_DIR=$PWD/target cargo build --release --locked --package proxyherd)
            cp "$tree/target/release/proxyherd" "$programs/before"
        fi
        # What other languages and Debian have to offer; each says in a sentence what it lacks.
        for setup in bench/field/setup.sh bench/field/redis_memcached.sh; do
            if [ -x "$setup" ] && ! "$setup"; then
                echo "$setup failed: its variants are skipped." >&2
            fi
        done
        ;;
esac

case $what in
    targets | compare) exec "$programs/suite" "$what" "$@" ;;
    load) exec "$programs/load" "$@" ;;
    *) exec "$programs/suite" run "$what" "$@" ;;
esac
