//! One member of the herd as all its connections see it, and the bounds: those of the threaded server.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use proxyherd::config::Config;
use proxyherd::places::PlacesProvider;
use proxyherd::proto::line::framing::Framing;
use proxyherd::proto::line::session::Session;
use proxyherd::proto::node::{Identity, Node};

use crate::callers::Callers;
use crate::chance;
use crate::options::open_places;
use crate::process::Failure;
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

/// How long a neighbour may take for each of its answers until it has welcomed us.
pub const WELCOME_WAIT_MAX: Duration = Duration::from_secs(2);

/// What the kernel may hold of what a link says that is not on its way yet: beats would wait behind more.
pub const UNSENT_BYTES_MAX: u32 = 128 * 1024;

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
    pub places: Arc<dyn PlacesProvider>,
    /// What it counts.
    pub stats: Stats,
    /// The conversation of each neighbour that is here.
    pub callers: Callers,
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
    /// If the provider of places cannot be used, or the system has no random numbers to give.
    pub fn new(config: &Config) -> Result<Shared, Failure> {
        let neighbours = config.herd.neighbours(&config.name);
        let me = Arc::new(config.identity(chance::epoch()?));
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
            callers: Callers::new(neighbours.len()),
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
    ///
    /// # Errors
    /// If the system has no random numbers to give.
    pub fn session(self, me: &Arc<Identity>) -> io::Result<Session> {
        Ok(match self {
            Port::Client => Session::client(Arc::clone(me)),
            Port::Peer => Session::peer(Arc::clone(me), chance::nonce()?),
        })
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
