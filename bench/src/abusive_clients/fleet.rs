//! The process that is a fleet: one thread, an epoll loop over all its connections.
//!
//! It says `GATHERED` in a line when every client has been connected once, goes on until its standard input ends,
//! which also happens when the process that has started it is gone, and says what it has counted in a line of JSON.

use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use clap::Args;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::behaviour::Behaviour;
use super::client::Client;
use super::count::Count;
use crate::load::clock;
use crate::load::make_room;

/// The line that says that all have come.
pub(super) const GATHERED: &str = "gathered";

/// The addresses that fleets come from: enough that none runs out of ports, even if ports rest for a minute.
const SOURCES: u32 = 64;

/// The first of them.
const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 66, 0, 1);

/// The token of the standard input; all others are numbers of clients.
const INPUT: Token = Token(usize::MAX);

/// Between two looks at whose turn it is.
const TICK: Duration = Duration::from_millis(5);

/// How long the last answers may take to come when the fleet is told to end.
const LAST_ANSWERS_MAX: Duration = Duration::from_secs(5);

/// What is read at once.
const SCRATCH_BYTES: usize = 64 * 1024;

/// What a fleet is told.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How its clients behave.
    #[arg(value_enum)]
    pub behaviour: Behaviour,
    /// Its clients.
    pub size: u32,
    /// Where they connect to: this machine.
    pub target: SocketAddr,
}

/// Is a fleet until the standard input ends.
///
/// # Errors
/// If it may not have enough descriptors, is to go elsewhere than to this machine, or no server listens there.
pub fn run(options: &Options, said: &mut dyn Write) -> io::Result<()> {
    if !options.target.ip().is_loopback() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "fleets are for servers on this machine alone"));
    }
    make_room(options.size).map_err(io::Error::other)?;
    let mut fleet = Fleet::new(options)?;
    fleet.be(said)?;
    fleet.count.cpu_seconds = clock::own_cpu_ns() as f64 / clock::NS_PER_SECOND as f64;
    serde_json::to_writer(&mut *said, &fleet.count)?;
    writeln!(said)
}

struct Fleet {
    behaviour: Behaviour,
    target: SocketAddr,
    clients: Vec<Client>,
    poll: Poll,
    count: Count,
    scratch: Box<[u8]>,
    /// Connections begun, to take the sources in turn.
    begun: u32,
    began_ns: u64,
    /// Turns taken, of all clients together.
    turns: u64,
}

impl Fleet {
    fn new(options: &Options) -> io::Result<Fleet> {
        let &Options { behaviour, size, target } = options;
        let poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&io::stdin().as_raw_fd()), INPUT, Interest::READABLE)?;
        let now_ns = clock::wall_ns();
        Ok(Fleet {
            behaviour,
            target,
            clients: (0..size as usize).map(|number| Client::new(behaviour, number, now_ns)).collect(),
            poll,
            count: Count::default(),
            scratch: vec![0; SCRATCH_BYTES].into(),
            begun: 0,
            began_ns: clock::monotonic_ns(),
            turns: 0,
        })
    }

    fn be(&mut self, said: &mut dyn Write) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut has_gathered = false;
        loop {
            self.take_turns();
            if !self.wait(&mut events)? {
                break;
            }
            if !has_gathered && self.clients.iter().all(|client| client.has_come) {
                has_gathered = true;
                writeln!(said, "{GATHERED}")?;
                said.flush()?;
            }
        }
        let end_ns = clock::monotonic_ns() + clock::ns(LAST_ANSWERS_MAX);
        while self.clients.iter().any(Client::waits) && clock::monotonic_ns() < end_ns {
            self.wait(&mut events)?;
        }
        self.clients.iter_mut().for_each(|client| client.leave(&mut self.count));
        Ok(())
    }

    /// Gives everybody whose turn has come one turn; who is late by more has missed the others.
    fn take_turns(&mut self) {
        let (size, turn_ns) = (self.clients.len() as u64, clock::ns(self.behaviour.turn()));
        let elapsed_ns = clock::monotonic_ns() - self.began_ns;
        let due = match self.behaviour.is_at_once() {
            true => (elapsed_ns / turn_ns + 1) * size,
            false => (u128::from(elapsed_ns) * u128::from(size) / u128::from(turn_ns)) as u64,
        };
        for turn in self.turns.max(due.saturating_sub(size))..due {
            let index = (turn % size) as usize;
            let source = IpAddr::V4(Ipv4Addr::from(u32::from(FIRST_SOURCE) + self.begun % SOURCES));
            self.begun += 1;
            let registry = self.poll.registry();
            self.clients[index].turn(self.target, source, Token(index), registry, &mut self.count);
        }
        self.turns = due;
    }

    /// Waits for events a moment; whether the standard input is still there.
    fn wait(&mut self, events: &mut Events) -> io::Result<bool> {
        match self.poll.poll(events, Some(TICK)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            polled => polled?,
        }
        let mut is_there = true;
        for event in events.iter() {
            match event.token() {
                INPUT => is_there = false,
                Token(index) => self.clients[index].happen(event, &mut self.scratch, &mut self.count),
            }
        }
        Ok(is_there)
    }
}
