//! The threaded server itself, for tests of this package that start it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The server beside another program of the same build. Cargo makes the programs of this package before the tests, and
/// the server's only if asked: for tests of the whole workspace, which give what it needs the same features, or all of
/// that would be built again.
pub(crate) fn threaded_server(beside: &str) -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = Path::new(beside).parent().unwrap();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut build = Command::new(cargo);
        build.args([
            "test",
            "--no-run",
            "--quiet",
            "--locked",
            "--offline",
            "--workspace",
            "--test",
            "processes",
        ]);
        build.arg("--target-dir").arg(folder.parent().unwrap());
        if folder.ends_with("release") {
            build.arg("--release");
        }
        // What cargo says of this package to its tests would make others be built again, now and at the next call.
        let own = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_EXE_", "CARGO_CRATE_NAME"];
        let is_own = |name: &str| own.iter().any(|prefix| name.starts_with(prefix));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_own)) {
            build.env_remove(name);
        }
        assert!(build.status().unwrap().success(), "the server cannot be built");
        folder.join("proxyherd")
    })
}
