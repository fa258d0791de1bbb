//! What the variants of the server share that are measured against the threaded one. None of it is a driver:
//! how bytes come in and go out is written anew in each variant, for that is what is compared.
//!
//! | module | what lives there |
//! |---|---|
//! | [`options`] | the command line of every variant, turned into checked values |
//! | [`life`] | the log, the signals and the exit code of every variant |
//! | [`listen`] | opening a port, with the same socket options as the threaded server |
//! | [`shared`] | one member of the herd, as all its connections see it; the bounds |
//! | [`talk`] | one conversation without its input and output |
//! | [`framings`] | framings lent to the conversations that have something to frame |
//! | [`stats`] | what is counted |
//! | [`clock`] | the one place that reads the clocks |
//!
//! Everything that is logged is logged here, for the log takes what `proxyherd` says and no other crate.
//!
//! The variants themselves are in `src/bin`; `README.md` in this folder says what each of them is for.

pub mod clock;
pub mod framings;
pub mod life;
pub mod listen;
pub mod options;
pub mod shared;
pub mod stats;
pub mod talk;
