//! Everything that measures the herd: what it is measured with, and what the variants share that it is measured
//! against. `README.md` in this folder says what each variant and each suite is for.
//!
//! | module | what lives there |
//! |---|---|
//! | [`load`] | the load generator, as the `load` program and the suites use it |
//! | [`suite`] | what is measured: one file for each suite, the variants, the file of results |
//! | [`abusive_clients`] | abusive clients, and probes beside them |
//! | [`faults`] | real faults: a herd in a network of its own that is killed, cut and slowed down |
//! | [`line`](mod@line) | the instructions of one report, between a read and a write |
//! | [`table`] | tables for people |
//!
//! The variants are in `src/bin`. None of what follows is a driver: how bytes come in and go out is written anew
//! in each of them, for that is what is compared.
//!
//! | module | what lives there |
//! |---|---|
//! | [`options`] | the command line of every variant, turned into checked values |
//! | [`process`] | the log, the signals and the exit code of every variant |
//! | [`listen`] | opening a port, with the same socket options as the threaded server |
//! | [`shared`] | one member of the herd, as all its connections see it; the bounds |
//! | [`notes`] | what a member logs and counts of its links, and of its own life |
//! | [`callers`] | the conversation of each neighbour that is here; a newer one ends the older |
//! | [`talk`] | one conversation without its input and output |
//! | [`framings`] | framings lent to the conversations that have something to frame |
//! | [`stats`] | what is counted |
//! | [`clock`] | the one place in which variants read the clocks |
//! | [`chance`] | the one place in which they ask for random numbers |
//!
//! Everything that variants log is logged here, for the log takes what `proxyherd` says and no other crate.

pub mod abusive_clients;
pub mod faults;
pub mod line;
pub mod load;
pub mod suite;
pub mod table;

pub mod callers;
pub mod chance;
pub mod clock;
pub mod framings;
pub mod listen;
pub mod notes;
pub mod options;
pub mod process;
pub mod shared;
pub mod stats;
pub mod talk;
