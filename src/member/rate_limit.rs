//! Rate limits of questions to a provider over the network: so many of one connection, and of one address, within any
//! minute. What the provider may cost altogether is its budget, in [`crate::places`].

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::places::{PlacesError, Window};

const MINUTE: Duration = Duration::from_secs(60);

/// The most addresses whose questions are counted, at some 600 bytes each: 5 MiB in all. When there are more, the one
/// that has asked nothing for longest is forgotten. Whoever has so many addresses still meets the budget.
const ADDRESSES_MAX: usize = 8_192;

/// The questions of one connection within the last minute.
#[derive(Debug)]
pub struct RateLimit {
    per_minute: usize,
    asked: VecDeque<Instant>,
    /// Where it comes from, and how many questions may come from there within a minute.
    address: Option<(IpAddr, u32)>,
}

/// The questions of all addresses within the last minute.
#[derive(Debug, Default)]
pub struct AddressLimits(Mutex<BTreeMap<IpAddr, Window>>);

impl RateLimit {
    /// Nothing has been asked yet, and so much may be.
    pub fn new(per_minute: u32) -> RateLimit {
        RateLimit { per_minute: per_minute as usize, asked: VecDeque::new(), address: None }
    }

    /// Of a connection from this address (of IPv6: what counts as one), all of whose connections together may ask so
    /// much within a minute.
    #[must_use]
    pub fn from_address(self, address: IpAddr, per_minute: u32) -> RateLimit {
        RateLimit { address: Some((address, per_minute)), ..self }
    }

    /// Notes a question, if it may be asked now.
    ///
    /// # Errors
    /// That the connection or its address has asked too much, and how long to wait.
    pub fn ask(&mut self, addresses: &AddressLimits, now: Instant) -> Result<(), PlacesError> {
        let seconds = |wait: Duration| wait.as_millis().div_ceil(1_000) as u64;
        self.room(now).map_err(|wait| PlacesError::RateLimited(self.per_minute as u32, seconds(wait)))?;
        if let Some((address, most)) = self.address {
            let asked = addresses.take(address, most, now);
            asked.map_err(|wait| PlacesError::AddressLimited(most, seconds(wait)))?;
        }
        self.asked.push_back(now);
        Ok(())
    }

    fn room(&mut self, now: Instant) -> Result<(), Duration> {
        while self.asked.front().is_some_and(|&asked| now >= asked + MINUTE) {
            self.asked.pop_front();
        }
        match self.asked.front() {
            Some(&first) if self.asked.len() >= self.per_minute => Err(first + MINUTE - now),
            Some(_) | None => Ok(()),
        }
    }
}

impl AddressLimits {
    fn take(&self, address: IpAddr, most: u32, now: Instant) -> Result<(), Duration> {
        let mut windows = self.0.lock();
        if windows.len() >= ADDRESSES_MAX && !windows.contains_key(&address) {
            let oldest = windows.iter().min_by_key(|(_, window)| window.last()).map(|(oldest, _)| *oldest);
            oldest.and_then(|oldest| windows.remove(&oldest));
        }
        windows.entry(address).or_insert_with(|| Window::new(most, MINUTE)).take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::clock;

    #[test]
    fn no_minute_exceeds_the_rate_limit() {
        let (mut rate_limit, start) = (RateLimit::new(3), clock::instant());
        let addresses = AddressLimits::default();
        let mut ask = |seconds| rate_limit.ask(&addresses, start + Duration::from_secs(seconds));
        for second in [0, 10, 50] {
            assert_eq!(ask(second), Ok(()));
        }
        assert_eq!(ask(59), Err(PlacesError::RateLimited(3, 1)));
        assert_eq!(ask(60), Ok(()), "the first is a minute ago");
        assert_eq!(ask(61), Err(PlacesError::RateLimited(3, 9)));
        assert_eq!(ask(200), Ok(()));
        assert_eq!(rate_limit.asked.len(), 1);
    }

    #[test]
    fn all_connections_of_an_address_share_its_limit_however_often_they_come() {
        let (addresses, now) = (AddressLimits::default(), clock::instant());
        let asked = |from: &str, connections| {
            let from = from.parse().unwrap();
            let ask = |_: &i32| RateLimit::new(60).from_address(from, 5).ask(&addresses, now).is_ok();
            (0..connections).filter(ask).count()
        };
        assert_eq!(asked("192.0.2.1", 40), 5);
        assert_eq!(asked("192.0.2.2", 1), 1, "another address has its own");
        assert_eq!((asked("2001:db8:0:7::", 3), asked("2001:db8:0:7::", 40)), (3, 2));
        let mut third = RateLimit::new(60).from_address("192.0.2.1".parse().unwrap(), 5);
        assert!(matches!(third.ask(&addresses, now), Err(PlacesError::AddressLimited(5, 60..=63))));
        assert_eq!(third.ask(&addresses, now + Duration::from_secs(63)), Ok(()));
    }

    #[test]
    fn addresses_that_are_counted_are_few_and_the_oldest_is_forgotten() {
        let (addresses, start) = (AddressLimits::default(), clock::instant());
        for number in 0..ADDRESSES_MAX as u32 + 10 {
            let now = start + Duration::from_secs(u64::from(number));
            addresses.take(IpAddr::from(number.to_be_bytes()), 1, now).unwrap();
        }
        let windows = addresses.0.lock();
        assert_eq!(windows.len(), ADDRESSES_MAX);
        assert!((0..10_u32).all(|number| !windows.contains_key(&IpAddr::from(number.to_be_bytes()))));
    }
}
