//! The life of a server that runs: which threads it starts, and in which order it stops.

use std::net::SocketAddr;
use std::time::Duration;

use super::accept::{ACCEPTED_MAX, Acceptor};
use super::classic::ClassicSender;
use super::commits::Commits;
use super::errands::{Bell, Errand};
use super::link::Sender;
use super::listen::Port;
use super::queue::queue;
use super::shared::Shared;
use super::shutdown::Sockets;
use super::sync::{self, Receiver, TcpListener};
use super::threads::Threads;
use super::{ServeError, clock, spawn, status};
use crate::proto::node::Dialect;

/// How long conversations may take to finish what is in hand when the server stops.
const FINISH_WAIT_MAX: Duration = Duration::from_secs(2);

/// How long conversations may take after that to send what became of a question whose provider was broken off.
const LAST_WORD_WAIT_MAX: Duration = Duration::from_millis(500);

/// How long links may take to send what is due after that.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(2);

/// A server while it runs.
pub(super) struct Serving<'a> {
    pub(super) shared: &'a Shared,
    pub(super) clients: &'a TcpListener,
    pub(super) peers: &'a TcpListener,
    pub(super) status_every: Duration,
    pub(super) stop: &'a Receiver<()>,
}

/// A neighbour's address, and the errands of the link to it.
type Neighbour = (SocketAddr, Receiver<Errand>);

impl Serving<'_> {
    /// Serves until stopped, beside a thread that keeps the journal if there is one.
    pub(super) fn run(&self, neighbours: Vec<Neighbour>, must_rewrite: bool) -> Result<(), ServeError> {
        let shared = self.shared;
        let Some(commits) = &shared.commits else { return self.serve(neighbours) };
        let served = sync::scope(|scope| {
            let _stop_keeping_whatever_happens = OnDrop(|| commits.keeper.stop());
            let keep = move || commits.keeper.run(shared, commits, must_rewrite);
            spawn(scope, "journal".to_owned(), keep)?;
            self.serve(neighbours)
        });
        finish_journal(commits);
        served
    }

    fn serve(&self, neighbours: Vec<Neighbour>) -> Result<(), ServeError> {
        let &Serving { shared, clients, peers, status_every, stop } = self;
        sync::scope(|links| {
            let _stop_links_whatever_happens = OnDrop(|| shared.bells.iter().for_each(Bell::stop));
            for (index, (address, errands)) in neighbours.into_iter().enumerate() {
                let neighbour = &shared.me.neighbours[index];
                let name = format!("link-{}", neighbour.name);
                match neighbour.dialect {
                    Dialect::Herd => {
                        let sender = Sender::new(shared, index, address, errands);
                        spawn(links, name, move || sender.run())?;
                    }
                    Dialect::Classic => {
                        let sender = ClassicSender::new(shared, index, address, errands);
                        spawn(links, name, move || sender.run())?;
                    }
                }
            }
            sync::scope(|conversations| {
                let _stop_accepting_whatever_happens = OnDrop(|| stop_accepting(shared, clients, peers));
                let (accepted, to_serve) = queue(ACCEPTED_MAX);
                for (listener, port) in [(clients, Port::Client), (peers, Port::Peer)] {
                    let acceptor = Acceptor::new(shared, listener, port, accepted.clone());
                    spawn(conversations, format!("accept-{port}"), move || acceptor.run())?;
                }
                drop(accepted);
                let threads = Threads::start(conversations, shared)?;
                spawn(conversations, "spawn".to_owned(), move || threads.serve_all(&to_serve))?;
                log::info!("{} serves clients on {}", shared.me.name, address(clients));
                status::say_every(shared, status_every, stop);
                log::info!("stopping");
                status::say(shared);
                stop_accepting(shared, clients, peers);
                finish(&shared.conversations, "conversations", FINISH_WAIT_MAX);
                shared.places.stop();
                shared.conversations.wait_until_closed(clock::deadline(LAST_WORD_WAIT_MAX));
                shared.conversations.cut();
                Ok(())
            })?;
            shared.bells.iter().for_each(Bell::stop);
            finish(&shared.link_sockets, "links", DRAIN_WAIT_MAX);
            shared.link_sockets.cut();
            Ok(())
        })
    }
}

/// What is not acknowledged may be missing, so a failure is no more than worth a warning.
fn finish_journal(commits: &Commits) {
    if let Err(error) = commits.finish() {
        log::warn!("the end of the journal cannot be written: {error}");
    }
}

/// Wakes the threads that accept, and every conversation and every hello that waits for the other side.
fn stop_accepting(shared: &Shared, clients: &TcpListener, peers: &TcpListener) {
    shared.conversations.stop_reading();
    shared.dialling.stop_reading();
    for listener in [clients, peers] {
        sync::stop_listening(listener);
    }
}

/// Waits until all sockets of a kind are closed, or the time is over.
fn finish(sockets: &Sockets, what: &str, wait: Duration) {
    let left = sockets.wait_until_closed(clock::deadline(wait));
    if left > 0 {
        log::warn!("{left} {what} did not finish within {} s and are cut", wait.as_secs());
    }
}

/// The address of a listener, for people.
fn address(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string())
}

/// Runs a closure when it goes out of scope, on an early return and a panic too: a scope waits for its
/// threads, so they must be told to end whatever happens.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
