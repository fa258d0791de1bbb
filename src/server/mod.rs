//! Assembly: a member, its doors and its links become one server, which starts threads and stops them in order.
//!
//! Threads and what joins them, all in scopes of [`Server::run`]:
//!
//! | thread | how many | blocks in |
//! |---|---|---|
//! | accept | one per port | `accept` |
//! | spawn | one | the queue of accepted connections, a permit to start one more |
//! | connection | one per connection | `read`, `write`, the provider of places |
//! | peer | one per neighbour and one more | the same, for connections on the peer port |
//! | link | one per neighbour | its channel of wake-ups, `write` |
//! | acks | one per link that is up | `read` |
//! | lookup | one per neighbour with a name that is being looked up | the resolver; it ends by itself |
//! | finder | one, if HTTP or MQTT is spoken | its channel of wake-ups |
//! | database | one, if there is a database | its bell, the answers of the database |
//! | database-ask | one, if there is a database | the questions of others, the answers of the database |
//! | journal | one, if there is a journal | until something is written, the disk |
//! | admin | one, if there is a journal | `accept` |
//! | reload | one, if herd, places or secrets of phones come from files | until they are to be read again, the disk |
//! | access | one, if there is an access file | until it is to be read again |
//! | certificate | one, if TLS is spoken | a minute, or until it is to be read again |
//!
//! Locks, channels, threads and sockets come from [`crate::os::sync`], so that tests can put a model of them in their
//! place and decide which goes on when. The thread that calls [`Server::run`] reports the status now and then.

mod error;
mod listening;
mod live_herd;
mod order;
mod reload;
mod supervisor;

pub use error::ServeError;
pub use reload::Reloader;
pub use supervisor::Supervisor;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use self::live_herd::LiveHerd;
use self::order::{Parts, Serving};
use self::reload::Reloads;
use crate::config::{Config, Limits, given_file};
use crate::database::Database;
use crate::frontend::access::AccessControl;
use crate::frontend::admin::Admin;
use crate::frontend::keys::PhoneKeys;
use crate::frontend::page::Pages;
use crate::frontend::sessions::Sessions;
use crate::journal::{Disk, RealDisk};
use crate::member::Member;
use crate::member::finder::{self, Finder};
use crate::member::metrics::Event;
use crate::member::warnings::Source;
use crate::member::watchers::Watchers;
use crate::member::{recover, status};
use crate::net::admission::{Admission, Class, Overload};
use crate::net::certificate::Certificate;
use crate::net::gate::{self, Gate};
use crate::net::listen::{Output, Vanished};
use crate::net::shutdown::OpenStreams;
use crate::net::whereabouts::Whereabouts;
use crate::os::sync::{Sender, bounded};
use crate::os::{clock, resource_limits};
use crate::places::PlacesProvider;

/// A server whose ports are open, not yet serving.
pub struct Server {
    parts: Parts,
    must_checkpoint: bool,
    stop: Sender<&'static str>,
}

/// Stops a server from any thread, or has it read its files again, as often as one likes.
#[derive(Clone, Debug)]
pub struct Stopper {
    stop: Sender<&'static str>,
    reloader: Reloader,
    access: Option<Arc<AccessControl>>,
    certificate: Option<Arc<Certificate>>,
}

impl Stopper {
    /// Asks the server to stop; [`Server::run`] returns when it has. The log will name `by`.
    pub fn stop_by(&self, by: &'static str) {
        // Full: it has been asked already. Disconnected: it has stopped.
        let _ = self.stop.try_send(by);
    }

    /// Asks the server to read its access file again, if it has one.
    pub fn reload_access(&self) {
        self.access.iter().for_each(|access| access.ask_to_reload());
    }

    /// Asks the server to read its certificate and key again, if it has them.
    pub fn reload_certificate(&self) {
        self.certificate.iter().for_each(|certificate| certificate.ask_to_reload());
    }

    /// Asks for all of that, and for what [`Reloader`] reads.
    pub fn reload_files(&self) {
        self.reloader.reload();
        self.reload_access();
        self.reload_certificate();
    }

    /// Asks the server to stop, as its own program does.
    pub fn stop(&self) {
        self.stop_by("its program");
    }
}

impl Server {
    /// Opens both ports of the configured server.
    ///
    /// # Errors
    /// If one of them cannot be bound, or its journal cannot be used.
    pub fn bind(config: &Config, places: Arc<dyn PlacesProvider>) -> Result<Server, ServeError> {
        Server::bind_on(Arc::new(RealDisk), config, places)
    }

    /// Opens both ports of the configured server, whose journal is on this disk.
    ///
    /// # Errors
    /// Those of [`Server::bind`].
    pub fn bind_on(
        disk: Arc<dyn Disk>,
        config: &Config,
        places: Arc<dyn PlacesProvider>,
    ) -> Result<Server, ServeError> {
        let memory_bytes_max = config.limits.memory_bytes_max.or_else(resource_limits::memory_for_clients);
        let connections_max = resource_limits::connections_max(config, places.may_wait(), memory_bytes_max);
        let limits = Limits { connections_max, memory_bytes_max, ..config.limits.clone() };
        let mut output = Output::shared_out(limits.output_bytes_max);
        output.kernel_bytes_max = resource_limits::kernel_bytes_max(output.kernel_bytes_max, connections_max);
        let configured = config.member();
        if config.auth.is_exposed(configured) {
            log::warn!(
                "--insecure: everybody who can reach {} can forge what the herd knows; give all servers a secret",
                configured.peer
            );
        }
        for path in config.secret_files.iter().filter(|path| given_file::is_readable_by_others(path)) {
            let path = path.display();
            log::warn!("other users can read the secret file {path}: chmod 600 {path}");
        }
        let mut start = recover::start(config, disk)?;
        let must_checkpoint = start.must_checkpoint;
        let vanished = Vanished::within(limits.vanished_time_max, limits.reply_time_max);
        let certificate = config.tls.clone().map(Certificate::open).transpose()?.map(Arc::new);
        let database = config.database.clone().map(|options| {
            let url = options.url.to_string();
            Database::open(options).map_err(|error| ServeError::Database { url, error })
        });
        let database = database.transpose()?.map(Arc::new);
        if configured.http.is_some() || configured.https.is_some() {
            start.node = start.node.with_index(finder::BYTES_PER_CLIENT);
        }
        let member = Arc::new(Member::new(start, places, &limits));
        if let Some(database) = &database {
            let supervisor = Supervisor::of_this_process();
            let folder = member.wal().map(|_| config.journal.dir.as_path());
            database.cold_start(&member, folder, |how| {
                log::info!("the database is read: {how}");
                supervisor.starting(&format!("reads the database: {how}"));
            });
            member.set_core(Arc::<Database>::clone(database));
        }
        let doors = listening::open(configured, certificate.as_ref(), output, vanished)?;
        // What has expired while it was down never comes back.
        member.expire(clock::now().seconds);
        status::warn_of_times_ahead(&member, clock::now());
        let admin = member.wal().and_then(|_| admin_in(&config.journal.dir));
        let (stop, stopped) = bounded(1);
        let has_tracks = member.core().is_some_and(|core| core.keeps_history());
        let parts = Parts {
            doors,
            sessions: Sessions::new(config.mqtt_relays),
            certificate,
            watchers: Watchers::new(limits.watchers_max()),
            gate: Gate::new(limits, Admission::default(), config.proxy_from.clone(), report_to(&member)),
            member,
            finder: Finder::default(),
            herd: LiveHerd::new(
                config.herd_file.clone(),
                config.name.clone(),
                config.auth.clone(),
                config.herd.clone(),
            ),
            dialling: OpenStreams::default(),
            links: OpenStreams::default(),
            output,
            legacy: Whereabouts::default(),
            admin,
            database,
            access: config.access.clone().map(|access| Arc::new(AccessControl::new(access))),
            keys: config.owntracks_keys.clone().map(PhoneKeys::new),
            base_path: config.http_base_path.clone(),
            pages: Pages::new(&config.map, config.access.is_some(), has_tracks),
            status_every: config.log.status_every,
            scheduling: config.scheduling,
            stop: stopped,
            drained: stop.clone(),
            supervisor: Supervisor::default(),
            reloads: Reloads::new(),
        };
        Ok(Server { parts, must_checkpoint, stop })
    }

    /// What stops this server.
    pub fn stopper(&self) -> Stopper {
        Stopper {
            stop: self.stop.clone(),
            reloader: self.reloader(),
            access: self.parts.access.clone(),
            certificate: self.parts.certificate.clone(),
        }
    }

    /// What makes this server read its herd and its places again.
    pub fn reloader(&self) -> Reloader {
        self.parts.reloads.reloader.clone()
    }

    /// Has the supervisor of this process told when the server is ready, how it is, and when it stops. A process has
    /// one, and may have several servers, so this is for the one that is its purpose.
    pub fn tell_supervisor(&mut self) -> Supervisor {
        self.parts.supervisor = Supervisor::of_this_process();
        self.parts.supervisor.clone()
    }

    /// The member that it serves.
    pub fn member(&self) -> &Arc<Member> {
        &self.parts.member
    }

    /// Serves until stopped; then finishes what is in hand, drains the links, and joins every thread.
    ///
    /// # Errors
    /// If one of the threads that it needs from the start cannot be had.
    pub fn run(self) -> Result<(), ServeError> {
        Serving::new(&self.parts).run(self.must_checkpoint)?;
        let metrics = &self.parts.member.metrics;
        metrics.finish_warnings();
        log::info!("stopped: {metrics}");
        Ok(())
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("me", &self.parts.member.me).finish_non_exhaustive()
    }
}

/// Opens the admin socket. A server without it is as good for its clients.
fn admin_in(dir: &Path) -> Option<Admin> {
    match Admin::bind(dir) {
        Ok(admin) => Some(admin),
        Err(error) => {
            log::warn!("no admin socket in {}: {error}; `proxyherd forget` cannot be used", dir.display());
            None
        }
    }
}

/// Counts what happens to connections among the metrics of a member, and warns of it.
fn report_to(member: &Arc<Member>) -> gate::Report {
    let member = Arc::clone(member);
    Box::new(move |event, what| {
        let metrics = &member.metrics;
        let (refused, source) = match event {
            gate::Event::Accepted(Class::Client) => return metrics.clients_accepted.add(1),
            gate::Event::Accepted(Class::Peer) => return metrics.peers_accepted.add(1),
            gate::Event::Handshake => return metrics.tls_handshakes.add(1),
            gate::Event::HandshakeFailed(from) => {
                return metrics.count_and_warn(Event::Handshake, from, what);
            }
            gate::Event::Panicked => {
                log::error!("{what}");
                return member.after_panic();
            }
            gate::Event::GaveWay(Class::Client, from) => {
                return metrics.count_and_warn(Event::IdleDisplaced, from, what);
            }
            gate::Event::GaveWay(Class::Peer, from) => {
                return metrics.count_and_warn(Event::UnauthenticatedDisplaced, from, what);
            }
            gate::Event::Refused(Overload::Draining, _) => return metrics.connections_refused.add(1),
            gate::Event::Refused(Overload::Connections, from) => (Event::Connections, from.into()),
            gate::Event::Refused(Overload::Address, from) => (Event::Address, from.into()),
            gate::Event::Refused(Overload::Unauthenticated, from) => (Event::HelloPending, from.into()),
            gate::Event::NotNamed(from) => (Event::ProxyHeader, from.into()),
            gate::Event::OutOfDescriptors => (Event::Descriptors, Source::Own),
            gate::Event::OutOfThreads => (Event::Threads, Source::Own),
            gate::Event::OutOfMemory => (Event::Memory, Source::Own),
        };
        metrics.connections_refused.add(1);
        metrics.count_and_warn(refused, source, what);
    })
}
