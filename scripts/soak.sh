#!/usr/bin/env bash
# Simulates herds with faults for as long as you like, from seeds that no test run has.
#
#     scripts/soak.sh              a million herds: about an hour on two processors
#     scripts/soak.sh 50000        50,000 herds
#
# The first herd that does not converge ends the soak, which prints the command that replays that herd.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/records.sh"
cd "$root"

# The seeds of the tests come before these.
FIRST_SEED=10000
HERDS_DEFAULT=1000000

need cargo "install Rust from https://rustup.rs"
herds=${1:-$HERDS_DEFAULT}
[[ $herds =~ ^[1-9][0-9]*$ ]] || die "how many herds? a number, such as 50000"
# No two soaks share seeds, because the first seed counts the seconds since 1970.
first=$((FIRST_SEED + $(date +%s) * 1000))
PROXYHERD_SIM_SEEDS=$first..$((first + herds)) \
    cargo test --release --locked --package proxyherd --lib -- --nocapture ten_thousand_herds_converge
