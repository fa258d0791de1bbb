//! The thread that reads what the neighbour says on a link while its sender sends.

use std::io::{self, Read};
use std::net::Shutdown as Half;
use std::sync::atomic::Ordering;

use super::neighbour::Neighbour;
use crate::logging::Escaped;
use crate::member::conversation::level_of;
use crate::member::metrics::Event;
use crate::member::notifier::WakeUp;
use crate::net::stream::{Stream, hang_up};
use crate::os::clock;
use crate::os::sync::{AtomicBool, Mutex};
use crate::proto::line::framing::{Framing, Line};
use crate::proto::peering::link::{Answered, Link, LinkError, PEER_TIMEOUT};

/// Reads acknowledgements and complaints, and notices when the neighbour is gone.
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
    pub fn run(self, mut framing: Framing) {
        let mut stream = self.stream;
        loop {
            while let Some(Line::Whole(text) | Line::TooLong(text)) = framing.next_line() {
                self.line(text);
            }
            match stream.read(framing.space()) {
                Ok(0) => break,
                Ok(count) => framing.filled(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let wait = humantime::format_duration(PEER_TIMEOUT);
                    let what =
                        format_args!("link to {}: it has said nothing for {wait}", self.neighbour.name());
                    self.neighbour.shared.member.metrics.count_and_warn(Event::LinkTimedOut, what);
                    break;
                }
                Err(_) => break,
            }
        }
        self.hung_up.store(true, Ordering::Release);
        // The sender may be waiting in a write that the neighbour will never read.
        hang_up(self.stream, Half::Both);
        self.neighbour.subscription.notifier().wake(WakeUp::HangUp);
    }

    fn line(&self, text: &[u8]) {
        let (member, subscription) = (self.neighbour.shared.member, &self.neighbour.subscription);
        let name = self.neighbour.name();
        log::log!(level_of(text), "link to {name} <- {}", Escaped(text));
        let answered = {
            let mut link = self.link.lock();
            let answered = member.read(|node| link.answered(node, text, clock::ticks()));
            self.neighbour.state().acknowledged(link.acknowledged_position());
            answered
        };
        match answered {
            Ok(Answered::Acknowledged | Answered::Up | Answered::Reply(_)) => {
                if subscription.is_stopping() {
                    subscription.notifier().wake(WakeUp::Stop);
                }
            }
            Ok(Answered::Differs(buckets)) => {
                member.metrics.buckets_repaired.add(buckets as u64);
                log::warn!(
                    "{name} knows other things than we do in {buckets} of 256 buckets: they are sent again"
                );
                subscription.notifier().wake(WakeUp::Changes);
            }
            Err(error) => log::warn!("link to {name}: {}", complaint(&error, text)),
        }
    }
}

/// Why a line of the neighbour is of no use, in its words if it complains.
pub fn complaint(error: &LinkError, text: &[u8]) -> io::Error {
    match error {
        LinkError::NotAnAnswer(_) => io::Error::other(format!("it says {}", Escaped(text))),
        LinkError::OutOfPlace | LinkError::WrongServer | LinkError::WrongProof => io::Error::other(*error),
    }
}
