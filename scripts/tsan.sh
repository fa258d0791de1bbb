#!/usr/bin/env bash
# Runs servers under load with ThreadSanitizer, which finds memory that two threads touch without a lock between
# them. It sees the interleavings that happen in its run; the step `interleavings` of test.sh tries the others.
#
#     scripts/tsan.sh            the tests of the rooms with threads, those on sockets, and a long load
#     scripts/tsan.sh FILTER...  the tests named
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/records.sh"
cd "$root"

need cargo "install Rust from https://rustup.rs"
[ -d "$(rustc --print sysroot)/lib/rustlib/src/rust/library" ] ||
    die "needs the sources of the standard library, which must be watched too: rustup component add rust-src"
[ $# -gt 0 ] || set -- server:: member:: net:: frontend:: peering:: \
    tests::busy tests::peers tests::resend tests::stopping tests::trust tests::limits

# The sanitizer is not stable, and this variable makes a stable compiler take it all the same.
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=thread" CARGO_TARGET_DIR=target/tsan
export PROXYHERD_BUSY_LINES=${PROXYHERD_BUSY_LINES:-200000}
# The first finding ends the tests with an exit code of its own.
export TSAN_OPTIONS="halt_on_error=1 exitcode=66 ${TSAN_OPTIONS:-}"
host=$(rustc -vV | sed -n 's/^host: //p')
cargo test -Zbuild-std --target "$host" --package proxyherd --lib --locked -- "$@" ||
    die "ThreadSanitizer found something, or a test failed: see above"
echo "tsan.sh: no finding, in $SECONDS s"
