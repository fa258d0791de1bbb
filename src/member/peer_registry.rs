//! The conversation of each neighbour that is here: a newer one that has authenticated ends the older.
//!
//! The older one may be half-open: its neighbour is gone, and no packet says so. But if that comes back in turn, two
//! servers have one name, and would cut each other's links for ever. So the one that was replaced must wait then.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::os::clock;
use crate::os::sync::Mutex;
use crate::proto::model::epoch::Epoch;

/// How long a server that another of its name has replaced must wait, as long as that is here; and how long the status
/// says so. A server that has restarted is not kept out: it comes with the memory that it left with, or with a new one.
const FLAPPING_WAIT: Duration = Duration::from_secs(60);

/// By neighbour: its present conversation.
#[derive(Debug)]
pub struct PeerRegistry {
    present: Vec<Mutex<Present>>,
}

/// How a conversation is ended from outside.
pub type Cut = Box<dyn FnOnce() + Send>;

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

#[derive(Default)]
struct Present {
    /// How many conversations have entered: the number of the present one.
    entered: u64,
    cut: Option<Cut>,
    /// Whose the present one is.
    claimant: Option<Claimant>,
    /// Whose the one was that it has cut, and when.
    replaced: Option<(Claimant, Instant)>,
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

    /// Whether one that proves to be the neighbour may enter.
    ///
    /// # Errors
    /// The one that is here, which has replaced it a moment ago.
    pub fn admits(&self, neighbour: usize, claimant: Claimant) -> Result<(), Claimant> {
        let mut present = self.present[neighbour].lock();
        let now = clock::instant();
        let (Some(here), Some((replaced, at)), true) =
            (present.claimant, present.replaced, present.cut.is_some())
        else {
            return Ok(());
        };
        let comes_back = !claimant.is_other(replaced) && now.saturating_duration_since(at) < FLAPPING_WAIT;
        if !comes_back || !claimant.is_other(here) {
            return Ok(());
        }
        present.flapping_at = Some(now);
        Err(here)
    }

    /// Whether two servers were seen to have the name of this neighbour a moment ago.
    pub fn is_flapping(&self, neighbour: usize) -> bool {
        let flapping_at = self.present[neighbour].lock().flapping_at;
        flapping_at.is_some_and(|at| clock::instant().saturating_duration_since(at) < FLAPPING_WAIT)
    }

    /// A neighbour has authenticated in a conversation that `cut` ends. An older one is cut.
    pub fn enter(&self, neighbour: usize, claimant: Option<Claimant>, cut: Cut) -> Registration<'_> {
        let present = &self.present[neighbour];
        let (older, number) = {
            let mut present = present.lock();
            present.entered += 1;
            let older = present.cut.replace(cut);
            let before = std::mem::replace(&mut present.claimant, claimant);
            if let (Some(before), Some(claimant), true) = (before, claimant, older.is_some())
                && claimant.is_other(before)
            {
                present.replaced = Some((before, clock::instant()));
            }
            (older, present.entered)
        };
        let replaced = older.is_some();
        if let Some(cut) = older {
            cut();
        }
        Registration { present, number, replaced }
    }
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
