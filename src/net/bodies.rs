//! The bound on what all long messages take together while they come in: one may have a megabyte, and there may be
//! thousands of connections.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The most bytes of all bodies that are being read at once: a hundred of the longest.
const BODIES_BYTES_MAX: usize = 100 << 20;

/// A body of at most so many bytes is not counted: a connection's buffer holds it anyhow.
const SMALL_BYTES_MAX: usize = 4 * 1024;

/// Room is taken in steps of so many bytes.
const STEP_BYTES: usize = 16 * 1024;

/// What bodies take at the moment.
#[derive(Debug, Default)]
pub struct Bodies(AtomicUsize);

/// Room for one body, until it is dropped.
#[derive(Debug)]
pub struct Held<'a> {
    bodies: &'a Bodies,
    bytes: usize,
}

impl Bodies {
    /// No room yet.
    pub fn hold(&self) -> Held<'_> {
        Held { bodies: self, bytes: 0 }
    }
}

impl Held<'_> {
    /// Takes as much room as so many bytes need that have come. Whether there is any.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        if bytes <= SMALL_BYTES_MAX.max(self.bytes) {
            return true;
        }
        let more = bytes.next_multiple_of(STEP_BYTES) - self.bytes;
        let fits = |held: usize| held.checked_add(more).filter(|&sum| sum <= BODIES_BYTES_MAX);
        let grows = self.bodies.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        self.bytes += if grows { more } else { 0 };
        grows
    }

    /// Gives the room back.
    pub fn release(&mut self) {
        self.bodies.0.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_a_bound() {
        let bodies = Bodies::default();
        let mut held: Vec<_> = (0..100).map(|_| bodies.hold()).collect();
        assert!(held.iter_mut().all(|held| held.grow_to(1 << 19) && held.grow_to(1 << 20)));
        let mut other = bodies.hold();
        assert!(other.grow_to(SMALL_BYTES_MAX) && !other.grow_to(SMALL_BYTES_MAX + 1));
        held[0].release();
        assert!(held[0].grow_to(1) && other.grow_to(1 << 20));
        drop((held, other));
        assert!(bodies.hold().grow_to(BODIES_BYTES_MAX));
    }
}
