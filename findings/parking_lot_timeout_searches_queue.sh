#!/usr/bin/env bash
# What one would expect: a thread that waits at a condition variable until a deadline costs the same when that passes,
# however many others wait there: each has a timer of its own in the kernel.
# What happens: a thread of parking_lot whose wait has timed out looks for itself in the queue of those that wait, from
# the front. If deadlines pass in the order in which the waits began it is the first. If they pass in another order each
# searches half of the queue: 10,000 threads take several times the processor time for the same 10,000 wake-ups.
# Whom it hurts: servers with a thread for each connection that add a random part to their waits, which is advised so
# that not all wake up at once.
#
# Needs Rust and Linux. Builds one small program in under a minute, and starts 10,000 threads for some seconds.
set -euo pipefail

command -v cargo >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "waits"
version = "0.0.0"
edition = "2021"

[dependencies]
parking_lot = "=0.12.5"
TOML
cat >src/main.rs <<'RUST'
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

const THREADS: u64 = 10_000;

/// The processor time of this process, in ticks of 10 ms.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("this is Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("it has a name").split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// The ticks from the moment when all wait until all have waited to their deadlines, which are spread over two seconds.
fn measure(what: &str, place: impl Fn(u64) -> u64) -> u64 {
    let (lock, condvar, waiting) = (Mutex::new(()), Condvar::new(), AtomicUsize::new(0));
    let begin = Instant::now() + Duration::from_secs(4);
    let before = std::thread::scope(|scope| {
        for number in 0..THREADS {
            let deadline = begin + Duration::from_micros(200 * place(number));
            let (lock, condvar, waiting) = (&lock, &condvar, &waiting);
            let wait = move || {
                let mut guard = lock.lock();
                waiting.fetch_add(1, Ordering::Relaxed);
                while !condvar.wait_until(&mut guard, deadline).timed_out() {}
            };
            std::thread::Builder::new().stack_size(64 * 1024).spawn_scoped(scope, wait).expect("a thread starts");
        }
        while waiting.load(Ordering::Relaxed) < THREADS as usize {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(Instant::now() < begin, "this machine is too slow for the comparison");
        ticks()
    });
    let took = ticks() - before;
    println!("{what}: {took} ticks of 10 ms");
    took
}

fn main() {
    println!("parking_lot 0.12.5, {THREADS} threads at one condition variable");
    let in_order = measure("deadlines in the order of the waits", |number| number);
    // 7,919 is a prime that does not divide the number of threads, so each place is taken once.
    let mixed = measure("the same deadlines in another order", |number| number * 7_919 % THREADS);
    std::process::exit(i32::from(mixed < 2 * in_order));
}
RUST
cargo build --release --quiet
target/release/waits
