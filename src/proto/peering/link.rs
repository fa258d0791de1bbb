//! The sending side of a link: a cursor in the log of changes, and everything after it for one neighbour.
//!
//! A driver does this for each connection; `now` is the time since any moment that stays the same:
//! 1. Send [`Link::hello`]. If then [`Link::expects_message`], tell the framing.
//! 2. Give every line of the neighbour to [`Link::answered`]; send a [`Answered::Reply`]; on an error close, back off
//!    and begin again. If [`Link::take_frames`] gives some, the reply and all after it is sent and read in frames.
//!    After [`Answered::Up`] go on.
//! 3. Send what [`Link::due`] yields, calling [`Link::written`] after each write, until it yields nothing; again
//!    whenever an update has been applied, and at [`Link::heartbeat_at`].
//! 4. If [`Link::is_silent`], or when the connection ends, close it and call [`Link::hung_up`].
//!
//! A neighbour of the legacy dialect knows none of that: see [`crate::proto::peering::legacy`].

use std::sync::Arc;
use std::time::Duration;

use crate::proto::model::epoch::Epoch;
use crate::proto::node::{Identity, Node};
use crate::proto::peering::anti_entropy::{Compared, Repair};
use crate::proto::peering::frames::Frames;
use crate::proto::peering::grammar::{
    Ack, Answer, Greeting, Heartbeat, Welcome, answer, knows_no_lazy_links, push_lazy, push_ready, push_up_to,
};
pub use crate::proto::peering::link_error::LinkError;
use crate::proto::peering::noise::{self, Begun, EphemeralKey};
use crate::proto::peering::offers::Offers;
use crate::proto::store::SCAN_RECORDS_MAX;
use crate::proto::store::cursor::{Cursor, HASHES_MAX, Scanned};
use crate::proto::tree::Verdict;

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
const AT_ONCE_LINES_MAX: usize = 8;

/// The most changes after its position that it looks at for that: most may be what the neighbour itself has told.
const AT_ONCE_CHANGES_MAX: u64 = 256;

/// A lazy link sends lines all the same while there are more changes after its position: its reader has forgotten what
/// it had of so many.
const LAZY_CHANGES_MAX: u64 = 4 * HASHES_MAX as u64;

/// The sending side of one link.
#[derive(Debug)]
pub struct Link {
    me: Arc<Identity>,
    neighbour: usize,
    state: State,
    /// What encrypts the link, from the handshake until the driver takes it.
    frames: Option<Box<Frames>>,
}

#[derive(Debug)]
enum State {
    Down,
    /// We have said hello.
    Greeted,
    /// We have said hello and begun a handshake.
    Begun(Box<Begun>),
    /// We are ready, and the neighbour has the memory of this epoch.
    Ready(Epoch),
    Live(Box<Live>),
}

#[derive(Debug)]
struct Live {
    /// The epoch of the neighbour.
    epoch: Epoch,
    cursor: Cursor,
    /// The sequence number up to which the neighbour has said to have merged our changes.
    acknowledged: u64,
    /// Lines since the neighbour was last told up to where it has everything.
    unannounced_lines: usize,
    heartbeat_at: Duration,
    last_heard_at: Duration,
    compared: Option<Compared>,
    repair: Option<Repair>,
    /// What it offers while it is lazy.
    offers: Offers,
    /// Whether the neighbour was told that we understand `PRUNE`.
    has_said_lazy: bool,
    /// Whether everything must be sent soon, because it ends.
    is_finishing: bool,
}

/// The lines that were just copied for the neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a cursor moves only after its lines were written"]
pub struct Due {
    /// What lines were copied of; nothing if the link is lazy.
    scanned: Option<Scanned>,
    /// The hashes in it.
    offered: usize,
    /// Whether they say that we understand `PRUNE`.
    says_lazy: bool,
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

    /// The hashes in it.
    pub fn offered(self) -> usize {
        self.offered
    }
}

/// What a line of the neighbour leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Send this.
    Reply(Vec<u8>),
    /// The link is up.
    Up,
    /// The neighbour lives, and has merged our changes as far as it says.
    Acknowledged,
    /// The neighbour knows what comes on this link before it comes: it is lazy from now on.
    Pruned,
    /// The neighbour lacks something that was offered: the link is eager from now on, and much may be due.
    Grafted,
    /// The neighbour has said whether it knows what was offered.
    Known,
    /// The neighbour lives, and this many buckets stay different although each side has sent the other everything. They
    /// are due now.
    Differs(usize),
}

impl Link {
    /// The link to the neighbour with this index, not yet up.
    pub fn new(me: Arc<Identity>, neighbour: usize) -> Link {
        Link { me, neighbour, state: State::Down, frames: None }
    }

    /// The index of the neighbour.
    pub fn neighbour(&self) -> usize {
        self.neighbour
    }

    /// Whether the neighbour has welcomed us.
    pub fn is_live(&self) -> bool {
        self.live().is_some()
    }

    /// What opens a connection: a line, and in a herd with a secret the first message of a handshake. The key must be
    /// unpredictable.
    pub fn hello(&mut self, key: EphemeralKey) -> Vec<u8> {
        let (from, to) = (self.me.name.clone(), self.me.neighbours[self.neighbour].name.clone());
        let (mut opening, mut hello) = (Vec::new(), Greeting { from, to, epoch: None });
        self.frames = None;
        match self.me.secrets.first() {
            None => {
                hello.epoch = Some(self.me.epoch);
                hello.push_to(&mut opening);
                self.state = State::Greeted;
            }
            Some(secret) => {
                let (begun, message) = noise::begin(secret, &hello, self.me.epoch, key);
                hello.push_to(&mut opening);
                opening.extend_from_slice(&message);
                self.state = State::Begun(Box::new(begun));
            }
        }
        opening
    }

    /// Whether the neighbour answers with a message of the handshake next, and not with a line.
    pub fn expects_message(&self) -> bool {
        matches!(self.state, State::Begun(_))
    }

    /// What encrypts all that comes after the answer that was just taken, if anything does.
    pub fn take_frames(&mut self) -> Option<Box<Frames>> {
        self.frames.take()
    }

    /// Takes a line of the neighbour.
    pub fn answered(&mut self, node: &Node, line: &[u8], now: Duration) -> Result<Answered, LinkError> {
        if let State::Begun(_) = self.state {
            return self.finished(line);
        }
        if self.is_live() && knows_no_lazy_links(line) {
            return Ok(Answered::Acknowledged);
        }
        match (answer(line)?, &mut self.state) {
            (Answer::Hello(hello), State::Greeted) => self.greeted(hello),
            (Answer::Welcome(welcome), State::Ready(epoch)) => {
                node.tree().set_lazy(self.neighbour, false);
                self.state = State::Live(Box::new(Live::new(node, self.neighbour, *epoch, welcome, now)));
                Ok(Answered::Up)
            }
            (Answer::Ack(ack), State::Live(_)) => Ok(self.acknowledged(node, *ack, now)),
            (Answer::Prune, State::Live(_)) => {
                node.tree().set_lazy(self.neighbour, self.me.catch_up && self.me.has_tree);
                Ok(Answered::Pruned)
            }
            (Answer::Verdict(Verdict::Graft), State::Live(live)) => {
                node.tree().set_lazy(self.neighbour, false);
                live.offers.give_up();
                Ok(Answered::Grafted)
            }
            (Answer::Verdict(Verdict::Known(position)), State::Live(live)) => {
                live.unannounced_lines += live.offers.known(position, &mut live.cursor);
                if node.tree().is_lazy(self.neighbour) {
                    live.offers.take(&mut live.cursor, node.store(), node.store().flushed().durable, now);
                }
                Ok(Answered::Known)
            }
            (_, _) => Err(LinkError::OutOfPlace),
        }
    }

    /// Appends the next lines that are due, and says what they are; `None` when nothing is due, or the link is not up.
    /// `durable` is the sequence number of the last change that a crash could not undo: nothing after it is sent.
    pub fn due(&mut self, node: &Node, durable: u64, now: Duration, out: &mut Vec<u8>) -> Option<Due> {
        let is_lazy = self.is_lazy(node, durable);
        let (neighbour, understands_prune) = (self.neighbour, self.understands_prune());
        let State::Live(live) = &mut self.state else { return None };
        if is_lazy {
            return live.due_lazily(node, neighbour, durable, now, out);
        }
        live.offers.give_up();
        let scanned = live.cursor.copy(node.store(), durable, SCAN_RECORDS_MAX, out);
        let repaired = match &live.repair {
            Some(repair) if !live.cursor.is_behind(node.store(), durable) => {
                Some(repair.push_next_to(node.store(), durable, out))
            }
            Some(_) | None => None,
        };
        let is_heartbeat = now >= live.heartbeat_at;
        let announces = is_heartbeat || live.is_full_with(scanned);
        let says_lazy = is_heartbeat && understands_prune && !live.has_said_lazy;
        if says_lazy {
            push_lazy(out);
        }
        live.announce(scanned, announces, is_heartbeat.then(|| (node, neighbour)), out);
        let moves = scanned.position() > live.cursor.position();
        (moves || announces || repaired.is_some()).then_some(Due {
            scanned: Some(scanned),
            offered: 0,
            says_lazy,
            announces,
            is_heartbeat,
            repaired,
        })
    }

    /// As [`Link::due`], for a thread that has other things to do: changes alone, and only if those are all that there
    /// are and few.
    ///
    /// # Errors
    /// If there are more.
    pub fn due_at_once(
        &self,
        node: &Node,
        durable: u64,
        out: &mut Vec<u8>,
    ) -> Result<Option<Due>, TooManyAtOnce> {
        let Some(live) = self.live() else { return Ok(None) };
        let last = node.store().last_seq().min(durable);
        if self.is_lazy(node, durable)
            || live.repair.is_some()
            || last > live.cursor.position() + AT_ONCE_CHANGES_MAX
        {
            return Err(TooManyAtOnce);
        }
        let scanned = live.cursor.copy(node.store(), durable, AT_ONCE_LINES_MAX, out);
        if scanned.position() < last {
            return Err(TooManyAtOnce);
        }
        let announces = live.is_full_with(scanned);
        live.announce(scanned, announces, None, out);
        let moves = scanned.position() > live.cursor.position();
        Ok((moves || announces).then_some(Due {
            scanned: Some(scanned),
            offered: 0,
            says_lazy: false,
            announces,
            is_heartbeat: false,
            repaired: None,
        }))
    }

    /// Moves the cursor: the lines that were due at `now` have been written.
    pub fn written(&mut self, due: Due, now: Duration) {
        let State::Live(live) = &mut self.state else { return };
        if let Some(scanned) = due.scanned {
            live.cursor.advance(scanned);
        }
        live.has_said_lazy |= due.says_lazy;
        live.unannounced_lines = if due.announces { 0 } else { live.unannounced_lines + due.lines() };
        if due.is_heartbeat {
            live.heartbeat_at = now + HEARTBEAT_EVERY;
        }
        if let (Some(next), Some(repair)) = (due.repaired, &mut live.repair) {
            match next {
                Some(next) => repair.go_on_at(next),
                None => live.repair = None,
            }
        }
    }

    /// When the link must be looked at even if nothing has changed, if it is up.
    pub fn wake_at(&self) -> Option<Duration> {
        self.live().map(|live| live.offers.next_at().unwrap_or(Duration::MAX).min(live.heartbeat_at))
    }

    /// When the link is to be looked at to offer something, if it is lazy and something is due. Until then no change
    /// need wake it.
    pub fn offer_at(&self) -> Option<Duration> {
        self.live().and_then(|live| live.offers.next_at())
    }

    /// When the next heartbeat is due, if the link is up.
    pub fn heartbeat_at(&self) -> Option<Duration> {
        self.live().map(|live| live.heartbeat_at)
    }

    /// From now on everything is sent, even if the link is lazy: it is about to end.
    pub fn finish(&mut self) {
        if let State::Live(live) = &mut self.state {
            live.is_finishing = true;
        }
    }

    /// Makes a heartbeat due at once, so that the neighbour acknowledges what it has received.
    pub fn ask_for_ack(&mut self) {
        if let State::Live(live) = &mut self.state {
            live.heartbeat_at = Duration::ZERO;
        }
    }

    /// Whether the neighbour has been silent for [`PEER_TIMEOUT`], so that it must be gone.
    pub fn is_silent(&self, now: Duration) -> bool {
        self.live().is_some_and(|live| now >= live.last_heard_at + PEER_TIMEOUT)
    }

    /// The connection has ended; the next one begins with a hello.
    pub fn hung_up(&mut self) {
        self.state = State::Down;
        self.frames = None;
    }

    /// The sequence number up to which the neighbour has been sent our changes, if the link is up.
    pub fn position(&self) -> Option<u64> {
        self.live().map(|live| live.cursor.position())
    }

    /// The sequence number up to which the neighbour has said to have merged our changes, if the link is up.
    pub fn acknowledged_position(&self) -> Option<u64> {
        self.live().map(|live| live.acknowledged)
    }

    fn greeted(&mut self, hello: Greeting) -> Result<Answered, LinkError> {
        if hello.from != self.me.neighbours[self.neighbour].name || hello.to != self.me.name {
            return Err(LinkError::WrongServer);
        }
        Ok(self.ready(hello.epoch.ok_or(LinkError::OutOfPlace)?))
    }

    /// The neighbour has answered the handshake, or says why not: a handshake ends but once.
    fn finished(&mut self, message: &[u8]) -> Result<Answered, LinkError> {
        let State::Begun(begun) = std::mem::replace(&mut self.state, State::Down) else {
            return Err(LinkError::OutOfPlace);
        };
        let (frames, epoch) = begun.finish(message).map_err(|_| LinkError::Differs)?;
        self.frames = Some(Box::new(frames));
        Ok(self.ready(epoch))
    }

    fn ready(&mut self, epoch: Epoch) -> Answered {
        self.state = State::Ready(epoch);
        let mut line = Vec::new();
        push_ready(&mut line);
        Answered::Reply(line)
    }

    fn acknowledged(&mut self, node: &Node, ack: Ack, now: Duration) -> Answered {
        let (catch_up, neighbour) = (self.me.catch_up, self.neighbour);
        let State::Live(live) = &mut self.state else { return Answered::Acknowledged };
        live.last_heard_at = now;
        live.acknowledged = live.acknowledged.max(ack.received_up_to.min(node.store().last_seq()));
        let can_compare = catch_up && node.store().expiry.is_swept_to(ack.cutoff_s);
        let theirs = ack.buckets.filter(|_| can_compare);
        let compared = theirs.map(|theirs| Compared::of(node.store(), ack.last_seq, theirs));
        let before = std::mem::replace(&mut live.compared, compared);
        if let (Some(before), Some(now), None) = (before, &live.compared, &live.repair) {
            let received_up_to = node.received_up_to(neighbour, live.epoch);
            live.repair = Repair::of(&before, now, live.acknowledged, received_up_to);
            if let Some(repair) = &live.repair {
                return Answered::Differs(repair.buckets());
            }
        }
        Answered::Acknowledged
    }

    /// Whether it offers what is due. If so it has been pruned, unless lines are better all the same.
    fn is_lazy(&self, node: &Node, durable: u64) -> bool {
        self.live().is_some_and(|live| {
            let last = node.store().last_seq().min(durable);
            node.tree().is_lazy(self.neighbour)
                && live.repair.is_none()
                && !live.is_finishing
                && last <= live.cursor.position() + LAZY_CHANGES_MAX
        })
    }

    /// Whether the neighbour may prune the link. With one link there is no other way.
    fn understands_prune(&self) -> bool {
        self.me.catch_up && self.me.has_tree && self.me.neighbours.linked().count() > 1
    }

    fn live(&self) -> Option<&Live> {
        match &self.state {
            State::Live(live) => Some(live),
            State::Down | State::Greeted | State::Begun(_) | State::Ready(_) => None,
        }
    }
}

impl Live {
    /// As [`Link::due`], while the link is lazy.
    fn due_lazily(
        &mut self,
        node: &Node,
        neighbour: usize,
        durable: u64,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Option<Due> {
        let offered = self.offers.push_due_to(now, out);
        self.offers.take(&mut self.cursor, node.store(), durable, now);
        let here = self.cursor.here(durable);
        let is_heartbeat = now >= self.heartbeat_at;
        let announces = is_heartbeat || self.is_full_with(here);
        self.announce(here, announces, is_heartbeat.then_some((node, neighbour)), out);
        (offered > 0 || announces).then_some(Due {
            scanned: None,
            offered,
            says_lazy: false,
            announces,
            is_heartbeat,
            repaired: None,
        })
    }

    /// Says up to where the neighbour has everything, in a heartbeat if one is due.
    fn announce(
        &self,
        scanned: Scanned,
        announces: bool,
        heartbeat: Option<(&Node, usize)>,
        out: &mut Vec<u8>,
    ) {
        let up_to = self.cursor.safe(scanned);
        match heartbeat {
            Some((node, neighbour)) => {
                let (digest, terms) = (node.store().digest().total(), node.terms_for(neighbour));
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

    fn new(node: &Node, neighbour: usize, epoch: Epoch, welcome: Welcome, now: Duration) -> Live {
        let (me, last) = (node.identity(), node.store().last_seq());
        // A neighbour that has received more than there is has done so from another memory of ours: everything is due.
        let known = if welcome.received_up_to <= last { welcome.received_up_to } else { 0 };
        let position = if me.catch_up { known } else { last };
        Live {
            epoch,
            cursor: Cursor::new(position, me.source(neighbour, epoch)),
            acknowledged: known,
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::model::name::ServerName;
    use crate::proto::node::{NO_WAL, Neighbour};
    use crate::proto::store::update::{Source, Update};

    /// A server, and its live link to its neighbour of index 0.
    fn linked() -> (Node, Link) {
        let name = |text| ServerName::parse(text).unwrap();
        let neighbours = vec![Neighbour::herd(name("Bolden"))];
        let me = Arc::new(Identity::new(name("Alford"), neighbours, Epoch(1)));
        let (node, mut link) = (Node::new(Arc::clone(&me)), Link::new(me, 0));
        link.hello(EphemeralKey([0; 32]));
        for line in [&b"HELLO 5 Bolden Alford 0000000000000002"[..], b"WELCOME 0"] {
            link.answered(&node, line, Duration::ZERO).unwrap();
        }
        (node, link)
    }

    fn learn(node: &mut Node, count: usize, source: Source) {
        for _ in 0..count {
            let line = format!("AT Alford +1 client-{} +1+1 1\n", node.store().last_seq());
            node.apply(&mut Update::from_stored(line.as_bytes(), source).unwrap(), None);
        }
    }

    /// How many lines are sent at once, without those that say how far everything has been sent.
    fn sent(node: &Node, link: &mut Link) -> Result<usize, TooManyAtOnce> {
        let mut out = Vec::new();
        let Some(due) = link.due_at_once(node, NO_WAL, &mut out)? else { return Ok(0) };
        link.written(due, Duration::ZERO);
        assert_eq!(link.position(), Some(node.store().last_seq()));
        Ok(out.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"AT ")).count())
    }

    #[test]
    fn few_changes_are_sent_at_once_and_many_are_left_to_the_sender() {
        let (mut node, mut link) = linked();
        assert_eq!(sent(&node, &mut link), Ok(0));
        learn(&mut node, AT_ONCE_LINES_MAX, Source::CLIENT);
        assert_eq!(sent(&node, &mut link), Ok(AT_ONCE_LINES_MAX));
        learn(&mut node, AT_ONCE_LINES_MAX + 1, Source::CLIENT);
        assert_eq!(sent(&node, &mut link), Err(TooManyAtOnce));
        let mut out = Vec::new();
        assert_eq!(link.due(&node, NO_WAL, Duration::ZERO, &mut out).unwrap().lines(), AT_ONCE_LINES_MAX + 1);
    }

    #[test]
    fn neighbour_is_sent_nothing_at_once_that_it_has_told_itself() {
        let (mut node, mut link) = linked();
        let bolden = node.identity().source(0, Epoch(2));
        learn(&mut node, 5 * AT_ONCE_LINES_MAX, bolden);
        assert_eq!(sent(&node, &mut link), Ok(0));
        learn(&mut node, 1, Source::CLIENT);
        assert_eq!(sent(&node, &mut link), Ok(1), "what it has told does not count");
    }

    #[test]
    fn nothing_is_sent_at_once_that_is_not_durable() {
        let (mut node, link) = linked();
        learn(&mut node, 2, Source::CLIENT);
        let mut out = Vec::new();
        let due = link.due_at_once(&node, 1, &mut out).unwrap().unwrap();
        assert_eq!((due.lines(), link.due_at_once(&node, 0, &mut out)), (1, Ok(None)));
    }

    const MS: Duration = Duration::from_millis(1);

    /// What is written at this time.
    fn written(node: &Node, link: &mut Link, now: Duration) -> String {
        let (mut out, mut all) = (Vec::new(), String::new());
        while let Some(due) = link.due(node, NO_WAL, now, &mut out) {
            link.written(due, now);
            all += &String::from_utf8(std::mem::take(&mut out)).unwrap();
        }
        all
    }

    #[test]
    fn pruned_link_offers_what_it_has_and_moves_only_when_that_is_known() {
        let (mut node, mut link) = linked();
        assert_eq!(link.answered(&node, b"PRUNE", MS), Ok(Answered::Pruned));
        learn(&mut node, 2, Source::CLIENT);
        assert_eq!(sent(&node, &mut link), Err(TooManyAtOnce));
        assert_eq!((&*written(&node, &mut link, MS), link.position()), ("", Some(0)));
        // What is new by then is not offered yet.
        learn(&mut node, 1, Source::CLIENT);
        let at = link.offer_at().unwrap();
        assert!(at > MS && link.wake_at() == Some(at));
        let offer = written(&node, &mut link, at);
        assert!(offer.starts_with("IHAVE 2 ") && offer.split(' ').count() == 4, "{offer}");
        assert_eq!((&*written(&node, &mut link, 2 * at), link.position()), ("", Some(0)));
        assert_eq!(link.answered(&node, b"KNOWN 0", at), Ok(Answered::Known));
        assert_eq!(link.position(), Some(0), "something is missing");
        let again = written(&node, &mut link, 4 * at);
        assert!(again.starts_with("IHAVE 3 ") && again.split(' ').count() == 5, "{again}");
        assert_eq!(link.answered(&node, b"KNOWN 2", at), Ok(Answered::Known));
        assert_eq!(link.position(), Some(0), "that was another offer");
        let last = written(&node, &mut link, 8 * at);
        assert_eq!(last, again);
        assert_eq!(link.answered(&node, b"KNOWN 3", at), Ok(Answered::Known));
        assert_eq!((link.position(), link.offer_at()), (Some(3), None));
        let heartbeat = written(&node, &mut link, HEARTBEAT_EVERY + MS);
        assert!(heartbeat.starts_with("BEAT 3 "), "{heartbeat}");
    }

    #[test]
    fn grafted_link_sends_all_that_was_not_known() {
        let (mut node, mut link) = linked();
        link.answered(&node, b"PRUNE", MS).unwrap();
        learn(&mut node, 2, Source::CLIENT);
        written(&node, &mut link, MS);
        assert!(written(&node, &mut link, 100 * MS).starts_with("IHAVE 2 "));
        assert_eq!(link.answered(&node, b"GRAFT", 100 * MS), Ok(Answered::Grafted));
        assert_eq!(sent(&node, &mut link), Ok(2));
        // The answer to an offer that was given up.
        link.answered(&node, b"PRUNE", MS).unwrap();
        learn(&mut node, 1, Source::CLIENT);
        link.answered(&node, b"KNOWN 2", 100 * MS).unwrap();
        assert_eq!(link.position(), Some(2));
    }

    #[test]
    fn lazy_link_sends_lines_if_it_ends_or_is_far_behind() {
        let (mut node, mut link) = linked();
        link.answered(&node, b"PRUNE", MS).unwrap();
        learn(&mut node, LAZY_CHANGES_MAX as usize + 1, Source::CLIENT);
        assert!(written(&node, &mut link, MS).starts_with("AT "));
        let position = link.position();
        learn(&mut node, 1, Source::CLIENT);
        written(&node, &mut link, 200 * MS);
        assert!(position < Some(node.store().last_seq()));
        link.finish();
        assert!(written(&node, &mut link, 200 * MS).starts_with("AT "));
        assert_eq!(link.position(), Some(node.store().last_seq()));
    }

    #[test]
    fn link_without_catching_up_is_never_lazy_and_older_releases_are_understood() {
        let (mut node, mut link) = linked();
        assert_eq!(link.answered(&node, b"? LAZY", MS), Ok(Answered::Acknowledged));
        assert!(link.answered(&node, b"? BEAT", MS).is_err());
        let me =
            Identity { catch_up: false, ..Identity::new(node.identity().name.clone(), Vec::new(), Epoch(1)) };
        me.neighbours.add(node.identity().neighbours[0].clone());
        link.me = Arc::new(me);
        link.answered(&node, b"PRUNE", MS).unwrap();
        learn(&mut node, 1, Source::CLIENT);
        assert!(written(&node, &mut link, MS).starts_with("AT "));
    }

    #[test]
    fn neighbour_is_told_once_that_prune_is_understood_if_there_is_another_one() {
        let (node, mut link) = linked();
        assert!(written(&node, &mut link, HEARTBEAT_EVERY).starts_with("BEAT "));
        node.identity().neighbours.add(Neighbour::herd(ServerName::parse("Parker").unwrap()));
        assert!(written(&node, &mut link, 2 * HEARTBEAT_EVERY).starts_with("LAZY\nBEAT "));
        assert!(written(&node, &mut link, 3 * HEARTBEAT_EVERY).starts_with("BEAT "));
    }
}
