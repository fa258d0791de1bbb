#!/usr/bin/env bash
# What one would expect: a handler for "Ctrl-C and termination" answers those signals, and a program under `nohup`
# outlives the end of its terminal, because SIGHUP was ignored when it was started.
# What happens: the feature `termination` of the crate ctrlc catches SIGHUP as well, and installs its handler although
# the signal is ignored, so `nohup` is undone: the program ends with its terminal, as by an ordinary stop.
# Whom it hurts: servers started with `nohup ... &`, and those whose operator sends SIGHUP to have a log or a
# configuration read again.
#
# Needs Linux and Rust. Builds one small program in some ten seconds.
set -euo pipefail

command -v cargo >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs" >&2; exit 2; }
folder=$(mktemp -d)
trap 'kill ${program:-} 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >src/main.rs <<'RUST'
fn main() {
    ctrlc::set_handler(|| std::process::exit(7)).expect("there is no other handler");
    println!("ready");
    std::thread::sleep(std::time::Duration::from_secs(30));
}
RUST

# run FEATURES: what becomes of the program when it gets SIGHUP under nohup.
run() {
    local code=0
    cat >Cargo.toml <<TOML
[package]
name = "waits"
version = "0.0.0"
edition = "2021"

[dependencies]
ctrlc = { version = "=3.5.2", features = [$1] }
TOML
    cargo build --quiet
    : >out
    nohup target/debug/waits >out 2>/dev/null &
    program=$!
    while ! grep -q ready out; do kill -0 "$program"; sleep 0.05; done
    kill -HUP "$program"
    # SIGTERM, without the feature, ends the program with 143: by then it has outlived SIGHUP.
    sleep 1
    kill -TERM "$program" 2>/dev/null || true
    wait "$program" || code=$?
    program=
    echo "$code"
}
with=$(run '"termination"')
without=$(run '')
echo "ctrlc 3.5.2"
echo "with termination: code $with (7: its handler was called by SIGHUP)"
echo "without: code $without (143: it ended by SIGTERM only)"
[ "$with" = 7 ] && [ "$without" = 143 ]
