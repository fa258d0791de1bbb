//! The thread that reads what the neighbour says on a link while its sender sends.

use std::io;
use std::net::Shutdown as Half;
use std::sync::atomic::Ordering;

use super::channel::{Incoming, is_tampered};
use super::neighbour::Neighbour;
use crate::member::notifier::WakeUp;
use crate::net::stream::{Stream, hang_up};
use crate::os::sync::{AtomicBool, Mutex};
use crate::proto::line::framing::{Framing, Line};
use crate::proto::peering::link::Link;

/// Reads acknowledgements, closes the link when something else comes, and notices when the neighbour is gone.
pub struct AckReader<'a> {
    /// The neighbour.
    pub neighbour: &'a Neighbour<'a>,
    /// The link to it.
    pub link: &'a Mutex<Link>,
    /// Its connection.
    pub stream: &'a Stream,
    /// Set when the connection has ended.
    pub hung_up: &'a AtomicBool,
}

impl AckReader<'_> {
    /// Reads until the connection ends or nothing comes any more.
    pub(super) fn run(self, mut incoming: Incoming<'_>, mut framing: Framing) {
        'lines: loop {
            while let Some(Line::Whole(text) | Line::TooLong(text)) = framing.next_line() {
                if !self.line(text) {
                    break 'lines;
                }
            }
            match incoming.read(framing.space()) {
                Ok(0) => break,
                Ok(count) => framing.filled(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.neighbour.log().timed_out();
                    break;
                }
                Err(error) => {
                    if is_tampered(&error) {
                        self.neighbour.log().tampered(&error);
                    }
                    break;
                }
            }
        }
        self.hung_up.store(true, Ordering::Release);
        // The sender may be waiting in a write that the neighbour will never read.
        hang_up(self.stream, Half::Both);
        self.neighbour.subscription.notifier().wake(WakeUp::HangUp);
    }

    /// Whether the link goes on after this line.
    fn line(&self, text: &[u8]) -> bool {
        let log = self.neighbour.log();
        let answered = log.answered(&mut self.link.lock(), text);
        log.heard_beside(text, answered, self.neighbour.subscription.notifier())
    }
}
