//! The load generator: a cheap, non-blocking client of any server of the herd, and of a few others.
//!
//! | file | what lives there |
//! |---|---|
//! | `options` | what a run is told |
//! | `target` | whether that is allowed, and whether this machine has room |
//! | `request` | what is asked, in the words of each protocol |
//! | `owntracks` | a report as a phone sends it over HTTP |
//! | `mqtt` | packets of MQTT |
//! | `tls` | TLS between a connection and its socket |
//! | `check` | what a right reply is |
//! | `connection` | one connection: out, in, on the way |
//! | `engine` | one thread: epoll, opening, events |
//! | `pacing` | the pace: closed loop, open loop, churn |
//! | `counters` | counting, and the windows that count |
//! | `runner`, `sharding` | a whole run, divided among threads |
//! | `watch` | what is seen from outside meanwhile |
//! | `process`, `machine` | what /proc says, where a result comes from |
//! | `outcome` | what a run has found out |

pub mod clock;
pub mod machine;
pub(crate) mod mqtt;
pub mod options;
pub mod outcome;
pub(crate) mod owntracks;
pub mod process;
pub mod progress;

mod check;
mod connection;
mod counters;
mod engine;
mod error;
mod pacing;
mod request;
mod runner;
mod sharding;
mod target;
mod timer;
mod tls;
mod watch;

#[cfg(test)]
mod tests;

pub use counters::{Latency, Shares};
pub use error::LoadError;
pub use options::{Mix, Options, Protocol};
pub use outcome::Outcome;
pub use runner::run;
pub use target::make_room;
