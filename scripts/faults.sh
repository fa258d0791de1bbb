#!/usr/bin/env bash
# Injects real faults into five real servers in a network of their own, and prints a table of what came of it.
#
#     scripts/faults.sh              every fault, three rounds each: about twenty minutes
#     scripts/faults.sh quick        a short list, one round each: under 90 seconds after building
#     scripts/faults.sh --list       what the faults are called and what they do
#     scripts/faults.sh --only kill-hub,loss-20 --rounds 9
#     scripts/faults.sh --show bench/results/faults.jsonl
#
# `--help` has the other options. Exit code 0: nothing was lost, and the servers always converged in time; 1: they did
# not; 2: no fault could be injected; 77: this machine does not permit it, or lacks a program that is then named.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

need() {
    command -v "$1" >/dev/null && return
    echo "faults.sh: needs \`$1\`, which is not here: $2" >&2
    exit 77
}

need cargo "install Rust from https://rustup.rs"
# What injects nothing needs no more than that; the program itself says whether namespaces are permitted.
case " $* " in
    *" --list "* | *" --show "* | *" --help "* | *" -h "*) ;;
    *)
        for tool in unshare:util-linux setpriv:util-linux mount:mount ip:iproute2 nft:nftables; do
            need "${tool%:*}" "Debian: apt-get install ${tool#*:}"
        done
        ;;
esac

programs=$(cargo metadata --format-version 1 --no-deps --offline --locked |
    sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release

cargo build --release --locked --package proxyherd --package proxyherd-bench --bin proxyherd --bin faults
exec "$programs/faults" "$@"
