//! A herd of peer servers that knows where every mobile client was last seen.
//!
//! A client tells any server where it is (`IAMAT`); servers flood it to their neighbours (`AT`); anyone asks any
//! server where a client was last seen and what is near it (`WHATSAT`). One operating-system thread serves each
//! connection and each link, and all of them share one lock.
//!
//! # The map
//!
//! Every room uses only rooms above it. `tests/tidy` enforces that, and that the files of a room form no import ring.
//!
//! | room | what lives there |
//! |---|---|
//! | [`proto`] | the rules, in layers: model, store, wal, node, line, peering; and `PROTOCOL.md`, the wire |
//! | [`config`] | the herd (names, addresses, links) and the options, checked once |
//! | [`journal`] | the files that make an acknowledged sighting survive: append, snapshot, recover |
//! | [`places`] | who is near: one small trait, one file per provider, one table of them |
//! | [`logging`] | `<server>.log`: whole lines, escaped, through a bounded channel to a thread of their own |
//! | [`os`] | the operating system: time, locks, threads, permits, mapped files, limits, signals, Unix sockets |
//! | [`net`] | connections in, of any protocol: accept, admission, a thread for each, TLS, deadlines, stopping |
//! | [`member`] | one running member as an API: apply, persist, locate, nearby, subscribe; group commit, metrics |
//! | [`frontend`] | the doors: one file for each protocol, and the thread that serves one connection |
//! | [`database`] | a core database, which follows the change log: writer, cold start, history; and `FORMAT.md` |
//! | [`peering`] | links out: one dialer, one sender for each dialect, the reader of acknowledgements |
//! | [`server`] | assembly: which threads start, and in which order they stop |
//! | [`client`], [`cli`] | the command-line client and questions to running servers; clap arguments, checked |
//! | [`sim`] | the rules and the conversation under virtual time, with faults, from a seed |
//! | [`operating`] | no code: `OPERATING.md`, for those who run a herd |
//! | `tests` | what concerns more than one room; `interleavings`, `mutants`, and `tidy` |
//!
//! # The way of a line
//!
//! 1. [`net::accept`] admits the connection, [`net::thread_pool`] gives it a thread, which interrupts no other
//!    when it is woken ([`os::scheduling`]), and [`frontend::serve`] its door.
//! 2. [`frontend::connection`] reads bytes, waits for a permit if they are many ([`member::turn::TurnPermits`]), and
//!    lends a turn to [`member::conversation`], which is the same for every driver: threads here, tokio and epoll in
//!    `bench`, the simulator. In a herd with a secret a neighbour's bytes are
//!    frames first, which [`proto::peering::frames`] opens.
//! 3. [`proto::session`] parses each line into the turn's batch of updates and replies: [`proto::line::session`] for
//!    clients, [`proto::peering::session`] for neighbours. A report in canonical form takes `proto::line::fast`, a
//!    shorter way to one result. Every other line, good or bad, goes to [`proto::line::commands`] or
//!    [`proto::peering::grammar`]. A question (`WHATSAT`) pauses the conversation: the connection asks
//!    [`member::Member::nearby`], which has the rate limit, and the answer is laid out by [`proto::line::query`]. What
//!    is said in place of one that may not be asked now (`OVER_QUERY_LIMIT`) stands in `places/error.rs`.
//! 4. [`member::Member::flush`] applies the updates under the write lock ([`proto::node::Node::apply`], and the one
//!    rule of merging in [`proto::store::update`]). It keeps them in a lane of the journal ([`member::lanes`]), whose
//!    log buffer ([`proto::wal::log_buffer`]) outlives the process; or, where a commit must be on disk, waits for the
//!    one that covers them ([`member::group_commit`]).
//! 5. Followers of the change log are told ([`member::notifier`]). A few changes are sent to a link at once by the
//!    thread that has merged them (`peering/writer.rs`), if that takes no wait. Otherwise the link's own thread wakes,
//!    and [`peering::link`] sends what is due since its [`proto::store::cursor`]. Then the replies leave in one write;
//!    a client that does not take them in time ([`net::deadlines`]) is cut by its connection.
//!
//! In a herd with more links than a tree needs, most lines would be known before they come. [`proto::tree`] prunes such
//! links: a lazy one offers hashes ([`proto::peering::offers`]), and carries lines again when its neighbour lacks some.
//!
//! A request of HTTP goes another way to the same member: [`frontend::http`] reads it with [`proto::http::request`], a
//! file of [`proto::http::phones`] makes points of it, and [`proto::http::reports`] is the batch that
//! [`member::Member::report`] applies and makes durable before the answer leaves. Which clients are in a box or near a
//! place is asked of [`member::finder`], a follower of the change log with an index by place
//! ([`proto::geo::spatial_index`]).
//!
//! A message of MQTT goes the way of a request: [`frontend::mqtt`] reads it with [`proto::mqtt::decode`], makes points
//! of it as HTTP does, and acknowledges it when [`member::Member::report`] has made them durable. A subscriber follows
//! the change log as a stream does ([`member::watch`]), and waits for its socket and a bell ([`os::bell`]) at once.
//! What is no place is passed on through one ring ([`frontend::relay`]), if that is asked for.
//!
//! The files of the map page, in `frontend/page`, are compressed by `src/build.rs` and sent by [`frontend::page`]. All
//! that they show they ask for, as any program does.
//!
//! A browser that shows clients holds a stream open ([`frontend::http`], `events.rs`). It is a follower of the change
//! log without a queue ([`member::watch`]); all of them are woken together by the finder ([`member::watchers`]).
//!
//! A link that is down is dialled again by [`peering::dialer`], after the waits of [`proto::peering::backoff`].
//!
//! In a herd with a secret what a link says is sealed in frames (`peering/channel.rs`) and opened by the server that
//! reads it (`frontend/sealed.rs`), beneath the lines, as TLS is. On SIGHUP `server/live_herd.rs` reads the herd file
//! again, and links come and go with it; `server/supervisor.rs` tells systemd how the server is.
//!
//! When the disk is full or fails, a write in `journal/lane.rs` or a flush in [`member::group_commit`] says so; the
//! latter withholds acknowledgements then, and [`member::flusher`] retries with a checkpoint until all is whole again.
//!
//! With a core database ([`database`]) a writer follows the change log, too, and a server that begins without data
//! reads it before its ports open. What [`member::Member::apply`] takes of clients goes into its history, whether it is
//! news or not; [`member::core`] is what doors may ask of it.
//!
//! A client comes to an end when it expires ([`proto::store::expiry`]) or is forgotten ([`member::Member::forget`],
//! asked through [`frontend::admin`]), which begins an era ([`proto::model::era`]). What servers tell each other of
//! their bounds in heartbeats is in [`proto::store::terms`].
//!
//! To add a command, write a file in [`proto::line::commands`], its `mod` line and its entry in the list there; one
//! that needs the store or a provider needs a step of its own too, as `WHATSAT` has. A provider of places is a file in
//! `places/providers` and its entry there; an app that reports over HTTP is a file in [`proto::http::phones`] and its
//! path in `frontend/http/route.rs`; a counter or a warning is a row in [`member::metrics`].
//!
//! # What does not exist here
//!
//! - [`proto`] never does I/O and never asks what time it is. It knows nothing of threads. [`net`] knows no protocol.
//! - No guard of the lock leaves the closure that took it, and nothing is read, written, logged or waited for under it.
//! - There is no queue of messages to a neighbour: the store, in the order in which its records last changed, is
//!   the backlog, and a link is a position in it. A neighbour that is slow or down costs no memory.
//! - No thread is detached: each is joined by the scope that started it, the log's by its guard; only those
//!   that wait for signals or for the system's resolver ([`net::lookup`]) end with the process. No thread polls for the
//!   stop.
//! - In a herd with a secret only a neighbour that has authenticated is believed, in frames that it alone can have
//!   sealed ([`proto::peering::noise`]), and a legacy one by its address. No link of such a herd is ever in clear. No
//!   position moves before what it covers is merged.
//! - No reply leaves before its sighting is merged and durable, and none to a client is formatted under the lock. A
//!   neighbour is never told what a crash could still undo.
//! - Nothing outside is trusted to be short, finite, well-formed or finished: every buffer, wait and count has a
//!   bound with a name, and most of them an option: see `Limits` in [`config`].
//! - There is no async runtime, and no `unsafe` but in [`os::mapping`]. There is no test hook in release code: mistakes
//!   that tests must find are source mutants.
//!
//! # Levels of the log
//!
//! `ERROR`: we are broken (a bug). `WARN`: a neighbour or a provider is, or a limit was hit. `INFO`: start, stop,
//! connections and links, and the status every minute. `DEBUG`: every line in and out but heartbeats, and why one was
//! refused. `TRACE`: heartbeats and their answers. Warnings and connections are throttled: [`member::warnings`].

pub mod cli;
pub mod client;
pub mod config;
pub mod database;
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
