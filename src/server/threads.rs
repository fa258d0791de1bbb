//! A thread for every connection: one that has just finished with another, or a new one.
//!
//! A thread still serves one connection from its first byte to its last. Keeping it for a while afterwards
//! saves the cost of starting one, which nearly doubles the connections that can be served in a second. Some are
//! started with the server and kept for the peer port: clients that have taken all other threads must not part the
//! herd.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::accept::Accepted;
use super::conversation;
use super::farewell::Farewells;
use super::listen::Port;
use super::queue::{Taken, Taker};
use super::sync::{self, Mutex, Receiver, Scope, Sender, bounded};
use super::warnings::Cause;
use super::{ServeError, Shared, spawn};

/// How long a thread without a connection waits for one.
const IDLE: Duration = Duration::from_secs(10);

/// Memory that must be there before a thread is started: a process that finds none for a small buffer ends, so what
/// is left is kept for those who are served. The allocator reserves up to 64 MiB for a thread; only a larger piece is
/// certain to be asked of the system, and given back at once.
const HEADROOM_BYTES: usize = 65 << 20;

/// Hands accepted connections to threads.
pub(super) struct Threads<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    shared: &'env Shared,
    started: u64,
    /// No capacity: a connection is handed over only to a thread that is waiting for one.
    idle: Sender<Accepted<'env>>,
    next_connection: Receiver<Accepted<'env>>,
    kept_for_peers: Sender<Accepted<'env>>,
    farewells: Farewells,
}

impl<'scope, 'env> Threads<'scope, 'env> {
    /// Starts the threads that are kept: one for each neighbour, and one for whoever else knocks.
    ///
    /// # Errors
    /// If they cannot be had.
    pub(super) fn start(
        scope: &'scope Scope<'scope, 'env>,
        shared: &'env Shared,
    ) -> Result<Threads<'scope, 'env>, ServeError> {
        let (idle, next_connection) = bounded(0);
        let (kept_for_peers, next_peer) = bounded::<Accepted>(0);
        for number in 0..=shared.me.neighbours.len() {
            let next_peer = next_peer.clone();
            spawn(scope, format!("peer-{number}"), move || {
                next_peer.iter().for_each(|connection| serve(shared, connection));
            })?;
        }
        let farewells = Farewells::default();
        Ok(Threads { scope, shared, started: 0, idle, next_connection, kept_for_peers, farewells })
    }

    /// Serves every accepted connection, until accepting has ended.
    pub(super) fn serve_all(mut self, accepted: &Taker<Accepted<'env>>) {
        loop {
            match accepted.take(self.farewells.due()) {
                Taken::One(connection) => self.serve(connection),
                Taken::Late => {}
                Taken::Ended => return,
            }
            self.farewells.close_due();
        }
    }

    fn serve(&mut self, connection: Accepted<'env>) {
        let kept = match connection.port {
            Port::Peer => hand_over(&self.kept_for_peers, connection),
            Port::Client => Err(connection),
        };
        let Err(connection) = kept.or_else(|connection| hand_over(&self.idle, connection)) else { return };
        if !is_memory_left() {
            self.refuse(connection, Cause::Memory, "memory", "no memory is left; raise the limit on it");
            return;
        }
        self.started += 1;
        let name = format!("connection-{}", self.started);
        // The connection crosses in a slot of its own, so that it is still here if no thread can be had.
        let slot = Arc::new(Mutex::new(Some(connection)));
        let (shared, more, first) = (self.shared, self.next_connection.clone(), Arc::clone(&slot));
        match sync::spawn(self.scope, name, move || serve_one_after_another(shared, &first, &more)) {
            Ok(()) => {}
            Err(error) => {
                let Some(connection) = slot.lock().take() else { return };
                let why = format_args!("{error}; raise the limits on processes or mappings");
                self.refuse(connection, Cause::Threads, "thread", why);
            }
        }
    }

    fn refuse(&mut self, connection: Accepted<'env>, cause: Cause, what: &str, why: impl fmt::Display) {
        let Accepted { socket, from, .. } = connection;
        self.shared.stats.connections_refused.add(1);
        self.shared.hit(cause, format_args!("refused {from}, no {what} for one more connection: {why}"));
        let told = format!("no {what} for one more connection; try again later");
        self.farewells.refuse(socket, told);
    }
}

fn is_memory_left() -> bool {
    let mut piece = Vec::<u8>::new();
    let got = piece.try_reserve_exact(HEADROOM_BYTES).is_ok();
    // Memory that is never used would not even be asked for.
    std::hint::black_box(&piece);
    got
}

/// Gives the connection to a thread that waits for one, or back.
fn hand_over<'a>(threads: &Sender<Accepted<'a>>, connection: Accepted<'a>) -> Result<(), Accepted<'a>> {
    threads.try_send(connection).map_err(|error| error.into_inner())
}

fn serve_one_after_another<'a>(
    shared: &'a Shared,
    first: &Mutex<Option<Accepted<'a>>>,
    more: &Receiver<Accepted<'a>>,
) {
    let mut next = first.lock().take();
    while let Some(connection) = next {
        serve(shared, connection);
        next = more.recv_timeout(IDLE).ok();
    }
}

/// Serves one connection. A bug of ours costs this one, and nobody else's.
fn serve<'a>(shared: &'a Shared, connection: Accepted<'a>) {
    let from = connection.from;
    if catch_unwind(AssertUnwindSafe(|| conversation::serve(shared, connection))).is_err() {
        shared.stats.bugs.add(1);
        log::error!(
            "bug: the conversation with {from} panicked; please report what stands on standard error"
        );
        // Part of its news may be stored, which only it would have told of.
        shared.bells.iter().for_each(|bell| bell.news());
    }
}
