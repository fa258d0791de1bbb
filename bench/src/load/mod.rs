//! The load generator: a cheap, non-blocking client of any server of the herd, and of a few others.
//!
//! | file | what lives there |
//! |---|---|
//! | `options` | what a run is told |
//! | `target` | whether that is allowed, and whether this machine has room |
//! | `request` | what is asked, in the words of each protocol |
//! | `check` | what a right reply is |
//! | `connection` | one connection: out, in, on the way |
//! | `engine` | one thread: epoll, opening, events |
//! | `drive` | the pace: closed loop, open loop, churn |
//! | `tally` | counting, and the windows that count |
//! | `conduct`, `share` | a whole run, divided among threads |
//! | `watch` | what is seen from outside meanwhile |
//! | `process`, `machine` | what /proc says, where a result comes from |
//! | `outcome` | what a run has found out |

pub mod clock;
pub mod machine;
pub mod options;
pub mod outcome;
pub mod process;
pub mod progress;

mod check;
mod conduct;
mod connection;
mod drive;
mod engine;
mod error;
mod request;
mod share;
mod tally;
mod target;
mod timer;
mod watch;

#[cfg(test)]
mod tests;

pub use conduct::run;
pub use error::LoadError;
pub use options::{Mix, Options, Protocol};
pub use outcome::Outcome;
pub use tally::{Latency, Shares};
pub use target::make_room;
