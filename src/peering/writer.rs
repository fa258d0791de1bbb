//! The writing end of a link: the thread that holds it sends what is due. The link's own thread waits for it and for
//! the neighbour. A thread that has just merged something waits for neither, and sends a little itself, because to
//! wake another thread for that would cost more than to do it.

use std::io;
use std::time::Duration;

use super::channel::Outgoing;
use crate::member::link_log::takes_nothing;
use crate::member::notifier::{ChangeSource, SendAtOnce};
use crate::os::clock;
use crate::os::sync::Mutex;
use crate::proto::peering::frames::Wear;
use crate::proto::peering::link::{Due, Link};
use crate::proto::peering::pace::Pace;

/// The link to one neighbour, and the connection that it is written to.
pub(super) struct LinkWriter {
    neighbour: usize,
    wear: Wear,
    /// While there is one. Taken before the link's lock, and held while it is written to.
    up: Mutex<Option<Up>>,
    /// Held for a step of the rules at a time, by the thread that writes or reads acknowledgements; the store's lock
    /// is taken after it, never before.
    pub(super) link: Mutex<Link>,
}

struct Up {
    outgoing: Outgoing,
    /// When it came up.
    began: Duration,
    /// What was begun by a thread that could not wait until it was written.
    unwritten: Option<Due>,
    pace: Pace,
}

/// What is known when all has been sent.
pub(super) enum Sent {
    /// The next changes will be sent by the thread that merges them.
    Quiet,
    /// There will be more soon.
    Busy,
    /// The link is lazy, and looks for itself when it has something to offer.
    Offering,
    /// The link is worn.
    Worn,
}

impl LinkWriter {
    pub(super) fn new(link: Link, wear: Wear) -> LinkWriter {
        LinkWriter { neighbour: link.neighbour(), wear, up: Mutex::new(None), link: Mutex::new(link) }
    }

    /// The link is up: from now on this connection is written to.
    pub(super) fn up(&self, outgoing: Outgoing) {
        *self.up.lock() =
            Some(Up { outgoing, began: clock::ticks(), unwritten: None, pace: Pace::default() });
    }

    /// The connection has ended.
    pub(super) fn down(&self) {
        *self.up.lock() = None;
        self.link.lock().hung_up();
    }

    /// Sends all that is due, and waits for the neighbour to take it.
    pub(super) fn send_all(&self, changed: &dyn ChangeSource) -> io::Result<Sent> {
        let mut up = self.up.lock();
        let Some(up) = &mut *up else { return Ok(Sent::Quiet) };
        while let Some(due) =
            up.unwritten.take().map_or_else(|| self.next(up, changed), |due| Ok(Some(due)))?
        {
            up.outgoing.write_rest().map_err(named)?;
            self.written(up, due, changed);
            if up.is_worn(self.wear) {
                return Ok(Sent::Worn);
            }
        }
        Ok(match up.is_worn(self.wear) {
            true => Sent::Worn,
            false if self.link.lock().offer_at().is_some() => Sent::Offering,
            false if up.pace.is_so_slow() => Sent::Quiet,
            false => Sent::Busy,
        })
    }

    fn next(&self, up: &mut Up, changed: &dyn ChangeSource) -> io::Result<Option<Due>> {
        let (durable_seq, lines) = (changed.durable_seq(), up.outgoing.begin());
        let mut due = None;
        {
            let mut link = self.link.lock();
            changed.look(&mut |node| due = link.due(node, durable_seq, clock::ticks(), lines));
        }
        up.outgoing.seal()?;
        Ok(due)
    }

    fn written(&self, up: &Up, due: Due, changed: &dyn ChangeSource) {
        let position = {
            let mut link = self.link.lock();
            link.written(due, clock::ticks());
            link.position()
        };
        changed.sent(self.neighbour, up.outgoing.lines(), due.lines(), position);
    }
}

impl SendAtOnce for LinkWriter {
    fn send_at_once(&self, changed: &dyn ChangeSource) -> bool {
        // Another thread that sends may have looked before the changes were there.
        let Some(mut up) = self.up.try_lock() else { return false };
        // Without a connection nothing is due before there is one, and then everything is.
        let Some(up) = &mut *up else { return true };
        if !up.pace.is_slow(clock::ticks()) || up.unwritten.is_some() {
            return false;
        }
        let (durable_seq, lines) = (changed.durable_seq(), up.outgoing.begin());
        let mut due = Ok(None);
        {
            let link = self.link.lock();
            changed.look(&mut |node| due = link.due_at_once(node, durable_seq, lines));
        }
        let due = match due {
            Ok(Some(due)) => due,
            Ok(None) => return true,
            Err(_) => return false,
        };
        if up.outgoing.seal().is_err() {
            return false;
        }
        if up.outgoing.write_now() {
            self.written(up, due, changed);
        } else {
            up.unwritten = Some(due);
        }
        up.unwritten.is_none()
    }
}

impl Up {
    fn is_worn(&self, wear: Wear) -> bool {
        self.outgoing.is_worn(clock::ticks().saturating_sub(self.began), wear)
    }
}

/// A write that has waited for too long fails as `Resource temporarily unavailable`, which explains nothing.
fn named(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { takes_nothing() } else { error }
}
