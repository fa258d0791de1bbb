#!/usr/bin/env bash
# Looks for input that breaks one of the properties in src/tests/fuzz.
#
#     scripts/fuzz.sh                      every target in turn, ten minutes each
#     scripts/fuzz.sh TARGET [SECONDS]     one of access client config forget framing grammar handshake http
#                                          journal mqtt peer places proxy
#     scripts/fuzz.sh keep [TARGET]        adds to the corpus in bench/fuzz the new inputs that a run has found
#
# Findings stay in target/fuzz. Copy the file of a finding to bench/fuzz/corpus/TARGET, and the tests replay it from
# then on.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/records.sh"
cd "$root"

TARGETS=(access client config forget framing grammar handshake http journal mqtt peer places proxy)
SECONDS_DEFAULT=600
# A few lines of this size cover all that many lines do, and the fuzzer tries short inputs more often.
INPUT_BYTES_MAX=1024
# An answer with a place or two needs more.
PLACES_BYTES_MAX=4096
# Every test run replays the corpus, and every clone has it.
KEPT_BYTES_MAX=512
# The version that was tried. It works with the stable toolchain as long as no sanitizer is asked for.
CARGO_FUZZ_VERSION=0.13.2

need cargo "install Rust from https://rustup.rs"
need c++ "the fuzzer is C++: install g++ or clang"
tools=$root/target/tools/bin
built=$root/target/fuzz
[ -x "$tools/cargo-fuzz" ] ||
    cargo install --root "$root/target/tools" --locked --version "$CARGO_FUZZ_VERSION" cargo-fuzz

# fuzz TARGET CORPUS ARGUMENT...: builds the target, and runs it with libFuzzer's arguments.
fuzz() {
    local target=$1
    shift
    mkdir -p "$built/corpus/$target" "$built/findings/$target"
    PATH=$tools:$PATH cargo fuzz run --fuzz-dir bench/fuzz --target-dir "$built" --sanitizer none "$target" \
        "$@" -artifact_prefix="$built/findings/$target/"
}

look() {
    local bytes_max=$INPUT_BYTES_MAX
    [ "$1" != places ] || bytes_max=$PLACES_BYTES_MAX
    echo "== $1, for $2 s"
    fuzz "$1" "$built/corpus/$1" "bench/fuzz/corpus/$1" -- -dict="bench/fuzz/dictionaries/$1.txt" \
        -max_total_time="$2" -max_len="$bytes_max" -print_final_stats=1 -timeout=10
}

keep() {
    echo "== keeping of $1"
    # The fewest inputs that reach every line reached; how often each reaches it would keep ten times as many.
    fuzz "$1" "bench/fuzz/corpus/$1" "$built/corpus/$1" -- -set_cover_merge=1 -use_counters=0 \
        -max_len="$KEPT_BYTES_MAX"
}

known() {
    case " ${TARGETS[*]} " in *" $1 "*) ;; *) die "there is no target $1, only: ${TARGETS[*]}" ;; esac
}

case ${1-} in
    "")
        failed=()
        for target in "${TARGETS[@]}"; do
            look "$target" "$SECONDS_DEFAULT" || failed+=("$target")
        done
        [ ${#failed[@]} -eq 0 ] || die "found something in: ${failed[*]}; see above and $built/findings"
        ;;
    keep)
        if [ $# -gt 1 ]; then
            known "$2"
            TARGETS=("$2")
        fi
        for target in "${TARGETS[@]}"; do keep "$target"; done
        ;;
    *)
        known "$1"
        look "$1" "${2:-$SECONDS_DEFAULT}"
        ;;
esac
