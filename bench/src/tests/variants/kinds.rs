//! The variants, as they are started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A program and the arguments that make it the variant that is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) program: &'static str,
    pub(crate) args: &'static [&'static str],
}

const TOKIO: &str = env!("CARGO_BIN_EXE_tokio");
const EPOLL: &str = env!("CARGO_BIN_EXE_epoll");

pub(crate) const TUNED: Kind = Kind { program: TOKIO, args: &["--flavor", "multi", "--style", "tuned"] };
pub(crate) const TEXTBOOK: Kind =
    Kind { program: TOKIO, args: &["--flavor", "multi", "--style", "textbook"] };
pub(crate) const CURRENT: Kind = Kind { program: TOKIO, args: &["--flavor", "current", "--style", "tuned"] };
pub(crate) const CURRENT_TEXTBOOK: Kind =
    Kind { program: TOKIO, args: &["--flavor", "current", "--style", "textbook"] };
pub(crate) const CURRENT_TWO: Kind =
    Kind { program: TOKIO, args: &["--flavor", "current", "--style", "tuned", "--threads", "2"] };
pub(crate) const LOOP: Kind = Kind { program: EPOLL, args: &[] };
pub(crate) const TWO_LOOPS: Kind = Kind { program: EPOLL, args: &["--threads", "2"] };
pub(crate) const SINGLE: Kind = Kind { program: env!("CARGO_BIN_EXE_single"), args: &[] };
pub(crate) const NAIVE: Kind = Kind { program: env!("CARGO_BIN_EXE_naive"), args: &[] };
pub(crate) const ECHO: Kind = Kind { program: env!("CARGO_BIN_EXE_echo"), args: &[] };
pub(crate) const ECHO_EPOLL: Kind = Kind { program: env!("CARGO_BIN_EXE_echo-epoll"), args: &[] };
pub(crate) const ECHO_TWO_LOOPS: Kind =
    Kind { program: env!("CARGO_BIN_EXE_echo-epoll"), args: &["--threads", "2"] };

/// The threaded server itself, of the same build.
pub(crate) const THREADS: Kind = Kind { program: "proxyherd", args: &[] };

impl Kind {
    /// The command that starts it as this server.
    pub(crate) fn command(&self, server: &str) -> Command {
        let mut command = match self.program {
            "proxyherd" => Command::new(threaded_server()),
            program => Command::new(program),
        };
        if self.program == "proxyherd" {
            command.arg("serve");
        }
        command.arg(server).args(self.args);
        command
    }

    /// Whether it gives whole replies to any line: see `naive.rs` for what that one does not.
    pub(crate) fn is_complete(&self) -> bool {
        self.program != NAIVE.program
    }
}

/// Cargo makes the programs of this package before the tests, and the server's only if asked.
fn threaded_server() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = Path::new(TOKIO).parent().unwrap();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut build = Command::new(cargo);
        build.args([
            "build",
            "--quiet",
            "--locked",
            "--offline",
            "--package",
            "proxyherd",
            "--bin",
            "proxyherd",
        ]);
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
        assert!(build.status().unwrap().success(), "the server cannot be built");
        folder.join("proxyherd")
    })
}
