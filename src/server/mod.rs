//! The threaded driver: sockets, threads and one lock around the rules of `proto`.
//!
//! Threads and who joins them, all in scopes of [`Server::run`]:
//!
//! | thread | how many | blocks in |
//! |---|---|---|
//! | accept | one per port | `accept` |
//! | spawn | one | the queue of accepted connections, room for one more to begin |
//! | connection | one per connection | `read`, `write`, the provider of places |
//! | peer | one per neighbour and one more | the same, for connections on the peer port |
//! | link | one per neighbour | its channel of errands, `write` |
//! | watch | one per link that is up | `read` |
//!
//! There is one lock on the way of a line, `Shared::node`. It is taken for one statement at a time, in
//! none of which anything is read, written, logged or waited for. A link has a lock of its own, for its two threads;
//! the store's is taken after it, never before. The thread that calls [`Server::run`] says now and then how it is.
//!
//! Locks, channels, threads and sockets come from `sync`, so that tests can put a model of them in their place and
//! decide who goes on when: see `interleavings`.

mod accept;
mod admission;
mod beginners;
mod callers;
pub mod chance;
mod classic;
pub mod clock;
mod conversation;
mod ending;
mod errands;
mod farewell;
mod handover;
#[cfg(test)]
#[cfg(feature = "interleavings")]
mod interleavings;
mod link;
mod listen;
mod patience;
#[cfg(test)]
pub(crate) mod planted;
mod question;
mod queue;
mod quota;
mod reserve;
mod shared;
mod shutdown;
mod slips;
pub mod stats;
mod status;
mod sync;
mod threads;
mod turns;
mod warnings;
mod watcher;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::config::{Config, Limits};
use crate::places::Places;
use crate::proto::node::{Dialect, Node};
use accept::{ACCEPTED_MAX, Acceptor};
use admission::Admission;
use beginners::Beginners;
use callers::Callers;
use classic::ClassicSender;
use errands::{Bell, Errand};
use link::Sender;
use listen::{INPUT_BYTES_MAX, Output, Port, listen};
use queue::queue;
use shared::Shared;
use shutdown::Sockets;
use stats::Stats;
use status::LinkState;
use sync::{Receiver, RwLock, Scope, Sender as ChannelSender, TcpListener, bounded};
use threads::Threads;
use turns::Turns;
use warnings::Warnings;

/// How long conversations may take to finish what is in hand when the server stops.
const FINISH_WAIT_MAX: Duration = Duration::from_secs(2);

/// How long conversations may take after that to send what became of a question whose provider was broken off.
const LAST_WORD_WAIT_MAX: Duration = Duration::from_millis(500);

/// How long links may take to send what is due after that.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(2);

/// A server whose ports are open, not yet serving.
pub struct Server {
    clients: TcpListener,
    peers: TcpListener,
    neighbours: Vec<(SocketAddr, Receiver<Errand>)>,
    shared: Shared,
    status_every: Duration,
    stop: (ChannelSender<()>, Receiver<()>),
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// One of its addresses cannot be bound.
    #[error("cannot listen on {address}: {error}; stop what uses it, or choose another in the herd file")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The epoch of its memory.
    #[error("the operating system has no random numbers to give: {0}")]
    Random(io::Error),
    /// A thread that it needs from the start.
    #[error("cannot start a thread: {0}; raise the limit on processes")]
    Thread(io::Error),
}

/// Stops a server from any thread, as often as one likes.
#[derive(Clone, Debug)]
pub struct Stopper(ChannelSender<()>);

impl Stopper {
    /// Asks the server to stop; [`Server::run`] returns when it has.
    pub fn stop(&self) {
        // Full: it has been asked already. Disconnected: it has stopped.
        let _ = self.0.try_send(());
    }
}

impl Server {
    /// Opens both ports of the configured server.
    ///
    /// # Errors
    /// If one of them cannot be bound.
    pub fn bind(config: &Config, places: Arc<dyn Places>) -> Result<Server, ServeError> {
        let connections_max = reserve::connections_max(config, places.may_wait());
        let limits = Limits { connections_max, ..config.limits.clone() };
        let output = Output::shared_out(limits.output_bytes_max);
        let member = config.member();
        if config.trust.is_exposed(member) {
            log::warn!(
                "--insecure: everybody who can reach {} can forge what the herd knows; give all servers a secret",
                member.peer
            );
        }
        // Neighbours send in bulk, and have proved who they are.
        let bind = |address, input_bytes_max| {
            listen(address, output, input_bytes_max).map_err(|error| ServeError::Bind { address, error })
        };
        let (clients, peers) = (bind(member.client, Some(INPUT_BYTES_MAX))?, bind(member.peer, None)?);
        let neighbours = config.herd.neighbours(&config.name);
        let me = Arc::new(config.identity(chance::epoch().map_err(ServeError::Random)?));
        let callers = Callers::new(neighbours.len());
        let (bells, errands): (Vec<_>, Vec<_>) = neighbours.iter().map(|_| Bell::new()).unzip();
        let node = Node::new(Arc::clone(&me)).bounded(limits.clients_max);
        let shared = Shared {
            crowded: AtomicBool::new(node.store().is_crowded()),
            node: RwLock::new(node),
            me,
            bells,
            places,
            turns: Turns::of_this_machine(),
            beginners: Beginners::of_this_machine(),
            stats: Stats::default(),
            links: neighbours.iter().map(|_| LinkState::default()).collect(),
            classics: config.classics(),
            callers,
            conversations: Sockets::default(),
            dialling: Sockets::default(),
            link_sockets: Sockets::default(),
            admission: Admission::default(),
            limits,
            output,
            warnings: Warnings::default(),
        };
        let neighbours = neighbours.iter().map(|neighbour| neighbour.peer).zip(errands).collect();
        let status_every = config.log.status_every;
        Ok(Server { clients, peers, neighbours, shared, status_every, stop: bounded(1) })
    }

    /// What stops this server.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.0.clone())
    }

    /// Serves until stopped; then finishes what is in hand, drains the links, and joins every thread.
    ///
    /// # Errors
    /// If one of the threads that it needs from the start cannot be had.
    pub fn run(self) -> Result<(), ServeError> {
        let Server { clients, peers, neighbours, shared, status_every, stop } = self;
        let shared = &shared;
        sync::scope(|links| {
            let _stop_links_whatever_happens = OnDrop(|| shared.bells.iter().for_each(Bell::stop));
            for (index, (address, errands)) in neighbours.into_iter().enumerate() {
                let neighbour = &shared.me.neighbours[index];
                let name = format!("link-{}", neighbour.name);
                match neighbour.dialect {
                    Dialect::Herd => {
                        let sender = Sender::new(shared, index, address, errands);
                        spawn(links, name, move || sender.run())?;
                    }
                    Dialect::Classic => {
                        let sender = ClassicSender::new(shared, index, address, errands);
                        spawn(links, name, move || sender.run())?;
                    }
                }
            }
            sync::scope(|conversations| {
                let _stop_accepting_whatever_happens = OnDrop(|| stop_accepting(shared, &clients, &peers));
                let (accepted, to_serve) = queue(ACCEPTED_MAX);
                for (listener, port) in [(&clients, Port::Client), (&peers, Port::Peer)] {
                    let acceptor = Acceptor::new(shared, listener, port, accepted.clone());
                    spawn(conversations, format!("accept-{port}"), move || acceptor.run())?;
                }
                drop(accepted);
                let threads = Threads::start(conversations, shared)?;
                spawn(conversations, "spawn".to_owned(), move || threads.serve_all(&to_serve))?;
                log::info!("{} serves clients on {}", shared.me.name, address(&clients));
                status::say_every(shared, status_every, &stop.1);
                log::info!("stopping");
                status::say(shared);
                stop_accepting(shared, &clients, &peers);
                finish(&shared.conversations, "conversations", FINISH_WAIT_MAX);
                shared.places.stop();
                shared.conversations.wait_until_closed(clock::deadline(LAST_WORD_WAIT_MAX));
                shared.conversations.cut();
                Ok(())
            })?;
            shared.bells.iter().for_each(Bell::stop);
            finish(&shared.link_sockets, "links", DRAIN_WAIT_MAX);
            shared.link_sockets.cut();
            Ok(())
        })?;
        shared.warnings.finish();
        log::info!("stopped: {}", shared.stats);
        Ok(())
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Port::Client => "client",
            Port::Peer => "peer",
        })
    }
}

/// Wakes the threads that accept, and every conversation and every hello that waits for the other side.
fn stop_accepting(shared: &Shared, clients: &TcpListener, peers: &TcpListener) {
    shared.conversations.stop_reading();
    shared.dialling.stop_reading();
    for listener in [clients, peers] {
        sync::stop_listening(listener);
    }
}

/// Waits until all sockets of a kind are closed, or the time is over.
fn finish(sockets: &Sockets, what: &str, wait: Duration) {
    let left = sockets.wait_until_closed(clock::deadline(wait));
    if left > 0 {
        log::warn!("{left} {what} did not finish within {} s and are cut", wait.as_secs());
    }
}

fn spawn<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    name: String,
    work: impl FnOnce() + Send + 'scope,
) -> Result<(), ServeError> {
    sync::spawn(scope, name, work).map_err(ServeError::Thread)
}

/// The address of a listener, for people.
fn address(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string())
}

/// Runs a closure when it goes out of scope, on an early return and a panic too: a scope waits for its
/// threads, so they must be told to end whatever happens.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
