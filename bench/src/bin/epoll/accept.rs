//! The ports, and who serves what comes in on them.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use proxyherd_bench::listen::{
    ACCEPT_PAUSE, ACCEPT_PAUSE_MAX, Opened, is_about_one_connection, listen_nonblocking, note_accept_failure,
};
use proxyherd_bench::shared::{Port, Shared};

use crate::shared::{Accepted, Loops};

/// The ports of a server, or none for a loop that does not accept.
#[derive(Default)]
pub(crate) struct Doors {
    doors: Vec<(TcpListener, Port)>,
    /// The loop that gets the next connection.
    next: usize,
    /// The last wait, if the last attempt failed for want of something.
    pause: Option<Duration>,
}

impl Doors {
    /// Opens both ports, with tokens from `first_token`. Whoever gets through to that of the clients finds the
    /// other one open too.
    pub(crate) fn open(
        &mut self,
        shared: &Shared,
        registry: &Registry,
        first_token: usize,
    ) -> io::Result<()> {
        for (address, port) in [(shared.peers, Port::Peer), (shared.clients, Port::Client)] {
            let mut listener = TcpListener::from_std(listen_nonblocking(address, Opened::Once)?);
            registry.register(&mut listener, Token(first_token + self.doors.len()), Interest::READABLE)?;
            self.doors.push((listener, port));
        }
        Ok(())
    }

    /// Accepts no more.
    pub(crate) fn close(&mut self) {
        self.doors.clear();
    }

    /// Accepts everybody who waits, and says which loop serves them. Returns how long to wait before trying
    /// again, if something has run out.
    pub(crate) fn accept_all(
        &mut self,
        loops: &Loops,
        mut serve: impl FnMut(usize, Accepted),
    ) -> Option<Duration> {
        for (listener, port) in &self.doors {
            loop {
                match listener.accept() {
                    Ok((socket, from)) => {
                        self.pause = None;
                        if !loops.shared.enter(*port) {
                            loops.shared.refuse(from, |line| io::Write::write(&mut &socket, line));
                            continue;
                        }
                        loops.open.fetch_add(1, Ordering::AcqRel);
                        serve(self.next, Accepted { port: *port, socket, from });
                        self.next = (self.next + 1) % loops.len();
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        note_accept_failure(&error, self.pause.is_none());
                        if is_about_one_connection(&error) {
                            continue;
                        }
                        let pause =
                            self.pause.map_or(ACCEPT_PAUSE, |pause| (pause * 2).min(ACCEPT_PAUSE_MAX));
                        self.pause = Some(pause);
                        return self.pause;
                    }
                }
            }
        }
        None
    }
}
