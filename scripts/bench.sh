#!/usr/bin/env bash
# Measures the server against event-driven ones, and says what the results come to.
#
#     scripts/bench.sh SUITE [OPTIONS]   one of those in bench/README.md, or quick or full
#     scripts/bench.sh targets [FILE]    which targets a file of results meets [default: bench/results/full.jsonl]
#     scripts/bench.sh compare FILE FILE which ratios two runs agree on
#     scripts/bench.sh load [OPTIONS]    the load generator alone
#
# `quick` is all suites in a small form, under three minutes; `full` takes about an hour and goes on where it was
# stopped. bench/README.md says what each suite measures and how to read it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ $# -eq 0 ]; then
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "scripts/$(basename "${BASH_SOURCE[0]}")" >&2
    exit 2
fi

what=$1
shift
programs=$(cargo metadata --format-version 1 --no-deps --offline --locked |
    sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release

case $what in
    targets | compare | load)
        cargo build --release --locked --package proxyherd-bench --bin suite --bin load
        ;;
    *)
        cargo build --release --locked --package proxyherd --package proxyherd-bench --bins
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
