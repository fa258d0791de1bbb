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
//! | [`http`] | the instructions of one report over HTTP, and the time of a question by place |
//! | [`table`] | tables for people |
//!
//! The variants are in `src/bin`. Each drives the server's own `member` and its conversations. How bytes come in and go
//! out is written by hand in each of them, because that is what is compared.
//!
//! | module | what lives there |
//! |---|---|
//! | [`options`] | the command line of every variant, turned into checked values |
//! | [`process`] | the log, the signals and the exit code of every variant |
//! | [`driver`] | the member that a variant drives, its ports, and who is admitted there |
//! | [`framings`] | framings lent to the conversations that have something to frame |
//!
//! Everything that variants log is logged here, for the log takes what `proxyherd` says and no other crate.

pub mod abusive_clients;
pub mod faults;
pub mod http;
pub mod line;
pub mod load;
pub mod suite;
pub mod table;

pub mod driver;
pub mod framings;
pub mod options;
pub mod process;
