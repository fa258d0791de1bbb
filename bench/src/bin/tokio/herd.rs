//! What all tasks share, and the order in which they begin and end.

use std::io;
use std::sync::Arc;

use proxyherd_bench::listen::{Opened, listen_nonblocking};
use proxyherd_bench::shared::{DRAIN_WAIT_MAX, FINISH_WAIT_MAX, Port, Shared};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::accept::{Style, accept_all};
use crate::link;
use crate::sockets::Sockets;

/// How far stopping has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    /// Conversations finish what is in hand.
    Finishing,
    /// Links send what is due.
    Draining,
}

/// What all tasks share.
pub(crate) struct Herd {
    pub(crate) shared: Shared,
    pub(crate) style: Style,
    pub(crate) phase: watch::Sender<Phase>,
    /// One for each neighbour.
    pub(crate) bells: Vec<Bell>,
    pub(crate) sockets: Sockets,
}

/// Wakes the task of a link.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    /// Records have changed.
    pub(crate) news: Notify,
    /// The neighbour has said hello to us.
    pub(crate) back: Notify,
}

/// Held by every conversation: when the last is dropped, all have ended.
pub(crate) type Alive = mpsc::Sender<()>;

impl Herd {
    pub(crate) fn new(shared: Shared, style: Style) -> Herd {
        let bells = shared.neighbours.iter().map(|_| Bell::default()).collect();
        let (phase, _) = watch::channel(Phase::Serving);
        Herd { shared, style, phase, bells, sockets: Sockets::default() }
    }

    /// Asks everything to stop, from any thread.
    pub(crate) fn stop(&self) {
        self.phase.send_replace(Phase::Finishing);
    }

    /// Wakes the links if the turn brought news.
    pub(crate) fn tell(&self, news: bool) {
        if news {
            self.bells.iter().for_each(|bell| bell.news.notify_one());
        }
    }
}

/// Opens the port of the neighbours. It comes before that of the clients, so that whoever gets through to that finds
/// this one open too.
pub(crate) fn open_peers(herd: &Herd) -> io::Result<std::net::TcpListener> {
    listen_nonblocking(herd.shared.peers, Opened::Once)
}

/// Serves until stopped, then finishes what is in hand and drains the links. `loops` is how many threads
/// accept clients.
pub(crate) async fn serve(herd: Arc<Herd>, peers: std::net::TcpListener, loops: u16) -> io::Result<()> {
    let shared = &herd.shared;
    let clients = open_clients(shared, if loops == 1 { Opened::Once } else { Opened::ByMany })?;
    let peers = TcpListener::from_std(peers)?;
    let mut links = JoinSet::new();
    for (neighbour, &address) in shared.neighbours.iter().enumerate() {
        links.spawn(link::run(Arc::clone(&herd), neighbour, address));
    }
    shared.note_serving();
    let left = accept_until_stopped(&herd, vec![(clients, Port::Client), (peers, Port::Peer)]).await;
    shared.note_stopping();
    if !left {
        shared.note_cut("conversations", FINISH_WAIT_MAX);
    }
    shared.places.stop();
    herd.phase.send_replace(Phase::Draining);
    if timeout(DRAIN_WAIT_MAX, async { while links.join_next().await.is_some() {} }).await.is_err() {
        shared.note_cut("links", DRAIN_WAIT_MAX);
    }
    shared.note_stopped();
    Ok(())
}

/// Serves clients on one more thread, until stopped.
pub(crate) async fn serve_more_clients(herd: Arc<Herd>) -> io::Result<()> {
    let clients = open_clients(&herd.shared, Opened::ByMany)?;
    accept_until_stopped(&herd, vec![(clients, Port::Client)]).await;
    Ok(())
}

/// Accepts until stopped; then waits for the conversations, and says whether all of them ended in time.
async fn accept_until_stopped(herd: &Arc<Herd>, listeners: Vec<(TcpListener, Port)>) -> bool {
    let (alive, mut all_ended) = mpsc::channel(1);
    let mut accepting = JoinSet::new();
    for (listener, port) in listeners {
        accepting.spawn(accept_all(Arc::clone(herd), listener, port, alive.clone()));
    }
    drop(alive);
    // The sender is in `herd`, so this cannot fail.
    let _ = herd.phase.subscribe().wait_for(|&phase| phase > Phase::Serving).await;
    accepting.shutdown().await;
    herd.sockets.stop_reading();
    let ended = timeout(FINISH_WAIT_MAX, all_ended.recv()).await.is_ok();
    herd.sockets.cut();
    ended
}

fn open_clients(shared: &Shared, opened: Opened) -> io::Result<TcpListener> {
    TcpListener::from_std(listen_nonblocking(shared.clients, opened)?)
}
