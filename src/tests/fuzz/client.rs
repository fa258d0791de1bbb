//! A client's conversation, driven as a server drives it: every line is answered exactly once, and with what a
//! second opinion answers.

use std::sync::Arc;
use std::time::Duration;

use super::framing::Pieces;
use super::model::Model;
use super::naive::{self, Said};
use crate::proto::line::batch::Batch;
use crate::proto::line::framing::{Framing, Line};
use crate::proto::line::query::Query;
use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::model::time::Moment;
use crate::proto::node::{Identity, Neighbour, Node};
use crate::proto::session::{Session, Step};

pub(crate) const RECEIVED: Moment = Moment { seconds: 1_700_000_000, nanos: 5 };

const CLOCK_LEAD_S_MAX: u64 = 86_400;

/// Short, so that the longest line and one that is too long are not far for the fuzzer.
pub(crate) const LINE_BYTES_MAX: usize = 210;

/// What a provider of places says, with more line ends than are passed on.
const ANSWER: &str = "\n{\r\n\n \"results\" : [\n1,\n\n2,3 ], \"status\":\"OK\"}\n\n\n";

/// That answer, squeezed and cut to 1, 2 and 3 results.
const ANSWERS: [&str; 3] = [
    "{\n \"results\" : [\n1 ], \"status\":\"OK\"}\n\n",
    "{\n \"results\" : [\n1,\n2 ], \"status\":\"OK\"}\n\n",
    "{\n \"results\" : [\n1,\n2,3 ], \"status\":\"OK\"}\n\n",
];

/// The first byte chooses whether clocks may run ahead, and the seed of the pieces in which the rest comes.
pub(crate) fn check(data: &[u8]) {
    let [choice, stream @ ..] = data else { return };
    let me = identity((choice % 2 == 1).then_some(Duration::from_secs(CLOCK_LEAD_S_MAX)));
    let pieces = || Pieces::new(u64::from(*choice), 1 + usize::from(choice / 4));
    let at_once = converse(&me, stream, Pieces::new(0, usize::MAX), false);
    for takes_several in [false, true] {
        same(&converse(&me, stream, pieces(), takes_several), &at_once);
    }
}

/// Two replies must be the same; if they are not, what can be read of them is shown.
pub(crate) fn same(reply: &[u8], expected: &[u8]) {
    assert!(reply == expected, "{}\nshould be\n{}", reply.escape_ascii(), expected.escape_ascii());
}

/// Alford, with two neighbours.
pub(crate) fn identity(clock_lead_max: Option<Duration>) -> Arc<Identity> {
    let name = |text| ServerName::parse(text).unwrap();
    let neighbours = ["Bolden", "Parker"].map(|neighbour| Neighbour::herd(name(neighbour)));
    let mut me = Identity::new(name("Alford"), neighbours.to_vec(), Epoch(7));
    me.clock_lead_max = clock_lead_max;
    Arc::new(me)
}

/// Talks to a server that knows nothing, which may take several reports at once, and gives all that it replies.
fn converse(me: &Arc<Identity>, mut stream: &[u8], mut pieces: Pieces, takes_several: bool) -> Vec<u8> {
    let (mut node, mut session) = (Node::new(me.clone()), Session::client(me.clone()));
    let (mut batch, mut model, mut news, mut all) = (Batch::default(), Model::default(), 0, Vec::new());
    let (mut framing, mut has_begun) = (Framing::new(LINE_BYTES_MAX, 1), false);
    loop {
        let count = pieces.read(framing.space(), &mut stream);
        framing.filled(count);
        let mut closed = false;
        loop {
            if takes_several {
                let begins = batch.replies().len();
                has_begun |= session.canonical_lines(&mut framing, RECEIVED, usize::MAX, &mut batch) > 0;
                // Whether they are right is compared in the end.
                batch.replies()[begins..]
                    .split_inclusive(|&byte| byte == b'\n')
                    .for_each(|it| model.report(it));
            }
            let Some(line) = framing.next_line() else { break };
            closed = matches!(line, Line::TooLong(_)) || (!has_begun && naive::is_foreign(line));
            has_begun |= !naive::is_blank(line);
            news += answer(line, &mut session, &mut node, &mut batch, &mut model);
            if closed {
                break;
            }
        }
        news += node.apply(&mut batch, None).applied;
        assert!(batch.is_applied());
        all.extend_from_slice(batch.replies());
        batch.sent();
        if closed || count == 0 {
            break;
        }
    }
    assert_eq!(news, model.news);
    model.check(node.store(), None);
    all
}

/// Has a line answered, and says how much of what had to be settled before was news.
pub(crate) fn answer(
    line: Line<'_>,
    session: &mut Session,
    node: &mut Node,
    batch: &mut Batch,
    model: &mut Model,
) -> usize {
    let (Line::Whole(text) | Line::TooLong(text)) = line;
    let begins = batch.replies().len();
    let mut news = 0;
    match session.line(line, RECEIVED, batch) {
        Step::Next => assert!(!batch.is_applied(), "a report is not to be stored"),
        Step::Refused(_) => {}
        Step::Close(_) => {
            let ends = matches!(line, Line::TooLong(_)) || naive::is_foreign(line);
            assert!(ends, "nothing else ends a conversation");
        }
        Step::Ask(ask) => {
            news = node.apply(batch, None).applied;
            match Query::of(node.store(), &ask) {
                Some(search) => search.finish(ANSWER, batch.reply()),
                None => batch.refuse(text),
            }
        }
        step @ (Step::Secured | Step::Authenticated(_) | Step::Heartbeat(_)) => {
            panic!("{step:?} for a client's line")
        }
    }
    let expected = expected(line, node.identity().clock_lead_max, model);
    let reply = &batch.replies()[begins..];
    same(reply, &expected);
    news
}

fn expected(line: Line<'_>, clock_lead_max: Option<Duration>, model: &mut Model) -> Vec<u8> {
    let (Line::Whole(text) | Line::TooLong(text)) = line;
    let refused = [b"? ", text, b"\n"].concat();
    match naive::client(text).filter(|_| matches!(line, Line::Whole(_))) {
        None => refused,
        Some(Said::Report([client, location, time])) => {
            let (received, sent) = (naive::nanos(RECEIVED), naive::time(time).unwrap().nanos());
            if clock_lead_max.is_some_and(|lead| sent > received + lead.as_nanos() as i128) {
                return refused;
            }
            let skew = naive::skew(received, sent);
            let reply = format!("AT Alford {skew} {client} {location} {time}\n").into_bytes();
            model.report(&reply);
            reply
        }
        Some(Said::Question(client, _, limit)) => match model.line_of(client) {
            Some(line) => [line, ANSWERS[usize::from(limit).min(ANSWERS.len()) - 1].as_bytes()].concat(),
            None => refused,
        },
    }
}
