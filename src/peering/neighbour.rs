//! One neighbour from the side of the link to it: who it is, where it listens, and what wakes the link.

use std::io;
use std::net::{Shutdown as Half, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::config::Address;
use crate::member::Member;
use crate::member::link_log::{CONNECT_WAIT_MAX, LinkLog};
use crate::member::link_state::LinkState;
use crate::member::notifier::{Subscription, WakeUp};
use crate::net::lookup::{self, LOOKUP_WAIT_MAX, Lookup};
use crate::net::shutdown::OpenStreams;
use crate::net::stream::{Stream, hang_up};
use crate::net::whereabouts::Whereabouts;
use crate::os::clock;
use crate::proto::model::name::ServerName;
use crate::proto::node::Dialect;
use crate::proto::peering::frames::Wear;

/// What a link to a neighbour needs, whichever dialect that speaks.
#[derive(Clone, Copy)]
pub struct Shared<'a> {
    /// The member that tells.
    pub member: &'a Member,
    /// Conversations in: while they stop, a link that is down is not waited for.
    pub conversations: &'a OpenStreams,
    /// Links that wait for the answer to their hello: nothing is owed there, so stopping does not wait for them.
    pub dialling: &'a OpenStreams,
    /// Links that are up.
    pub live: &'a OpenStreams,
    /// When an encrypted link gives way to one with new keys.
    pub wear: Wear,
    /// Where neighbours of our own dialect were found.
    pub peers: &'a Whereabouts,
    /// Where those of the legacy dialect were.
    pub legacy: &'a Whereabouts,
}

/// One neighbour, from the side of the link to it.
pub struct Neighbour<'a> {
    /// What all links share.
    pub shared: Shared<'a>,
    /// Its index among the neighbours.
    pub index: usize,
    /// What wakes the link.
    pub subscription: Subscription<'a>,
    /// Where it listens.
    address: Mutex<Address>,
    lookup: Mutex<Lookup>,
    /// What its name was found to stand for last.
    known: Mutex<Vec<SocketAddr>>,
    /// With which of its addresses a dial begins: another one after each that came to nothing.
    first: AtomicUsize,
    /// The connection to it, and where that leads.
    stream: Mutex<Option<(Weak<Stream>, SocketAddr)>>,
    /// Whether that is being looked at.
    is_checked: Arc<AtomicBool>,
    /// Whether it is a neighbour no longer.
    is_removed: AtomicBool,
}

impl<'a> Neighbour<'a> {
    /// The neighbour with this index, whose link follows the change log from now on.
    pub fn new(shared: Shared<'a>, index: usize, address: Address) -> Neighbour<'a> {
        let subscription = shared.member.subscribe();
        shared.member.links[index].follows(subscription.notifier());
        let neighbour = Neighbour {
            shared,
            index,
            subscription,
            address: Mutex::new(address),
            lookup: Mutex::default(),
            known: Mutex::default(),
            first: AtomicUsize::new(0),
            stream: Mutex::default(),
            is_checked: Arc::default(),
            is_removed: AtomicBool::new(false),
        };
        let literal = neighbour.address.lock().literal();
        literal.iter().for_each(|address| neighbour.found(&[*address]));
        neighbour
    }

    /// Connects to it, by any of its addresses.
    ///
    /// # Errors
    /// If its name is not found, none of them answers, or the link must finish.
    pub fn connect(&self) -> io::Result<Arc<Stream>> {
        let addresses = self.look_up()?;
        let (first, count) = (self.first.load(Ordering::Relaxed), addresses.len());
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        for at in 0..count {
            if at > 0 && self.subscription.is_stopping() || self.is_removed() {
                break;
            }
            let address = addresses[(first + at) % count];
            match Stream::connect_timeout(&address, CONNECT_WAIT_MAX) {
                Ok(stream) => {
                    let stream = Arc::new(stream);
                    *self.stream.lock() = Some((Arc::downgrade(&stream), address));
                    // One that was removed in this moment has cut the connection before.
                    if self.is_removed() {
                        hang_up(&stream, Half::Both);
                    }
                    return Ok(stream);
                }
                Err(error) if self.address.lock().literal().is_some() => return Err(error),
                Err(error) => failure = io::Error::new(error.kind(), format!("{address}: {error}")),
            }
        }
        Err(failure)
    }

    /// What it answered at the address where it was dialled came to nothing: the next dial begins with another one.
    pub fn came_to_nothing(&self) {
        self.first.fetch_add(1, Ordering::Relaxed);
    }

    /// Finds out where it is now, for a neighbour that is believed by its address.
    ///
    /// # Errors
    /// If its name is not found. It is believed where it was then.
    pub fn look_up(&self) -> io::Result<Vec<SocketAddr>> {
        let address = self.address.lock().clone();
        if let Some(literal) = address.literal() {
            return Ok(vec![literal]);
        }
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
        let notifier = Arc::clone(self.subscription.notifier());
        let mut lookup = self.lookup.lock();
        lookup.begin(&address, move || notifier.wake(WakeUp::HangUp)).map_err(named)?;
        let deadline = clock::deadline(LOOKUP_WAIT_MAX);
        let found = loop {
            if let Some(found) = lookup.take() {
                break found.map_err(named)?;
            }
            let left = deadline.saturating_duration_since(clock::instant());
            let known = self.known.lock();
            // What is due at the end goes to where it was.
            if self.subscription.is_stopping() && !known.is_empty() {
                return Ok(known.clone());
            }
            drop(known);
            if left.is_zero() || self.subscription.is_stopping() {
                let wait = humantime::format_duration(LOOKUP_WAIT_MAX);
                let what = format!("the resolver has not answered within {wait}");
                return Err(named(io::Error::new(io::ErrorKind::TimedOut, what)));
            }
            self.subscription.wait(left);
        };
        self.found(&found);
        self.known.lock().clone_from(&found);
        Ok(found)
    }

    /// Whether its addresses may change without a word.
    pub fn has_name(&self) -> bool {
        self.address.lock().literal().is_none()
    }

    /// The herd file has it elsewhere: a link to where it was ends, and it is dialled again at once.
    pub fn move_to(&self, address: Address) {
        if let Some(literal) = address.literal() {
            self.found(&[literal]);
        }
        *self.address.lock() = address;
        self.known.lock().clear();
        self.cut();
        self.subscription.notifier().wake(WakeUp::NeighbourIsBack);
    }

    /// Ends a link to where it is no longer, if its name stands for other addresses now. That takes its time, which
    /// nothing waits for.
    pub fn check(&self) {
        let (address, stream) = (self.address.lock().clone(), self.stream.lock().clone());
        let Some((stream, at)) = stream.filter(|_| address.literal().is_none()) else { return };
        if self.is_checked.swap(true, Ordering::AcqRel) {
            return;
        }
        let (is_checked, name) = (Arc::clone(&self.is_checked), self.name().clone());
        let begun = lookup::begin(&address, move |found| {
            is_checked.store(false, Ordering::Release);
            if let (Ok(found), Some(stream)) = (found, stream.upgrade())
                && !found.contains(&at)
            {
                log::info!("{name} is not at {at} any more: the link to there is cut");
                hang_up(&stream, Half::Both);
            }
        });
        if begun.is_err() {
            self.is_checked.store(false, Ordering::Release);
        }
    }

    /// It is a neighbour no longer: the link to it ends at once.
    pub fn remove(&self) {
        self.is_removed.store(true, Ordering::Release);
        self.subscription.notifier().stop();
        self.cut();
        self.whereabouts().forget(self.index);
    }

    fn cut(&self) {
        if let Some(stream) = self.stream.lock().as_ref().and_then(|(stream, _)| stream.upgrade()) {
            hang_up(&stream, Half::Both);
        }
    }

    fn found(&self, addresses: &[SocketAddr]) {
        self.whereabouts().found(self.index, addresses);
        // One that was removed in this moment has forgotten it before.
        if self.is_removed() {
            self.whereabouts().forget(self.index);
        }
    }

    fn is_removed(&self) -> bool {
        self.is_removed.load(Ordering::Acquire)
    }

    fn whereabouts(&self) -> &'a Whereabouts {
        match self.shared.member.me.neighbours[self.index].dialect {
            Dialect::Herd => self.shared.peers,
            Dialect::Legacy => self.shared.legacy,
        }
    }

    /// The link to it, as the log, the metrics and the status see it.
    pub fn log(&self) -> LinkLog<'a> {
        LinkLog::new(self.shared.member, self.index)
    }

    /// Its name.
    pub fn name(&self) -> &'a ServerName {
        self.log().name()
    }

    /// How the link is, for the status.
    pub fn state(&self) -> &'a LinkState {
        self.log().state()
    }
}
