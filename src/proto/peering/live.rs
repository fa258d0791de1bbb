//! What a link that is up sends: lines, or offers if it is lazy, and how far all that has come.

use std::time::Duration;

use crate::proto::model::epoch::Epoch;
use crate::proto::node::Node;
use crate::proto::peering::anti_entropy::{Compared, Repair};
use crate::proto::peering::grammar::{Ack, Heartbeat, Welcome, push_lazy, push_up_to};
use crate::proto::peering::offers::Offers;
use crate::proto::store::SCAN_RECORDS_MAX;
use crate::proto::store::cursor::{Cursor, HASHES_MAX, Scanned, durable_seq};

/// How often each side of a link hears from the other.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);

/// After this long without a line the other side is gone, though no packet says so: three heartbeats were lost, and the
/// fourth has had its time. With [`HEARTBEAT_EVERY`] it keeps an unnoticed end below five seconds.
pub const PEER_TIMEOUT: Duration = Duration::from_secs(4);

/// Lines after which the neighbour is told up to where it has everything. When a connection breaks, no more are sent
/// again.
const UNANNOUNCED_LINES_MAX: usize = SCAN_RECORDS_MAX;

/// The most lines that a thread which has just merged something sends itself: with more of them, one wake-up of the
/// link's own thread costs little for each, and that thread sends while others merge.
pub(super) const AT_ONCE_LINES_MAX: usize = 8;

/// The most changes after its position that it looks at for that: most may be what the neighbour itself has told.
const AT_ONCE_CHANGES_MAX: u64 = 256;

/// A lazy link sends lines all the same while there are more changes after its position: so many take several offers,
/// each of which waits for the one before.
const LAZY_CHANGES_MAX: u64 = 4 * HASHES_MAX as u64;

/// A link that is up.
#[derive(Debug)]
pub(super) struct Live {
    neighbour: usize,
    /// The epoch of the neighbour.
    epoch: Epoch,
    pub(super) cursor: Cursor,
    /// The sequence number up to which the neighbour has said to have merged our changes.
    pub(super) acknowledged_up_to: u64,
    /// Lines since the neighbour was last told up to where it has everything.
    unannounced_lines: usize,
    pub(super) heartbeat_at: Duration,
    pub(super) last_heard_at: Duration,
    compared: Option<Compared>,
    repair: Option<Repair>,
    /// What it offers while it is lazy.
    pub(super) offers: Offers,
    /// Whether the neighbour was told that we understand `PRUNE`.
    has_said_lazy: bool,
    /// Whether everything must be sent soon, because it ends.
    pub(super) is_finishing: bool,
}

/// The lines that were just copied for the neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a cursor moves only after its lines were written"]
pub struct Due {
    /// What lines were copied of; nothing if the link is lazy.
    scanned: Option<Scanned>,
    /// Whether they say up to where the neighbour has everything.
    announces: bool,
    is_heartbeat: bool,
    /// How far a repair has come, if these lines are of one.
    repaired: Option<Option<usize>>,
}

/// More is due than is sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyAtOnce;

impl Due {
    /// The `AT` lines in it, those of a repair not counted.
    pub fn lines(self) -> usize {
        self.scanned.map_or(0, Scanned::lines)
    }
}

impl Live {
    /// What is begun with a welcome. The link is eager.
    pub(super) fn new(node: &Node, neighbour: usize, epoch: Epoch, welcome: Welcome, now: Duration) -> Live {
        let (me, last) = (node.identity(), node.store().last_seq());
        // A neighbour that has received more than there is has done so from another memory of ours: everything is due.
        let known = if welcome.received_up_to <= last { welcome.received_up_to } else { 0 };
        let position = if me.catch_up { known } else { last };
        node.tree().set_lazy(neighbour, false);
        Live {
            neighbour,
            epoch,
            cursor: Cursor::new(position, me.source(neighbour, epoch)),
            acknowledged_up_to: known,
            unannounced_lines: 0,
            heartbeat_at: now + HEARTBEAT_EVERY,
            last_heard_at: now,
            compared: None,
            repair: None,
            offers: Offers::default(),
            has_said_lazy: false,
            is_finishing: false,
        }
    }

    /// Appends the next lines that are due: see [`super::link::Link::due`].
    pub(super) fn due(&mut self, node: &Node, durable: u64, now: Duration, out: &mut Vec<u8>) -> Option<Due> {
        if self.is_lazy(node, durable) {
            return self.due_lazily(node, durable, now, out);
        }
        self.offers.give_up();
        let scanned = self.cursor.copy(node.store(), durable, SCAN_RECORDS_MAX, out);
        let repaired = match &self.repair {
            Some(repair) if !self.cursor.is_behind(node.store(), durable) => {
                Some(repair.push_next_to(node.store(), durable, out))
            }
            Some(_) | None => None,
        };
        let is_heartbeat = now >= self.heartbeat_at;
        let announces = is_heartbeat || self.is_full_with(scanned);
        if is_heartbeat && !self.has_said_lazy && understands_prune(node) {
            push_lazy(out);
            self.has_said_lazy = true;
        }
        self.announce(scanned, announces, is_heartbeat.then_some(node), out);
        let moves = scanned.position() > self.cursor.position();
        (moves || announces || repaired.is_some()).then_some(Due {
            scanned: Some(scanned),
            announces,
            is_heartbeat,
            repaired,
        })
    }

    /// The same for a thread that has other things to do: see [`super::link::Link::due_at_once`].
    pub(super) fn due_at_once(
        &self,
        node: &Node,
        durable: u64,
        out: &mut Vec<u8>,
    ) -> Result<Option<Due>, TooManyAtOnce> {
        let last = node.store().last_seq().min(durable);
        if self.is_lazy(node, durable)
            || self.repair.is_some()
            || last > self.cursor.position() + AT_ONCE_CHANGES_MAX
        {
            return Err(TooManyAtOnce);
        }
        let scanned = self.cursor.copy(node.store(), durable, AT_ONCE_LINES_MAX, out);
        if scanned.position() < last {
            return Err(TooManyAtOnce);
        }
        let announces = self.is_full_with(scanned);
        self.announce(scanned, announces, None, out);
        let moves = scanned.position() > self.cursor.position();
        Ok((moves || announces).then_some(Due {
            scanned: Some(scanned),
            announces,
            is_heartbeat: false,
            repaired: None,
        }))
    }

    /// What is due while the link is lazy.
    fn due_lazily(&mut self, node: &Node, durable: u64, now: Duration, out: &mut Vec<u8>) -> Option<Due> {
        let offered = self.offers.push_due_to(now, out);
        self.offers.take(&mut self.cursor, node.store(), durable, now);
        let here = self.cursor.here(durable);
        let is_heartbeat = now >= self.heartbeat_at;
        let announces = is_heartbeat || self.is_full_with(here);
        self.announce(here, announces, is_heartbeat.then_some(node), out);
        (offered > 0 || announces).then_some(Due { scanned: None, announces, is_heartbeat, repaired: None })
    }

    /// Says up to where the neighbour has everything, in a heartbeat if one is due.
    fn announce(&self, scanned: Scanned, announces: bool, heartbeat: Option<&Node>, out: &mut Vec<u8>) {
        let up_to = self.cursor.safe(scanned);
        match heartbeat {
            Some(node) => {
                let (digest, terms) = (node.store().digest().total(), node.terms_for(self.neighbour));
                Heartbeat { up_to, digest, terms }.push_to(out);
            }
            None if announces => push_up_to(up_to, out),
            None => {}
        }
    }

    /// Whether the neighbour must be told up to where it has everything, once it has been sent these.
    fn is_full_with(&self, scanned: Scanned) -> bool {
        self.unannounced_lines + scanned.lines() >= UNANNOUNCED_LINES_MAX
    }

    /// Moves the cursor: the lines that were due at `now` have been written.
    pub(super) fn written(&mut self, due: Due, now: Duration) {
        if let Some(scanned) = due.scanned {
            self.cursor.advance(scanned);
        }
        self.unannounced_lines = if due.announces { 0 } else { self.unannounced_lines + due.lines() };
        if due.is_heartbeat {
            self.heartbeat_at = now + HEARTBEAT_EVERY;
        }
        if let (Some(next), Some(repair)) = (due.repaired, &mut self.repair) {
            match next {
                Some(next) => repair.go_on_at(next),
                None => self.repair = None,
            }
        }
    }

    /// The neighbour says that it knows what was offered up to this position. What is due by now is offered next.
    pub(super) fn known(&mut self, node: &Node, position: u64, now: Duration) {
        self.unannounced_lines += self.offers.known(position, &mut self.cursor);
        if node.tree().is_lazy(self.neighbour) {
            self.offers.take(&mut self.cursor, node.store(), durable_seq(node.store()), now);
        }
    }

    /// The neighbour lacks something that was offered: from now on everything after the position is due.
    pub(super) fn graft(&mut self, node: &Node) {
        node.tree().set_lazy(self.neighbour, false);
        self.offers.give_up();
    }

    /// The neighbour has answered a heartbeat. Returns how many buckets are sent again, if that is begun.
    pub(super) fn acknowledged(&mut self, node: &Node, ack: Ack, now: Duration) -> Option<usize> {
        let catch_up = node.identity().catch_up;
        self.last_heard_at = now;
        self.acknowledged_up_to =
            self.acknowledged_up_to.max(ack.received_up_to.min(node.store().last_seq()));
        let can_compare = catch_up && node.store().expiry.is_swept_to(ack.cutoff_s);
        let theirs = ack.buckets.filter(|_| can_compare);
        let compared = theirs.map(|theirs| Compared::of(node.store(), ack.last_seq, theirs));
        let before = std::mem::replace(&mut self.compared, compared);
        if let (Some(before), Some(now), None) = (before, &self.compared, &self.repair) {
            let received_up_to = node.received_up_to(self.neighbour, self.epoch);
            self.repair = Repair::of(&before, now, self.acknowledged_up_to, received_up_to);
            return self.repair.as_ref().map(Repair::buckets);
        }
        None
    }

    /// Whether it offers what is due. If so it has been pruned, unless lines are better all the same.
    fn is_lazy(&self, node: &Node, durable: u64) -> bool {
        let last = node.store().last_seq().min(durable);
        node.tree().is_lazy(self.neighbour)
            && self.repair.is_none()
            && !self.is_finishing
            && last <= self.cursor.position() + LAZY_CHANGES_MAX
    }
}

/// Whether a neighbour may prune the link. With one link there is no other way.
fn understands_prune(node: &Node) -> bool {
    let me = node.identity();
    me.catch_up && me.has_tree && me.neighbours.linked().count() > 1
}
