#!/usr/bin/env bash
# Lets simulated herds live through faults for as long as one likes, from seeds that no test run has.
#
#     scripts/soak.sh              a million herds: about an hour on two processors
#     scripts/soak.sh 50000        so many
#
# A herd that does not agree ends it, and is named with the command that replays it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/records.sh"
cd "$root"

# The seeds of the tests come before these.
FIRST_SEED=10000
HERDS_DEFAULT=1000000

need cargo "install Rust from https://rustup.rs"
herds=${1:-$HERDS_DEFAULT}
[[ $herds =~ ^[1-9][0-9]*$ ]] || die "how many herds? a number, such as 50000"
# Every soak has others: the seconds since 1970 keep them apart.
first=$((FIRST_SEED + $(date +%s) * 1000))
PROXYHERD_SIM_SEEDS=$first..$((first + herds)) \
    cargo test --release --locked --package proxyherd --lib -- --nocapture ten_thousand_herds_converge
