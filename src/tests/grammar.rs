//! The grammar as properties: what is valid comes back byte for byte, what is not gets its line back, and
//! nothing that can be sent panics.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::proto::line::batch::Batch;
use crate::proto::line::commands::{ClientCommand, client_command};
use crate::proto::line::framing::{Line, PEER_LINE_BYTES_MAX};
use crate::proto::line::query::{PLACES_MAX, RADIUS_KM_MAX, results_beyond};
use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::model::sighting::at_line;
use crate::proto::model::time::Moment;
use crate::proto::node::{Identity, Node};
use crate::proto::peering::grammar::{
    Ack, Answer, Call, Greeting, Heartbeat, Welcome, answer, call, push_ready, push_up_to,
};
use crate::proto::session::{Session, Step};
use crate::proto::store::digest::{BUCKETS, BucketDigests};
use crate::proto::store::terms::{MemoryBound, Terms};

/// The six characters that separate fields.
const WHITE_SPACE: [char; 6] = [' ', '\t', '\r', '\n', '\x0c', '\x0b'];

const RECEIVED: Moment = Moment { seconds: 1_700_000_000, nanos: 5 };

proptest! {
    // A failure prints its smallest input; a file of seeds at the top of the project would say less.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_report_comes_back_byte_for_byte(
        client in client(), location in location(), time in time(), spaces in vec(white_space(1), 3), ends in ends(),
    ) {
        let fields = ["IAMAT", &client, &location, &time];
        let (reply, news) = say(&joined(&fields, &spaces, &ends));
        prop_assert_eq!(news, 1);
        let Ok(Call::At(told)) = call(&reply) else { panic!("{reply:?} is no AT line") };
        prop_assert_eq!((told.origin, told.client.0), ("Alford", &*client));
        prop_assert_eq!((told.location.text(), told.time.text()), (&*location, &*time));
        let mut printed = Vec::new();
        told.push_to(&mut printed);
        prop_assert_eq!(printed, reply);
    }

    #[test]
    fn an_invalid_report_gets_its_line_back_and_nothing_else(
        client in client(), location in location(), time in time(), wrong in select(WRONG), ends in ends(),
    ) {
        let line = joined(&wrong(["IAMAT", &client, &location, &time]), &[], &ends);
        let (reply, news) = say(&line);
        prop_assert_eq!(reply, [b"? ", line.as_slice(), b"\n"].concat());
        prop_assert_eq!(news, 0);
    }

    #[test]
    fn a_question_has_a_radius_and_a_limit_in_bounds(
        client in client(), radius in -2..60_i32, limit in -2..30_i32, zeros in 0..3_usize, ends in ends(),
    ) {
        let zeros = "0".repeat(zeros);
        let (radius_text, limit_text) = (format!("{zeros}{radius}"), limit.to_string());
        let line = joined(&["WHATSAT", &client, &radius_text, &limit_text], &[], &ends);
        let good = (1..=i32::from(RADIUS_KM_MAX)).contains(&radius) && (1..=i32::from(PLACES_MAX)).contains(&limit);
        match client_command(&line) {
            Ok(ClientCommand::WhatsAt(ask)) => {
                prop_assert!(good);
                prop_assert_eq!(ask.client.0, &*client);
                prop_assert_eq!((i32::from(ask.radius_km), i32::from(ask.limit)), (radius, limit));
            }
            other => prop_assert!(!good, "{:?}", other),
        }
        for bad in ["+5", "5.0", "5e0", "", "five", "99999999999999999999"] {
            for (radius, limit) in [(bad, "5"), ("5", bad)] {
                prop_assert!(client_command(&joined(&["WHATSAT", &client, radius, limit], &[], &ends)).is_err());
            }
        }
    }

    #[test]
    fn a_seventh_field_is_understood_and_forgotten(
        client in client(), location in location(), time in time(), sender in client(),
    ) {
        let line = format!("AT Powell +0.5 {client} {location} {time}");
        let with_sender = format!("{line} {sender}");
        let parsed = call(with_sender.as_bytes());
        prop_assert_eq!(&parsed, &call(line.as_bytes()));
        prop_assert!(matches!(parsed, Ok(Call::At(_))));
        prop_assert_eq!(at_line(with_sender.as_bytes()).unwrap().1, Some(&*sender));
        let eighth = format!("{with_sender} x");
        prop_assert!(call(eighth.as_bytes()).is_err());
    }

    #[test]
    fn what_neighbours_say_comes_back(
        epoch in any::<u64>(), sums in vec(any::<u64>(), BUCKETS),
    ) {
        let printed = |push: &dyn Fn(&mut Vec<u8>)| {
            let mut line = Vec::new();
            push(&mut line);
            assert_eq!(line.pop(), Some(b'\n'));
            line
        };
        for epoch in [None, Some(Epoch(epoch))] {
            let greeting = Greeting { from: server("Alford"), to: server("node-1.example_2"), epoch };
            let hello = printed(&|out| greeting.push_to(out));
            prop_assert_eq!(call(&hello).unwrap(), Call::Hello(greeting.clone()));
            prop_assert_eq!(answer(&hello).unwrap(), Answer::Hello(greeting));
        }
        let ready = printed(&|out| push_ready(out));
        prop_assert_eq!(call(&ready).unwrap(), Call::Ready);
        let welcome = Welcome { received_up_to: epoch };
        prop_assert_eq!(answer(&printed(&|out| welcome.push_to(out))).unwrap(), Answer::Welcome(welcome));
        let terms = Terms { cutoff_s: epoch, memory: MemoryBound { bytes_max: !epoch, hops: epoch as u32 } };
        let beat = Heartbeat { up_to: epoch, digest: !epoch, terms };
        let line = printed(&|out| beat.push_to(out));
        prop_assert_eq!(call(&line).unwrap(), Call::Heartbeat(beat));
        let line = printed(&|out| push_up_to(epoch, out));
        prop_assert_eq!(call(&line).unwrap(), Call::UpTo(epoch));
        let sums: BucketDigests = sums.into_boxed_slice().try_into().unwrap();
        for sums in [None, Some(sums)] {
            let ack = Ack { received_up_to: epoch, last_seq: !epoch, cutoff_s: epoch, buckets: sums };
            let line = printed(&|out| ack.push_to(out));
            prop_assert!(line.len() <= PEER_LINE_BYTES_MAX);
            prop_assert_eq!(answer(&line).unwrap(), Answer::Ack(Box::new(ack)));
        }
    }

    #[test]
    fn nothing_that_is_sent_panics(noise in vec(any::<u8>(), 0..100), pieces in vec(piece(), 0..12)) {
        for line in [noise, pieces.concat().into_bytes()] {
            let _ = client_command(&line);
            let _ = call(&line);
            let _ = answer(&line);
            let (reply, _) = say(&line);
            prop_assert!(reply.starts_with(b"? ") || reply.starts_with(b"AT "));
        }
    }

    #[test]
    fn no_provider_can_say_what_panics(
        noise in any::<String>(), pieces in vec(json_piece(), 0..30), limit in 0..25_usize,
    ) {
        for answer in [noise, pieces.concat()] {
            if let Ok(cut) = results_beyond(&answer, limit) {
                prop_assert!(answer.get(cut).is_some(), "the cut is not between characters");
            }
        }
    }

    #[test]
    fn results_are_cut_to_the_limit_and_nothing_else_changes(
        results in vec(select(&["1", "{\"a\" : [1,2]}", "\"],é\"", " null", "{ }"]), 0..25),
        before in select(&["{", "{\"next\":[1,\"results\"],", "{ \"x\" : {\"results\":[7]} ,\n"]),
        after in select(&["}", ",\"status\":\"OK\" }\n"]),
        limit in 0..25_usize,
    ) {
        let answer = |count| format!("{before}\"results\" :\n[{}]{after}", results[..count].join(","));
        let all = answer(results.len());
        let cut = results_beyond(&all, limit).unwrap();
        let kept = all[..cut.start].to_owned() + &all[cut.end..];
        // White space before the first of no results is not part of any.
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        prop_assert_eq!(value(&kept), value(&answer(limit.min(results.len()))));
        if limit > 0 {
            prop_assert_eq!(kept, answer(limit.min(results.len())));
        }
    }
}

#[test]
fn only_six_characters_are_white_space() {
    for other in ['\u{a0}', '\u{85}', '\u{2003}', '\u{2028}', '\u{3000}', '\u{feff}', '\u{1c}', '\0'] {
        let client = format!("a{other}b");
        let (reply, news) = say(format!("IAMAT {client} +1+1 1700000000").as_bytes());
        assert_eq!(reply, format!("AT Alford +0.000000005 {client} +1+1 1700000000\n").into_bytes());
        assert_eq!(news, 1);
        assert_eq!(say(format!("IAMAT{other}a +1+1 1").as_bytes()).1, 0);
    }
}

/// The answer to a client's line of a server that knows no client, and how many updates it applied.
fn say(line: &[u8]) -> (Vec<u8>, usize) {
    let me = Arc::new(Identity::new(server("Alford"), Vec::new(), Epoch(1)));
    let (mut node, mut session, mut batch) = (Node::new(me.clone()), Session::client(me), Batch::default());
    match session.line(Line::Whole(line), RECEIVED, &mut batch) {
        Step::Next | Step::Refused(_) => {}
        Step::Ask(_) => batch.refuse(line),
        step @ (Step::Secured | Step::Authenticated(_) | Step::Heartbeat(_) | Step::Close(_)) => {
            panic!("{step:?} for a client's line")
        }
    }
    let news = node.apply(&mut batch, None).applied;
    (batch.replies().to_vec(), news)
}

fn server(name: &str) -> ServerName {
    ServerName::parse(name).unwrap()
}

/// The fields with `spaces` between them (single ones where there are none), between two ends.
fn joined(fields: &[&str], spaces: &[String], ends: &(String, String)) -> Vec<u8> {
    let mut line = ends.0.clone();
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            line += spaces.get(index - 1).map_or(" ", String::as_str);
        }
        line += field;
    }
    (line + &ends.1).into_bytes()
}

type Wrong = fn([&str; 4]) -> Vec<&str>;

/// Ways to spoil a report.
const WRONG: &[Wrong] = &[
    |[_, c, l, t]| vec!["iamat", c, l, t],
    |[_, c, l, t]| vec!["IAMAT\u{a0}", c, l, t],
    |[_, c, l, t]| vec!["AT", "Alford", "+1", c, l, t],
    |[w, c, l, _]| vec![w, c, l],
    |[w, c, l, t]| vec![w, c, l, t, "1"],
    |[w, c, l, t]| vec![w, c, t, l],
    |[w, c, l, t]| vec![w, c, &l[1..], t],
    |[w, c, _, t]| vec![w, c, "+90.0000000000000000000001+1", t],
    |[w, c, _, t]| vec![w, c, "+1-180.0000000000000000000001", t],
    |[w, c, _, t]| vec![w, c, "+34.06-", t],
    |[w, c, _, t]| vec![w, c, "+1e1+1", t],
    |[w, c, _, t]| vec![w, c, "+nan+nan", t],
    |[w, c, _, t]| vec![w, c, "+1+1+1", t],
    |[w, c, _, t]| vec![w, c, "+34.068930", "-118.445127", t],
    |[w, c, l, _]| vec![w, c, l, "0.000"],
    |[w, c, l, _]| vec![w, c, l, "-1"],
    |[w, c, l, _]| vec![w, c, l, "+1"],
    |[w, c, l, _]| vec![w, c, l, "1."],
    |[w, c, l, _]| vec![w, c, l, ".5"],
    |[w, c, l, _]| vec![w, c, l, "1e9"],
    |[w, c, l, _]| vec![w, c, l, "1_000"],
    |[w, c, l, _]| vec![w, c, l, "1234567890123456789"],
];

fn white_space(least: usize) -> impl Strategy<Value = String> {
    vec(select(&WHITE_SPACE), least..4).prop_map(String::from_iter)
}

fn ends() -> impl Strategy<Value = (String, String)> {
    (white_space(0), white_space(0))
}

/// Any run of anything but the six; Unicode's other white space more often than chance would have it.
fn client() -> impl Strategy<Value = String> {
    let other_space = select(&['\u{a0}', '\u{85}', '\u{2003}', '\u{3000}', '\u{1c}']);
    let character = prop_oneof![4 => any::<char>(), 4 => proptest::char::range('a', 'z'), 1 => other_space];
    let character = character.prop_filter("separates", |character| !WHITE_SPACE.contains(character));
    vec(character, 1..20).prop_map(String::from_iter)
}

fn location() -> impl Strategy<Value = String> {
    (degrees(90), degrees(180)).prop_map(|(latitude, longitude)| latitude + &longitude)
}

fn degrees(max: u32) -> impl Strategy<Value = String> {
    let within = (0..max, prop_oneof![Just(String::new()), fraction()]);
    let bound = (Just(max), select(&["", ".0", ".000000000000000000000000"]).prop_map(String::from));
    let size = prop_oneof![9 => within, 1 => bound];
    (select(&["+", "-"]), 0..3_usize, size)
        .prop_map(|(sign, zeros, (whole, fraction))| format!("{sign}{}{whole}{fraction}", "0".repeat(zeros)))
}

fn time() -> impl Strategy<Value = String> {
    let whole = vec(select(b"0123456789"), 1..=18).prop_map(|digits| String::from_utf8(digits).unwrap());
    (whole, prop_oneof![Just(String::new()), fraction()])
        .prop_map(|(whole, fraction)| whole + &fraction)
        .prop_filter("not positive", |time| time.bytes().any(|byte| matches!(byte, b'1'..=b'9')))
}

fn fraction() -> impl Strategy<Value = String> {
    vec(select(b"0123456789"), 1..25).prop_map(|digits| format!(".{}", String::from_utf8(digits).unwrap()))
}

/// Parts of lines, whole and broken.
fn piece() -> impl Strategy<Value = String> {
    let known = select(&[
        "IAMAT",
        "WHATSAT",
        "AT",
        "HELLO",
        "WELCOME",
        "READY",
        "UPTO",
        "BEAT",
        "ACK",
        "LAZY",
        "IHAVE",
        "PRUNE",
        "KNOWN",
        "GRAFT",
        "0123456789abcdef",
        " ",
        " ",
        " ",
        "\t",
        "\r\n",
        "Alford",
        "+0.5",
        "-",
        "+",
        "+1-1",
        "1",
        "20",
        ".",
        "1.5",
        "0",
        "\0",
        "\u{a0}",
        "é",
        "?",
        "client",
    ]);
    prop_oneof![6 => known.prop_map(String::from), 1 => any::<String>()]
}

fn json_piece() -> impl Strategy<Value = &'static str> {
    select(&[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"results\"",
        "\"results\":[",
        "1",
        "null",
        "\\",
        "\\u12",
        " ",
        "\n",
        "é",
        "{}",
        "\"a\":1",
        "[]",
    ])
}
