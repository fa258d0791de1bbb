//! The ports, and who serves what comes in on them.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use proxyherd::config::Config;
use proxyherd::net::accept::{ACCEPT_PAUSE, ACCEPT_PAUSE_MAX, is_about_one_connection, log_failure};
use proxyherd::net::admission::Class;
use proxyherd_bench::driver::{Opened, listen_nonblocking};

use crate::shared::{Accepted, Loops};

/// The ports of a server, or none for a loop that does not accept.
#[derive(Default)]
pub(crate) struct Doors {
    doors: Vec<(TcpListener, Class)>,
    /// The loop that gets the next connection.
    next: usize,
    /// The last wait, if the last attempt failed for want of something.
    pause: Option<Duration>,
}

impl Doors {
    /// Opens both ports, with tokens from `first_token`. A client that gets through to that of the clients finds
    /// the other one open too.
    pub(crate) fn open(
        &mut self,
        config: &Config,
        registry: &Registry,
        first_token: usize,
    ) -> io::Result<()> {
        for class in [Class::Peer, Class::Client] {
            let mut listener = TcpListener::from_std(listen_nonblocking(config, class, Opened::Once)?);
            registry.register(&mut listener, Token(first_token + self.doors.len()), Interest::READABLE)?;
            self.doors.push((listener, class));
        }
        Ok(())
    }

    /// Accepts no more.
    pub(crate) fn close(&mut self) {
        self.doors.clear();
    }

    /// Accepts all connections that wait, and says which loop serves them. Returns how long to wait before trying
    /// again, if something has run out.
    pub(crate) fn accept_all(
        &mut self,
        loops: &'static Loops,
        mut serve: impl FnMut(usize, Accepted),
    ) -> Option<Duration> {
        for &(ref listener, class) in &self.doors {
            loop {
                match listener.accept() {
                    Ok((socket, from)) => {
                        self.pause = None;
                        let send = |line: &[u8]| io::Write::write(&mut &socket, line);
                        let Some(admitted) = loops.driver.admit(class, from, send) else { continue };
                        loops.open.fetch_add(1, Ordering::AcqRel);
                        serve(self.next, Accepted { class, admitted, socket, from });
                        self.next = (self.next + 1) % loops.len();
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        log_failure(&error, self.pause.is_none());
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
