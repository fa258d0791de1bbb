//! A herd of peer servers that knows where every mobile client was last seen.
//!
//! A client tells any server where it is (`IAMAT`); servers flood it to their neighbours (`AT`); anyone asks any
//! server where a client was last seen and what is near it (`WHATSAT`). One operating-system thread serves each
//! connection and each link, and all of them share one lock.
//!
//! # The map
//!
//! Every room uses only those above it:
//!
//! | room | what lives there |
//! |---|---|
//! | [`proto`] | the rules: grammar, merging, flooding, conversations, links; and `PROTOCOL.md`, the wire |
//! | [`config`] | the herd (names, addresses, links) and the options, checked once |
//! | [`logging`] | `<server>.log`: whole lines through a bounded channel to a thread of their own |
//! | [`journal`] | the files that make an acknowledged sighting survive: append, snapshot, recover |
//! | [`os`] | what is asked of the operating system: time, chance, locks and threads, permits, limits |
//! | [`places`] | who is near: one small trait, one file per provider, one table of them |
//! | [`server`] | the threaded driver: accept, conversations, links, stopping, counting |
//! | [`client`] | the command-line client |
//! | [`cli`] | clap arguments, turned into checked values |
//! | [`sim`] | the rules under virtual time, with faults, from a seed: uses [`proto`] alone |
//! | [`operating`] | no code: `OPERATING.md`, for those who run a herd |
//! | `tests` | tests that concern more than one room, and `tidy`, which enforces what is said here |
//!
//! Where to look first: a line's way is [`server`]'s `conversation`, then [`proto::session`], then
//! [`proto::node::Node::apply`], then [`server`]'s `commits` and `link`. Lines in canonical form are taken many at
//! once by `proto::line::fast`, on a shorter way to the same end. A wrong line's way ends in
//! [`proto::line::commands`], or in [`proto::peering::grammar`] if a server said it.
//!
//! # What does not exist here
//!
//! - [`proto`] never does I/O and never asks what time it is. It knows nothing of threads.
//! - No guard of the lock outlives a statement, and nothing is read, written, logged or waited for under it.
//! - There is no queue of messages to a neighbour: the store, in the order in which its records last changed, is
//!   the backlog, and a link is a position in it. A neighbour that is slow or down costs no memory.
//! - No thread is detached: each is joined by the scope that started it, the log's by its guard; only the one
//!   that waits for signals ends with the process. No thread polls for the stop.
//! - In a herd with a secret nobody is believed who has not proved to be a neighbour, but for classic ones, which are
//!   known by their addresses. No position moves before what it covers is merged.
//! - No reply leaves before its sighting is merged and kept, and none to a client is formatted under the lock. Nobody
//!   is told what a crash could still undo.
//! - Nothing outside is trusted to be short, finite, well-formed or finished: every buffer, wait and count has a
//!   bound with a name, and most of them an option: see `Limits` in [`config`].
//! - There is no async runtime and no `unsafe`.
//!
//! # Levels of the log
//!
//! `ERROR`: we are broken (a bug). `WARN`: a neighbour or a provider is, or a limit was hit. `INFO`: start, stop,
//! connections and links, and how it is every minute. `DEBUG`: every line in and out but beats, and why one was
//! refused. `TRACE`: beats and their answers.

pub mod cli;
pub mod client;
pub mod config;
pub mod frontend;
pub mod journal;
pub mod logging;
pub mod member;
pub mod net;
pub mod operating;
pub mod os;
pub mod peering;
pub mod places;
pub mod proto;
pub mod server;
pub mod sim;

#[cfg(test)]
mod tests;
