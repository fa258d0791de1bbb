//! A thread for every connection: one that has just finished with another, or a new one.
//!
//! A thread still serves one connection from its first byte to its last. Keeping it for a while afterwards
//! saves the cost of starting one, which nearly doubles the connections that can be served in a second. Some are
//! started with the server and kept for the peer port: clients that have taken all other threads must not part the
//! herd.

use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::accept::Accepted;
use super::beginners::Beginner;
use super::conversation;
use super::farewell::Farewells;
use super::handover::Handover;
use super::listen::Port;
use super::queue::{Taken, Taker};
use super::sync::{self, Mutex, Scope};
use super::warnings::Cause;
use super::{ServeError, Shared, clock, spawn};

/// How long a thread without a connection waits for one.
const IDLE: Duration = Duration::from_secs(10);

/// Memory that must be there before a thread is started: a process that finds none for a small buffer ends, so what
/// is left is kept for those who are served. The allocator reserves up to 64 MiB for a thread; only a larger piece is
/// certain to be asked of the system, and given back at once. Room for the stacks of [`THREADS_PER_LOOK`] threads is
/// in it, too.
const HEADROOM_BYTES: usize = 80 << 20;

/// Threads that are started until the system is asked for that memory again: asking makes all processors forget what
/// they know of the process's memory, which a storm of connections notices.
const THREADS_PER_LOOK: u64 = 16;

/// Hands accepted connections to threads.
pub(super) struct Threads<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    shared: &'env Shared,
    started: u64,
    idle: Arc<Handover<Beginning<'env>>>,
    kept_for_peers: Arc<Handover<Beginning<'env>>>,
    farewells: Farewells,
}

/// A connection on its way to a thread.
type Beginning<'a> = (Accepted<'a>, Beginner<'a>);

impl<'scope, 'env> Threads<'scope, 'env> {
    /// Starts the threads that are kept: one for each neighbour, and one for whoever else knocks.
    ///
    /// # Errors
    /// If they cannot be had.
    pub(super) fn start(
        scope: &'scope Scope<'scope, 'env>,
        shared: &'env Shared,
    ) -> Result<Threads<'scope, 'env>, ServeError> {
        let (idle, kept_for_peers) = (Arc::default(), Arc::<Handover<Beginning>>::default());
        let farewells = Farewells::default();
        // Whatever happens, it ends the wait of those that are kept.
        let threads = Threads { scope, shared, started: 0, idle, kept_for_peers, farewells };
        for number in 0..=shared.me.neighbours.len() {
            let peers = Arc::clone(&threads.kept_for_peers);
            spawn(scope, format!("peer-{number}"), move || {
                while let Some(connection) = peers.wait(None) {
                    serve(shared, connection);
                }
            })?;
        }
        Ok(threads)
    }

    /// Serves every accepted connection, until accepting has ended.
    pub(super) fn serve_all(mut self, accepted: &Taker<IpAddr, Accepted<'env>>) {
        loop {
            let beginner = self.shared.beginners.wait_for_room();
            match accepted.take(self.farewells.due()) {
                Taken::One(connection) => self.serve((connection, beginner)),
                Taken::Late => {}
                Taken::Ended => return,
            }
            self.farewells.close_due();
        }
    }

    fn serve(&mut self, connection: Beginning<'env>) {
        let kept = match connection.0.port {
            Port::Peer => self.kept_for_peers.hand(connection),
            Port::Client => Err(connection),
        };
        let Err(connection) = kept.or_else(|connection| self.idle.hand(connection)) else { return };
        if self.started.is_multiple_of(THREADS_PER_LOOK) && !is_memory_left() {
            self.refuse(connection, Cause::Memory, "memory", "no memory is left; raise the limit on it");
            return;
        }
        self.started += 1;
        let name = format!("connection-{}", self.started);
        // The connection crosses in a slot of its own, so that it is still here if no thread can be had.
        let slot = Arc::new(Mutex::new(Some(connection)));
        let (shared, more, first) = (self.shared, Arc::clone(&self.idle), Arc::clone(&slot));
        match sync::spawn(self.scope, name, move || serve_one_after_another(shared, &first, &more)) {
            Ok(()) => {}
            Err(error) => {
                let Some(connection) = slot.lock().take() else { return };
                let why = format_args!("{error}; raise the limits on processes or mappings");
                self.refuse(connection, Cause::Threads, "thread", why);
            }
        }
    }

    fn refuse(&mut self, (connection, _): Beginning<'env>, cause: Cause, what: &str, why: impl fmt::Display) {
        let Accepted { socket, from, .. } = connection;
        self.shared.stats.connections_refused.add(1);
        self.shared.hit(cause, format_args!("refused {from}, no {what} for one more connection: {why}"));
        let told = format!("no {what} for one more connection; try again later");
        self.farewells.refuse(socket, told);
    }
}

impl Drop for Threads<'_, '_> {
    fn drop(&mut self) {
        self.idle.end();
        self.kept_for_peers.end();
    }
}

fn is_memory_left() -> bool {
    let mut piece = Vec::<u8>::new();
    let got = piece.try_reserve_exact(HEADROOM_BYTES).is_ok();
    // Memory that is never used would not even be asked for.
    std::hint::black_box(&piece);
    got
}

fn serve_one_after_another<'a>(
    shared: &'a Shared,
    first: &Mutex<Option<Beginning<'a>>>,
    more: &Handover<Beginning<'a>>,
) {
    let mut next = first.lock().take();
    while let Some(connection) = next {
        serve(shared, connection);
        next = more.wait(Some(clock::deadline(IDLE)));
    }
}

/// Serves one connection. A bug of ours costs this one, and nobody else's.
fn serve<'a>(shared: &'a Shared, (connection, beginner): Beginning<'a>) {
    let from = connection.from;
    drop(beginner);
    if catch_unwind(AssertUnwindSafe(|| conversation::serve(shared, connection))).is_err() {
        shared.stats.bugs.add(1);
        log::error!(
            "bug: the conversation with {from} panicked; please report what stands on standard error"
        );
        // Part of its news may be stored, which only it would have kept and told of.
        if let Some(commits) = &shared.commits {
            commits.keeper.touch();
        }
        shared.bells.iter().for_each(|bell| bell.news());
    }
}
