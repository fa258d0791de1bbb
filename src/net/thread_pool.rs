//! A thread for every connection: one that has just finished with another, or a new one.
//!
//! A thread still serves one connection from its first byte to its last. Keeping it for a while afterwards
//! saves the cost of starting one, which nearly doubles the connections that can be served in a second. Some are
//! started with the server and kept for peers: clients that have taken all other threads must not part the herd.
//!
//! The thread that accepts hands a connection to a thread that waits itself, if there is one and nothing else waits for
//! it: each thread on the way would be one more to wake. What is left goes through a queue.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::accept::{Accepted, Spoken};
use super::admission::{Class, network};
use super::fair_queue::{Received, Receiver, Sender, fair_queue};
use super::gate::{Event, Gate};
use super::handshake;
use super::idle_threads::IdleThreads;
use super::proxied;
use super::refuse::Refused;
use crate::config::Scheduling;
use crate::os::clock;
use crate::os::scheduling;
use crate::os::semaphore::{Permit, Semaphore};
use crate::os::sync::{self, AtomicBool, Mutex, Scope};

/// Accepted connections that wait for a thread: as many as a process can have, for accepting is faster than starting
/// threads, and what is not accepted in a storm overflows the kernel's queue. Each takes about 200 bytes.
const ACCEPTED_MAX: usize = 16 * 1024;

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
    scheduling: Scheduling,
    /// Whether it was said that the threads cannot have that.
    has_warned: AtomicBool,
}

/// Serves one connection from its first byte to its last.
type Serve<'a, P> = dyn Fn(Box<Accepted<'a, P>>) + Send + Sync + 'a;

impl<'a, P: Spoken> Service<'a, P> {
    /// Serves each connection by this closure.
    pub fn new(
        gate: &'a Gate,
        scheduling: Scheduling,
        serve: impl Fn(Box<Accepted<'a, P>>) + Send + Sync + 'a,
    ) -> Service<'a, P> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let start_permits = Semaphore::new(processors * START_PERMITS_PER_PROCESSOR);
        Service {
            gate,
            serve: Box::new(serve),
            start_permits,
            scheduling,
            has_warned: AtomicBool::new(false),
        }
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
            self.report_panic(from);
        }
    }

    /// Has this thread interrupt no other, if that is wanted. Where it is not allowed all goes on without it.
    fn share_processors(&self) {
        if self.scheduling == Scheduling::Batch
            && let Err(error) = scheduling::set_batch_policy()
            && !self.has_warned.swap(true, Ordering::Relaxed)
        {
            log::warn!(
                "threads of clients interrupt each other, which costs time: {error}; \
                 allow them sched_setscheduler, or choose --scheduling normal"
            );
        }
    }

    #[cold]
    fn report_panic(&self, from: SocketAddr) {
        let what = format_args!(
            "bug: the conversation with {from} panicked; please report what stands on standard error"
        );
        self.gate.report(Event::Panicked, what);
    }
}

/// Starts threads for accepted connections.
pub struct ThreadPool<'scope, 'env, 'a, P> {
    scope: &'scope Scope<'scope, 'env>,
    service: &'env Service<'a, P>,
    started: u64,
    waiting: Arc<Waiting<'a, 'env, P>>,
    accepted: Receiver<IpAddr, Box<Accepted<'a, P>>>,
    refused: Refused,
}

/// The way of accepted connections to threads.
pub struct Entrance<'a, 'env, P> {
    service: &'env Service<'a, P>,
    waiting: Arc<Waiting<'a, 'env, P>>,
    accepted: Sender<IpAddr, Box<Accepted<'a, P>>>,
}

/// Threads that have no connection.
struct Waiting<'a, 'env, P> {
    any: IdleThreads<Starting<'a, 'env, P>>,
    kept_for_peers: IdleThreads<Starting<'a, 'env, P>>,
}

/// A connection on its way to a thread, with the permit to start.
type Starting<'a, 'env, P> = (Box<Accepted<'a, P>>, Permit<'env>);

impl<'a, 'env, P> Waiting<'a, 'env, P> {
    /// Hands it to a thread, or back.
    fn hand(&self, connection: Starting<'a, 'env, P>) -> Result<(), Starting<'a, 'env, P>> {
        let kept = match connection.0.door.class {
            Class::Peer => self.kept_for_peers.hand(connection),
            Class::Client => Err(connection),
        };
        kept.or_else(|connection| self.any.hand(connection))
    }
}

impl<'a, P> Entrance<'a, '_, P> {
    /// Brings a connection to its thread, or to the queue of those that wait for one. It is dropped when the server has
    /// ended.
    pub fn serve(&self, accepted: Box<Accepted<'a, P>>) {
        let accepted = match self.service.start_permits.try_acquire() {
            // None is overtaken.
            Some(permit) if self.accepted.is_empty() => match self.waiting.hand((accepted, permit)) {
                Ok(()) => return,
                Err((accepted, _)) => accepted,
            },
            Some(_) | None => accepted,
        };
        let _ = self.accepted.send(network(accepted.from.ip()), accepted);
    }
}

impl<P> Clone for Entrance<'_, '_, P> {
    fn clone(&self) -> Self {
        let (waiting, accepted) = (Arc::clone(&self.waiting), self.accepted.clone());
        Entrance { service: self.service, waiting, accepted }
    }
}

impl<'scope, 'env, 'a, P: Send + Spoken + 'a> ThreadPool<'scope, 'env, 'a, P> {
    /// Starts the threads that are kept for the class of peers.
    ///
    /// # Errors
    /// If they cannot be had.
    pub fn start(
        scope: &'scope Scope<'scope, 'env>,
        service: &'env Service<'a, P>,
        kept_for_peers_count: usize,
    ) -> io::Result<(Entrance<'a, 'env, P>, ThreadPool<'scope, 'env, 'a, P>)> {
        let (any, kept_for_peers) = (IdleThreads::default(), IdleThreads::default());
        let waiting = Arc::new(Waiting { any, kept_for_peers });
        let (sender, accepted) = fair_queue(ACCEPTED_MAX);
        let entrance = Entrance { service, waiting: Arc::clone(&waiting), accepted: sender };
        // Whatever happens, it ends the wait of those that are kept.
        let pool = ThreadPool { scope, service, started: 0, waiting, accepted, refused: Refused::default() };
        for number in 0..kept_for_peers_count {
            let waiting = Arc::clone(&pool.waiting);
            sync::spawn(scope, format!("peer-{number}"), move || {
                while let Some(connection) = waiting.kept_for_peers.wait(None) {
                    service.serve(connection);
                }
            })?;
        }
        Ok((entrance, pool))
    }

    /// Serves every connection that waits in the queue, until all entrances are gone.
    pub fn serve_all(mut self) {
        loop {
            let permit = self.service.start_permits.acquire();
            match self.accepted.receive(self.refused.due()) {
                Received::One(connection) => self.serve((connection, permit)),
                Received::Late => {}
                Received::Ended => return,
            }
            self.refused.close_due();
        }
    }

    fn serve(&mut self, connection: Starting<'a, 'env, P>) {
        let Err(connection) = self.waiting.hand(connection) else { return };
        if self.started.is_multiple_of(THREADS_PER_LOOK) && !is_memory_left() {
            self.refuse(connection, Event::OutOfMemory, "memory", "no memory is left; raise the limit on it");
            return;
        }
        self.started += 1;
        let name = format!("connection-{}", self.started);
        // The connection crosses in a slot of its own, so that it is still here if no thread can be had.
        let slot = Arc::new(Mutex::new(Some(connection)));
        let (service, more, first) = (self.service, Arc::clone(&self.waiting), Arc::clone(&slot));
        match sync::spawn(self.scope, name, move || serve_one_after_another(service, &first, &more.any)) {
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
        let Accepted { stream, from, door, .. } = *connection;
        let gate = self.service.gate;
        gate.report(event, format_args!("refused {from}, no {what} for one more connection: {why}"));
        let told = format!("no {what} for one more connection; try again later");
        self.refused.refuse(stream, &door.refusal(&told));
    }
}

impl<P> Drop for ThreadPool<'_, '_, '_, P> {
    fn drop(&mut self) {
        self.waiting.any.end();
        self.waiting.kept_for_peers.end();
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
    service.share_processors();
    let mut next = first.lock().take();
    while let Some(connection) = next {
        service.serve(connection);
        next = more.wait(Some(clock::deadline(IDLE)));
    }
}

// Sockets of the system are no part of the model.
#[cfg(not(feature = "interleavings"))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::accept::Door;
    use crate::net::admission::Admission;
    use std::fmt::Display;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::sync::mpsc::channel;

    #[derive(Clone, Copy)]
    struct Plain;

    impl Display for Plain {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("plain")
        }
    }

    impl Spoken for Plain {
        fn refusal(self, why: &dyn Display) -> String {
            why.to_string()
        }

        fn answer_to_plain_text(self) -> String {
            String::new()
        }
    }

    #[test]
    fn connection_reaches_a_thread_that_waits_without_another_thread() {
        let limits = crate::config::Limits::default();
        let gate = Gate::new(limits, Admission::default(), Vec::new(), Box::new(|_, _| ()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, from) = listener.accept().unwrap();
        let (served, serves) = channel();
        let served = Mutex::new(served);
        let service = Service::new(&gate, Scheduling::Batch, |it: Box<Accepted<'_, Plain>>| {
            served.lock().send(it.from).unwrap()
        });
        sync::scope(|scope| {
            let (entrance, pool) = ThreadPool::start(scope, &service, 1).unwrap();
            while pool.waiting.kept_for_peers.count() == 0 {
                thread::yield_now();
            }
            let stream = Arc::new(stream);
            let admitted = gate.admission.admit(Class::Peer, from, &gate.limits).unwrap();
            let registered = gate.open.register(&stream);
            let door = Door { protocol: Plain, class: Class::Peer, tls: None };
            // Nothing takes from the queue.
            entrance.serve(Box::new(Accepted {
                door,
                stream,
                tls: None,
                from,
                is_proxied: false,
                admitted,
                registered,
            }));
            assert_eq!(serves.recv().unwrap(), from);
        });
    }
}
