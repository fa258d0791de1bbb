//! What all tasks share, and the order in which they begin and end.

use std::io;

use proxyherd::member::link_log::DRAIN_WAIT_MAX;
use proxyherd::member::rate_limit::RateLimit;
use proxyherd::net::admission::Class;
use proxyherd::net::shutdown::FINISH_WAIT_MAX;
use proxyherd::places::Answer;
use proxyherd::proto::line::query::Query;
use proxyherd_bench::driver::{Driver, Opened, listen_nonblocking};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use crate::accept::{Style, accept_all};
use crate::link;
use crate::sockets::Sockets;

/// What all tasks share. It lives as long as the process, so that each of them can borrow of it.
pub(crate) struct Herd {
    pub(crate) driver: Driver,
    pub(crate) style: Style,
    /// Whether stopping has begun.
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) sockets: Sockets,
}

/// Held by every conversation: when the last is dropped, all have ended.
pub(crate) type Alive = mpsc::Sender<()>;

impl Herd {
    pub(crate) fn new(driver: Driver, style: Style) -> Herd {
        Herd { driver, style, stopping: watch::Sender::new(false), sockets: Sockets::default() }
    }

    /// Asks everything to stop, from any thread.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Waits until everything is asked to stop.
    pub(crate) async fn stopped(&self) {
        // The sender is in `self`, so this cannot fail.
        let _ = self.stopping.subscribe().wait_for(|&stopping| stopping).await;
    }

    /// What is near a place. A provider over the network is asked elsewhere: this thread has others to serve.
    pub(crate) async fn nearby(
        &'static self,
        query: &Query,
        rate_limit: &mut RateLimit,
    ) -> io::Result<Answer> {
        let (member, nearby) = (&self.driver.member, *query.nearby());
        if !member.asks_network() {
            return Ok(member.nearby(&nearby, rate_limit));
        }
        let mut lent = std::mem::replace(rate_limit, RateLimit::new(0));
        let asked = move || (member.nearby(&nearby, &mut lent), lent);
        let (answer, given_back) = spawn_blocking(asked).await?;
        *rate_limit = given_back;
        Ok(answer)
    }
}

/// Opens the port of the neighbours. It comes before that of the clients, so that a client that gets through to that
/// finds this one open too.
pub(crate) fn open_peers(herd: &Herd) -> io::Result<std::net::TcpListener> {
    listen_nonblocking(&herd.driver.config, Class::Peer, Opened::Once)
}

/// Serves until stopped, then finishes what is in hand and drains the links. `loops` is how many threads
/// accept clients.
pub(crate) async fn serve(herd: &'static Herd, peers: std::net::TcpListener, loops: u16) -> io::Result<()> {
    let driver = &herd.driver;
    let clients = open_clients(driver, if loops == 1 { Opened::Once } else { Opened::ByMany })?;
    let peers = TcpListener::from_std(peers)?;
    let mut links = JoinSet::new();
    for neighbour in 0..driver.neighbours.len() {
        links.spawn(link::run(herd, neighbour));
    }
    driver.log_serving();
    let in_time = accept_until_stopped(herd, vec![(clients, Class::Client), (peers, Class::Peer)]).await;
    driver.log_stopping();
    if !in_time {
        driver.log_cut("conversations", FINISH_WAIT_MAX);
    }
    driver.member.places().stop();
    driver.member.notifiers.stop();
    if timeout(DRAIN_WAIT_MAX, async { while links.join_next().await.is_some() {} }).await.is_err() {
        driver.log_cut("links", DRAIN_WAIT_MAX);
    }
    driver.log_stopped();
    Ok(())
}

/// Serves clients on one more thread, until stopped.
pub(crate) async fn serve_more_clients(herd: &'static Herd) -> io::Result<()> {
    let clients = open_clients(&herd.driver, Opened::ByMany)?;
    accept_until_stopped(herd, vec![(clients, Class::Client)]).await;
    Ok(())
}

/// Accepts until stopped; then waits for the conversations, and says whether all of them ended in time.
async fn accept_until_stopped(herd: &'static Herd, listeners: Vec<(TcpListener, Class)>) -> bool {
    let (alive, mut all_ended) = mpsc::channel(1);
    let mut accepting = JoinSet::new();
    for (listener, class) in listeners {
        accepting.spawn(accept_all(herd, listener, class, alive.clone()));
    }
    drop(alive);
    herd.stopped().await;
    accepting.shutdown().await;
    herd.sockets.stop_reading();
    let in_time = timeout(FINISH_WAIT_MAX, all_ended.recv()).await.is_ok();
    herd.sockets.cut();
    in_time
}

fn open_clients(driver: &Driver, opened: Opened) -> io::Result<TcpListener> {
    TcpListener::from_std(listen_nonblocking(&driver.config, Class::Client, opened)?)
}
