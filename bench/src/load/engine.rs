//! One thread of the generator: an epoll loop over its share of the connections.
//!
//! [`Engine::open`] opens them and lets each introduce itself with one report, so that every server has
//! accepted all of them before anything is measured. Then one of the drives of `pacing` sends the load.

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use super::check::Known;
use super::clock;
use super::connection::{Connection, Stage, Trouble};
use super::counters::Counters;
use super::error::LoadError;
use super::request::Script;
use super::timer::Timer;
use super::tls::Trust;

/// How long a server may be silent while something waits for it.
pub(super) const PEER_TIMEOUT: Duration = Duration::from_secs(10);

/// What is read at once. A pipeline of 64 reports fits twenty times.
const SCRATCH_BYTES: usize = 128 * 1024;

/// Events taken from the system at once.
const EVENTS_MAX: usize = 1_024;

/// The longest wait between two looks at the clock.
const LOOK_MAX: Duration = Duration::from_millis(50);

/// The token of the timer; all others are numbers of connections.
const TIMER: Token = Token(usize::MAX);

/// What all threads of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) target: SocketAddr,
    pub(super) sources: Vec<IpAddr>,
    /// What is trusted, where TLS is spoken.
    pub(super) trust: Option<Trust>,
    /// Replies so far, of all threads, for those who watch.
    pub(super) replies: AtomicU64,
    /// Connections that have been answered.
    pub(super) opened: AtomicU64,
    /// One of the threads has failed: the others need not go on.
    pub(super) failed: AtomicBool,
}

pub(super) struct Engine<'a> {
    pub(super) shared: &'a Shared,
    pub(super) connections: Vec<Connection>,
    pub(super) counters: Counters,
    pub(super) timer: Timer,
    /// The number of this thread's first connection among all of the run.
    first: usize,
    poll: Poll,
    known: Known,
    scratch: Box<[u8]>,
    /// When the last reply came.
    heard_ns: u64,
    /// Connections opened so far, to take the sources in turn.
    connects: usize,
    /// Requests that wait for their replies, on all connections.
    waiting: usize,
}

/// What an event has done to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// Its first reply has come.
    Introduced,
    /// This number of replies has come.
    Replies(u64),
}

impl<'a> Engine<'a> {
    /// An engine for `count` connections, the first of which has the number `first`.
    pub(super) fn new(
        shared: &'a Shared,
        script: &Arc<Script>,
        first: usize,
        count: usize,
        clients: u32,
        counters: Counters,
    ) -> Result<Engine<'a>, LoadError> {
        let poll = Poll::new().map_err(LoadError::system("epoll"))?;
        let timer = Timer::new(poll.registry(), TIMER).map_err(LoadError::system("timerfd"))?;
        let connections = (first..first + count).map(|number| {
            let tls = shared.trust.as_ref().map(Trust::connection);
            Connection::new(script, number, clients, tls)
        });
        Ok(Engine {
            shared,
            connections: connections.collect(),
            counters,
            timer,
            first,
            poll,
            known: Known::new(),
            scratch: vec![0; SCRATCH_BYTES].into(),
            heard_ns: clock::monotonic_ns(),
            connects: 0,
            waiting: 0,
        })
    }

    /// Opens all connections, at most `at_once` of them unanswered at any time. `opened` is called for each
    /// with the times when it began and when it was answered.
    pub(super) fn open(
        &mut self,
        at_once: usize,
        mut opened: impl FnMut(&mut Counters, u64, u64),
    ) -> Result<(), LoadError> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let (mut begun, mut done) = (0, 0);
        self.heard_ns = clock::monotonic_ns();
        while done < self.connections.len() && !self.is_over() {
            while begun < self.connections.len() && begun - done < at_once {
                self.connect(begun)?;
                begun += 1;
            }
            self.wait(&mut events, LOOK_MAX, begun - done)?;
            for event in events.iter().filter(|event| event.token() != TIMER) {
                let index = event.token().0;
                if self.happen(event)? == Happened::Introduced {
                    done += 1;
                    self.shared.opened.fetch_add(1, Ordering::Relaxed);
                    opened(&mut self.counters, self.connections[index].began_ns, self.heard_ns);
                }
            }
        }
        Ok(())
    }

    /// Begins to connect.
    pub(super) fn connect(&mut self, index: usize) -> Result<(), LoadError> {
        let sources = &self.shared.sources;
        let target = self.shared.target;
        let failed = |error: Error| {
            let taken = matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable);
            if taken { LoadError::PortsTaken(target) } else { LoadError::Connect { address: target, error } }
        };
        // Ports of connections just closed rest for a while, so a source may have none left.
        let tries = sources.len().clamp(1, 8);
        for attempt in 1..=tries {
            let source = (!sources.is_empty()).then(|| sources[self.connects % sources.len()]);
            self.connects += 1;
            let connection = &mut self.connections[index];
            match connection.connect(target, source) {
                Ok(()) => break,
                Err(error) if attempt == tries => return Err(failed(error)),
                Err(_) => {}
            }
        }
        let Some(socket) = &mut self.connections[index].socket else { return Ok(()) };
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(socket, Token(index), interest).map_err(LoadError::system("epoll"))
    }

    /// Waits for events, at most for `wait`; `waiting` things are expected from the server.
    pub(super) fn wait(
        &mut self,
        events: &mut Events,
        wait: Duration,
        waiting: usize,
    ) -> Result<(), LoadError> {
        match self.poll.poll(events, Some(wait.min(LOOK_MAX))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                return Err(LoadError::system("epoll")(error));
            }
            Ok(()) | Err(_) => {}
        }
        if events.is_empty() && waiting > 0 {
            let silent_ns = clock::monotonic_ns().saturating_sub(self.heard_ns);
            if silent_ns > clock::ns(PEER_TIMEOUT) {
                let (address, seconds) = (self.shared.target, PEER_TIMEOUT.as_secs());
                return Err(LoadError::Silent { address, seconds, waiting: waiting as u64 });
            }
        }
        Ok(())
    }

    /// Takes what an event brings: a connection, replies, room for more requests.
    pub(super) fn happen(&mut self, event: &Event) -> Result<Happened, LoadError> {
        let index = event.token().0;
        let stage = self.connections[index].stage;
        match stage {
            Stage::Closed => return Ok(Happened::Replies(0)),
            Stage::Connecting if event.is_writable() || event.is_error() => self.introduce(index)?,
            Stage::Connecting | Stage::Introducing | Stage::Open => {}
        }
        if event.is_writable() {
            self.flush(index)?;
        }
        if !(event.is_readable() || event.is_read_closed() || event.is_error()) {
            return Ok(Happened::Replies(0));
        }
        let (mut replies, mut last_ns, mut counted) = (0, 0, 0);
        let counters = &mut self.counters;
        let introducing = stage != Stage::Open;
        let received =
            self.connections[index].receive(&mut self.scratch, &mut self.known, |waiting, now_ns| {
                replies += 1;
                last_ns = now_ns;
                // The introduction is part of opening, not of the load.
                if !introducing {
                    counted += u64::from(counters.answered(waiting, now_ns));
                }
            });
        self.connections[index].counted += counted;
        if replies > 0 {
            self.heard_ns = last_ns;
            self.waiting -= replies as usize;
            self.shared.replies.fetch_add(replies, Ordering::Relaxed);
        }
        received.map_err(|trouble| self.error(index, trouble))?;
        if introducing && replies > 0 {
            self.connections[index].stage = Stage::Open;
            return Ok(Happened::Introduced);
        }
        Ok(Happened::Replies(replies))
    }

    /// Sends what the system takes.
    pub(super) fn flush(&mut self, index: usize) -> Result<(), LoadError> {
        self.connections[index].flush().map_err(|trouble| self.error(index, trouble))
    }

    /// Adds a request that was due at `due_ns`; [`Engine::flush`] sends it.
    pub(super) fn ask(&mut self, index: usize, due_ns: u64, now_ns: u64) {
        self.connections[index].ask(due_ns, now_ns);
        self.waiting += 1;
    }

    /// Requests that wait for their replies, on all connections.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// A run that cannot succeed any more.
    pub(super) fn is_over(&self) -> bool {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// Room for what one [`Engine::wait`] takes.
    pub(super) fn events() -> Events {
        Events::with_capacity(EVENTS_MAX)
    }

    /// Whether an event is the timer's.
    pub(super) fn is_timer(event: &Event) -> bool {
        event.token() == TIMER
    }

    /// The system has connected, or has failed to; the first report follows.
    fn introduce(&mut self, index: usize) -> Result<(), LoadError> {
        let connection = &mut self.connections[index];
        let failed = connection.socket.as_ref().and_then(|socket| socket.take_error().transpose());
        if let Some(failed) = failed {
            let error = failed.unwrap_or_else(|error| error);
            return Err(LoadError::Connect { address: self.shared.target, error });
        }
        connection.stage = Stage::Introducing;
        let now_ns = clock::monotonic_ns();
        self.ask(index, now_ns, now_ns);
        self.flush(index)
    }

    fn error(&self, index: usize, trouble: Trouble) -> LoadError {
        let address = self.shared.target;
        match trouble {
            Trouble::Gone(error) => {
                let waiting = self.connections[index].waiting();
                LoadError::HungUp { address, connection: self.first + index, waiting, error }
            }
            Trouble::Wrong { why, request, reply } => LoadError::Wrong { address, why, request, reply },
        }
    }
}
