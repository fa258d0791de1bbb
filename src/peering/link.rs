//! The sender thread of one link: dial, say hello, send what is due, and again when the neighbour is back.

use std::io::{self, Write};
use std::net::Shutdown as Half;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use socket2::SockRef;

use super::ack_reader::AckReader;
use super::channel::{Incoming, Outgoing, is_tampered};
use super::dialer::{self, Dial};
use super::neighbour::Neighbour;
use super::writer::{LinkWriter, Sent};
use crate::member::link_log::{UNSENT_BYTES_MAX, WELCOME_WAIT_MAX, does_not_answer};
use crate::net::stream::{Stream, hang_up};
use crate::os::sync::{self, AtomicBool};
use crate::os::{clock, random};
use crate::proto::line::framing::{Framing, Line};
use crate::proto::peering::frames::{Frames, Opener};
use crate::proto::peering::link::{Answered, Link, LinkError, PEER_TIMEOUT};

/// One link's thread.
pub struct LinkSender<'a> {
    neighbour: &'a Neighbour<'a>,
    writer: Arc<LinkWriter>,
}

/// Keeps the link to a neighbour up until the server stops.
pub fn run(neighbour: &Neighbour<'_>) {
    dialer::run(LinkSender::new(neighbour), neighbour);
}

impl<'a> LinkSender<'a> {
    /// The sender to this neighbour.
    fn new(neighbour: &'a Neighbour<'a>) -> LinkSender<'a> {
        let me = Arc::clone(&neighbour.shared.member.me);
        let writer = Arc::new(LinkWriter::new(Link::new(me, neighbour.index), neighbour.shared.wear));
        let at_once: Arc<LinkWriter> = Arc::clone(&writer);
        neighbour.subscription.notifier().send_at_once_by(at_once);
        LinkSender { neighbour, writer }
    }

    fn next_answer(
        &self,
        stream: &Stream,
        incoming: &mut Incoming<'_>,
        framing: &mut Framing,
    ) -> io::Result<Answered> {
        let log = self.neighbour.log();
        let deadline = clock::ticks() + WELCOME_WAIT_MAX;
        loop {
            if let Some(Line::Whole(text) | Line::TooLong(text)) = framing.next_line() {
                let answered = log.answered(&mut self.writer.link.lock(), text);
                return log.proved(text, answered);
            }
            let left = deadline.saturating_sub(clock::ticks());
            if left.is_zero() {
                return Err(does_not_answer());
            }
            stream.set_read_timeout(Some(left))?;
            match incoming.read(framing.space()) {
                Ok(0) => return Err(log.ended_early(&self.writer.link.lock())),
                Ok(count) => framing.filled(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends until the connection ends or the server stops, while another thread reads acknowledgements.
    fn send_beside_reader(&self, dialled: Dialled) -> io::Result<()> {
        let Dialled { stream, outgoing, opener, framing } = dialled;
        let stream = &stream;
        self.writer.up(outgoing);
        let Neighbour { shared, .. } = self.neighbour;
        let _registered = shared.live.register(stream);
        let hung_up = AtomicBool::new(false);
        sync::scope(|scope| {
            let incoming = Incoming::new(stream, opener);
            let reader =
                AckReader { neighbour: self.neighbour, link: &self.writer.link, stream, hung_up: &hung_up };
            let name = format!("acks-{}", self.neighbour.name());
            sync::spawn(scope, name, move || reader.run(incoming, framing))?;
            let ended = self.send(&hung_up);
            hang_up(stream, Half::Both);
            ended
        })
    }

    fn send(&self, hung_up: &AtomicBool) -> io::Result<()> {
        let (member, subscription) = (self.neighbour.shared.member, &self.neighbour.subscription);
        let mut asked = false;
        loop {
            let is_stopping = self.is_stopping();
            if is_stopping {
                self.writer.link.lock().finish();
            }
            subscription.begin_look();
            let sent = self.writer.send_all(member)?;
            if matches!(sent, Sent::Worn) {
                self.neighbour.log().worn();
                return Ok(());
            }
            if hung_up.load(Ordering::Acquire) {
                return Ok(());
            }
            if is_stopping {
                // A connection that is closed while something unread is in it is reset, and takes with it what the
                // neighbour has not read. So it is closed when the neighbour has said that it has merged all.
                if self.is_acknowledged() {
                    return Ok(());
                }
                if !asked {
                    asked = true;
                    self.writer.link.lock().ask_for_ack();
                    continue;
                }
            }
            // At once: what was offered may have become known since all was sent, and then changes are waited for.
            let (wake_at, is_offering) = {
                let link = self.writer.link.lock();
                (link.wake_at().unwrap_or_default(), link.offer_at().is_some())
            };
            let wait = wake_at.saturating_sub(clock::ticks());
            match sent {
                Sent::Offering if is_offering => subscription.wait_muted(wait),
                Sent::Busy => subscription.wait_awake(wait),
                Sent::Offering | Sent::Quiet | Sent::Worn => subscription.wait(wait),
            }
        }
    }

    fn is_acknowledged(&self) -> bool {
        let link = self.writer.link.lock();
        link.acknowledged_position() >= link.position()
    }

    /// Whether it is time to finish. Until then a link that is down must not be waited for either.
    fn is_stopping(&self) -> bool {
        let Neighbour { subscription, shared, .. } = self.neighbour;
        subscription.is_stopping()
            || (!self.writer.link.lock().is_live() && shared.conversations.is_stopping())
    }
}

/// A connection that has come up.
pub struct Dialled {
    stream: Arc<Stream>,
    outgoing: Outgoing,
    /// What decrypts it, if anything does.
    opener: Option<Opener>,
    /// It has read on: more may have come with the welcome.
    framing: Framing,
}

impl Dial for LinkSender<'_> {
    type Session = Dialled;

    /// Connects, and lets each side show who it is.
    fn dial(&mut self) -> io::Result<Dialled> {
        let shared = &self.neighbour.shared;
        let stream = self.neighbour.connect()?;
        let _registered = shared.dialling.register(&stream);
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PEER_TIMEOUT))?;
        SockRef::from(&*stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
        let hello = self.writer.link.lock().hello(random::ephemeral_key()?);
        (&*stream).write_all(&hello)?;
        let mut framing = Framing::for_peer_replies();
        if self.writer.link.lock().expects_message() {
            framing.expect_message();
        }
        let (mut outgoing, mut incoming) = (Outgoing::new(&stream, None), Incoming::new(&stream, None));
        loop {
            match self.next_answer(&stream, &mut incoming, &mut framing)? {
                Answered::Reply(line) => {
                    if let Some(frames) = self.writer.link.lock().take_frames() {
                        let Frames { sealer, opener } = *frames;
                        outgoing = Outgoing::new(&stream, Some(sealer));
                        incoming = Incoming::new(&stream, Some(opener));
                        // What has come in clear with the message would be taken for what is in the frames.
                        framing = Framing::for_peer_replies();
                    }
                    outgoing.write_all(&line)?;
                }
                Answered::Up => {
                    stream.set_read_timeout(Some(PEER_TIMEOUT))?;
                    let opener = incoming.into_opener();
                    return Ok(Dialled { stream, outgoing, opener, framing });
                }
                Answered::Acknowledged
                | Answered::Pruned
                | Answered::Grafted
                | Answered::Known
                | Answered::Differs(_) => {
                    return Err(io::Error::other(LinkError::OutOfPlace));
                }
            }
        }
    }

    fn converse(&mut self, dialled: Dialled, _was_away: bool) -> bool {
        let log = self.neighbour.log();
        log.up();
        log.down(self.send_beside_reader(dialled));
        self.writer.down();
        true
    }

    fn failed(&mut self, failures: u64, error: &io::Error) {
        self.writer.link.lock().hung_up();
        if is_tampered(error) {
            self.neighbour.log().tampered(error);
        }
        self.neighbour.log().failed(failures, error);
    }

    fn goes_on(&self) -> bool {
        !self.is_stopping()
    }
}
