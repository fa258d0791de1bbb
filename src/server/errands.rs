//! Errands: how the sender thread of a link is told that there is something to do.
//!
//! An errand only wakes. What there is to do stands elsewhere (news in the store, a hang-up and a stop in
//! flags), and a sender that has been woken looks at all of it. So every errand is sent with `try_send`:
//! nobody ever waits for a slow neighbour, and a full channel loses nothing, for it wakes just as well.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use super::slips::{Slip, in_order};
use super::sync::{AtomicBool, Receiver, Sender, bounded};

/// Errands that fit into a channel. One suffices to wake; a few more keep apart what they were about.
const ERRANDS_MAX: usize = 16;

/// What a sender is woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// Records have changed.
    News,
    /// The connection to the neighbour has ended.
    HangUp,
    /// The neighbour has said hello to us: it is back, dial it now.
    Back,
    /// Finish: send what is due, then end.
    Stop,
}

/// The waking end of one sender's errands.
#[derive(Debug)]
pub(super) struct Bell {
    errands: Sender<Errand>,
    /// Whether the sender has yet to look at the store since it was last told of news. While it is set
    /// another errand would tell nothing, so a batch of news costs one atomic swap.
    told_of_news: AtomicBool,
    stopping: AtomicBool,
}

impl Bell {
    /// A bell, and the errands that the sender thread waits for.
    pub(super) fn new() -> (Bell, Receiver<Errand>) {
        let (sender, receiver) = bounded(ERRANDS_MAX);
        (
            Bell { errands: sender, told_of_news: AtomicBool::new(false), stopping: AtomicBool::new(false) },
            receiver,
        )
    }

    /// Wakes the sender because records have changed. They must have been merged before.
    pub(super) fn news(&self) {
        if !self.told_of_news.swap(true, Ordering::AcqRel) {
            self.ring(Errand::News);
        }
    }

    /// Wakes the sender for another reason.
    pub(super) fn ring(&self, errand: Errand) {
        // Full: it is about to wake anyway. Disconnected: it has ended.
        let _ = self.errands.try_send(errand);
    }

    /// Tells the sender to finish.
    pub(super) fn stop(&self) {
        let say = || self.stopping.store(true, Ordering::Release);
        in_order(Slip::StopRungFirst, say, || self.ring(Errand::Stop));
    }

    /// Whether the sender has been told to finish.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// To be called by the sender before it looks at the store: what is merged after this rings again.
    pub(super) fn looking_at_news(&self) {
        // If a swap in `news` comes before this one, its record was merged before we take the store's lock.
        // If the record is merged after we have released that lock, its swap comes after and rings.
        self.told_of_news.swap(false, Ordering::AcqRel);
    }
}

/// Waits for an errand, at most for so long, and takes all others that are there too: they wake for the same look
/// at everything.
pub(super) fn wait_for_any(errands: &Receiver<Errand>, wait_max: Duration) {
    if errands.recv_timeout(wait_max).is_ok() {
        while errands.try_recv().is_ok() {}
    }
}

/// Waits until `deadline`, or until the neighbour is back or the sender must finish.
pub(super) fn pause(errands: &Receiver<Errand>, bell: &Bell, deadline: Instant) {
    while !bell.is_stopping() {
        match errands.recv_deadline(deadline) {
            Ok(Errand::News | Errand::HangUp) => {}
            Ok(Errand::Back | Errand::Stop) => return,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::clock;

    #[test]
    fn news_rings_once_until_the_sender_has_looked() {
        let (bell, errands) = Bell::new();
        (0..5).for_each(|_| bell.news());
        assert_eq!(errands.len(), 1);
        wait_for_any(&errands, Duration::MAX);
        bell.looking_at_news();
        bell.news();
        assert_eq!(errands.try_recv(), Ok(Errand::News));
    }

    #[test]
    fn a_full_channel_holds_up_nobody_and_a_stop_is_never_lost() {
        let (bell, errands) = Bell::new();
        (0..10 * ERRANDS_MAX).for_each(|_| bell.ring(Errand::HangUp));
        bell.stop();
        pause(&errands, &bell, clock::deadline(Duration::from_secs(60)));
        wait_for_any(&errands, Duration::MAX);
        assert!(bell.is_stopping() && errands.is_empty());
    }

    #[test]
    fn a_pause_ends_when_the_neighbour_is_back_but_not_for_news() {
        let (bell, errands) = Bell::new();
        bell.news();
        bell.ring(Errand::Back);
        pause(&errands, &bell, clock::deadline(Duration::from_secs(60)));
        assert!(errands.is_empty());
        bell.ring(Errand::News);
        pause(&errands, &bell, clock::deadline(Duration::from_millis(1)));
        assert!(errands.is_empty());
    }
}
