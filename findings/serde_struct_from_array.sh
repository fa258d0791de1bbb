#!/usr/bin/env bash
# What one would expect: a struct with `#[derive(Deserialize)]` is an object in JSON, and an array in its place is an
# error, so that untagged attempts ("an object of this shape, else a list of those") tell the two apart.
# What happens: the derived code also reads a struct from a sequence, its fields in their order. An array of as many
# values of fitting types is taken for the object, in silence; with one more or less it is an error.
# Whom it hurts: doors that take one report or a list of reports in one body, as GPS trackers send them. A list with
# exactly as many elements as the struct has fields is read as one report, and what the elements say is lost.
#
# Needs Rust. Builds one small program in under a minute.
set -euo pipefail

command -v cargo >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "reads"
version = "0.0.0"
edition = "2021"

[dependencies]
serde = { version = "=1.0.229", features = ["derive"] }
serde_json = "=1.0.154"
TOML
cat >src/main.rs <<'RUST'
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
struct Report {
    id: Option<IgnoredAny>,
    lat: Option<IgnoredAny>,
    lon: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    One(Report),
    Many(Vec<Report>),
}

fn main() {
    let point = r#"{"id": "a", "lat": 1, "lon": 2}"#;
    let said: Vec<&str> = (1..=4)
        .map(|count| {
            let list = format!("[{}]", vec![point; count].join(","));
            match serde_json::from_str(&list) {
                Ok(Body::One(Report { id, lat, lon })) if id.and(lat).and(lon).is_some() => "one report",
                Ok(Body::One(_)) => "one report without a place",
                Ok(Body::Many(reports)) if reports.len() == count => "a list",
                Ok(Body::Many(_)) => "another list",
                Err(_) => "an error",
            }
        })
        .collect();
    println!("serde 1.0.229, serde_json 1.0.154");
    for (at, what) in said.iter().enumerate() {
        println!("a list of {} reports is read as {what}", at + 1);
    }
    std::process::exit(i32::from(said != ["a list", "a list", "one report", "a list"]));
}
RUST
cargo run --quiet
