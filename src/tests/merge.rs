//! Merging as properties: order, duplicates and detours of what is told do not matter, and a walk gives
//! exactly what changed.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::proto::line::batch::Batch;
use crate::proto::line::framing::Line;
use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::model::sighting::Sighting;
use crate::proto::model::sighting::at_line;
use crate::proto::model::time::{Moment, Skew, Timestamp};
use crate::proto::node::{Identity, Neighbour, Node};
use crate::proto::session::Session;
use crate::proto::store::SCAN_RECORDS_MAX;
use crate::proto::store::cursor::Cursor;
use crate::proto::store::update::{Source, Update};
use crate::tests::peers::met;

const CLIENTS: [&str; 4] = ["a", "b", "\u{a0}", "a\u{1}"];

proptest! {
    // A failure prints its smallest input; a file of seeds at the top of the project would say less.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_and_duplicates_do_not_matter(
        told in vec(told(), 1..40),
        seeds in (any::<u64>(), any::<u64>()),
        again in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut more = told.clone();
        more.extend(again.iter().map(|index| index.get(&told).clone()));
        let (mut one, mut other) = (Member::new(), Member::new());
        fastrand::Rng::with_seed(seeds.0).shuffle(&mut more);
        one.tell_all(0, &more);
        fastrand::Rng::with_seed(seeds.1).shuffle(&mut more);
        other.tell_all(1, &more);
        prop_assert_eq!(one.known(), other.known());
        prop_assert_eq!(one.node.store().digest(), other.node.store().digest());
        // The greatest of each client, and nothing else.
        for client in CLIENTS {
            let of_client = told.iter().filter(|line| sighting(line.as_bytes()).client.0 == client);
            let greatest = of_client.max_by(|a, b| order(a, b)).map(|line| line.as_bytes());
            let stored = one.node.store().line_of(client.as_bytes());
            prop_assert_eq!(stored.map(<[u8]>::trim_ascii_end), greatest);
        }
    }

    /// Two groups that agree each for itself agree with each other whichever way round they meet.
    #[test]
    fn groups_may_meet_in_any_order(groups in vec(vec(told(), 0..12), 3)) {
        let meeting = |order: [usize; 3]| {
            let mut all = Member::new();
            for group in order {
                let mut member = Member::new();
                member.tell_all(0, &groups[group]);
                // What it learned from others it passes on to whom it has not heard it from.
                all.tell_all(group % 2, &member.due(0, Source::CLIENT));
            }
            all.known()
        };
        let expected = meeting([0, 1, 2]);
        for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            prop_assert_eq!(&meeting(order), &expected);
        }
    }

    #[test]
    fn what_is_merged_is_what_is_greater(first in told(), second in told()) {
        let mut member = Member::new();
        prop_assert_eq!(member.tell(0, &first), 1);
        let news = member.tell(1, &second) == 1;
        let expected = order(&second, &first);
        let (first, second) = (format!("{first}\n"), format!("{second}\n"));
        let (first, second) = (update(&first), update(&second));
        let compared = second.cmp_stored(first.era, first.meta.moment, first.line);
        prop_assert_eq!(compared, expected);
        prop_assert_eq!(compared, first.cmp_stored(second.era, second.meta.moment, second.line).reverse());
        let is_same_client = sighting(second.line).client == sighting(first.line).client;
        prop_assert_eq!(news, !is_same_client || compared == Ordering::Greater);
    }

    #[test]
    fn a_report_is_news_only_if_its_time_is_strictly_newer(times in vec(time(), 1..20), told_first in any::<bool>()) {
        let mut member = Member::new();
        let mut newest: Option<&str> = None;
        if told_first {
            // A tie is for the neighbours: a client's report never wins one.
            newest = Some(&times[0]);
            member.tell(0, &format!("AT Alford +0.0 a +0+0 {}", times[0]));
        }
        for (index, time) in times.iter().enumerate() {
            let news = newest.is_none_or(|newest| parsed(time) > parsed(newest));
            let (reply, settled) = member.report(&format!("IAMAT a +{index}+1 {time}"));
            prop_assert_eq!(settled, usize::from(news), "{} after {:?}", time, newest);
            let stored = member.node.store().line_of(b"a") == Some(&reply);
            prop_assert_eq!(stored, news);
            newest = if news { Some(time) } else { newest };
        }
    }

    #[test]
    fn times_compare_as_the_decimal_numbers_they_are(a in time(), b in time()) {
        prop_assert_eq!(parsed(&a).cmp(&parsed(&b)), exactly(&a).cmp(&exactly(&b)), "{} and {}", a, b);
        // The same digits and one nanosecond more, and less than that.
        let (whole, fraction) = exactly(&a);
        let nanos: u64 = format!("{fraction:0<9.9}").parse().unwrap();
        let later = format!("{}.{:09}", whole, (nanos + 1) % 1_000_000_000);
        let cut = format!("{whole}.{nanos:09}");
        prop_assert!(nanos == 999_999_999 || parsed(&later) > parsed(&cut));
        let hair = format!("{whole}.{fraction:0<9}1");
        prop_assert!(parsed(&hair) > parsed(&a));
    }

    #[test]
    fn the_skew_is_the_exact_difference(received in moment(), sent in moment()) {
        let nanos = |moment: Moment| i128::from(moment.seconds) * 1_000_000_000 + i128::from(moment.nanos);
        let difference = nanos(received) - nanos(sent);
        let sign = if difference < 0 { '-' } else { '+' };
        let size = difference.unsigned_abs();
        let expected = format!("{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000);
        let mut out = Vec::new();
        Skew::between(received, sent).push_to(&mut out);
        prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_walk_gives_each_changed_record_once_and_only_its_newest_line(
        changes in vec((0..150_u32, 0..3_usize), 0..700), from in any::<prop::sample::Index>(),
    ) {
        let mut member = Member::new();
        let tellers = [member.tellers[0], member.tellers[1], Source::CLIENT];
        let mut model: BTreeMap<u32, (u64, Source, String)> = BTreeMap::new();
        for (time, &(client, teller)) in changes.iter().enumerate() {
            let line = match teller {
                2 => {
                    let (reply, _) = member.report(&format!("IAMAT c{client} +1+1 {}", time + 1));
                    String::from_utf8(reply).unwrap()
                }
                neighbour => {
                    let line = format!("AT Powell +0.5 c{client} +1+1 {}\n", time + 1);
                    member.tell(neighbour, line.trim_end());
                    line
                }
            };
            model.insert(client, (time as u64 + 1, tellers[teller], line));
        }
        let last = changes.len() as u64;
        prop_assert_eq!(member.node.store().last_seq(), last);
        let position = from.index(changes.len() + 1) as u64;
        for except in tellers {
            let mut expected: Vec<_> = model
                .values()
                .filter(|(number, teller, _)| *number > position && *teller != except)
                .collect();
            expected.sort_by_key(|(number, ..)| *number);
            let expected: Vec<_> = expected.into_iter().map(|(.., line)| line.clone()).collect();
            prop_assert_eq!(member.due(position, except), expected);
        }
    }
}

/// One server with two neighbours that have said hello, and a client.
struct Member {
    node: Node,
    peers: [Session; 2],
    tellers: [Source; 2],
    client: Session,
    batch: Batch,
}

impl Member {
    fn new() -> Member {
        let name = |name| ServerName::parse(name).unwrap();
        let neighbours = vec![Neighbour::herd(name("Parker")), Neighbour::herd(name("Powell"))];
        let me = Arc::new(Identity::new(name("Alford"), neighbours, Epoch(1)));
        let mut node = Node::new(me.clone());
        let peers = [0, 1].map(|neighbour| met(&mut node, neighbour, Epoch(2)).0);
        let tellers = [0, 1].map(|neighbour| Source::neighbour(neighbour, Epoch(2)));
        Member { node, peers, tellers, client: Session::client(me), batch: Batch::default() }
    }

    /// A neighbour tells; answers how much of it was news.
    fn tell(&mut self, neighbour: usize, line: &str) -> usize {
        self.peers[neighbour].line(
            Line::Whole(line.trim_end().as_bytes()),
            Moment::default(),
            &mut self.batch,
        );
        assert!(self.batch.replies().is_empty(), "{line:?} was refused");
        self.node.apply(&mut self.batch, None).applied
    }

    fn tell_all(&mut self, neighbour: usize, lines: &[String]) {
        for line in lines {
            self.tell(neighbour, line);
        }
    }

    /// A client reports; answers the reply, and how much of it was news.
    fn report(&mut self, line: &str) -> (Vec<u8>, usize) {
        self.client.line(Line::Whole(line.as_bytes()), Moment::default(), &mut self.batch);
        let news = self.node.apply(&mut self.batch, None).applied;
        let reply = self.batch.replies().to_vec();
        self.batch.sent();
        (reply, news)
    }

    fn known(&self) -> Vec<Option<Vec<u8>>> {
        CLIENTS.map(|client| self.node.store().line_of(client.as_bytes()).map(<[u8]>::to_vec)).to_vec()
    }

    /// All lines that walking from `position` yields, in order.
    fn due(&self, mut position: u64, except: Source) -> Vec<String> {
        let store = self.node.store();
        let mut lines = Vec::new();
        while position < store.last_seq() {
            let mut out = Vec::new();
            let reached =
                Cursor::new(position, except).copy(store, u64::MAX, SCAN_RECORDS_MAX, &mut out).position();
            let text = String::from_utf8(out).unwrap();
            let before = lines.len();
            lines.extend(text.split_inclusive('\n').map(str::to_owned));
            assert!(lines.len() - before <= SCAN_RECORDS_MAX, "a step has a bound");
            assert!(reached > position, "a step gets on");
            position = reached;
        }
        lines
    }
}

fn sighting(line: &[u8]) -> Sighting<'_> {
    at_line(line).unwrap().0
}

fn update(line: &str) -> Update<'_> {
    Update::from_stored(line.as_bytes(), Source::CLIENT).unwrap()
}

/// The order of two `AT` lines: by time as the decimal numbers they are, then by their bytes.
fn order(one: &str, other: &str) -> Ordering {
    let key = |line| (exactly(sighting(str::as_bytes(line)).time.text()), line);
    key(one).cmp(&key(other))
}

fn parsed(time: &str) -> Timestamp<'_> {
    Timestamp::parse(time).unwrap()
}

/// A decimal number as its whole part, which fits, and the digits of its fraction that say something; their
/// order is that of the numbers.
fn exactly(time: &str) -> (u64, &str) {
    let (whole, fraction) = time.split_once('.').unwrap_or((time, ""));
    (whole.parse().unwrap(), fraction.trim_end_matches('0'))
}

/// An `AT` line, with few values for every field, so that many share some of them.
fn told() -> impl Strategy<Value = String> {
    let origin = select(&["Alford", "Alford-2", "Bolden"]);
    let skew = select(&["+0.5", "+0.50", "-0.5", "+1"]);
    let location = select(&["+1+1", "+1+1.0", "-1+1"]);
    (origin, skew, select(&CLIENTS), location, time()).prop_map(|(origin, skew, client, location, time)| {
        format!("AT {origin} {skew} {client} {location} {time}")
    })
}

/// Few times, many of them equal in other words or less than a nanosecond apart.
fn time() -> impl Strategy<Value = String> {
    let near = select(&[
        "5",
        "5.0",
        "05",
        "5.000000000",
        "5.0000000000",
        "5.00000000001",
        "5.000000000010",
        "5.0000000001",
        "5.000000001",
        "4.999999999",
        "4.9999999999",
        "999999999.5",
        "1000000000.5",
    ]);
    prop_oneof![
        near.prop_map(String::from),
        (1..1_000_000_000_000_000_000_u64, any::<u128>()).prop_map(|(whole, part)| format!("{whole}.{part}")),
    ]
}

fn moment() -> impl Strategy<Value = Moment> {
    let seconds = prop_oneof![0..3_u64, 0..1_000_000_000_000_000_000_u64];
    (seconds, prop_oneof![0..3_u32, 0..1_000_000_000_u32])
        .prop_map(|(seconds, nanos)| Moment { seconds, nanos })
}
