//! The conversation of each neighbour that is here: a newer one that has authenticated ends the older.
//!
//! The older one may be half-open: its neighbour is gone, and no packet says so. But if that comes back in turn, two
//! servers have one name, and would cut each other's links for ever. So the one that was replaced must wait then.
//!
//! Two that run with copies of one data folder have the same epoch too. Such a pair is known by its haste: each has its
//! connection cut while it uses it, and is back within a second, again and again. A neighbour alone is not taken for
//! one: it comes back in haste only after its system has ended the older connection, and after a silence not in haste.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::os::clock;
use crate::os::sync::Mutex;
use crate::proto::model::epoch::Epoch;
use crate::proto::peering::link::PEER_TIMEOUT;

/// How long a server that another of its name has replaced must wait, as long as that is here; and how long the status
/// says so. A server that has restarted is not kept out: it comes with the memory that it left with, or with a new one.
const FLAPPING_WAIT: Duration = Duration::from_secs(60);

/// Conversations replaced in haste within [`FLAPPING_WAIT`] from which on two servers are taken to have one name and
/// one epoch: two that dial as they do have replaced so many in five seconds.
const HASTY_MAX: u32 = 10;

/// By neighbour: its present conversation.
#[derive(Debug)]
pub struct PeerRegistry {
    present: boxcar::Vec<Mutex<Present>>,
}

/// How a conversation is ended from outside. Returns whether the other side had not ended it by itself.
pub type Cut = Box<dyn FnOnce() -> bool + Send>;

/// One server that says to be the neighbour.
#[derive(Clone, Copy, Debug)]
pub struct Claimant {
    /// The epoch of its memory.
    pub epoch: Epoch,
    /// Where it comes from.
    pub from: SocketAddr,
}

impl Claimant {
    /// Each connection has another port, and a copy of a data folder the same epoch.
    fn is_other(self, other: Claimant) -> bool {
        (self.epoch, self.from.ip()) != (other.epoch, other.from.ip())
    }
}

/// Conversations of one claimant that it has replaced while it was using them, and sooner than it can have noticed a
/// silence in them.
#[derive(Clone, Copy, Debug, Default)]
struct Haste {
    /// When the first of them was replaced.
    since: Option<Instant>,
    count: u32,
    /// When it was last seen that there are two of the claimant.
    twins_at: Option<Instant>,
}

#[derive(Default)]
struct Present {
    /// How many conversations have entered: the number of the present one.
    entered: u64,
    cut: Option<Cut>,
    /// Whose the present one is.
    claimant: Option<Claimant>,
    /// When it has entered.
    entered_at: Option<Instant>,
    /// Whose the one was that it has cut, and when.
    replaced: Option<(Claimant, Instant)>,
    haste: Haste,
    /// When two servers were last seen to have the name.
    flapping_at: Option<Instant>,
}

/// The place of a neighbour's conversation, given up when it is dropped.
#[derive(Debug)]
pub struct Registration<'a> {
    present: &'a Mutex<Present>,
    number: u64,
    /// Whether an older conversation was cut.
    pub replaced: bool,
}

impl PeerRegistry {
    /// None is here of so many neighbours.
    pub fn new(neighbours: usize) -> PeerRegistry {
        PeerRegistry { present: (0..neighbours).map(|_| Mutex::default()).collect() }
    }

    /// There is one more neighbour, which is not here.
    pub fn add(&self) {
        self.present.push(Mutex::default());
    }

    /// Ends the conversation of a neighbour, if it is here.
    pub fn cut(&self, neighbour: usize) {
        let cut = self.present[neighbour].lock().cut.take();
        // Not under the lock, because it calls the system.
        if let Some(cut) = cut {
            cut();
        }
    }

    /// Whether one that proves to be the neighbour may enter.
    ///
    /// # Errors
    /// The one that is here, which has replaced it a moment ago, or is another one with its epoch.
    pub fn admits(&self, neighbour: usize, claimant: Claimant) -> Result<(), Claimant> {
        let mut present = self.present[neighbour].lock();
        let now = clock::instant();
        let (Some(here), true) = (present.claimant, present.cut.is_some()) else { return Ok(()) };
        let is_kept_out = if claimant.is_other(here) {
            let comes_back = |(replaced, at)| !claimant.is_other(replaced) && is_recent(at, now);
            present.replaced.is_some_and(comes_back)
        } else {
            present.haste.is_twin(now)
        };
        if !is_kept_out {
            return Ok(());
        }
        present.flapping_at = Some(now);
        Err(here)
    }

    /// Whether two servers were seen to have the name of this neighbour a moment ago.
    pub fn is_flapping(&self, neighbour: usize) -> bool {
        let flapping_at = self.present[neighbour].lock().flapping_at;
        flapping_at.is_some_and(|at| is_recent(at, clock::instant()))
    }

    /// A neighbour has authenticated in a conversation that `cut` ends. An older one is cut.
    pub fn enter(&self, neighbour: usize, claimant: Option<Claimant>, cut: Cut) -> Registration<'_> {
        let present = &self.present[neighbour];
        let now = clock::instant();
        let (older, number, lived) = {
            let mut present = present.lock();
            present.entered += 1;
            let older = present.cut.replace(cut);
            let before = std::mem::replace(&mut present.claimant, claimant);
            let began = present.entered_at.replace(now);
            let mut lived = None;
            if let (Some(before), Some(claimant), true) = (before, claimant, older.is_some()) {
                if claimant.is_other(before) {
                    present.replaced = Some((before, now));
                } else {
                    lived = began.map(|began| now.saturating_duration_since(began));
                }
            }
            (older, present.entered, lived)
        };
        let replaced = older.is_some();
        // Not under the lock, because it calls the system.
        let was_in_use = older.is_some_and(|cut| cut());
        if let (Some(lived), true) = (lived, was_in_use) {
            present.lock().haste.replaced(lived, now);
        }
        Registration { present, number, replaced }
    }
}

impl Haste {
    /// A conversation was replaced that was in use and has lived so long.
    fn replaced(&mut self, lived: Duration, now: Instant) {
        if lived >= PEER_TIMEOUT {
            return;
        }
        if self.since.is_none_or(|since| !is_recent(since, now)) {
            *self = Haste { since: Some(now), count: 0, ..*self };
        }
        self.count += 1;
        if self.count >= HASTY_MAX {
            *self = Haste { twins_at: Some(now), ..Haste::default() };
        }
    }

    /// Whether one that comes while another is here is the second of two. Each one that comes shows that there are two:
    /// if the one that is here were gone, it would be missed before its twin is let in.
    fn is_twin(&mut self, now: Instant) -> bool {
        let is_twin = self.twins_at.is_some_and(|at| is_recent(at, now));
        if is_twin {
            self.twins_at = Some(now);
        }
        is_twin
    }
}

fn is_recent(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < FLAPPING_WAIT
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        let mut present = self.present.lock();
        if present.entered == self.number {
            present.cut = None;
        }
    }
}

impl fmt::Debug for Present {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Present").field("entered", &self.entered).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two that replace each other wait for so long in between: see [`crate::proto::peering::backoff::BACKOFF_MAX`].
    #[test]
    fn twins_are_known_by_their_haste_and_stay_known_while_both_try() {
        let (mut haste, mut now) = (Haste::default(), clock::instant());
        for _ in 0..HASTY_MAX - 1 {
            now += Duration::from_millis(600);
            haste.replaced(Duration::from_millis(600), now);
            assert!(!haste.is_twin(now));
        }
        haste.replaced(Duration::from_millis(600), now);
        for _ in 0..1000 {
            assert!(haste.is_twin(now));
            now += Duration::from_millis(800);
        }
        now += FLAPPING_WAIT;
        assert!(!haste.is_twin(now), "the other one is gone for long");
    }

    #[test]
    fn one_that_reconnects_after_silences_or_seldom_has_no_twin() {
        for (lived, every) in [
            // Each of its connections falls silent at once, and is given up when that is noticed.
            (PEER_TIMEOUT, PEER_TIMEOUT),
            // It is cut off by something between us ten times in a little more than a minute.
            (Duration::from_millis(10), Duration::from_millis(6_700)),
        ] {
            let (mut haste, mut now) = (Haste::default(), clock::instant());
            for _ in 0..1000 {
                haste.replaced(lived, now);
                assert!(!haste.is_twin(now), "{lived:?} {every:?}");
                now += every;
            }
        }
    }

    fn claimant(port: u16) -> Claimant {
        Claimant { epoch: Epoch(1), from: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    fn enter(peers: &PeerRegistry, port: u16, is_in_use: bool) -> Registration<'_> {
        peers.enter(0, Some(claimant(port)), Box::new(move || is_in_use))
    }

    #[test]
    fn one_whose_system_ends_its_connections_has_no_twin() {
        let peers = PeerRegistry::new(1);
        let mut all = Vec::new();
        for port in 1..100 {
            assert!(peers.admits(0, claimant(port)).is_ok());
            all.push(enter(&peers, port, false));
        }
        assert!(!peers.is_flapping(0));
    }

    #[test]
    fn twin_is_kept_out_while_the_other_is_here() {
        let peers = PeerRegistry::new(1);
        let mut all = Vec::new();
        for port in 0..=HASTY_MAX as u16 {
            assert!(peers.admits(0, claimant(port)).is_ok());
            all.push(enter(&peers, port, true));
        }
        assert_eq!(peers.admits(0, claimant(100)).unwrap_err().from.port(), HASTY_MAX as u16);
        assert!(peers.is_flapping(0));
        drop(all);
        assert!(peers.admits(0, claimant(100)).is_ok());
    }
}
