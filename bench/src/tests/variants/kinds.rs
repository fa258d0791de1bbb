//! The variants, as they are started.

use std::process::Command;

use crate::threaded::threaded_server;

/// A program and the arguments that make it the variant that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
/// The door of HTTP alone.
pub(crate) const HYPER: Kind = Kind { program: env!("CARGO_BIN_EXE_hyper"), args: &[] };
/// The door of MQTT alone.
pub(crate) const TOKIO_MQTT: Kind = Kind { program: env!("CARGO_BIN_EXE_tokio-mqtt"), args: &[] };
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
            "proxyherd" => Command::new(threaded_server(TOKIO)),
            program => Command::new(program),
        };
        if self.program == "proxyherd" {
            command.args(["serve", "--durability", "none"]);
        }
        command.arg(server).args(self.args);
        command
    }

    /// Whether it gives whole replies to any line: see `naive.rs` for what that one does not.
    pub(crate) fn is_complete(&self) -> bool {
        self.program != NAIVE.program
    }
}
