//! A neighbour's conversation and a client's beside it, driven as a server drives them: no neighbour is believed
//! before the hello, and what is believed is stored, counted and passed on as a second opinion has it.

use std::sync::Arc;

use super::client::{self, LINE_BYTES_MAX, RECEIVED, identity, same};
use super::framing::Pieces;
use super::model::Model;
use super::naive;
use crate::proto::line::batch::Batch;
use crate::proto::line::framing::{Framing, Line};
use crate::proto::model::epoch::Epoch;
use crate::proto::node::{Identity, Node};
use crate::proto::peering::grammar::{Call, PEER_VERSION, call};
use crate::proto::peering::noise::EphemeralKey;
use crate::proto::session::{Session, Step};
use crate::proto::store::update::Source;

/// The epoch of Bolden, who says hello first if the first byte is odd: the fuzzer then need not find it.
const EPOCH: Epoch = Epoch(0xb0);

/// In place of a random one.
const KEY: EphemeralKey = EphemeralKey([7; 32]);

/// The first byte chooses whether the neighbour has said hello, and the seed of the pieces in which the rest comes.
pub(crate) fn check(data: &[u8]) {
    let [choice, said @ ..] = data else { return };
    if said.split(|&byte| byte == b'\n').any(expires) {
        return;
    }
    let hello = format!("HELLO {PEER_VERSION} Bolden Alford {:016x}\nREADY\n", EPOCH.0);
    let hello: &[u8] = if choice % 2 == 1 { hello.as_bytes() } else { b"" };
    let stream = [hello, said].concat();
    let pieces = || Pieces::new(u64::from(*choice), 1 + usize::from(choice / 4));
    let at_once = converse(&stream, Pieces::new(0, usize::MAX), false);
    for takes_several in [false, true] {
        same(&converse(&stream, pieces(), takes_several), &at_once);
    }
}

/// Whether a line is a heartbeat by which clients expire: the second opinion knows nothing of that.
fn expires(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    matches!(call(line), Ok(Call::Heartbeat(heartbeat)) if heartbeat.terms.cutoff_s > 0)
}

/// Says all of `stream` to a server that knows nothing, its `IAMAT` lines as a client and the others on the peer
/// port, where several may be taken at once, and gives all that is replied.
fn converse(mut stream: &[u8], mut pieces: Pieces, takes_several: bool) -> Vec<u8> {
    let me = identity(None);
    let mut node = Node::new(me.clone());
    let (mut client, mut peer) = (Session::client(me.clone()), Peer::new(me));
    let (mut model, mut news, mut all) = (Model::default(), 0, Vec::new());
    let (mut of_client, mut of_peer) = (Batch::default(), Batch::default());
    let mut framing = Framing::new(LINE_BYTES_MAX, 1).whole_lines_only();
    loop {
        let count = pieces.read(framing.space(), &mut stream);
        framing.filled(count);
        let mut closed = false;
        loop {
            if takes_several {
                peer.canonical_lines(&mut framing, &mut of_peer, &mut model);
            }
            let Some(line) = framing.next_line() else { break };
            // Two conversations settle when they like. Here they do so in the order of the lines, as the model does.
            if matches!(line, Line::Whole(text) if text.starts_with(b"IAMAT ")) {
                news += node.apply(&mut of_peer, None).applied;
                news += client::answer(line, &mut client, &mut node, &mut of_client, &mut model);
                news += node.apply(&mut of_client, None).applied;
            } else {
                let (ends, settled) = peer.line(line, &mut node, &mut of_peer, &mut model);
                (closed, news) = (ends, news + settled);
            }
            if closed {
                break;
            }
        }
        news += node.apply(&mut of_peer, None).applied;
        for batch in [&mut of_peer, &mut of_client] {
            assert!(batch.is_applied());
        }
        all.extend_from_slice(of_peer.replies());
        of_client.sent();
        of_peer.sent();
        if closed || count == 0 {
            break;
        }
    }
    assert_eq!(news, model.news);
    model.check(node.store(), None);
    if let Some(teller) = peer.met {
        model.check(node.store(), Some(teller));
    }
    all
}

/// The conversation on the peer port. All that hangs on the dialect is here.
struct Peer {
    me: Arc<Identity>,
    session: Session,
    /// Who has said hello, and must be ready.
    said_hello: Option<(usize, Epoch)>,
    /// As whom it tells things, once it is.
    met: Option<Source>,
    /// The furthest that it has said to have come.
    position: u64,
}

impl Peer {
    fn new(me: Arc<Identity>) -> Peer {
        let session = Session::peer(me.clone(), KEY);
        Peer { session, me, said_hello: None, met: None, position: 0 }
    }

    /// Has lines taken that are usual. Nothing is replied to them.
    fn canonical_lines(&mut self, framing: &mut Framing, batch: &mut Batch, model: &mut Model) {
        let (begins, before) = (batch.replies().len(), framing.partial().to_vec());
        let count = self.session.canonical_lines(framing, RECEIVED, usize::MAX, batch);
        let taken = &before[..before.len() - framing.partial().len()];
        let lines: Vec<&[u8]> = taken.split_inclusive(|&byte| byte == b'\n').collect();
        assert_eq!((lines.len() as u64, batch.replies().len()), (count, begins));
        for line in lines {
            assert!(self.met.is_some(), "{:?} is believed", line.escape_ascii().to_string());
            let text = line.strip_suffix(b"\n").expect("half a line is taken");
            assert!(naive::at(text).is_some());
            model.told(text);
        }
    }

    /// Has a line taken, and says whether the conversation ends with it, and how much was settled that was news.
    fn line(
        &mut self,
        line: Line<'_>,
        node: &mut Node,
        batch: &mut Batch,
        model: &mut Model,
    ) -> (bool, usize) {
        let begins = batch.replies().len();
        let (expected, ends) = self.expected(line, model);
        let step = self.session.line(line, RECEIVED, batch);
        assert_eq!(matches!(step, Step::Close(_)), ends, "{step:?}");
        let mut news = 0;
        match step {
            Step::Next | Step::Refused(_) | Step::Close(_) => {}
            Step::Authenticated(_) => self.session.authenticate(node, batch),
            Step::Heartbeat(beat) => {
                news = node.apply(batch, None).applied;
                self.session.heartbeat(node, &beat, true, batch);
                let ack = batch.replies()[begins..].to_vec();
                let differs = node.store().digest().total() != beat.digest;
                let sums = if differs { 1 + 256 * 16 } else { 0 };
                let known = format!("ACK {} {} 0", self.position, node.store().last_seq());
                assert!(ack.starts_with(known.as_bytes()) && ack.len() == known.len() + sums + 1, "{ack:?}");
                return (false, news);
            }
            Step::Ask(_) | Step::Secured => panic!("{step:?} on the peer port"),
        }
        same(&batch.replies()[begins..], &expected);
        (ends, news)
    }

    /// What must be replied to a line, and whether the conversation must end.
    fn expected(&mut self, line: Line<'_>, model: &mut Model) -> (Vec<u8>, bool) {
        let (Line::Whole(text) | Line::TooLong(text)) = line;
        let refused = [b"? ", text, b"\n"].concat();
        if matches!(line, Line::TooLong(_)) {
            return (refused, true);
        }
        if self.met.is_some() && naive::at(text).is_some() {
            model.told(text);
            return (Vec::new(), false);
        }
        match (call(text), self.said_hello, self.met.is_some()) {
            (Ok(Call::UpTo(position)), _, true) => {
                self.position = self.position.max(position);
                (Vec::new(), false)
            }
            // What is offered is answered by the driver, when it is merged.
            (Ok(Call::Lazy | Call::Offer(_)), _, true) => (Vec::new(), false),
            // The answer depends on the store.
            (Ok(Call::Heartbeat(beat)), _, true) => {
                self.position = self.position.max(beat.up_to);
                (Vec::new(), false)
            }
            (Ok(Call::Ready), Some((neighbour, epoch)), false) => {
                self.met = Some(Source::neighbour(neighbour, epoch));
                (b"WELCOME 0\n".to_vec(), false)
            }
            (Ok(Call::Hello(hello)), None, false) => {
                let neighbour = self.me.neighbour(&hello.from).filter(|_| hello.to == self.me.name);
                // Without an epoch it is the hello of a herd with a secret.
                let (Some(neighbour), Some(theirs)) = (neighbour, hello.epoch) else {
                    return (refused, true);
                };
                self.said_hello = Some((neighbour, theirs));
                let Epoch(epoch) = self.me.epoch;
                let answer = format!("HELLO {PEER_VERSION} Alford {} {epoch:016x}\n", hello.from);
                (answer.into_bytes(), false)
            }
            (Err(_) | Ok(_), ..) => (refused, self.met.is_none()),
        }
    }
}
