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

pub(crate) mod bug;
pub mod line;
pub mod model;
pub mod node;
pub mod peering;
pub mod store;
pub mod wal;
