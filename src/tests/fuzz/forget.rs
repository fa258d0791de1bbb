//! The operator's line between those of clients and of a classic neighbour: what it names is forgotten, nothing else
//! is, and what was forgotten does not come back.

use std::collections::BTreeMap;

use super::client::{RECEIVED, identity};
use super::naive::{self, Decimal, Said};
use crate::frontend::admin::{BadLine, forget_of};
use crate::proto::line::batch::Batch;
use crate::proto::line::framing::Line;
use crate::proto::node::Node;
use crate::proto::session::Session;
use crate::proto::store::update::{Source, Update, forget};

/// What should be known of each client that was ever known.
type Known<'a> = BTreeMap<&'a str, State<'a>>;

struct State<'a> {
    /// Of its latest report, if it is not forgotten.
    time: Option<Decimal>,
    /// Place and time of that report, or of the last one before it was forgotten.
    latest: [&'a str; 2],
    /// The report that was forgotten last, which is no news any more: it may come from anybody who still knows it.
    forgotten: Option<[&'a str; 2]>,
}

/// Each line is the operator's or a client's. After each forgotten client its neighbour says once more what it knew.
pub(crate) fn check(data: &[u8]) {
    let mut node = Node::new(identity(None));
    let mut known = Known::new();
    for (line, now_s) in data.split_inclusive(|&byte| byte == b'\n').zip(RECEIVED.seconds..) {
        let words = naive::fields(line);
        match (forget_of(line), &words[..]) {
            (Ok(client), ["FORGET", expected]) if line.ends_with(b"\n") => {
                assert_eq!(client, *expected);
                forgets(&mut node, client, now_s, &mut known);
            }
            (Err(BadLine::NoEnd), _) if !line.ends_with(b"\n") => reports(&mut node, line, &mut known),
            (Err(BadLine::OtherWords), other) => {
                assert!(other.len() != 2 || other[0] != "FORGET", "{other:?}");
                reports(&mut node, line, &mut known);
            }
            (parsed, _) => panic!("{} is {parsed:?}, by mistake", line.escape_ascii()),
        }
        let store = node.store();
        let there = known.values().filter(|state| state.time.is_some()).count();
        assert_eq!((store.len(), store.tombstones()), (there, known.len() - there));
        for (client, State { time, .. }) in &known {
            let line = store.line_of(client.as_bytes());
            let stored = line.map(|line| naive::time(naive::at(line).unwrap()[4]).unwrap());
            assert_eq!(&stored, time, "{client}");
        }
    }
}

fn forgets<'a>(node: &mut Node, client: &'a str, now_s: u64, known: &mut Known<'a>) {
    let before = node.store().line_of(client.as_bytes()).map(<[u8]>::to_vec);
    let stored = node.store().stored_line_of(client.as_bytes()).map(<[u8]>::to_vec);
    assert_eq!(stored.is_some(), known.contains_key(client), "{client}");
    let tombstone = stored.as_ref().and_then(|stored| forget(stored, now_s));
    assert_eq!(tombstone.is_some(), before.is_some(), "only what is known can be forgotten");
    let (Some(stored), Some(before), Some(tombstone)) = (stored, before, tombstone) else { return };
    let read = |line| Update::from_stored(line, Source::CLIENT).unwrap();
    assert_eq!(node.apply(&mut read(&tombstone), None).applied, 1);
    if let Some(state) = known.get_mut(client) {
        (state.time, state.forgotten) = (None, Some(state.latest));
    }
    assert_eq!(node.apply(&mut read(&stored), None).applied, 0, "it comes back from a journal");
    assert_eq!(says(node, &before), 0, "it comes back from a classic neighbour");
}

fn reports<'a>(node: &mut Node, line: &'a [u8], known: &mut Known<'a>) {
    let Some(Said::Report([client, place, text])) = naive::client(line) else { return };
    let (time, latest) = (naive::time(text).unwrap(), [place, text]);
    let is_news = known
        .get(client)
        .is_none_or(|old| old.forgotten != Some(latest) && old.time.as_ref().is_none_or(|old| time > *old));
    assert_eq!(says(node, line), usize::from(is_news));
    if is_news {
        let forgotten = known.get(client).and_then(|old| old.forgotten);
        known.insert(client, State { time: Some(time), latest, forgotten });
    }
}

/// What is said on the client port, where a classic neighbour is believed; how much of it was news.
fn says(node: &mut Node, line: &[u8]) -> usize {
    let mut session = Session::legacy(node.identity().clone(), vec![0]);
    let mut batch = Batch::default();
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    session.line(Line::Whole(line), RECEIVED, &mut batch);
    node.apply(&mut batch, None).applied
}
