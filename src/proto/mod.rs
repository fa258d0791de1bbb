//! The rules of the herd: grammar, merging, flooding, conversations, links.
//!
//! Nothing in here touches a socket, a thread, a clock, a lock, a log or a file. Time is an argument, and
//! effects are values: replies and lines in buffers that the driver lends, and [`session::Step`]s. So the
//! threaded server, event-driven ones and the simulator run the same rules.
//!
//! Each folder knows only those above it:
//!
//! | folder | what is in it |
//! |---|---|
//! | [`model`] | the values: names, times, locations, the sighting and its `AT` line |
//! | [`geo`] | distances, boxes of degrees, and an index by place |
//! | [`store`] | records, updates and their total order, the log of changes and cursors in it, digests |
//! | [`wal`] | what a journal record means, and what is believed of a journal after a crash |
//! | [`neighbours`] | the members that a member has links to, which come and go |
//! | [`recent`] | the hashes of what came of late |
//! | [`tree`] | which links carry lines, and which say only what their server has |
//! | [`node`] | what one member decides |
//! | [`mod@line`] | the line protocol: framing, commands, a conversation with clients, the fast path |
//! | [`http`] | HTTP/1.1: requests, answers, and what phones report in them |
//! | [`mqtt`] | MQTT 3.1, 3.1.1 and 5: packets in and out, topics
//! | [`peering`] | the protocol between servers: grammar, auth, a neighbour in, links out, anti-entropy, legacy |
//! | [`session`] | a conversation on either port, as drivers see it |
#![doc = ""]
#![doc = include_str!("PROTOCOL.md")]

pub mod geo;
pub mod http;
pub mod line;
pub mod model;
pub mod mqtt;
pub mod neighbours;
pub mod node;
pub mod peering;
pub mod recent;
pub mod session;
pub mod store;
pub mod tree;
pub mod wal;
