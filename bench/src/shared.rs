//! One member of the herd as all its connections see it, and the bounds: those of the threaded server.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use proxyherd::config::Config;
use proxyherd::logging::Escaped;
use proxyherd::places::Places;
use proxyherd::proto::framing::Framing;
use proxyherd::proto::name::ServerName;
use proxyherd::proto::node::{Identity, Node};
use proxyherd::proto::peer::Epoch;
use proxyherd::proto::session::Session;

use crate::life::Failure;
use crate::options::open_places;
use crate::stats::{Count, Stats};

/// Replies are written when they have grown to this, even if more lines wait.
pub const REPLIES_BYTES_MAX: usize = 64 * 1024;

/// How long a write may wait for the other side to read.
pub const WRITE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Reads of a conversation after a stop has begun: they take what the kernel has received by then.
pub const LAST_READS_MAX: u32 = 16;

/// How many reads a closed conversation reads on, lest a reset overtake its last reply.
pub const LINGER_READS_MAX: u32 = 20;

/// How long one such read may wait.
pub const LINGER_WAIT: Duration = Duration::from_millis(50);

/// How long connecting to a neighbour may take.
pub const CONNECT_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long a neighbour may take to answer our hello.
pub const WELCOME_WAIT_MAX: Duration = Duration::from_secs(2);

/// Failures in a row after which a neighbour is reported as away.
const FAILURES_UNTIL_WARNING: u64 = 6;

/// How long conversations may take to finish what is in hand when the server stops.
pub const FINISH_WAIT_MAX: Duration = Duration::from_secs(2);

/// How long links may take to send what is due after that.
pub const DRAIN_WAIT_MAX: Duration = Duration::from_secs(2);

/// Which of its two ports a connection came in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Clients are served here.
    Client,
    /// Neighbours are listened to here.
    Peer,
}

/// What all connections of a server share.
pub struct Shared {
    /// What never changes of this server.
    pub me: Arc<Identity>,
    /// Where its clients come.
    pub clients: SocketAddr,
    /// Where its neighbours come.
    pub peers: SocketAddr,
    /// Where its neighbours are, by their indices.
    pub neighbours: Vec<SocketAddr>,
    /// What it knows.
    pub node: RwLock<Node>,
    /// Whom it asks what is near.
    pub places: Arc<dyn Places>,
    /// What it counts.
    pub stats: Stats,
    /// Whether new clients may be refused soon.
    pub crowded: AtomicBool,
    clients_open: AtomicU32,
    /// Clients that may be connected at once.
    pub connections_max: u32,
}

impl Shared {
    /// A member that knows nothing yet.
    ///
    /// # Errors
    /// If the provider of places cannot be used.
    pub fn new(config: &Config) -> Result<Shared, Failure> {
        let neighbours = config.herd.neighbours(&config.name);
        let me = Arc::new(Identity {
            name: config.name.clone(),
            neighbours: neighbours.iter().map(|neighbour| neighbour.name.clone()).collect(),
            epoch: Epoch(fastrand::u64(..)),
            catch_up: config.herd.catch_up,
            clock_lead_max: config.clock_lead_max,
        });
        let node = Node::new(Arc::clone(&me)).bounded(config.limits.clients_max);
        Ok(Shared {
            crowded: AtomicBool::new(node.store().is_crowded()),
            node: RwLock::new(node),
            me,
            clients: config.member().client,
            peers: config.member().peer,
            neighbours: neighbours.iter().map(|neighbour| neighbour.peer).collect(),
            places: open_places(config)?,
            stats: Stats::default(),
            clients_open: AtomicU32::new(0),
            connections_max: config.limits.connections_max,
        })
    }

    /// Whether one more connection may be served; if so it counts until [`Shared::leave`].
    pub fn enter(&self, port: Port) -> bool {
        match port {
            Port::Client => {
                if self.clients_open.load(Ordering::Relaxed) >= self.connections_max {
                    return false;
                }
                self.clients_open.fetch_add(1, Ordering::Relaxed);
                self.stats.add(Count::ClientsAccepted, 1);
            }
            Port::Peer => self.stats.add(Count::PeersAccepted, 1),
        }
        true
    }

    /// A connection has ended that had entered.
    pub fn leave(&self, port: Port) {
        if port == Port::Client {
            self.clients_open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Tells a client in one line that there are too many. It must not hold up the others, so it is tried once.
    pub fn refuse(&self, from: SocketAddr, send: impl FnOnce(&[u8]) -> io::Result<usize>) {
        let why = "too many connections here; try another server of the herd";
        self.stats.add(Count::ConnectionsRefused, 1);
        log::warn!("refused {from}: {why}");
        let mut line = Vec::new();
        if writeln!(line, "? {why}").is_ok() {
            let _ = send(&line);
        }
    }

    /// A neighbour's name.
    pub fn name_of(&self, neighbour: usize) -> &ServerName {
        &self.me.neighbours[neighbour]
    }

    /// Counts and logs what a link has written.
    pub fn note_told(&self, neighbour: usize, lines: &[u8]) {
        self.stats.add(Count::LinkBytes, lines.len() as u64);
        if log::log_enabled!(log::Level::Debug) {
            for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                log::debug!("link to {} -> {}", self.name_of(neighbour), Escaped(line));
            }
        }
    }

    /// Logs that clients are served from now on.
    pub fn note_serving(&self) {
        log::info!("{} serves clients on {}", self.me.name, self.clients);
    }

    /// Logs that stopping begins.
    pub fn note_stopping(&self) {
        log::info!("stopping");
    }

    /// Logs that some conversations or links took longer to stop than they may.
    pub fn note_cut(&self, what: &str, wait: Duration) {
        log::warn!("some {what} did not finish within {} s and are cut", wait.as_secs());
    }

    /// Logs that everything has stopped, and all counts.
    pub fn note_stopped(&self) {
        log::info!("stopped: {}", self.stats);
    }

    /// Counts and logs that a link is up.
    pub fn note_up(&self, neighbour: usize) {
        self.stats.add(Count::LinksUp, 1);
        log::info!("link to {} is up", self.name_of(neighbour));
    }

    /// Logs what a neighbour says on a link, which is nothing but complaints.
    pub fn note_complaint(&self, neighbour: usize, text: &[u8]) {
        log::warn!("link to {} <- {}", self.name_of(neighbour), Escaped(text));
    }

    /// Logs that a link was cut off.
    pub fn note_down(&self, neighbour: usize, ended: io::Result<()>) {
        match ended {
            Ok(()) => log::info!("link to {} is down", self.name_of(neighbour)),
            Err(error) => log::warn!("link to {} is down: {error}", self.name_of(neighbour)),
        }
    }

    /// Logs that a link could not be made, `failures` times in a row: as a warning once per outage.
    pub fn note_failure(&self, neighbour: usize, failures: u64, error: &io::Error) {
        let level = if failures == FAILURES_UNTIL_WARNING { log::Level::Warn } else { log::Level::Debug };
        log::log!(level, "link to {} cannot be made yet: {error}", self.name_of(neighbour));
    }
}

impl Port {
    /// What cuts the lines that come in on it.
    pub fn framing(self) -> Framing {
        match self {
            Port::Client => Framing::for_client(),
            Port::Peer => Framing::for_peer(),
        }
    }

    /// What answers the lines that come in on it.
    pub fn session(self, me: &Arc<Identity>) -> Session {
        match self {
            Port::Client => Session::client(Arc::clone(me)),
            Port::Peer => Session::peer(Arc::clone(me)),
        }
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
