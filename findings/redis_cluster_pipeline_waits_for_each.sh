#!/usr/bin/env bash
# What one would expect: `response_timeout` bounds how long a pipeline waits for a primary that does not answer.
# What happens: the pipeline of the redis crate's synchronous cluster client waits that long for every command in turn,
# also when the command before to the same primary has timed out: 20 commands with 200 ms take 4 s.
# Whom it hurts: writers of batches. A primary that is frozen, or a machine that vanished, holds a thread for the batch
# times the timeout, long after the cluster has made a replica the primary.
#
# Needs Rust, and apt-get as root if Redis is not there. Builds one small program in under a minute.
set -euo pipefail

command -v cargo >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs" >&2; exit 2; }
if ! command -v redis-server >/dev/null; then
    [ "$(id -u)" -eq 0 ] || { echo "redis-server is missing, and only root may install it" >&2; exit 2; }
    echo "installing redis-server"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends redis-server
    } >/dev/null
fi
redis-server --version | cut -d' ' -f1-3

folder=$(mktemp -d)
servers=()
trap 'kill -CONT "${servers[@]}" 2>/dev/null; kill "${servers[@]}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "asks"
version = "0.0.0"
edition = "2021"

[dependencies]
redis = { version = "=1.8.1", default-features = false, features = ["cluster"] }
TOML
cat >src/main.rs <<'RUST'
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_millis(200);

/// Asks so often for a key of the primary that is frozen meanwhile, in one pipeline. Returns how long that took, in
/// timeouts.
fn timeouts(client: &redis::cluster::ClusterClient, key: &str, times: usize) -> f64 {
    let mut connection = client.get_connection().expect("the cluster answers");
    let frozen: String = std::env::args().nth(2).expect("a process is given");
    signal("STOP", &frozen);
    let mut pipe = redis::cluster::cluster_pipe();
    for _ in 0..times {
        pipe.cmd("GET").arg(key);
    }
    let began = Instant::now();
    let answer = pipe.query::<Vec<Option<String>>>(&mut connection);
    let took = began.elapsed();
    signal("CONT", &frozen);
    println!("{times} commands: {:.2} s, {:?}", took.as_secs_f64(), answer.map_err(|error| error.to_string()));
    took.as_secs_f64() / TIMEOUT.as_secs_f64()
}

/// Signals by the program `kill`.
fn signal(name: &str, pid: &str) {
    let done = std::process::Command::new("kill").args([format!("-{name}"), pid.to_owned()]).status();
    assert!(done.expect("kill can be started").success());
}

fn main() {
    let port = std::env::args().nth(1).expect("a port is given");
    let key = std::env::args().nth(3).expect("a key is given");
    let client = redis::cluster::ClusterClientBuilder::new([format!("redis://127.0.0.1:{port}")])
        .retries(0)
        .connection_timeout(TIMEOUT)
        .response_timeout(TIMEOUT)
        .build()
        .expect("the address is one");
    println!("redis (Rust) 1.8.1, response_timeout {TIMEOUT:?}, no retries");
    let (one, many) = (timeouts(&client, &key, 1), timeouts(&client, &key, 20));
    std::process::exit(i32::from(!(one < 3.0 && many > 15.0)));
}
RUST
cargo build --quiet

# Three primaries. The bus of each is at a port 10,000 above its own.
ports=()
for number in 1 2 3; do
    port=$(python3 - <<'PYTHON'
import random, socket
while True:
    port = random.randrange(20000, 30000)
    try:
        with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 10000)):
            print(port)
            break
    except OSError:
        pass
PYTHON
    )
    mkdir "node$number"
    redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$folder/node$number" --cluster-enabled yes \
        --cluster-node-timeout 60000 >"node$number/log" 2>&1 &
    servers+=($!)
    ports+=("$port")
    until redis-cli -p "$port" PING >/dev/null 2>&1; do sleep 0.1; done
done
redis-cli --cluster create "${ports[@]/#/127.0.0.1:}" --cluster-yes >/dev/null
for port in "${ports[@]}"; do
    until redis-cli -p "$port" CLUSTER INFO | grep -q cluster_state:ok; do sleep 0.1; done
done
# A key of the third one.
key=$(for word in {a..z}; do
    redis-cli -p "${ports[2]}" SET "$word" here 2>&1 | grep -qx OK && echo "$word" && break
done)
target/debug/asks "${ports[0]}" "${servers[2]}" "$key"
