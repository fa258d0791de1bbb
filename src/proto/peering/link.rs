//! The sending side of a link: a cursor in the log of changes, and everything after it for one neighbour.
//!
//! A driver does this for each connection; `now` is the time since any moment that stays the same:
//! 1. Send [`Link::hello`]. If then [`Link::expects_message`], tell the framing.
//! 2. Give every line of the neighbour to [`Link::answered`]; send a [`Answered::Reply`]; on an error close, back off
//!    and begin again. If [`Link::take_frames`] gives some, the reply and all after it is sent and read in frames.
//!    After [`Answered::Up`] go on.
//! 3. Send what [`Link::due`] yields, calling [`Link::written`] after each write, until it yields nothing; again
//!    whenever an update has been applied, and at [`Link::wake_at`].
//! 4. If [`Link::is_silent`], or when the connection ends, close it and call [`Link::hung_up`].
//!
//! A neighbour of the legacy dialect knows none of that: see [`crate::proto::peering::legacy`].

use std::sync::Arc;
use std::time::Duration;

use crate::proto::model::epoch::Epoch;
use crate::proto::node::{Identity, Node};
use crate::proto::peering::frames::Frames;
use crate::proto::peering::grammar::{Answer, Greeting, answer, knows_no_lazy_links, push_ready};
pub use crate::proto::peering::link_error::LinkError;
use crate::proto::peering::live::Live;
pub use crate::proto::peering::live::{Due, HEARTBEAT_EVERY, PEER_TIMEOUT, TooManyAtOnce};
use crate::proto::peering::noise::{self, Begun, EphemeralKey};
use crate::proto::tree::Verdict;

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
                self.state = State::Live(Box::new(Live::new(node, self.neighbour, *epoch, welcome, now)));
                Ok(Answered::Up)
            }
            (Answer::Ack(ack), State::Live(live)) => {
                let differs = live.acknowledged(node, *ack, now);
                Ok(differs.map_or(Answered::Acknowledged, Answered::Differs))
            }
            (Answer::Prune, State::Live(_)) => {
                node.tree().set_lazy(self.neighbour, self.me.catch_up && self.me.has_tree);
                Ok(Answered::Pruned)
            }
            (Answer::Verdict(Verdict::Graft), State::Live(live)) => {
                live.graft(node);
                Ok(Answered::Grafted)
            }
            (Answer::Verdict(Verdict::Known(position)), State::Live(live)) => {
                live.known(node, position, now);
                Ok(Answered::Known)
            }
            (_, _) => Err(LinkError::OutOfPlace),
        }
    }

    /// Appends the next lines that are due, and says what they are; `None` when nothing is due, or the link is not up.
    /// `durable` is the sequence number of the last change that a crash could not undo: nothing after it is sent.
    pub fn due(&mut self, node: &Node, durable: u64, now: Duration, out: &mut Vec<u8>) -> Option<Due> {
        self.live_mut()?.due(node, durable, now, out)
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
        self.live().map_or(Ok(None), |live| live.due_at_once(node, durable, out))
    }

    /// Moves the cursor: the lines that were due at `now` have been written.
    pub fn written(&mut self, due: Due, now: Duration) {
        if let Some(live) = self.live_mut() {
            live.written(due, now);
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
        if let Some(live) = self.live_mut() {
            live.is_finishing = true;
        }
    }

    /// Makes a heartbeat due at once, so that the neighbour acknowledges what it has received.
    pub fn ask_for_ack(&mut self) {
        if let Some(live) = self.live_mut() {
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
        self.live().map(|live| live.acknowledged_up_to)
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

    fn live(&self) -> Option<&Live> {
        match &self.state {
            State::Live(live) => Some(live),
            State::Down | State::Greeted | State::Begun(_) | State::Ready(_) => None,
        }
    }

    fn live_mut(&mut self) -> Option<&mut Live> {
        match &mut self.state {
            State::Live(live) => Some(live),
            State::Down | State::Greeted | State::Begun(_) | State::Ready(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::model::name::ServerName;
    use crate::proto::node::{NO_WAL, Neighbour};
    use crate::proto::peering::live::AT_ONCE_LINES_MAX;
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
}
