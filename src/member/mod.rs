//! One running member of the herd, without sockets: what doors, links and a database may do with it.
//!
//! [`Member`] is the API. There is one lock on the way of a line that all share, that of the node. It is taken in a
//! closure, so no guard can leak into a write, and nothing is read, written, logged or waited for under it. A lane of
//! the journal is taken before it, and held while its file is written: see [`lanes`]. Where commits are on disk, what
//! waits to be written has a lock that is taken after the node's, and who writes holds neither: see [`group_commit`].

pub mod checkpoint;
pub mod conversation;
pub mod core;
pub mod finder;
pub mod flush_signal;
pub mod flusher;
mod forget_error;
pub mod group_commit;
mod host;
pub mod lanes;
pub mod link_log;
pub mod link_state;
pub mod located;
pub mod metrics;
pub mod neighbours;
pub mod notifier;
mod owners;
pub mod peer_registry;
pub mod rate;
pub mod rate_limit;
mod record_set;
pub mod recover;
pub mod status;
pub mod turn;
pub mod wal_writer;
pub mod warnings;
pub mod watch;
pub mod watchers;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use self::conversation::{Conversation, Remote};
use self::core::Core;
pub use self::forget_error::ForgetError;
use self::group_commit::{GroupCommit, Lsn, NotDurable};
use self::link_state::LinkState;
use self::located::Located;
use self::metrics::{Event, Metrics};
use self::notifier::{Notifiers, Subscription, WakeUp};
use self::peer_registry::{Cut, PeerRegistry, Registration};
use self::rate_limit::{AddressLimits, RateLimit};
use self::recover::Start;
use self::turn::{Counts, Host, SpareBatches, Turn, TurnPermits};
use self::warnings::Source;
use crate::config::Limits;
use crate::os::clock;
use crate::os::semaphore::Semaphore;
use crate::os::sync::RwLock;
use crate::places::{Answer, PlacesProvider};
use crate::proto::line::query::NearbyQuery;
use crate::proto::node::{Applied, Identity, NO_WAL, Node};
use crate::proto::peering::grammar::Heartbeat;
use crate::proto::peering::link::PEER_TIMEOUT;
use crate::proto::peering::session as peer;
use crate::proto::session::Refusal;
use crate::proto::store::update::{self, Reject, Update, Updates};

/// Permits to compute for each processor: more than one, so that no processor is idle while a permit is handed on.
const CPU_PERMITS_PER_PROCESSOR: usize = 2;

/// A running member, for all who share it.
pub struct Member {
    /// What never changes while it runs.
    pub me: Arc<Identity>,
    /// All that is counted.
    pub metrics: Metrics,
    /// Who follows the change log.
    pub notifiers: Notifiers,
    /// The conversation of each neighbour that is here.
    pub peers: PeerRegistry,
    /// How each link is.
    pub links: boxcar::Vec<LinkState>,
    /// For turns with many lines.
    pub spare_batches: SpareBatches,
    /// For the same.
    pub turn_permits: TurnPermits,
    node: RwLock<Node>,
    wal: Option<GroupCommit>,
    places: Arc<dyn PlacesProvider>,
    /// The core database, once there is one.
    core: OnceLock<Arc<dyn Core>>,
    /// The questions of each address that leave this machine.
    address_limits: AddressLimits,
    /// For questions that are answered from memory. Thousands of threads that compute at once would share the
    /// processors with all others, and a newcomer would wait for seconds until the system has been through them all.
    cpu_permits: Semaphore,
    clients_max: usize,
    /// Whether new clients may be rejected soon, as the last batch found it. Only a hint: the store decides.
    near_capacity: AtomicBool,
}

impl Member {
    /// A member that knows what it starts with, and lets no more clients register themselves than the limits say.
    pub fn new(start: Start, places: Arc<dyn PlacesProvider>, limits: &Limits) -> Member {
        let Start { me, node, wal, must_checkpoint: _ } = start;
        let node = node.bounded(limits.clients_max, limits.memory_bytes_max.unwrap_or(u64::MAX));
        let permits = thread::available_parallelism().map_or(1, usize::from) * CPU_PERMITS_PER_PROCESSOR;
        Member {
            near_capacity: AtomicBool::new(node.store().is_near_capacity()),
            metrics: Metrics::default(),
            notifiers: Notifiers::default(),
            peers: PeerRegistry::new(me.neighbours.len()),
            links: me.neighbours.iter().map(|_| LinkState::default()).collect(),
            me,
            spare_batches: SpareBatches::default(),
            turn_permits: TurnPermits::new(wal.as_ref().is_some_and(|wal| wal.is_synced)),
            node: RwLock::new(node),
            wal,
            places,
            core: OnceLock::new(),
            address_limits: AddressLimits::default(),
            cpu_permits: Semaphore::new(permits),
            clients_max: limits.clients_max,
        }
    }

    /// Looks at what is known. The read lock is held meanwhile, so the closure must wait for nothing.
    pub fn read<T>(&self, look: impl FnOnce(&Node) -> T) -> T {
        look(&self.node.read())
    }

    /// Applies updates, and records them. The `Lsn` must be durable before anything of them leaves.
    pub fn apply<U: Updates>(&self, updates: &mut U) -> (Applied, Lsn) {
        let history = self.core.get().filter(|core| core.keeps_history());
        let history = history.map(|core| (core, core::points(updates)));
        let (applied, lsn) = match &self.wal {
            None => (self.node.write().apply(updates, None), Lsn::default()),
            Some(wal) => wal.apply(&self.node, updates),
        };
        if let Some((core, points)) = history {
            let is_known = |client: &[u8]| self.read(|node| node.store().record_of(client).is_some());
            let points = if applied.rejected > 0 { core::of_known(&points, is_known) } else { points };
            self.metrics.count_history_dropped(core.record(&points));
        }
        if self.near_capacity.load(Ordering::Relaxed) != applied.near_capacity {
            self.near_capacity.store(applied.near_capacity, Ordering::Relaxed);
        }
        (applied, lsn)
    }

    /// Applies the reports of one request, makes them durable, and wakes all followers.
    ///
    /// # Errors
    /// If they are not durable, and will not be before the disk has recovered. Followers are woken later then.
    pub fn report<U: Updates>(&self, updates: &mut U, remote: Remote) -> Result<Applied, NotDurable> {
        let (became, lsn) = self.apply(updates);
        let Applied { applied, outdated, rejected, rejected_why, .. } = became;
        self.metrics.applied.add(applied as u64);
        self.metrics.outdated.add(outdated as u64);
        self.count_rejected(rejected as u64, rejected_why, remote);
        self.persist(lsn).inspect_err(|_| self.metrics.acks_withheld.add(applied as u64))?;
        if applied > 0 {
            self.notifiers.notify(self);
        }
        Ok(became)
    }

    /// Forgets a client, on every server: in this second since 1970 an era begins, in which nothing is known of it.
    ///
    /// # Errors
    /// If it is not known here, or that cannot be made durable now: then it may be asked for again.
    pub fn forget(&self, client: &[u8], now_s: u64) -> Result<(), ForgetError> {
        let stored = self.read(|node| node.store().stored_line_of(client).map(<[u8]>::to_vec));
        let tombstone = update::forget(&stored.ok_or(ForgetError::Unknown)?, now_s);
        let update = tombstone.as_ref().and_then(|line| Update::from_stored(line, update::Source::CLIENT));
        let lsn = match update {
            // If something greater has come since it was looked at, that has forgotten the client too.
            Some(mut update) => self.apply(&mut update).1,
            // It is forgotten already, which may not be durable.
            None => Host::lsn(self),
        };
        self.persist(lsn).map_err(ForgetError::NotDurable)?;
        self.metrics.forgotten.add(1);
        self.notifiers.notify(self);
        Ok(())
    }

    /// Learns that it is `now_s` seconds since 1970, and drops all that has expired, a few records at a time.
    pub fn expire(&self, now_s: u64) {
        let mut dropped_any = false;
        loop {
            let (dropped, has_more) = self.node.write().expire(now_s);
            self.metrics.expired.add(dropped as u64);
            dropped_any |= dropped > 0;
            if !has_more {
                break;
            }
        }
        if dropped_any {
            self.notifiers.notify(self);
        }
    }

    /// Waits until everything up to `lsn` is durable.
    ///
    /// # Errors
    /// If it is not, and will not be before the disk has recovered.
    pub fn persist(&self, lsn: Lsn) -> Result<(), NotDurable> {
        self.wal.as_ref().map_or(Ok(()), |wal| wal.commit(lsn).map(drop))
    }

    /// Where a client was last seen; `None` if it is unknown.
    pub fn locate(&self, client: &[u8]) -> Option<Located> {
        self.read(|node| node.store().stored_line_of(client).map(<[u8]>::to_vec)).and_then(Located::new)
    }

    /// Where a client was last seen, which is asked of the core database if it is unknown here.
    pub fn find(&self, client: &str) -> Option<Located> {
        let known = self.locate(client.as_bytes());
        known.or_else(|| if self.fetch(client) { self.locate(client.as_bytes()) } else { None })
    }

    /// Asks the core database for a client that is unknown here; whether it may be known now.
    pub fn fetch(&self, client: &str) -> bool {
        self.core.get().is_some_and(|core| core.fetch(client))
    }

    /// The core database, if there is one.
    pub fn core(&self) -> Option<&Arc<dyn Core>> {
        self.core.get()
    }

    /// Gives the member its core database, once.
    pub fn set_core(&self, core: Arc<dyn Core>) {
        // The second one has no effect.
        let _ = self.core.set(core);
    }

    /// What is near a place. A connection and its address have rate limits of calls that leave this machine.
    pub fn nearby(&self, query: &NearbyQuery, rate_limit: &mut RateLimit) -> Answer {
        let answer = if self.asks_network() {
            let asked = rate_limit.ask(&self.address_limits, clock::instant());
            asked.and_then(|()| self.places.nearby(query))
        } else {
            // A wait for the network takes no processor, and so no permit.
            let _permit = self.cpu_permits.acquire();
            self.places.nearby(query)
        };
        answer.unwrap_or_else(|error| {
            self.metrics.count_and_warn(Event::from(&error), Source::Own, format_args!("places: {error}"));
            error.to_answer()
        })
    }

    /// Whether a question may take its time, because the provider is asked over the network.
    pub fn asks_network(&self) -> bool {
        self.places.may_wait()
    }

    /// The provider of places.
    pub fn places(&self) -> &dyn PlacesProvider {
        &*self.places
    }

    /// Follows the change log from now on.
    pub fn subscribe(&self) -> Subscription<'_> {
        self.notifiers.subscribe()
    }

    /// The durable watermark: the sequence number of the last change that followers may be told of, because no crash
    /// can undo it.
    pub fn durable_seq(&self) -> u64 {
        self.wal.as_ref().map_or(NO_WAL, GroupCommit::durable_seq)
    }

    /// The journal, if there is one.
    pub fn wal(&self) -> Option<&GroupCommit> {
        self.wal.as_ref()
    }

    /// Applies what is pending in a turn, makes it durable, and wakes all followers. Then the replies may be sent, some
    /// of which have become error lines if the journal cannot be written.
    ///
    /// # Errors
    /// If the connection must be closed without them.
    pub fn flush(&self, conversation: &Conversation, turn: &mut Turn) -> io::Result<()> {
        turn.apply(self);
        turn.permit = None;
        self.count(conversation, turn);
        let Err(why) = self.make_durable(turn) else { return Ok(()) };
        match turn.nack(&why.to_string()) {
            Some(withheld) => {
                self.metrics.acks_withheld.add(withheld as u64);
                Ok(())
            }
            None => Err(io::Error::other(format!("reports {why}"))),
        }
    }

    /// Makes what was applied durable, and wakes all followers.
    ///
    /// # Errors
    /// If it is not durable, and will not be before the disk has recovered. Followers are woken later then.
    pub fn make_durable(&self, turn: &mut Turn) -> Result<(), NotDurable> {
        self.persist(turn.needs_lsn())?;
        if turn.take_changes() && self.wal.as_ref().is_none_or(GroupCommit::has_news) {
            self.notifiers.notify(self);
        }
        Ok(())
    }

    /// Answers a heartbeat, before which everything is applied. The answer covers it if it can be made durable.
    pub fn acknowledge(&self, conversation: &mut Conversation, turn: &mut Turn, heartbeat: &Heartbeat) {
        let is_durable = self.make_durable(turn).is_ok();
        conversation.acknowledge(self, turn, heartbeat, is_durable);
    }

    /// A neighbour has authenticated in a conversation that `cut` ends: its older conversation is cut, and the link to
    /// it wakes.
    pub fn authenticated<'a>(
        &'a self,
        conversation: &Conversation,
        neighbour: usize,
        cut: Cut,
    ) -> Registration<'a> {
        let (name, from) = (&self.me.neighbours[neighbour].name, conversation.remote().from);
        let registration = self.peers.enter(neighbour, conversation.claimant(), cut);
        let (again, cut) =
            if registration.replaced { (" again", ": its older connection is cut") } else { ("", "") };
        self.metrics.peers_replaced.add(registration.replaced.into());
        self.metrics.log_connection(format_args!("neighbour {name} is here{again}, from {from}{cut}"));
        self.links[neighbour].wake(WakeUp::NeighbourIsBack);
        // If it was removed between its hello and now, it was not here to be cut.
        if !self.me.neighbours.is_linked(neighbour) {
            self.peers.cut(neighbour);
        }
        registration
    }

    /// Counts and warns that a neighbour has said nothing for [`PEER_TIMEOUT`] in a conversation.
    pub fn peer_timed_out(&self, remote: Remote) {
        let wait = humantime::format_duration(PEER_TIMEOUT);
        let what = format_args!("{remote} has said nothing for {wait}");
        self.metrics.count_and_warn(Event::PeerTimedOut, remote.from, what);
    }

    /// Counts and warns that a conversation is closed because of what was said.
    pub fn closed(&self, remote: Remote, why: Refusal) {
        let Some(event) = Event::of_refusal(why) else { return };
        let mut who = remote.to_string();
        if let Refusal::Peer(peer::Refusal::Version { neighbour: Some(neighbour), .. }) = why {
            who = format!("neighbour {}, from {}", self.me.neighbours[neighbour].name, remote.from);
        }
        self.metrics.count_and_warn(event, remote.from, format_args!("{who} is turned away: {why}"));
    }

    /// A conversation has panicked. Part of what it applied may be stored, which it alone would have made durable and
    /// told of.
    pub fn after_panic(&self) {
        self.metrics.bugs.add(1);
        self.wal.iter().for_each(|wal| wal.flush_signal.mark_dirty());
        self.notifiers.notify(self);
    }

    /// Adds what was counted in a turn of this conversation.
    pub fn count(&self, conversation: &Conversation, turn: &mut Turn) {
        let Counts { lines, refused, rejected, rejected_why, applied, outdated, questions } =
            turn.take_counts();
        conversation.neighbour().iter().for_each(|&it| self.links[it].received(applied + outdated));
        let lines_counter =
            if conversation.is_client() { &self.metrics.client_lines } else { &self.metrics.peer_lines };
        let counted = [
            (lines_counter, lines),
            (&self.metrics.lines_refused, refused),
            (&self.metrics.applied, applied),
            (&self.metrics.outdated, outdated),
            (&self.metrics.questions, questions),
        ];
        for (counter, count) in counted.into_iter().filter(|(_, count)| *count > 0) {
            counter.add(count);
        }
        self.count_rejected(rejected, rejected_why, conversation.remote());
    }

    fn count_rejected(&self, rejected: u64, why: Option<Reject>, remote: Remote) {
        if rejected == 0 {
            return;
        }
        let (from, most) = (remote.from, self.clients_max);
        let (event, why) = match why {
            Some(Reject::OutOfMemory) => {
                let bytes = self.read(Node::memory_bytes_max);
                (Event::ClientMemory, format!("clients take all of the {bytes} bytes that they may"))
            }
            Some(Reject::TooManyClients) | None => (Event::Clients, format!("{most} clients are known")),
        };
        let what = format_args!("{rejected} reports of {from}: {why}, no new ones are taken");
        self.metrics.count_many_and_warn(event, from, rejected, what);
    }
}
