//! The conversation of each neighbour that is here: a newer one that has authenticated ends the older.
//!
//! The older one may be half-open: its neighbour is gone, and no packet says so.

use std::fmt;

use crate::os::sync::Mutex;

/// By neighbour: its present conversation.
#[derive(Debug)]
pub struct PeerRegistry {
    present: Vec<Mutex<Present>>,
}

/// How a conversation is ended from outside.
pub type Cut = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Present {
    /// How many conversations have entered: the number of the present one.
    entered: u64,
    cut: Option<Cut>,
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

    /// A neighbour has authenticated in a conversation that `cut` ends. An older one is cut.
    pub fn enter(&self, neighbour: usize, cut: Cut) -> Registration<'_> {
        let present = &self.present[neighbour];
        let (older, number) = {
            let mut present = present.lock();
            present.entered += 1;
            (present.cut.replace(cut), present.entered)
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
