//! A store that takes no more new clients from clients: who is refused, what the refused are told, and that nothing
//! else changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use crate::proto::line::batch::Batch;
use crate::proto::line::framing::Line;
use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::model::time::Moment;
use crate::proto::node::{Identity, Neighbour, Node};
use crate::proto::session::{Session, Step};
use crate::tests::peers::met;

const NOON: Moment = Moment { seconds: 1_700_000_000, nanos: 0 };

fn identity() -> Arc<Identity> {
    let name = |text| ServerName::parse(text).unwrap();
    Arc::new(Identity::new(name("Alford"), vec![Neighbour::herd(name("Parker"))], Epoch(1)))
}

/// Takes the lines of a conversation as one batch; returns the replies.
fn batch_of(node: &mut Node, session: &mut Session, batch: &mut Batch, lines: &[String]) -> String {
    for line in lines {
        match session.line(Line::Whole(line.as_bytes()), NOON, batch) {
            Step::Next | Step::Refused(_) => {}
            step @ (Step::Secured
            | Step::Ask(_)
            | Step::Authenticated(_)
            | Step::Heartbeat(_)
            | Step::Close(_)) => panic!("{step:?}"),
        }
    }
    node.apply(batch, None);
    let replies = String::from_utf8(batch.replies().to_vec()).unwrap();
    batch.sent();
    replies
}

/// A line as a client may send it: a report of one of a few clients, with odd spaces, or nonsense.
fn any_line() -> impl Strategy<Value = String> {
    let report = (0..12_u8, 1..50_u32, "[ \t]{1,3}")
        .prop_map(|(client, time, space)| format!("{space}IAMAT{space}c{client} +1-1{space}{time} "));
    prop_oneof![6 => report, 1 => Just("hello".to_owned()), 1 => Just(String::new())]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn new_clients_are_refused_with_their_line_and_known_ones_go_on(
        lines in proptest::collection::vec(any_line(), 0..60),
        batch_lines in 1..20_usize,
        clients_max in 1..10_usize,
        keeps_lines in any::<bool>(),
    ) {
        let me = identity();
        let mut node = Node::new(me.clone()).bounded(clients_max, u64::MAX);
        let mut free = Node::new(me.clone());
        let (mut session, mut batch) = (Session::client(me.clone()), Batch::default());
        let (mut free_session, mut free_batch) = (Session::client(me), Batch::default());
        let mut known = BTreeSet::new();
        for lines in lines.chunks(batch_lines) {
            batch.retain_originals(keeps_lines);
            let replies = batch_of(&mut node, &mut session, &mut batch, lines);
            let as_ever = batch_of(&mut free, &mut free_session, &mut free_batch, lines);
            let replies: Vec<&str> = replies.lines().collect();
            prop_assert_eq!(replies.len(), lines.len());
            for ((line, reply), as_ever) in lines.iter().zip(replies).zip(as_ever.lines()) {
                let fields: Vec<&str> = line.split_whitespace().collect();
                if let [_, client, ..] = fields[..] && !known.contains(client) && known.len() == clients_max {
                    // Where the line was not kept, its fields were.
                    let copy = if keeps_lines { line.clone() } else { fields.join(" ") };
                    prop_assert_eq!(reply, format!("? {copy}"));
                } else {
                    if let [_, client, ..] = fields[..] {
                        known.insert(client.to_owned());
                    }
                    prop_assert_eq!(reply, as_ever);
                }
            }
            prop_assert_eq!(node.store().len(), known.len());
        }
    }
}

#[test]
fn what_neighbours_tell_is_kept_and_what_was_refused_is_counted() {
    let me = identity();
    let mut node = Node::new(me.clone()).bounded(2, u64::MAX);
    let (mut client, mut peer) = (Session::client(me), met(&mut node, 0, Epoch(2)).0);
    let mut batch = Batch::default();
    let lines = |lines: &[&str]| -> Vec<String> { lines.iter().map(|line| (*line).to_owned()).collect() };
    batch_of(&mut node, &mut client, &mut batch, &lines(&["IAMAT a +1+1 1"]));
    let told = ["AT Parker +1 b +1+1 1", "AT Parker +1 c +1+1 1"];
    batch_of(&mut node, &mut peer, &mut batch, &lines(&told));
    assert_eq!(node.store().len(), 3);

    for line in ["IAMAT a +1+1 2", "IAMAT d +1+1 1", "IAMAT c +2+2 2", "IAMAT e +1+1 1", "IAMAT a +1+1 1"] {
        assert_eq!(client.line(Line::Whole(line.as_bytes()), NOON, &mut batch), Step::Next);
    }
    let settled = node.apply(&mut batch, None);
    assert_eq!((settled.applied, settled.outdated, settled.rejected, settled.near_capacity), (2, 1, 2, true));
    assert_eq!(node.store().len(), 3);
    let replies = String::from_utf8(batch.replies().to_vec()).unwrap();
    let replies: Vec<&str> = replies.lines().collect();
    assert_eq!((replies[1], replies[3]), ("? IAMAT d +1+1 1", "? IAMAT e +1+1 1"));
    for (reply, end) in [(0, " a +1+1 2"), (2, " c +2+2 2"), (4, " a +1+1 1")] {
        assert!(replies[reply].starts_with("AT Alford +") && replies[reply].ends_with(end), "{replies:?}");
    }
}
