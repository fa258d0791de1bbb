//! Notifiers: how a thread that follows the change log learns that there is something to do.
//!
//! A wake-up only wakes. What there is to do stands elsewhere (changes in the store, a hang-up and a stop in flags),
//! and a follower that has been woken looks at all of it. So every wake-up is sent with `try_send`: a change never
//! waits for a slow follower, and a full channel loses nothing, because it wakes just as well.
//!
//! A thread waits in its channel. A follower that waits elsewhere, as a task or an event loop does, registers a closure
//! that is called after each wake-up was sent, and then takes what has come.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use crate::os::sync::{AtomicBool, Receiver, RwLock, Sender, bounded};

/// Wake-ups that fit into a channel. One suffices to wake; a few more keep apart what they were about.
const WAKE_UPS_MAX: usize = 16;

/// What a follower is woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeUp {
    /// Records have changed.
    Changes,
    /// The connection that the follower writes to has ended.
    HangUp,
    /// The neighbour that the follower dials has authenticated here: it is back, dial it now.
    NeighbourIsBack,
    /// Finish: send what is due, then end.
    Stop,
}

/// All that follow the change log now. Followers come and go while the member runs.
#[derive(Debug, Default)]
pub struct Notifiers {
    followers: RwLock<Followers>,
}

#[derive(Debug, Default)]
struct Followers {
    present: Vec<Arc<Notifier>>,
    /// Whether all were told to finish, and those that come now are told at once.
    are_stopping: bool,
}

/// Tells a follower that does not wait in its channel that something has come. It must neither wait nor look.
pub type Ring = Box<dyn Fn() + Send + Sync>;

/// The waking end of one follower's wake-ups.
pub struct Notifier {
    wake_ups: Sender<WakeUp>,
    /// For a follower that does not wait in the channel.
    ring: Option<Ring>,
    /// Whether the follower has yet to look at the store since it was last told of changes. While it is set another
    /// wake-up would tell nothing, so a batch of changes costs one atomic swap.
    is_told: AtomicBool,
    is_stopping: AtomicBool,
}

/// The waiting end: a place among the followers, given up when it is dropped.
#[derive(Debug)]
pub struct Subscription<'a> {
    notifiers: &'a Notifiers,
    notifier: Arc<Notifier>,
    wake_ups: Receiver<WakeUp>,
}

impl WakeUp {
    /// Whether the next attempt of a follower that waits before it dials again is due.
    fn ends_pause(self) -> bool {
        match self {
            WakeUp::Changes | WakeUp::HangUp => false,
            WakeUp::NeighbourIsBack | WakeUp::Stop => true,
        }
    }
}

impl Notifiers {
    /// Registers one more follower, a thread.
    pub fn subscribe(&self) -> Subscription<'_> {
        self.register(None)
    }

    /// Registers one more follower, which waits for `ring` to be called.
    pub fn subscribe_with(&self, ring: Ring) -> Subscription<'_> {
        self.register(Some(ring))
    }

    fn register(&self, ring: Option<Ring>) -> Subscription<'_> {
        let (wake_ups, receiver) = bounded(WAKE_UPS_MAX);
        let notifier = Arc::new(Notifier {
            wake_ups,
            ring,
            is_told: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
        });
        let mut followers = self.followers.write();
        followers.present.push(Arc::clone(&notifier));
        if followers.are_stopping {
            notifier.stop();
        }
        drop(followers);
        Subscription { notifiers: self, notifier, wake_ups: receiver }
    }

    /// Wakes all followers because records have changed. The records must have been merged before.
    pub fn notify(&self) {
        self.followers.read().present.iter().for_each(|follower| follower.notify());
    }

    /// Tells all followers to finish, now and from now on.
    pub fn stop(&self) {
        let mut followers = self.followers.write();
        followers.are_stopping = true;
        followers.present.iter().for_each(|follower| follower.stop());
    }
}

impl Notifier {
    /// Wakes the follower because records have changed.
    fn notify(&self) {
        if !self.is_told.swap(true, Ordering::AcqRel) {
            self.wake(WakeUp::Changes);
        }
    }

    /// Wakes the follower.
    pub fn wake(&self, why: WakeUp) {
        // Full: it is about to wake anyway. Disconnected: it has ended.
        let _ = self.wake_ups.try_send(why);
        if let Some(ring) = &self.ring {
            ring();
        }
    }

    /// Tells the follower to finish.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.wake(WakeUp::Stop);
    }

    /// Whether the follower has been told to finish.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }
}

impl Subscription<'_> {
    /// What wakes this follower.
    pub fn notifier(&self) -> &Arc<Notifier> {
        &self.notifier
    }

    /// Whether this follower has been told to finish.
    pub fn is_stopping(&self) -> bool {
        self.notifier.is_stopping()
    }

    /// To be called before a look at the store: what is merged after this wakes again.
    pub fn begin_look(&self) {
        // If a swap in `notify` comes before this one, its record was merged before we take the store's lock.
        // If the record is merged after we have released that lock, its swap comes after and wakes.
        self.notifier.is_told.swap(false, Ordering::AcqRel);
    }

    /// Waits for a wake-up, at most for so long, and takes all others that are there too.
    pub fn wait(&self, wait_max: Duration) {
        if self.wake_ups.recv_timeout(wait_max).is_ok() {
            self.take();
        }
    }

    /// Takes all wake-ups that are there, because they wake for one look at everything. Returns whether a pause is
    /// over: the neighbour is back, or the follower must finish.
    pub fn take(&self) -> bool {
        let mut ends_pause = false;
        while let Ok(why) = self.wake_ups.try_recv() {
            ends_pause |= why.ends_pause();
        }
        ends_pause
    }

    /// Waits until `deadline`, or until the neighbour is back or the follower must finish.
    pub fn pause_until(&self, deadline: Instant) {
        while !self.is_stopping() {
            match self.wake_ups.recv_deadline(deadline) {
                Ok(why) if !why.ends_pause() => {}
                Ok(_) => return,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").field("is_told", &self.is_told).finish_non_exhaustive()
    }
}

impl Drop for Subscription<'_> {
    fn drop(&mut self) {
        self.notifiers.followers.write().present.retain(|other| !Arc::ptr_eq(other, &self.notifier));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::clock;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn changes_wake_once_until_the_follower_has_looked() {
        let notifiers = Notifiers::default();
        let follower = notifiers.subscribe();
        (0..5).for_each(|_| notifiers.notify());
        assert_eq!(follower.wake_ups.len(), 1);
        follower.wait(Duration::MAX);
        follower.begin_look();
        notifiers.notify();
        assert_eq!(follower.wake_ups.try_recv(), Ok(WakeUp::Changes));
    }

    #[test]
    fn full_channel_blocks_no_one_and_keeps_the_stop() {
        let notifiers = Notifiers::default();
        let follower = notifiers.subscribe();
        (0..10 * WAKE_UPS_MAX).for_each(|_| follower.notifier().wake(WakeUp::HangUp));
        notifiers.stop();
        follower.pause_until(clock::deadline(Duration::from_secs(60)));
        follower.wait(Duration::MAX);
        assert!(follower.is_stopping() && follower.wake_ups.is_empty());
    }

    #[test]
    fn pause_ends_when_the_neighbour_is_back_and_not_for_changes() {
        let notifiers = Notifiers::default();
        let follower = notifiers.subscribe();
        notifiers.notify();
        follower.notifier().wake(WakeUp::NeighbourIsBack);
        follower.pause_until(clock::deadline(Duration::from_secs(60)));
        assert!(follower.wake_ups.is_empty());
        follower.notifier().wake(WakeUp::Changes);
        follower.pause_until(clock::deadline(Duration::from_millis(1)));
        assert!(follower.wake_ups.is_empty());
    }

    #[test]
    fn ring_is_called_once_until_the_follower_has_looked() {
        let (notifiers, rung) = (Notifiers::default(), Arc::new(AtomicUsize::new(0)));
        let follower = notifiers.subscribe_with({
            let rung = Arc::clone(&rung);
            Box::new(move || {
                rung.fetch_add(1, Ordering::Relaxed);
            })
        });
        (0..5).for_each(|_| notifiers.notify());
        assert_eq!((rung.load(Ordering::Relaxed), follower.take()), (1, false));
        follower.begin_look();
        notifiers.notify();
        follower.notifier().wake(WakeUp::NeighbourIsBack);
        assert_eq!((rung.load(Ordering::Relaxed), follower.take(), follower.take()), (3, true, false));
        notifiers.stop();
        assert_eq!((rung.load(Ordering::Relaxed), follower.take()), (4, true));
    }

    #[test]
    fn dropped_subscription_is_not_notified() {
        let notifiers = Notifiers::default();
        let (one, other) = (notifiers.subscribe(), notifiers.subscribe());
        drop(one);
        notifiers.notify();
        assert_eq!((notifiers.followers.read().present.len(), other.wake_ups.len()), (1, 1));
    }
}
