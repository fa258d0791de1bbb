//! Looking names up. The resolver of the system may block for half a minute, and nothing ends that: so each lookup has
//! a thread, which ends by itself or with the process, and who waits for it may give up sooner.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use parking_lot::Mutex;

use crate::config::Address;

/// How long a dial waits for a name: a resolver that is there answers within a second, or asks its second server within
/// five.
pub const LOOKUP_WAIT_MAX: Duration = Duration::from_secs(5);

/// Addresses of one name that are used: a machine has a few, and each that is silent takes a second of a dial.
pub const ADDRESSES_MAX: usize = 8;

/// All that a lookup needs of a stack.
const STACK_BYTES: usize = 512 * 1024;

type Found = Option<io::Result<Vec<SocketAddr>>>;

/// The lookup of one name at a time.
#[derive(Default)]
pub struct Lookup {
    under_way: Option<(Address, Arc<Mutex<Found>>)>,
}

impl Lookup {
    /// Begins to look an address up, unless that is under way, and calls `done` when it is over: then [`Lookup::take`]
    /// has what was found.
    ///
    /// # Errors
    /// If no thread can be had.
    pub fn begin(&mut self, address: &Address, done: impl FnOnce() + Send + 'static) -> io::Result<()> {
        if self.under_way.as_ref().is_some_and(|(other, _)| other == address) {
            return Ok(());
        }
        let found = Arc::new(Mutex::new(None));
        self.under_way = Some((address.clone(), Arc::clone(&found)));
        let begun = begin(address, move |addresses| {
            *found.lock() = Some(addresses);
            done();
        });
        begun.inspect_err(|_| self.under_way = None)
    }

    /// What was found, once, if the lookup is over.
    pub fn take(&mut self) -> Found {
        let found = self.under_way.as_ref().and_then(|(_, found)| found.lock().take());
        if found.is_some() {
            self.under_way = None;
        }
        found
    }
}

/// Begins to look an address up, and hands on what is found.
///
/// # Errors
/// If no thread can be had.
pub fn begin(
    address: &Address,
    then: impl FnOnce(io::Result<Vec<SocketAddr>>) + Send + 'static,
) -> io::Result<()> {
    let address = address.clone();
    let thread = Builder::new().name("lookup".to_owned()).stack_size(STACK_BYTES);
    thread.spawn(move || then(addresses(&address))).map(drop)
}

/// The addresses of a name, which are waited for so long at most. The lookup itself ends later.
///
/// # Errors
/// If there are none by then, or the resolver fails.
pub fn within(address: &Address, wait_max: Duration) -> io::Result<Vec<SocketAddr>> {
    let (done, found) = bounded(1);
    begin(address, move |addresses| done.send(addresses).unwrap_or_default())?;
    wait(&found, wait_max)
}

fn wait(found: &Receiver<io::Result<Vec<SocketAddr>>>, wait_max: Duration) -> io::Result<Vec<SocketAddr>> {
    let silent = || io::Error::new(io::ErrorKind::TimedOut, "the resolver of this machine is silent");
    found.recv_timeout(wait_max).unwrap_or_else(|_| Err(silent()))
}

/// The addresses of a name, in the order in which the system would try them. It blocks.
///
/// # Errors
/// If there are none, or the resolver fails.
pub fn addresses(address: &Address) -> io::Result<Vec<SocketAddr>> {
    let mut found: Vec<SocketAddr> = Vec::new();
    for ip in address.to_socket_addrs()? {
        if !found.contains(&ip) && found.len() < ADDRESSES_MAX {
            found.push(ip);
        }
    }
    Ok(found)
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("is_under_way", &self.under_way.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn name_is_looked_up_once_at_a_time_and_again_afterwards() {
        let (done, over) = mpsc::channel();
        let mut lookup = Lookup::default();
        for text in ["localhost:7", "localhost:7", "herd.invalid:7"] {
            let address: Address = text.parse().unwrap();
            for _ in 0..2 {
                let done = done.clone();
                lookup.begin(&address, move || done.send(()).unwrap()).unwrap();
            }
            over.recv().unwrap();
            let found = lookup.take().unwrap();
            assert_eq!(found.is_ok(), text.starts_with("localhost"), "{found:?}");
            assert!(lookup.take().is_none());
        }
        drop((lookup, done));
        assert!(over.try_recv().is_err(), "no lookup was made twice");
    }
    #[test]
    fn silent_resolver_is_given_up() {
        let name: Address = "localhost:7".parse().unwrap();
        assert!(!within(&name, LOOKUP_WAIT_MAX).unwrap().is_empty());
        let (_done, never) = bounded(1);
        let error = wait(&never, Duration::from_millis(1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
