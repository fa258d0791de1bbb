//! The thread that listens on a link while its sender sends.

use std::io::{self, Read};
use std::net::Shutdown as Half;
use std::sync::atomic::Ordering;

use super::clock;
use super::errands::Errand;
use super::link::{Sender, complaint, level_of};
use super::shutdown::hang_up;
use super::slips::{self, Slip, in_order};
use super::sync::{AtomicBool, TcpStream};
use super::warnings::Cause;
use crate::logging::Escaped;
use crate::proto::line::framing::{Framing, Line};
use crate::proto::peering::link::{Answered, PEER_TIMEOUT};

/// Reads what the neighbour says on a link, which is acknowledgements and complaints, and notices when it is gone.
pub(super) struct Watcher<'a> {
    pub(super) sender: &'a Sender<'a>,
    pub(super) socket: &'a TcpStream,
    pub(super) hung_up: &'a AtomicBool,
}

impl Watcher<'_> {
    /// Reads until the connection ends or nothing comes any more.
    pub(super) fn run(self, mut framing: Framing) {
        let (mut socket, name) = (self.socket, &self.sender.name);
        loop {
            while let Some(Line::Whole(text) | Line::TooLong(text)) = framing.next_line() {
                self.line(text);
            }
            match socket.read(framing.space()) {
                Ok(0) => break,
                Ok(count) => framing.filled(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let wait = humantime::format_duration(PEER_TIMEOUT);
                    let what = format_args!("link to {name}: it has said nothing for {wait}");
                    self.sender.shared.hit(Cause::LinkSilent, what);
                    break;
                }
                Err(_) => break,
            }
        }
        let note = || self.hung_up.store(true, Ordering::Release);
        in_order(Slip::HangUpRungFirst, note, || {
            // The sender may be waiting in a write that nobody will read any more.
            hang_up(self.socket, Half::Both);
            self.sender.bell.ring(Errand::HangUp);
        });
    }

    fn line(&self, text: &[u8]) {
        let Sender { shared, name, link, bell, state, .. } = self.sender;
        log::log!(level_of(text), "link to {name} <- {}", Escaped(text));
        let answered = {
            let _too_early = slips::has(Slip::LocksReversed).then(|| shared.node.read());
            let mut link = link.lock();
            let answered = link.answered(&shared.node.read(), text, clock::ticks());
            state.acknowledged(link.acknowledged_position());
            answered
        };
        match answered {
            Ok(Answered::Acknowledged | Answered::Up | Answered::Reply(_)) => {
                if bell.is_stopping() && !slips::has(Slip::LastAckUnheard) {
                    bell.ring(Errand::Stop);
                }
            }
            Ok(Answered::Differs(buckets)) => {
                shared.stats.buckets_repaired.add(buckets as u64);
                log::warn!(
                    "{name} knows other things than we do in {buckets} of 256 buckets: they are told again"
                );
                bell.ring(Errand::News);
            }
            Err(error) => log::warn!("link to {name}: {}", complaint(&error, text)),
        }
    }
}
