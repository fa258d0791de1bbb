//! A thread for every connection: one that has just finished with another, or a new one.
//!
//! A thread still serves one connection from its first byte to its last. Keeping it for a while afterwards
//! saves the cost of starting one, which nearly doubles the connections that can be served in a second. Some are
//! started with the server and kept for peers: clients that have taken all other threads must not part the herd.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::accept::{Accepted, Spoken};
use super::admission::Class;
use super::fair_queue::{Received, Receiver};
use super::gate::{Event, Gate};
use super::handshake;
use super::idle_threads::IdleThreads;
use super::proxied;
use super::refuse::Refused;
use crate::os::clock;
use crate::os::semaphore::{Permit, Semaphore};
use crate::os::sync::{self, Mutex, Scope};

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

/// Permits to start for each processor: more than one, so that no processor is idle while the next thread is started.
const START_PERMITS_PER_PROCESSOR: usize = 2;

/// What all threads of a pool need: the gate, the closure that serves one connection, and permits to start.
///
/// Threads that are started, or woken, for thousands of connections at once would all stand before a processor, and a
/// newcomer behind them. So no more are started than the processors can take at once, and the others wait where
/// those from different addresses take turns: see [`super::fair_queue`].
pub struct Service<'a, P> {
    gate: &'a Gate,
    serve: Box<Serve<'a, P>>,
    start_permits: Semaphore,
}

/// Serves one connection from its first byte to its last.
type Serve<'a, P> = dyn Fn(Accepted<'a, P>) + Send + Sync + 'a;

impl<'a, P: Spoken> Service<'a, P> {
    /// Serves each connection by this closure.
    pub fn new(gate: &'a Gate, serve: impl Fn(Accepted<'a, P>) + Send + Sync + 'a) -> Service<'a, P> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let start_permits = Semaphore::new(processors * START_PERMITS_PER_PROCESSOR);
        Service { gate, serve: Box::new(serve), start_permits }
    }

    /// Serves one connection. A bug of ours costs this one and no other.
    fn serve(&self, (connection, permit): Starting<'a, '_, P>) {
        let from = connection.from;
        drop(permit);
        let serve = || {
            let named = proxied::named(self.gate, connection);
            if let Some(connection) = named.and_then(|named| handshake::secured(self.gate, named)) {
                (self.serve)(connection);
            }
        };
        if catch_unwind(AssertUnwindSafe(serve)).is_err() {
            let what = format_args!(
                "bug: the conversation with {from} panicked; please report what stands on standard error"
            );
            self.gate.report(Event::Panicked, what);
        }
    }
}

/// Hands accepted connections to threads.
pub struct ThreadPool<'scope, 'env, 'a, P> {
    scope: &'scope Scope<'scope, 'env>,
    service: &'env Service<'a, P>,
    started: u64,
    idle: Arc<IdleThreads<Starting<'a, 'env, P>>>,
    kept_for_peers: Arc<IdleThreads<Starting<'a, 'env, P>>>,
    refused: Refused,
}

/// A connection on its way to a thread, with the permit to start.
type Starting<'a, 'env, P> = (Accepted<'a, P>, Permit<'env>);

impl<'scope, 'env, 'a, P: Send + Spoken + 'a> ThreadPool<'scope, 'env, 'a, P> {
    /// Starts the threads that are kept for the class of peers.
    ///
    /// # Errors
    /// If they cannot be had.
    pub fn start(
        scope: &'scope Scope<'scope, 'env>,
        service: &'env Service<'a, P>,
        kept_for_peers_count: usize,
    ) -> io::Result<ThreadPool<'scope, 'env, 'a, P>> {
        let (idle, kept_for_peers) = (Arc::default(), Arc::<IdleThreads<_>>::default());
        let refused = Refused::default();
        // Whatever happens, it ends the wait of those that are kept.
        let pool = ThreadPool { scope, service, started: 0, idle, kept_for_peers, refused };
        for number in 0..kept_for_peers_count {
            let peers = Arc::clone(&pool.kept_for_peers);
            sync::spawn(scope, format!("peer-{number}"), move || {
                while let Some(connection) = peers.wait(None) {
                    service.serve(connection);
                }
            })?;
        }
        Ok(pool)
    }

    /// Serves every accepted connection, until accepting has ended.
    pub fn serve_all(mut self, accepted: &Receiver<IpAddr, Accepted<'a, P>>) {
        loop {
            let permit = self.service.start_permits.acquire();
            match accepted.receive(self.refused.due()) {
                Received::One(connection) => self.serve((connection, permit)),
                Received::Late => {}
                Received::Ended => return,
            }
            self.refused.close_due();
        }
    }

    fn serve(&mut self, connection: Starting<'a, 'env, P>) {
        let kept = match connection.0.door.class {
            Class::Peer => self.kept_for_peers.hand(connection),
            Class::Client => Err(connection),
        };
        let Err(connection) = kept else { return };
        let Err(connection) = self.idle.hand(connection) else { return };
        if self.started.is_multiple_of(THREADS_PER_LOOK) && !is_memory_left() {
            self.refuse(connection, Event::OutOfMemory, "memory", "no memory is left; raise the limit on it");
            return;
        }
        self.started += 1;
        let name = format!("connection-{}", self.started);
        // The connection crosses in a slot of its own, so that it is still here if no thread can be had.
        let slot = Arc::new(Mutex::new(Some(connection)));
        let (service, more, first) = (self.service, Arc::clone(&self.idle), Arc::clone(&slot));
        match sync::spawn(self.scope, name, move || serve_one_after_another(service, &first, &more)) {
            Ok(()) => {}
            Err(error) => {
                let Some(connection) = slot.lock().take() else { return };
                let why = format_args!("{error}; raise the limits on processes or mappings");
                self.refuse(connection, Event::OutOfThreads, "thread", why);
            }
        }
    }

    fn refuse(
        &mut self,
        (connection, _): Starting<'a, 'env, P>,
        event: Event,
        what: &str,
        why: impl fmt::Display,
    ) {
        let Accepted { stream, from, door, .. } = connection;
        let gate = self.service.gate;
        gate.report(event, format_args!("refused {from}, no {what} for one more connection: {why}"));
        let told = format!("no {what} for one more connection; try again later");
        self.refused.refuse(stream, &door.refusal(&told));
    }
}

impl<P> Drop for ThreadPool<'_, '_, '_, P> {
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

fn serve_one_after_another<'a, 'env, P: Spoken>(
    service: &'env Service<'a, P>,
    first: &Mutex<Option<Starting<'a, 'env, P>>>,
    more: &IdleThreads<Starting<'a, 'env, P>>,
) {
    let mut next = first.lock().take();
    while let Some(connection) = next {
        service.serve(connection);
        next = more.wait(Some(clock::deadline(IDLE)));
    }
}
