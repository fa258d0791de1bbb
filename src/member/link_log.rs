//! What every driver of a link shares: its bounds, and what it counts, logs and shows in the status.

use std::fmt;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Member;
use super::conversation::level_of;
use super::link_state::LinkState;
use super::metrics::Event;
use super::notifier::{ChangeSource, Notifier, WakeUp};
use super::warnings::Source;
use crate::logging::Escaped;
use crate::os::clock;
use crate::proto::model::fields::ParseError;
use crate::proto::model::name::ServerName;
use crate::proto::node::Node;
use crate::proto::peering::link::{Answered, Link, LinkError, PEER_TIMEOUT};
use crate::proto::peering::noise::Differs;

/// How long connecting to a neighbour may take: one that is there answers within a round trip.
pub const CONNECT_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long a neighbour may take for each of its answers until it has welcomed us.
pub const WELCOME_WAIT_MAX: Duration = Duration::from_secs(2);

/// What the kernel may hold that is not on its way yet: more would keep heartbeats waiting behind it. What is on its
/// way is not bounded by us, because on a long way it is much.
pub const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// How long links may take to send what is due when the server stops.
pub const DRAIN_WAIT_MAX: Duration = Duration::from_secs(2);

/// Failures in a row after which a neighbour is reported as away: about half a second of attempts. It is reported once
/// per outage, because a neighbour that is away for an hour must not fill the log; and not at the first attempts,
/// because the servers of a herd start one after another.
pub const FAILURES_UNTIL_WARNING: u64 = 6;

/// The link to one neighbour, as the log, the metrics and the status see it.
#[derive(Clone, Copy)]
pub struct LinkLog<'a> {
    member: &'a Member,
    neighbour: usize,
}

impl<'a> LinkLog<'a> {
    /// Of the link to the neighbour with this index.
    pub fn new(member: &'a Member, neighbour: usize) -> LinkLog<'a> {
        LinkLog { member, neighbour }
    }

    /// The neighbour's name.
    pub fn name(self) -> &'a ServerName {
        &self.member.me.neighbours[self.neighbour].name
    }

    /// How the link is, for the status.
    pub fn state(self) -> &'a LinkState {
        &self.member.links[self.neighbour]
    }

    /// The link came up.
    pub fn up(self) {
        self.member.metrics.links_up.add(1);
        log::info!("link to {} is up", self.name());
        self.state().turned(true);
    }

    /// The link that was up has ended.
    pub fn down(self, ended: io::Result<()>) {
        self.state().turned(false);
        match ended {
            Ok(()) => log::info!("link to {} is down", self.name()),
            Err(error) => {
                self.warn(Event::LinkLost, format_args!("link to {} is down: {error}", self.name()));
            }
        }
    }

    /// The link could not be made, `failures` times in a row.
    pub fn failed(self, failures: u64, error: &io::Error) {
        self.unreachable(failures, format_args!("link to {} cannot be made yet", self.name()), error);
    }

    /// Bytes with so many `AT` lines were written, which has brought the link to this position.
    pub fn sent(self, bytes: &[u8], lines: usize, position: Option<u64>) {
        self.state().sent(position);
        self.state().sent_updates.add(lines as u64, clock::ticks());
        self.member.metrics.link_lines.add(lines as u64);
        self.member.metrics.link_bytes.add(bytes.len() as u64);
        if log::log_enabled!(log::Level::Debug) {
            for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                log::log!(level_of(line), "link to {} -> {}", self.name(), Escaped(line));
            }
        }
    }

    /// Lets the link decide on a line of the neighbour, which has come now.
    ///
    /// # Errors
    /// If the line is no answer; [`LinkLog::proved`] or [`LinkLog::heard`] must be told, with no lock held.
    pub fn answered(self, link: &mut Link, text: &[u8]) -> Result<Answered, LinkError> {
        let (answered, is_lazy) = self
            .member
            .read(|node| (link.answered(node, text, clock::ticks()), node.tree().is_lazy(self.neighbour)));
        self.state().is_lazy.store(is_lazy, Ordering::Relaxed);
        self.state().acknowledged(link.acknowledged_position());
        answered
    }

    /// What the line comes to if the link is not up yet.
    ///
    /// # Errors
    /// If it cannot come up.
    pub fn proved(self, text: &[u8], answered: Result<Answered, LinkError>) -> io::Result<Answered> {
        let complains_of_else = text.starts_with(b"? ") && text != format!("? {Differs}").as_bytes();
        let answered = answered.map_err(|error| {
            if text.starts_with(b"? HELLO ") {
                LinkError::HelloRefused
            } else if error == LinkError::Differs && complains_of_else {
                // Such as of too many connections.
                LinkError::NotAnAnswer(ParseError::UnknownWord)
            } else {
                error
            }
        });
        answered.map_err(|error| self.unproved(error, text))
    }

    /// It has ended the connection before it has welcomed us.
    pub fn ended_early(self, link: &Link) -> io::Error {
        if link.expects_message() {
            self.unproved(LinkError::ClosedEarly, b"")
        } else {
            io::ErrorKind::UnexpectedEof.into()
        }
    }

    fn unproved(self, error: LinkError, text: &[u8]) -> io::Error {
        // One that closes may be going down: it is reported when it has done so several times.
        if matches!(error, LinkError::Differs | LinkError::HelloRefused) {
            self.warn(Event::LinkUnproved, format_args!("link to {}: {error}", self.name()));
        }
        complaint(&error, text)
    }

    /// What has come is not what the neighbour has sealed.
    pub fn tampered(self, error: &io::Error) {
        self.warn(Event::LinkTampered, format_args!("link to {} is closed: {error}", self.name()));
    }

    /// The link has carried so much, or is so old, that another one with new keys takes its place.
    pub fn worn(self) {
        log::info!("link to {} is replaced by one with new keys", self.name());
    }

    /// What the line comes to if the link is up; `None` if it is of no use, which must end the link: a neighbour that
    /// is understood no longer would go on for ever.
    pub fn heard(self, text: &[u8], answered: Result<Answered, LinkError>) -> Option<Answered> {
        let name = self.name();
        log::log!(level_of(text), "link to {name} <- {}", Escaped(text));
        if let Ok(Answered::Differs(buckets)) = answered {
            let what = format_args!(
                "{name} knows other things than we do in {buckets} of 256 buckets: they are sent again"
            );
            let (metrics, source) = (&self.member.metrics, Source::Neighbour(self.neighbour));
            metrics.count_many_and_warn(Event::BucketsDiffer, source, buckets as u64, what);
        }
        let metrics = &self.member.metrics;
        match answered {
            Ok(Answered::Pruned) => metrics.links_pruned.add(1),
            Ok(Answered::Grafted) => metrics.links_grafted.add(1),
            Ok(Answered::Known) => metrics.offers_known.add(1),
            Ok(Answered::Reply(_) | Answered::Up | Answered::Acknowledged | Answered::Differs(_))
            | Err(_) => {}
        }
        let rubbish = |error: &LinkError| {
            let what = format_args!("link to {name} is closed: {}", complaint(error, text));
            self.warn(Event::LinkGarbled, what);
        };
        answered.inspect_err(rubbish).ok()
    }

    /// What the line comes to if the link is up and is read beside its sender, which `notifier` wakes. Returns whether
    /// the link goes on.
    #[must_use = "a link whose neighbour is not understood must end"]
    pub fn heard_beside(
        self,
        text: &[u8],
        answered: Result<Answered, LinkError>,
        notifier: &Notifier,
    ) -> bool {
        let answered = self.heard(text, answered);
        match answered {
            Some(Answered::Differs(_) | Answered::Grafted) => notifier.wake(WakeUp::Changes),
            // A sender that finishes waits for the last acknowledgement.
            Some(_) if notifier.is_stopping() => notifier.wake(WakeUp::Stop),
            Some(_) | None => {}
        }
        answered.is_some()
    }

    /// The neighbour has said nothing for [`PEER_TIMEOUT`].
    pub fn timed_out(self) {
        let wait = humantime::format_duration(PEER_TIMEOUT);
        self.warn(
            Event::LinkTimedOut,
            format_args!("link to {}: it has said nothing for {wait}", self.name()),
        );
    }

    /// The neighbour could not be reached, `failures` times in a row; `what` says so.
    pub fn unreachable(self, failures: u64, what: fmt::Arguments<'_>, error: &io::Error) {
        let what = format_args!("{what}: {error}");
        self.state().failed(&what);
        if failures == FAILURES_UNTIL_WARNING {
            self.warn(Event::LinkUnreachable, what);
        } else {
            log::debug!("{what}");
        }
    }

    fn warn(self, event: Event, what: fmt::Arguments<'_>) {
        self.state().failed(&what);
        self.member.metrics.count_and_warn(event, Source::Neighbour(self.neighbour), what);
    }
}

impl ChangeSource for Member {
    fn durable_seq(&self) -> u64 {
        Member::durable_seq(self)
    }

    fn look(&self, look: &mut dyn FnMut(&Node)) {
        self.read(look);
    }

    fn sent(&self, neighbour: usize, bytes: &[u8], lines: usize, position: Option<u64>) {
        LinkLog::new(self, neighbour).sent(bytes, lines, position);
    }
}

/// Why a write to a neighbour ends the link if it has waited for [`PEER_TIMEOUT`].
pub fn takes_nothing() -> io::Error {
    let seconds = PEER_TIMEOUT.as_secs();
    io::Error::new(io::ErrorKind::TimedOut, format!("it has taken nothing for {seconds} s"))
}

/// Why a link cannot come up if the neighbour says nothing for [`WELCOME_WAIT_MAX`].
pub fn does_not_answer() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it does not answer")
}

/// Why a line of the neighbour is of no use, in its words if it complains.
fn complaint(error: &LinkError, text: &[u8]) -> io::Error {
    match error {
        LinkError::NotAnAnswer(_) => io::Error::other(format!("it says {}", Escaped(text))),
        LinkError::OutOfPlace
        | LinkError::WrongServer
        | LinkError::Differs
        | LinkError::ClosedEarly
        | LinkError::HelloRefused => io::Error::other(*error),
    }
}
