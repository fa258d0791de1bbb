//! The life of a server that runs: which threads it starts, and in which order it stops.

use std::sync::Arc;
use std::time::Duration;

use super::error::ServeError;
use super::listening::Listening;
use super::live_herd::LiveHerd;
use super::reload::Reloads;
use super::supervisor::Supervisor;
use crate::config::{Address, BasePath, Scheduling};
use crate::database::Database;
use crate::frontend::access::AccessControl;
use crate::frontend::admin::Admin;
use crate::frontend::keys::PhoneKeys;
use crate::frontend::page::Pages;
use crate::frontend::protocol::Protocol;
use crate::frontend::sessions::Sessions;
use crate::frontend::{self, connection};
use crate::member::Member;
use crate::member::finder::Finder;
use crate::member::group_commit::GroupCommit;
use crate::member::link_log::DRAIN_WAIT_MAX;
use crate::member::watchers::Watchers;
use crate::member::{flusher, status};
use crate::net::accept::{Acceptor, Door};
use crate::net::certificate::Certificate;
use crate::net::gate::Gate;
use crate::net::listen::Output;
use crate::net::shutdown::{FINISH_WAIT_MAX, OpenStreams};
use crate::net::thread_pool::{Service, ThreadPool};
use crate::net::whereabouts::Whereabouts;
use crate::os::clock;
use crate::os::sync::{self, Receiver, Scope, Sender, TcpListener};
use crate::peering::links::{self, Links};
use crate::peering::neighbour::{Neighbour, Shared};

/// How long conversations may take after that to send what became of a question whose provider was broken off.
const LAST_WORD_WAIT_MAX: Duration = Duration::from_millis(500);

/// What a server is made of.
pub(super) struct Parts {
    pub(super) doors: Vec<Listening>,
    /// The clients of MQTT that are connected.
    pub(super) sessions: Sessions,
    /// What the ports for TLS show, if there are any.
    pub(super) certificate: Option<Arc<Certificate>>,
    pub(super) member: Arc<Member>,
    /// Who finds clients by place, which is asked over HTTP alone.
    pub(super) finder: Finder,
    /// All servers and their links.
    pub(super) herd: LiveHerd,
    /// What those share that watch clients over HTTP.
    pub(super) watchers: Watchers,
    pub(super) gate: Gate,
    /// Links that wait for the answer to their hello.
    pub(super) dialling: OpenStreams,
    /// Links that are up.
    pub(super) links: OpenStreams,
    pub(super) output: Output,
    /// Where neighbours of the legacy dialect may come from.
    pub(super) legacy: Whereabouts,
    /// Where the operator tells the server what to do, if it has a journal.
    pub(super) admin: Option<Admin>,
    /// The core database, if there is one.
    pub(super) database: Option<Arc<Database>>,
    /// Who may what, if there is an access file.
    pub(super) access: Option<Arc<AccessControl>>,
    /// The secrets of phones, if there are any.
    pub(super) keys: Option<PhoneKeys>,
    /// What stands before every path of HTTP.
    pub(super) base_path: BasePath,
    /// The files of the map page.
    pub(super) pages: Pages,
    pub(super) status_every: Duration,
    /// How threads that serve clients share the processors.
    pub(super) scheduling: Scheduling,
    /// What started this process, if it wants to know how the server is.
    pub(super) supervisor: Supervisor,
    pub(super) reloads: Reloads,
    /// Says that a stop is asked for, and by what.
    pub(super) stop: Receiver<&'static str>,
    /// Asks for a stop.
    pub(super) drained: Sender<&'static str>,
}

/// A server while it runs.
pub(super) struct Serving<'a> {
    server: &'a Parts,
    links: Links<'a>,
}

impl<'a> Serving<'a> {
    pub(super) fn new(server: &'a Parts) -> Serving<'a> {
        let shared = Shared {
            member: &server.member,
            conversations: &server.gate.open,
            dialling: &server.dialling,
            live: &server.links,
            wear: server.gate.limits.link_wear,
            peers: &server.gate.admission.neighbours,
            legacy: &server.legacy,
        };
        Serving { server, links: Links::new(shared) }
    }

    /// Serves until stopped, beside a thread that flushes the journal if there is one.
    pub(super) fn run(&self, must_checkpoint: bool) -> Result<(), ServeError> {
        let member = &self.server.member;
        let Some(wal) = member.wal() else { return self.serve() };
        let served = sync::scope(|scope| {
            let _stop_flushing_whatever_happens = OnDrop(|| wal.flush_signal.stop());
            spawn(scope, "journal".to_owned(), move || flusher::run(member, wal, must_checkpoint))?;
            self.serve()
        });
        finish_journal(member, wal);
        served
    }

    fn serve(&self) -> Result<(), ServeError> {
        let Parts { member, finder, watchers, gate, links, .. } = self.server;
        let neighbours = self.neighbours();
        // Clients of every protocol but that of lines may watch.
        let is_watched = |door: &Door<'_, Protocol>| {
            !matches!(door.protocol, Protocol::Line | Protocol::LineTls | Protocol::Peer)
        };
        let changes = self.doors().iter().any(|(_, door)| is_watched(door)).then(|| member.subscribe());
        let service = Service::new(gate, self.server.scheduling, {
            let shared = self.connections();
            move |accepted| frontend::serve(&shared, accepted)
        });
        let database = self.server.database.as_deref().map(|database| (database, member.subscribe()));
        sync::scope(|scope| {
            let _stop_links_whatever_happens = OnDrop(|| {
                member.notifiers.stop();
                database.iter().for_each(|(database, _)| database.stop_answering());
            });
            if let Some((database, changes)) = &database {
                spawn(scope, "database".to_owned(), || database.write(member, changes))?;
                spawn(scope, "database-ask".to_owned(), || database.answer(member))?;
            }
            for neighbour in neighbours {
                run_link(scope, neighbour)?;
            }
            if let Some(changes) = &changes {
                spawn(scope, "finder".to_owned(), || finder.run(member, changes, watchers))?;
            }
            let add_link = |index, address| {
                if let Err(error) = run_link(scope, self.links.add(index, address)) {
                    log::warn!("a link cannot be made before the next start: {error}");
                }
            };
            sync::scope(|scope| self.serve_connections(scope, &service, &add_link))?;
            member.notifiers.stop();
            finish(links, "links", DRAIN_WAIT_MAX);
            links.cut();
            Ok(())
        })
    }

    /// Serves connections until stopped; then finishes what is in hand.
    fn serve_connections<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        service: &'env Service<'a, Protocol>,
        add_link: &'env (impl Fn(usize, Address) + Sync),
    ) -> Result<(), ServeError> {
        let Parts {
            member,
            herd,
            gate,
            admin,
            access,
            keys,
            certificate,
            status_every,
            reloads,
            supervisor,
            stop,
            ..
        } = self.server;
        let _stop_accepting_whatever_happens = OnDrop(|| self.stop_accepting());
        // One for each neighbour, and one for whatever else connects there.
        let kept_for_peers = member.me.neighbours.len() + 1;
        let (entrance, pool) =
            ThreadPool::start(scope, service, kept_for_peers).map_err(ServeError::Thread)?;
        for (listener, door) in self.doors() {
            let (protocol, entrance) = (door.protocol, entrance.clone());
            let acceptor = Acceptor::new(gate, listener, door, move |accepted| entrance.serve(accepted));
            spawn(scope, format!("accept-{protocol}"), move || acceptor.run())?;
        }
        drop(entrance);
        if let Some(admin) = admin {
            spawn(scope, "admin".to_owned(), || admin.run(member))?;
        }
        if member.places().has_file() || keys.is_some() || herd.has_file() {
            let reload = move || {
                keys.iter().for_each(PhoneKeys::reload);
                herd.reload(member, &self.links, add_link);
                member.places().reload();
            };
            spawn(scope, "reload".to_owned(), move || reloads.run(reload))?;
        }
        if let Some(access) = access {
            spawn(scope, "access".to_owned(), || access.run(|| self.server.watchers.notify()))?;
        }
        if let Some(certificate) = certificate {
            spawn(scope, "certificate".to_owned(), || certificate.run())?;
        }
        spawn(scope, "spawn".to_owned(), move || pool.serve_all())?;
        self.log_doors();
        let connections_open = || gate.admission.clients_open();
        supervisor.ready(&status::summary(member, connections_open()));
        let report = || {
            status::report(member, connections_open());
            supervisor.status(&status::summary(member, connections_open()));
        };
        if let Some(by) = status::report_every(member, report, *status_every, stop) {
            log::info!("asked to stop by {by}");
        }
        log::info!("stopping");
        supervisor.stopping("stopping: finishes what is in hand, and sends neighbours what is due");
        status::report(member, connections_open());
        self.stop_accepting();
        finish(&gate.open, "conversations", FINISH_WAIT_MAX);
        member.places().stop();
        gate.open.wait_until_closed(clock::deadline(LAST_WORD_WAIT_MAX));
        gate.open.cut();
        Ok(())
    }

    /// Where connections come in.
    fn doors(&self) -> Vec<(&'a TcpListener, Door<'a, Protocol>)> {
        let doors = self.server.doors.iter();
        let door =
            |it: &'a Listening| Door { protocol: it.protocol, class: it.class(), tls: it.tls.as_ref() };
        doors.map(|it| (&it.listener, door(it))).collect()
    }

    fn log_doors(&self) {
        let Parts { member, access, .. } = self.server;
        let whom = if access.is_some() { "with users" } else { "for this machine alone, without --access" };
        let mut doors = Vec::new();
        for (listener, door) in self.doors() {
            let at = address(listener);
            doors.push(match door.protocol {
                Protocol::Line => format!("clients on {at}"),
                Protocol::LineTls => format!("clients in TLS on {at}"),
                Protocol::Http => format!("HTTP on {at} {whom}"),
                Protocol::Https => format!("HTTPS on {at} {whom}"),
                Protocol::Mqtt => format!("MQTT on {at} {whom}"),
                Protocol::Mqtts => format!("MQTTS on {at} {whom}"),
                Protocol::Peer => continue,
            });
        }
        log::info!("{} serves {}", member.me.name, doors.join(", and "));
    }

    /// What all connections share.
    fn connections(&self) -> connection::Shared<'a> {
        let Parts {
            member,
            finder,
            herd,
            watchers,
            gate,
            output,
            legacy,
            access,
            keys,
            base_path,
            pages,
            drained,
            sessions,
            ..
        } = self.server;
        connection::Shared {
            member,
            finder,
            herd: &herd.current,
            watchers,
            gate,
            output: *output,
            legacy,
            access: access.as_deref(),
            keys: keys.as_ref(),
            base_path: base_path.as_str(),
            pages,
            stop: drained,
            sessions,
        }
    }

    /// The neighbours, whose links follow the change log from now on.
    fn neighbours(&self) -> Vec<Arc<Neighbour<'a>>> {
        let Parts { member, herd, .. } = self.server;
        let herd = Arc::clone(&herd.current.read());
        let neighbours = herd.neighbours(&member.me.name);
        neighbours.into_iter().enumerate().map(|(index, it)| self.links.add(index, it.peer.clone())).collect()
    }

    /// Wakes the threads that accept, and every conversation and every hello that waits for the other side.
    fn stop_accepting(&self) {
        self.server.gate.open.stop_reading();
        self.server.watchers.notify();
        self.server.dialling.stop_reading();
        for (listener, _) in self.doors() {
            sync::stop_listening(listener);
        }
        if let Some(admin) = &self.server.admin {
            admin.stop();
        }
        self.server.reloads.reloader.stop();
        if let Some(access) = &self.server.access {
            access.stop();
        }
        if let Some(certificate) = &self.server.certificate {
            certificate.stop();
        }
    }
}

/// Starts the thread of a link.
fn run_link<'scope, 'env, 'a: 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    neighbour: Arc<Neighbour<'a>>,
) -> Result<(), ServeError> {
    spawn(scope, format!("link-{}", neighbour.name()), move || links::run(&neighbour))
}

/// What is not acknowledged may be missing, so a failure is no more than worth a warning.
fn finish_journal(member: &Member, wal: &GroupCommit) {
    let mut positions = Vec::new();
    member.read(|node| node.record_received(&mut positions));
    if let Err(error) = wal.finish(&positions) {
        log::warn!("the end of the journal cannot be written: {error}");
    }
}

/// Waits until all streams of a kind are closed, or the time is over.
fn finish(streams: &OpenStreams, what: &str, wait: Duration) {
    let left = streams.wait_until_closed(clock::deadline(wait));
    if left > 0 {
        log::warn!("{left} {what} did not finish within {} s and are cut", wait.as_secs());
    }
}

/// The address of a listener, for people.
fn address(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string())
}

fn spawn<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    name: String,
    work: impl FnOnce() + Send + 'scope,
) -> Result<(), ServeError> {
    sync::spawn(scope, name, work).map_err(ServeError::Thread)
}

/// Runs a closure when it goes out of scope, on an early return and a panic too: a scope waits for its threads, so they
/// must be told to end whatever happens.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
