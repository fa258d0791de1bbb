//! The bound on what all long messages take together while they come in: one may have a megabyte, and there may be
//! thousands of connections.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The most bytes of all bodies that are being read at once: a hundred of the longest.
const BODIES_BYTES_MAX: usize = 100 << 20;

/// A body of at most so many bytes is not counted: a connection's buffer holds it anyhow.
const SMALL_BYTES_MAX: usize = 4 * 1024;

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
    /// Takes room for a body; `None` if there is none.
    pub fn hold(&self, bytes: usize) -> Option<Held<'_>> {
        let bytes = if bytes <= SMALL_BYTES_MAX { 0 } else { bytes };
        let fits = |held: usize| held.checked_add(bytes).filter(|&sum| bytes == 0 || sum <= BODIES_BYTES_MAX);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Held { bodies: self, bytes })
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.bodies.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_a_bound() {
        let bodies = Bodies::default();
        let held: Vec<_> = (0..100).map(|_| bodies.hold(1 << 20).unwrap()).collect();
        assert!(bodies.hold(SMALL_BYTES_MAX + 1).is_none());
        assert!(bodies.hold(SMALL_BYTES_MAX).is_some());
        drop(held);
        assert!(bodies.hold(1 << 20).is_some());
    }
}
