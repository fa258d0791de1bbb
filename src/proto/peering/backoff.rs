//! How long to wait before dialling a neighbour again: doubling, capped, and different for every server.

use std::time::Duration;

/// The wait after the first failure.
const FIRST: Duration = Duration::from_millis(25);

/// The longest wait, so that a neighbour that is back is reached within a second even if its hello is lost.
pub const BACKOFF_MAX: Duration = Duration::from_millis(800);

/// The waits between attempts that fail one after another.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    /// Before the first failure.
    pub fn new() -> Backoff {
        Backoff { next: FIRST }
    }

    /// The wait after one more failure: half of it is certain, the other half is decided by `random`, a
    /// number in 0..1, so that a whole herd does not dial in step.
    pub fn wait(&mut self, random: f32) -> Duration {
        let wait = self.next / 2 + (self.next / 2).mul_f32(random.clamp(0.0, 1.0));
        self.next = (self.next * 2).min(BACKOFF_MAX);
        wait
    }

    /// An attempt has succeeded.
    pub fn reset(&mut self) {
        *self = Backoff::new();
    }
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_cap_and_begin_again_after_success() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..8).map(|_| backoff.wait(1.0).as_millis()).collect();
        assert_eq!(waits, [25, 50, 100, 200, 400, 800, 800, 800]);
        assert_eq!(backoff.wait(0.0).as_millis(), 400);
        backoff.reset();
        assert_eq!(backoff.wait(0.5).as_micros(), 18_750);
    }
}
