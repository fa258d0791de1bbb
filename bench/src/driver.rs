//! What the drivers of the variants share, which are written by hand: the member that they drive, its ports, and who is
//! admitted there. Its bounds are those of the threaded server.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use proxyherd::config::{Address, Config};
use proxyherd::member::Member;
use proxyherd::member::conversation::{Conversation, Remote};
use proxyherd::member::metrics::Event;
use proxyherd::member::peer_registry::Cut;
use proxyherd::member::rate_limit::RateLimit;
use proxyherd::member::recover;
use proxyherd::net::admission::{Admission, Admitted, Class};
use proxyherd::net::listen::{INPUT_BYTES_MAX, Output, listen_on, unbound};
use proxyherd::os::random;
use socket2::SockRef;

use crate::options::open_places;
use crate::process::Failure;

/// A member, and what its drivers need besides it.
pub struct Driver {
    /// The member.
    pub member: Member,
    /// Where its neighbours listen, by their indices.
    pub neighbours: Vec<SocketAddr>,
    /// Its addresses and limits.
    pub config: Config,
    /// The bytes that may be owed to one connection.
    pub output: Output,
    admission: Admission,
}

/// Whether a port is opened once, or by each of several loops, among which the kernel then shares out the
/// connections by a hash of their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// By one listener.
    Once,
    /// By several (`SO_REUSEPORT`).
    ByMany,
}

impl Driver {
    /// Of a member that knows nothing yet, and has no journal.
    ///
    /// # Errors
    /// If the provider of places cannot be used, or the system has no random numbers to give.
    pub fn new(config: &Config) -> Result<Driver, Failure> {
        let start = recover::start_without_journal(config)?;
        let neighbours = config.herd.neighbours(&config.name);
        Ok(Driver {
            member: Member::new(start, open_places(config)?, &config.limits),
            neighbours: neighbours.iter().map(|it| it.peer.resolve()).collect::<io::Result<_>>()?,
            config: config.clone(),
            output: Output::shared_out(config.limits.output_bytes_max),
            admission: Admission::default(),
        })
    }

    /// Gives a connection its place, or tells it in one line why it has none. That must not hold up the others, so it
    /// is tried once.
    pub fn admit(
        &self,
        class: Class,
        from: SocketAddr,
        send: impl FnOnce(&[u8]) -> io::Result<usize>,
    ) -> Option<Admitted<'_>> {
        let metrics = &self.member.metrics;
        let accepted = match class {
            Class::Client => &metrics.clients_accepted,
            Class::Peer => &metrics.peers_accepted,
        };
        match self.admission.admit(class, from, &self.config.limits) {
            Ok(mut admitted) => {
                accepted.add(1);
                // A variant has no deadline for the hello, so a connection without one must not take a place for good.
                admitted.authenticated();
                Some(admitted)
            }
            Err(why) => {
                metrics.connections_refused.add(1);
                let what = format_args!("refused {} {from}: {why}", door(class));
                metrics.count_and_warn(Event::Connections, from, what);
                let _ = send(format!("? {why}\n").as_bytes());
                None
            }
        }
    }

    /// Logs that a conversation begins, and begins it.
    ///
    /// # Errors
    /// If the system has no random numbers to give, which is logged too.
    pub fn begin(&self, class: Class, from: SocketAddr) -> io::Result<Conversation> {
        let (me, remote) =
            (Arc::clone(&self.member.me), Remote { door: door(class), from, is_proxied: false });
        remote.log_connected(&self.member.metrics);
        match class {
            Class::Client => Ok(Conversation::with_client(me, remote, &[])),
            Class::Peer => {
                let key = random::ephemeral_key()
                    .inspect_err(|error| remote.log_disconnected(&self.member.metrics, Some(error)))?;
                Ok(Conversation::with_peer(me, remote, key))
            }
        }
    }

    /// The rate limit of one connection.
    pub fn rate_limit(&self) -> RateLimit {
        RateLimit::new(self.config.limits.places_calls_per_minute)
    }

    /// Logs that clients are served from now on.
    pub fn log_serving(&self) {
        log::info!("{} serves clients on {}", self.config.name, self.config.member().client);
    }

    /// Logs that stopping begins.
    pub fn log_stopping(&self) {
        log::info!("stopping");
    }

    /// Logs that some conversations or links took longer to stop than they may.
    pub fn log_cut(&self, what: &str, wait: Duration) {
        log::warn!("some {what} did not finish within {} s and are cut", wait.as_secs());
    }

    /// Logs that everything has stopped, and all counts.
    pub fn log_stopped(&self) {
        self.member.metrics.finish_warnings();
        log::info!("stopped: {}", self.member.metrics);
    }
}

/// Opens a port as the threaded server does.
///
/// # Errors
/// With the address in the text, if it cannot be had.
pub fn listen(config: &Config, class: Class, opened: Opened) -> io::Result<TcpListener> {
    let (address, input_bytes_max) = match class {
        Class::Client => (config.member().client.resolve()?, Some(INPUT_BYTES_MAX)),
        Class::Peer => (config.member().peer.resolve()?, None),
    };
    let listen = || {
        let socket = unbound(address, Output::shared_out(config.limits.output_bytes_max), input_bytes_max)?;
        socket.set_reuse_port(opened == Opened::ByMany)?;
        listen_on(socket, address)
    };
    listen().map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}; stop what uses it"))
    })
}

/// Opens the port for HTTP as the threaded server does, for an event loop.
///
/// # Errors
/// Those of [`listen`], or if the herd file names no such port.
pub fn listen_http(config: &Config) -> io::Result<TcpListener> {
    let missing = "the herd file has no port for HTTP: add a line such as http = \"127.0.0.1:12750\"";
    listen_door(config, config.member().http.as_ref(), missing)
}

/// Opens the port for MQTT as the threaded server does, for an event loop.
///
/// # Errors
/// Those of [`listen`], or if the herd file names no such port.
pub fn listen_mqtt(config: &Config) -> io::Result<TcpListener> {
    let missing = "the herd file has no port for MQTT: add a line such as mqtt = \"127.0.0.1:12850\"";
    listen_door(config, config.member().mqtt.as_ref(), missing)
}

fn listen_door(config: &Config, address: Option<&Address>, missing: &str) -> io::Result<TcpListener> {
    let address = address.ok_or_else(|| io::Error::other(missing))?.resolve()?;
    let output = Output::shared_out(config.limits.output_bytes_max);
    let listener = listen_on(unbound(address, output, Some(INPUT_BYTES_MAX))?, address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Opens a port for an event loop: nothing waits for it.
///
/// # Errors
/// Those of [`listen`].
pub fn listen_nonblocking(config: &Config, class: Class, opened: Opened) -> io::Result<TcpListener> {
    let listener = listen(config, class, opened)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// How a newer conversation of the same neighbour ends the one with this socket, whichever task or loop that belongs
/// to: it looks there like the other side hanging up.
///
/// # Errors
/// If the system has no descriptor to spare.
pub fn cut(socket: &impl AsFd) -> io::Result<Cut> {
    let socket = SockRef::from(socket).try_clone()?;
    // It fails only if the other side has closed it already.
    Ok(Box::new(move || socket.shutdown(Shutdown::Both).is_ok()))
}

/// The name of a port in the log.
fn door(class: Class) -> &'static str {
    match class {
        Class::Client => "client",
        Class::Peer => "peer",
    }
}
