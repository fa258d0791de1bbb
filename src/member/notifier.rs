//! Notifiers: how a thread that follows the change log learns that there is something to do.
//!
//! A wake-up only wakes. What there is to do stands elsewhere (changes in the store, a hang-up and a stop in flags),
//! and a follower that has been woken looks at all of it. So every wake-up is sent with `try_send`: a change never
//! waits for a slow follower, and a full channel loses nothing, because it wakes just as well.
//!
//! A link's thread need not be woken for a few changes: the one that has merged them sends them itself, if it can do so
//! without waiting ([`SendAtOnce`]). What cannot be sent so, because it is much or the neighbour is slow, wakes.
//!
//! A thread parks beside its channel, because receiving from one yields the processor again and again before it
//! sleeps, which costs more than to park if changes come seldom. A follower that waits elsewhere, as a task or an event
//! loop does, registers a closure that is called after each wake-up was sent, and then takes what has come.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use crate::os::sync::{self, AtomicBool, Mutex, Receiver, RwLock, Sender, Thread, bounded};
use crate::proto::node::Node;

/// Wake-ups that fit into a channel. One suffices to wake; a few more keep apart what they were about.
const WAKE_UPS_MAX: usize = 16;

/// The most links that a thread which has merged something sends to itself: it has a reply to write, or more to read.
const AT_ONCE_LINKS_MAX: usize = 8;

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

/// What a follower that is sent something at once must know of the member that has changed.
pub trait ChangeSource {
    /// The durable watermark.
    fn durable_seq(&self) -> u64;

    /// Looks at what is known.
    fn look(&self, look: &mut dyn FnMut(&Node));

    /// Counts and logs that the link to this neighbour was sent so many `AT` lines, and where it is now.
    fn sent(&self, neighbour: usize, bytes: &[u8], lines: usize, position: Option<u64>);
}

/// A follower to which the thread that has changed something may send it at once.
pub trait SendAtOnce: Send + Sync {
    /// Sends what is due, if that is little and takes no wait. Whether nothing more is due; if not, the follower must
    /// be woken.
    fn send_at_once(&self, changed: &dyn ChangeSource) -> bool;
}

/// The waking end of one follower's wake-ups.
pub struct Notifier {
    wake_ups: Sender<WakeUp>,
    /// For a follower that does not wait in the channel.
    ring: Option<Ring>,
    /// For a follower that is a link.
    at_once: OnceLock<Arc<dyn SendAtOnce>>,
    /// The follower's thread while it parks.
    parked: Mutex<Option<Thread>>,
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
            at_once: OnceLock::new(),
            parked: Mutex::new(None),
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

    /// Tells all followers that records have changed: sends to some at once, and wakes the others. The records must
    /// have been merged before, and the caller must hold no lock.
    pub fn notify(&self, changed: &dyn ChangeSource) {
        let mut at_once = 0;
        for follower in &self.followers.read().present {
            at_once += usize::from(follower.notify((at_once < AT_ONCE_LINKS_MAX).then_some(changed)));
        }
    }

    /// Tells all followers to finish, now and from now on.
    pub fn stop(&self) {
        let mut followers = self.followers.write();
        followers.are_stopping = true;
        followers.present.iter().for_each(|follower| follower.stop());
    }
}

impl Notifier {
    /// Tells the follower that records have changed, at once if that may and can be. Whether it was.
    fn notify(&self, at_once: Option<&dyn ChangeSource>) -> bool {
        if self.is_told.swap(true, Ordering::AcqRel) {
            return false;
        }
        if let (Some(changed), Some(link)) = (at_once, self.at_once.get()) {
            // It is looked at here: what is merged after this must be told of again, as after `begin_look`.
            self.is_told.swap(false, Ordering::AcqRel);
            if link.send_at_once(changed) {
                return true;
            }
            if self.is_told.swap(true, Ordering::AcqRel) {
                return false;
            }
        }
        self.wake(WakeUp::Changes);
        false
    }

    /// From now on the follower is sent things at once.
    pub fn send_at_once_by(&self, link: Arc<dyn SendAtOnce>) {
        let _ = self.at_once.set(link);
    }

    /// Wakes the follower.
    pub fn wake(&self, why: WakeUp) {
        // Full: it is about to wake anyway. Disconnected: it has ended.
        let _ = self.wake_ups.try_send(why);
        // It parks with the lock free, and looks into the channel after it has said that it will.
        if let Some(thread) = self.parked.lock().take() {
            thread.unpark();
        }
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

    /// Waits for a wake-up, at most for so long, and takes all that are there. It may end sooner.
    pub fn wait(&self, wait_max: Duration) {
        if self.wake_ups.is_empty() {
            *self.notifier.parked.lock() = Some(sync::current());
            if self.wake_ups.is_empty() {
                sync::park_timeout(wait_max);
            }
            self.notifier.parked.lock().take();
        }
        self.take();
    }

    /// Waits as [`Subscription::wait`] does, but is not woken for changes: the follower looks for them when the time is
    /// over. A change costs nothing then but a look at a flag.
    pub fn wait_muted(&self, wait_max: Duration) {
        self.notifier.is_told.swap(true, Ordering::AcqRel);
        self.wait(wait_max);
    }

    /// Waits as [`Subscription::wait`] does, in the channel, which looks again some times before the thread sleeps.
    /// Where the next wake-up comes soon, that costs less than to be woken.
    pub fn wait_awake(&self, wait_max: Duration) {
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

    /// No follower here looks at it.
    struct Unseen;

    impl ChangeSource for Unseen {
        fn durable_seq(&self) -> u64 {
            0
        }

        fn look(&self, _: &mut dyn FnMut(&Node)) {}

        fn sent(&self, _: usize, _: &[u8], _: usize, _: Option<u64>) {}
    }

    #[test]
    fn changes_wake_once_until_the_follower_has_looked() {
        let notifiers = Notifiers::default();
        let follower = notifiers.subscribe();
        (0..5).for_each(|_| notifiers.notify(&Unseen));
        assert_eq!(follower.wake_ups.len(), 1);
        follower.wait(Duration::MAX);
        follower.begin_look();
        notifiers.notify(&Unseen);
        assert_eq!(follower.wake_ups.try_recv(), Ok(WakeUp::Changes));
    }

    #[test]
    fn muted_follower_is_woken_for_anything_but_changes() {
        let notifiers = Notifiers::default();
        let follower = notifiers.subscribe();
        follower.begin_look();
        follower.wait_muted(Duration::ZERO);
        notifiers.notify(&Unseen);
        assert!(follower.wake_ups.is_empty());
        follower.notifier().wake(WakeUp::Changes);
        follower.wait_muted(Duration::MAX);
        follower.begin_look();
        notifiers.notify(&Unseen);
        assert_eq!(follower.wake_ups.len(), 1);
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
        notifiers.notify(&Unseen);
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
        (0..5).for_each(|_| notifiers.notify(&Unseen));
        assert_eq!((rung.load(Ordering::Relaxed), follower.take()), (1, false));
        follower.begin_look();
        notifiers.notify(&Unseen);
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
        notifiers.notify(&Unseen);
        assert_eq!((notifiers.followers.read().present.len(), other.wake_ups.len()), (1, 1));
    }

    /// A link that can be sent to at once, or cannot, and how often that was tried.
    struct Link(AtomicBool, AtomicUsize);

    impl SendAtOnce for Link {
        fn send_at_once(&self, _: &dyn ChangeSource) -> bool {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn link_is_woken_only_if_it_cannot_be_sent_to_at_once() {
        let notifiers = Notifiers::default();
        let links: Vec<_> = (0..AT_ONCE_LINKS_MAX + 2).map(|_| notifiers.subscribe()).collect();
        let counted: Vec<_> =
            links.iter().map(|_| Arc::new(Link(AtomicBool::new(true), AtomicUsize::new(0)))).collect();
        for (link, counted) in links.iter().zip(&counted) {
            let counted: Arc<Link> = Arc::clone(counted);
            link.notifier().send_at_once_by(counted);
        }
        let woken = || links.iter().map(|link| link.wake_ups.len()).collect::<Vec<_>>();
        notifiers.notify(&Unseen);
        notifiers.notify(&Unseen);
        let mut expected = vec![0; AT_ONCE_LINKS_MAX];
        expected.extend([1, 1]);
        assert_eq!(woken(), expected);
        counted[0].0.store(false, Ordering::Relaxed);
        (0..5).for_each(|_| notifiers.notify(&Unseen));
        expected[0] = 1;
        // The place that it has left is another one's.
        assert_eq!(woken(), expected);
        assert_eq!(
            counted[0].1.load(Ordering::Relaxed),
            3,
            "one that is woken is not sent to before it has looked"
        );
        links[0].begin_look();
        notifiers.notify(&Unseen);
        assert_eq!(counted[0].1.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn wake_up_ends_a_wait_that_has_begun() {
        let notifiers = Notifiers::default();
        let follower = notifiers.subscribe();
        let notifier = Arc::clone(follower.notifier());
        std::thread::scope(|scope| {
            scope.spawn(move || notifier.stop());
            while !follower.is_stopping() {
                follower.wait(Duration::MAX);
            }
        });
    }
}
