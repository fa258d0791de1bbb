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
//! | journal | one, if there is a journal | until something is written, the disk |
//!
//! There is one lock on the way of a line, `Shared::node`. It is taken for one statement at a time, in
//! none of which anything is read, written, logged or waited for. A link has a lock of its own, for its two threads;
//! the store's is taken after it, never before. What waits to be written to the journal has one that is taken after the
//! store's; who writes holds neither: see `commits`. The thread that calls [`Server::run`] says now and then how it is.
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
mod commits;
mod conversation;
mod ending;
mod errands;
mod farewell;
mod handover;
#[cfg(test)]
#[cfg(feature = "interleavings")]
mod interleavings;
mod keeper;
mod link;
mod listen;
mod memory;
mod patience;
#[cfg(test)]
pub(crate) mod planted;
mod question;
mod queue;
mod quota;
mod reserve;
mod rewriting;
mod running;
mod settling;
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
mod writing;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::config::{Config, Limits};
use crate::journal::OpenError;
use crate::places::Places;
use admission::Admission;
use beginners::Beginners;
use callers::Callers;
use errands::{Bell, Errand};
use listen::{INPUT_BYTES_MAX, Output, Port, listen};
use memory::Recovered;
use running::Serving;
use shared::Shared;
use shutdown::Sockets;
use stats::Stats;
use status::LinkState;
use sync::{Receiver, RwLock, Scope, Sender as ChannelSender, TcpListener, bounded};
use turns::Turns;
use warnings::Warnings;

/// A server whose ports are open, not yet serving.
pub struct Server {
    clients: TcpListener,
    peers: TcpListener,
    neighbours: Vec<(SocketAddr, Receiver<Errand>)>,
    shared: Shared,
    status_every: Duration,
    must_rewrite: bool,
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
    /// Its journal cannot be used.
    #[error(transparent)]
    Journal(OpenError),
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
        let Recovered { me, node, commits, must_rewrite } = memory::recover(config)?;
        // Neighbours send in bulk, and have proved who they are.
        let bind = |address, input_bytes_max| {
            listen(address, output, input_bytes_max).map_err(|error| ServeError::Bind { address, error })
        };
        // Whoever gets through to the client port finds the other one open too.
        let peers = bind(member.peer, None)?;
        let clients = bind(member.client, Some(INPUT_BYTES_MAX))?;
        let neighbours = config.herd.neighbours(&config.name);
        let callers = Callers::new(neighbours.len());
        let (bells, errands): (Vec<_>, Vec<_>) = neighbours.iter().map(|_| Bell::new()).unzip();
        let node = node.bounded(limits.clients_max);
        let shared = Shared {
            crowded: AtomicBool::new(node.store().is_crowded()),
            node: RwLock::new(node),
            commits,
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
        Ok(Server { clients, peers, neighbours, shared, status_every, must_rewrite, stop: bounded(1) })
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
        let Server { clients, peers, neighbours, shared, status_every, must_rewrite, stop } = self;
        let serving =
            Serving { shared: &shared, clients: &clients, peers: &peers, status_every, stop: &stop.1 };
        serving.run(neighbours, must_rewrite)?;
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

fn spawn<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    name: String,
    work: impl FnOnce() + Send + 'scope,
) -> Result<(), ServeError> {
    sync::spawn(scope, name, work).map_err(ServeError::Thread)
}
