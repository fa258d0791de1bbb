//! The rules of the herd: grammar, merging, flooding, conversations, what a link owes its neighbour.
//!
//! Nothing in here touches a socket, a thread, a clock, a lock, a log or a file. Time is an argument, and
//! effects are values: replies and lines in buffers that the driver lends, and [`session::Step`]s. So the
//! threaded server, event-driven ones and the simulator run the same rules.
//!
//! Read in this order: [`session`] (one conversation), [`node`] (one member), [`store`] (what it remembers),
//! [`link`] (what it owes its neighbours); [`command`] and [`peer`] for the grammar; `usual_lines`, `usual` and
//! `usual_at` for the short way that nearly all lines take; [`trust`] for who is believed; [`journal`] and [`recovery`]
//! for what survives a crash.
#![doc = ""]
#![doc = include_str!("PROTOCOL.md")]

pub mod backoff;
pub mod batch;
pub(crate) mod bug;
pub mod classic;
pub mod command;
pub mod digest;
mod digits;
pub mod entry;
pub mod framing;
mod hidden;
pub mod journal;
pub mod link;
mod link_error;
pub mod location;
pub mod name;
pub mod node;
mod opening;
pub mod order;
pub mod peer;
pub mod recovery;
mod repair;
pub mod search;
mod seeded;
pub mod session;
pub mod sighting;
pub mod store;
mod stored;
pub mod time;
pub mod trust;
mod usual;
mod usual_at;
mod usual_lines;
