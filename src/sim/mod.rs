//! A herd in a box: the rules of `proto` and the conversation of `member` under virtual time, with faults, from a seed.
//!
//! A [`World`] drives the real nodes, conversations, links and framing the way the threaded server does, every line
//! as bytes over a stream; only threads, sockets, disks and clocks are played. A seed gives one run, always. The
//! conversation is the one of `member`, with its fast path for lines in canonical form.
//!
//! A server may have a journal, of [`Durability`], and recovers from it after a [`Crash`]. Replies and senders wait for
//! commits; a crash may fall into one, and a power cut takes what was not flushed.
//!
//! 1. [`World::new`] starts every server of a [`Graph`](graph::Graph), and their senders dial.
//! 2. [`World::report`], [`World::cut`], [`World::crash`] and so on are operations at the present; [`World::run_until`]
//!    moves it on. A [`faults::Schedule`] is a random list of such operations.
//! 3. [`World::heal_all`] repairs everything, and [`World::settle`] runs until the herd agrees and stays so, or says
//!    what is wrong with it.
//!
//! A herd in which nothing happens but heartbeats, and none of those changes anything, stays as it is. Such time is
//! skipped, so that a day without a link costs no more than a few seconds of it.

pub mod check;
pub mod clients;
pub mod faults;
pub mod graph;

mod conversation;
mod disk;
mod environment;
mod event;
mod group_commit;
mod history;
mod member;
mod network;
mod sender;
mod server;
mod timeline;
mod world;

pub use disk::{Crash, Durability};
pub use environment::Options;
pub use timeline::EPOCH_NS;
pub use world::World;
