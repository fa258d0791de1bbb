#!/usr/bin/env bash
# What one would expect: a client of HTTP bounds the bytes of an answer's head, says so, and lets one raise the bound.
# What happens: ureq 3 reads at most 128 header fields, a constant of ureq-proto. An answer with 129 small ones is an
# error, whatever `max_response_header_size` says, and there is no option for the number.
# Whom it hurts: clients behind gateways that add a field for each policy, trace or cookie.
#
# Needs Rust and Python 3. Builds one small program in under a minute.
set -euo pipefail

command -v cargo >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs" >&2; exit 2; }
folder=$(mktemp -d)
trap 'kill ${server:-} 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "asks"
version = "0.0.0"
edition = "2021"

[dependencies]
ureq = { version = "=3.5.2", default-features = false }
TOML
cat >src/main.rs <<'RUST'
fn main() {
    let port = std::env::args().nth(1).expect("a port is given");
    let config = ureq::Agent::config_builder().max_response_header_size(1 << 20).build();
    let agent = ureq::Agent::new_with_config(config);
    let ask = |fields: u32| agent.get(format!("http://127.0.0.1:{port}/{fields}")).call();
    println!("ureq 3.5.2, heads of up to 1 MiB");
    let fine = ask(128).map(|answer| answer.headers().len());
    println!("128 fields: {fine:?}");
    let refused = ask(129).map(|answer| answer.headers().len());
    println!("129 fields: {refused:?}");
    std::process::exit(i32::from(!(fine.is_ok() && refused.is_err())));
}
RUST
cargo build --quiet

# A server whose answer has as many fields as the path says.
cat >server.py <<'PYTHON'
import os, socket

listener = socket.create_server(("127.0.0.1", 0))
with open("port.tmp", "w") as file:
    print(listener.getsockname()[1], file=file)
os.rename("port.tmp", "port")
while True:
    connection, _ = listener.accept()
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += connection.recv(4096)
    fields = int(request.split()[1][1:])
    head = ["HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close"]
    head += [f"X-{number}: 1" for number in range(fields - 2)]
    connection.sendall("".join(line + "\r\n" for line in head).encode() + b"\r\n")
    connection.close()
PYTHON
python3 server.py &
server=$!
while [ ! -e port ]; do kill -0 "$server"; sleep 0.05; done
target/debug/asks "$(cat port)"
