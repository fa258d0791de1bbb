//! Logins that failed: each makes the next failure of its address wait longer for its answer. A right token is looked
//! up first and never waits, because a phone may share its address with those who guess.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::os::semaphore::{Permit, Semaphore};

/// How long the first failure waits; each further one waits twice as long as the one before.
const WAIT: Duration = Duration::from_millis(250);

/// The longest wait: less than any app waits for an answer.
const WAIT_MAX: Duration = Duration::from_secs(4);

/// After so long without a failure an address begins from the start.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// The most addresses that are remembered, at some 60 bytes each: 256 KiB in all. When there are more, the one that has
/// failed longest ago is forgotten.
const ADDRESSES_MAX: usize = 4_096;

/// The most answers that wait at once, because each holds a thread: those beyond are refused at once.
const WAITING_MAX: usize = 32;

/// The failures of all addresses.
#[derive(Debug)]
pub struct FailedLogins {
    addresses: Mutex<BTreeMap<IpAddr, Failed>>,
    waiting: Semaphore,
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    times: u32,
    last: Instant,
}

impl Default for FailedLogins {
    fn default() -> FailedLogins {
        FailedLogins { addresses: Mutex::default(), waiting: Semaphore::new(WAITING_MAX) }
    }
}

impl FailedLogins {
    /// Notes a failure. Says how long its answer must wait.
    pub fn wait_of(&self, address: IpAddr, now: Instant) -> Duration {
        let mut addresses = self.addresses.lock();
        if addresses.len() >= ADDRESSES_MAX && !addresses.contains_key(&address) {
            let oldest = addresses.iter().min_by_key(|(_, failed)| failed.last).map(|(oldest, _)| *oldest);
            oldest.and_then(|oldest| addresses.remove(&oldest));
        }
        let failed = addresses.entry(address).or_insert(Failed { times: 0, last: now });
        if now.saturating_duration_since(failed.last) >= FORGIVEN_AFTER {
            failed.times = 0;
        }
        let wait = WAIT.saturating_mul(2_u32.saturating_pow(failed.times)).min(WAIT_MAX);
        *failed = Failed { times: failed.times.saturating_add(1), last: now };
        wait
    }

    /// The right to wait with an answer; `None` if too many wait already.
    pub fn place_to_wait(&self) -> Option<Permit<'_>> {
        self.waiting.try_acquire()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::clock;

    #[test]
    fn waits_grow_for_each_address_by_itself_and_end() {
        let (failed, start) = (FailedLogins::default(), clock::instant());
        let wait = |address: &str, seconds: u64| {
            failed.wait_of(address.parse().unwrap(), start + Duration::from_secs(seconds)).as_millis()
        };
        let waits: Vec<u128> = (0..7).map(|_| wait("192.0.2.1", 0)).collect();
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 4_000, 4_000]);
        assert_eq!((wait("192.0.2.2", 0), wait("192.0.2.1", 59), wait("192.0.2.1", 119)), (250, 4_000, 250));
        assert!((0..100).all(|_| wait("192.0.2.3", 0) <= 4_000));
    }

    #[test]
    fn addresses_and_waits_are_bounded() {
        let (failed, start) = (FailedLogins::default(), clock::instant());
        for number in 0..ADDRESSES_MAX as u32 + 10 {
            let now = start + Duration::from_secs(u64::from(number));
            failed.wait_of(IpAddr::from(number.to_be_bytes()), now);
        }
        assert_eq!(failed.addresses.lock().len(), ADDRESSES_MAX);
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| failed.place_to_wait().unwrap()).collect();
        assert!(failed.place_to_wait().is_none());
        drop(waiting);
        assert!(failed.place_to_wait().is_some());
    }
}
