//! The threaded server beside the programs of this package: cargo makes those before the tests, and the server only
//! if asked.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The server, built if need be, in the folder of one of this package's programs and in the same profile.
pub(crate) fn threaded_server(program: &str) -> PathBuf {
    let folder = Path::new(program).parent().unwrap();
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--locked", "--offline", "--package", "proxyherd", "--bin", "proxyherd"]);
    build.arg("--target-dir").arg(folder.parent().unwrap());
    if folder.ends_with("release") {
        build.arg("--release");
    }
    // What cargo says of this package to its tests would make others be built anew, now and at the next call.
    let own = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_EXE_", "CARGO_CRATE_NAME"];
    let is_own = |name: &str| own.iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_own)) {
        build.env_remove(name);
    }
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    assert!(build.status().unwrap().success(), "the server cannot be built");
    folder.join("proxyherd")
}
