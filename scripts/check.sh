#!/usr/bin/env bash
# The quick part of test.sh, for every commit: format, clippy, the tests that start no process and open few sockets,
# the golden transcripts and the house rules. Half a minute when the build is warm.
#
#   scripts/check.sh                  everything quick, each step even if one before it failed
#   scripts/check.sh --install-hook   lets git run it before each commit in this clone, from now on
#
# `git commit --no-verify` goes around the hook; removing the file that it names removes the hook.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/records.sh"
cd "$root"

# The pure rooms, and the tests across rooms that are quick. `tests::golden` plays the transcripts.
QUICK=(
    proto:: config:: cli::
    tests::canonical_lines tests::golden tests::grammar tests::merge tests::pure tests::tidy tests::transcripts
)

main() {
    need cargo "install Rust from https://rustup.rs"
    local failed=() step
    for step in format clippy tests; do
        echo "== $step"
        "$step" || failed+=("$step")
    done
    [ ${#failed[@]} -eq 0 ] || die "FAILED: ${failed[*]}, after $SECONDS s"
    echo "check.sh: all passed, in $SECONDS s; test.sh runs everything"
}

format() { cargo fmt --all --check; }

clippy() { cargo clippy --workspace --all-targets --locked --quiet -- -D warnings; }

tests() { cargo test --package proxyherd --lib --locked --quiet -- "${QUICK[@]}"; }

install_hook() {
    local hook
    hook=$(git rev-parse --git-path hooks)/pre-commit || die "this is no clone of git's"
    if [ -e "$hook" ] && ! grep -q "scripts/check.sh" "$hook"; then
        die "there is another hook already: call scripts/check.sh from $hook"
    fi
    mkdir -p "${hook%/*}"
    # Git runs it in the root of the work tree. It checks the files that are there, added to the commit or not.
    printf '%s\n' '#!/bin/sh' 'exec scripts/check.sh' >"$hook"
    chmod +x "$hook"
    echo "Before each commit git runs $hook."
}

case ${1-} in
    "") main ;;
    --install-hook) install_hook ;;
    *) die "there is no option $1, only: --install-hook" ;;
esac
