//! The peer port of a herd with a secret, to one who has recorded a link: nothing is believed but what the neighbour
//! has sealed, in its order, whatever is changed in it, put before it or behind it. And a link that dials believes
//! no answer but that of the neighbour.

use std::sync::{Arc, OnceLock};

use super::framing::Pieces;
use crate::proto::line::batch::Batch;
use crate::proto::line::framing::{Framing, Line, MESSAGE_LENGTH_BYTES};
use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::model::secret::Secret;
use crate::proto::model::time::Moment;
use crate::proto::node::{Identity, Neighbour, Node};
use crate::proto::peering::frames::Opener;
use crate::proto::peering::grammar::{Call, Greeting, call};
use crate::proto::peering::link::{Answered, Link};
use crate::proto::peering::noise::{EphemeralKey, answer};
use crate::proto::session::{Session, Step};

const INITIATOR_KEY: EphemeralKey = EphemeralKey([7; 32]);
const RESPONDER_KEY: EphemeralKey = EphemeralKey([8; 32]);

/// What is sealed in the frames of the recorded link, one line in each.
const LINES: [&str; 3] = ["READY\n", "AT Bolden +0.5 kiwi +1+1 5\n", "AT Bolden +0.5 emu +1+1 5\n"];

/// A link from Bolden to Alford as it was recorded.
struct Recorded {
    hello: Vec<u8>,
    /// The message that follows, with its length.
    first: Vec<u8>,
    /// The answer, with its length.
    second: Vec<u8>,
    frames: [Vec<u8>; 3],
}

/// The first byte chooses what is recorded and what is made up, and the pieces in which all comes.
pub(crate) fn check(data: &[u8]) {
    static RECORDED: OnceLock<Recorded> = OnceLock::new();
    let recorded = RECORDED.get_or_init(Recorded::new);
    let [choice, made_up @ ..] = data else { return };
    let Recorded { hello, first, second, frames: [ready, kiwi, emu] } = recorded;
    let mut stream: Vec<u8> = match choice % 8 {
        0 => Vec::new(),
        1 => hello.clone(),
        2 => [&hello[..], first].concat(),
        3 => [&hello[..], first, ready].concat(),
        4 => [&hello[..], first, ready, kiwi].concat(),
        5 => [&hello[..], first, ready, emu, kiwi].concat(),
        6 => {
            answered(second, made_up);
            return;
        }
        // Each three bytes change one of the stream.
        _ => {
            let mut stream = [&hello[..], first, ready, kiwi, emu].concat();
            for change in made_up.chunks_exact(3) {
                let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % stream.len();
                stream[at] ^= change[2];
            }
            stream
        }
    };
    if choice % 8 < 6 {
        stream.extend_from_slice(made_up);
    }
    assert_eq!(heard(&stream, *choice), recorded.believed(&stream), "{}", stream.escape_ascii());
}

impl Recorded {
    fn new() -> Recorded {
        let bolden = identity("Bolden", "Alford", 2);
        let node = Node::new(Arc::clone(&bolden));
        let mut link = Link::new(bolden, 0);
        let mut hello = link.hello(INITIATOR_KEY);
        let end = hello.iter().position(|&byte| byte == b'\n').expect("it is a line") + 1;
        let first = hello.split_off(end);
        let name = |text| ServerName::parse(text).expect("it is a name");
        let greeting = Greeting { from: name("Bolden"), to: name("Alford"), epoch: None };
        let (_, _, second) =
            answer(&secrets(), &greeting, &first[MESSAGE_LENGTH_BYTES..], Epoch(1), RESPONDER_KEY)
                .expect("it is good");
        let ready = link.answered(&node, &second[MESSAGE_LENGTH_BYTES..], std::time::Duration::ZERO);
        assert!(matches!(ready, Ok(Answered::Reply(_))));
        let mut sealer = link.take_frames().expect("it is secured").sealer;
        let frames = LINES.map(|line| {
            let mut frame = Vec::new();
            sealer.seal(line.as_bytes(), &mut frame).expect("it is short");
            frame
        });
        Recorded { hello, first, second, frames }
    }

    /// How many of the lines must be believed of this stream.
    fn believed(&self, stream: &[u8]) -> usize {
        let Some(end) = stream.iter().position(|&byte| byte == b'\n') else { return 0 };
        let (hello, mut rest) = stream.split_at(end);
        let hello = hello.strip_suffix(b"\r").unwrap_or(hello);
        // Other spaces between the names make no other greeting.
        let is_hello = matches!(
            call(hello),
            Ok(Call::Hello(Greeting { from, to, epoch: None }))
                if from.as_str() == "Bolden" && to.as_str() == "Alford"
        );
        if !is_hello {
            return 0;
        }
        rest = &rest[1..];
        for (believed, piece) in [&self.first].into_iter().chain(&self.frames).enumerate() {
            match rest.strip_prefix(&piece[..]) {
                Some(after) => rest = after,
                None => return believed.saturating_sub(1),
            }
        }
        LINES.len()
    }
}

/// How many of the lines were believed.
fn heard(stream: &[u8], choice: u8) -> usize {
    let me = identity("Alford", "Bolden", 1);
    let mut node = Node::new(Arc::clone(&me));
    let (mut session, mut batch) = (Session::peer(me, RESPONDER_KEY), Batch::default());
    let mut framing = Framing::for_unauthenticated();
    let mut opener: Option<Opener> = None;
    let mut pieces = Pieces::new(u64::from(choice), 1 + usize::from(choice));
    // The initiator waits for the answer to its message, as a good one does.
    let opening = stream.iter().position(|&byte| byte == b'\n').map_or(stream.len(), |at| at + 1 + 58);
    let (mut now, mut later) = stream.split_at(opening.min(stream.len()));
    while let Some(count) = read(&mut opener, &mut framing, &mut pieces, &mut now, &mut later) {
        framing.filled(count);
        while let Some(line) = framing.next_line() {
            let (Line::Whole(text) | Line::TooLong(text)) = line;
            let text = text.to_vec();
            match session.line(line, Moment::default(), &mut batch) {
                Step::Next | Step::Refused(_) if session.expects_message() => framing.expect_message(),
                Step::Next | Step::Refused(_) => {}
                Step::Secured => {
                    assert!(!framing.is_mid_line());
                    opener = session.take_frames().map(|frames| frames.opener);
                }
                Step::Authenticated(neighbour) => {
                    assert!(opener.is_some() && neighbour == 0, "{} is believed", text.escape_ascii());
                    session.authenticate(&mut node, &mut batch);
                    framing.authenticated();
                }
                step @ (Step::Heartbeat(_) | Step::Ask(_)) => panic!("{step:?}"),
                Step::Close(_) => {
                    node.apply(&mut batch, None);
                    return usize::from(session.is_peer()) + node.store().len();
                }
            }
        }
        node.apply(&mut batch, None);
        batch.sent();
        if count == 0 {
            break;
        }
    }
    usize::from(session.is_peer()) + node.store().len()
}

/// Reads what comes next, opened if it is sealed; `None` if it does not open.
fn read(
    opener: &mut Option<Opener>,
    framing: &mut Framing,
    pieces: &mut Pieces,
    now: &mut &[u8],
    later: &mut &[u8],
) -> Option<usize> {
    let Some(opener) = opener else {
        let space = framing.space();
        return Some(if now.is_empty() { pieces.read(space, later) } else { pieces.read(space, now) });
    };
    loop {
        match opener.read(framing.space()) {
            Ok(Some(count)) => return Some(count),
            Ok(None) => match pieces.read(opener.space(), later) {
                0 => return Some(0),
                count => opener.filled(count),
            },
            Err(_) => return None,
        }
    }
}

/// A link that dials believes the recorded answer, and no other.
fn answered(second: &[u8], made_up: &[u8]) {
    let me = identity("Bolden", "Alford", 2);
    let node = Node::new(Arc::clone(&me));
    let mut link = Link::new(me, 0);
    link.hello(INITIATOR_KEY);
    let mut framing = Framing::for_peer_replies();
    framing.expect_message();
    let (mut pieces, mut stream) = (Pieces::new(1, 100), made_up);
    loop {
        let count = pieces.read(framing.space(), &mut stream);
        framing.filled(count);
        if let Some(Line::Whole(text) | Line::TooLong(text)) = framing.next_line() {
            let is_good = link.answered(&node, text, std::time::Duration::ZERO).is_ok();
            assert_eq!(is_good, made_up.starts_with(second));
            assert!(!link.is_live() && link.take_frames().is_some() == is_good);
            return;
        }
        if count == 0 {
            return;
        }
    }
}

fn secrets() -> Vec<Secret> {
    ["the new secret of this herd", "the old secret of this herd"]
        .map(|text| Secret::parse(text.as_bytes()).expect("it is long"))
        .to_vec()
}

fn identity(name: &str, neighbour: &str, epoch: u64) -> Arc<Identity> {
    let named = |text| ServerName::parse(text).expect("it is a name");
    let mut me = Identity::new(named(name), vec![Neighbour::herd(named(neighbour))], Epoch(epoch));
    me.secrets = secrets();
    if name == "Bolden" {
        // Alford has the new one already, and accepts the old one.
        me.secrets.remove(0);
    }
    Arc::new(me)
}
