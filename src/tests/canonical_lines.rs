//! Reports, and what neighbours tell, come to the same if they are taken several at once as if they are taken one by
//! one.

use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::proto::line::batch::Batch;
use crate::proto::line::framing::{Framing, LINE_BYTES_MAX, Line};
use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::model::time::Moment;
use crate::proto::node::{Identity, Neighbour, Node};
use crate::proto::peering::grammar::PEER_VERSION;
use crate::proto::session::{Session, Step};
use crate::proto::store::cursor::Cursor;
use crate::proto::store::update::Source;
use crate::tests::peers::KEY;

const RECEIVED: Moment = Moment { seconds: 1_700_000_000, nanos: 5 };

/// The epoch of the neighbour.
const EPOCH: Epoch = Epoch(9);

/// A server and a conversation with it.
#[derive(Clone, Debug)]
struct Conduct {
    name: String,
    clock_lead_max: Option<Duration>,
    speaker: Speaker,
    keeps_lines: bool,
    line_bytes_max: usize,
    replies_bytes_max: usize,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
enum Speaker {
    Client,
    Classic,
    Neighbour,
}

/// What came of a stream.
#[derive(Debug, PartialEq)]
struct Outcome {
    replies: Vec<u8>,
    lines: u64,
    news: usize,
    stale: usize,
    refused: usize,
    number: u64,
    total: u64,
    stored: Vec<u8>,
    /// What a neighbour is still to be told who has told us the rest.
    due: Vec<u8>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_not_matter_whether_reports_are_taken_at_once(
        lines in vec(line(), 0..30), cuts in vec(any::<usize>(), 0..6), conduct in conduct(),
    ) {
        let stream = lines.concat();
        prop_assert_eq!(converse(&stream, &cuts, &conduct, true).0, converse(&stream, &cuts, &conduct, false).0);
    }
}

#[test]
fn all_usual_reports_are_taken_at_once_and_no_others() {
    let conduct = usual(Speaker::Client);
    let name = |bytes| "n".repeat(bytes);
    let usual = [
        "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997",
        "IAMAT k -0.0+0.0 1520023934.9",
        "IAMAT k +27.5916+086.5640 1520023934.91896399",
        "IAMAT +1!~\x7f +89.9999999-179.9999999 1520023935.0",
        "IAMAT k +007.1-0000001.2 0000000001.000000000",
        &format!("IAMAT {} +34.068930-118.445127 1520023934.918963997", name(62)),
    ];
    for report in usual {
        let (outcome, at_once) = converse(format!("{report}\n").as_bytes(), &[], &conduct, true);
        assert!(outcome.replies.starts_with(b"AT "), "{report}");
        assert_eq!(at_once, 1, "{report}");
    }
    let others = [
        "IAMAT  k +1.0+1.0 1520023934.9",
        "IAMAT k +1+1.0 1520023934.9",
        "IAMAT k +1.0+1.00000000 1520023934.9",
        "IAMAT k +90.0+1.0 1520023934.9",
        "IAMAT k +1.0-180.0 1520023934.9",
        "IAMAT k +1.0+1.0 1520023934",
        "IAMAT k +1.0+1.0 0000000000.0",
        "IAMAT k +1.0+1.0 1520023934.9189639970",
        "IAMAT k +1.0+1.0 1700000061.9",
        "IAMAT k +1.0+1.0 1520023934.9\r",
        "IAMAT k +1.0+1.0 1520023934.",
        "IAMAT \u{e9} +1.0+1.0 1520023934.9",
        "iamat k +1.0+1.0 1520023934.9",
        &format!("IAMAT {} +34.068930-118.445127 1520023934.918963997", name(100)),
    ];
    for other in others {
        assert_eq!(converse(format!("{other}\n").as_bytes(), &[], &conduct, true).1, 0, "{other}");
    }
    // What has not come whole is no line yet, even if the rest of an older one is behind it in the buffer.
    let two = format!("{}\n{}\n", usual[0], usual[0].replace("kiwi", "lime"));
    let cut = two.len() - 3;
    assert_eq!(converse(two.as_bytes(), &[cut], &conduct, true).1, 2);
}

#[test]
fn all_that_a_neighbour_usually_tells_is_taken_at_once_and_nothing_else() {
    let conduct = usual(Speaker::Neighbour);
    let name = |bytes| "n".repeat(bytes);
    let usual = [
        "AT Alford +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997",
        "AT A -1234567.000000000 k -0.0+0.0 1520023934.9",
        // Only the server that took the report can tell whether its time is too late.
        "AT 9.x_-z +00.123456789 k +1.0+1.0 9999999999.9",
        &format!("AT {} +0.263873386 {} +34.068930-118.445127 1520023934.918963997", name(64), name(62)),
    ];
    for told in usual {
        // Twice, for the second time the origin is known.
        let stream = format!("{told}\n{}\n", told.replace(" +34", " +35"));
        let (outcome, at_once) = converse(stream.as_bytes(), &[], &conduct, true);
        assert_eq!((outcome.replies, at_once), (Vec::new(), 2), "{told}");
    }
    let others = [
        "AT  A +0.123456789 k +1.0+1.0 1520023934.9",
        "AT A +0.12345678 k +1.0+1.0 1520023934.9",
        "AT A +0.1234567890 k +1.0+1.0 1520023934.9",
        "AT A +12345678.123456789 k +1.0+1.0 1520023934.9",
        "AT A +.123456789 k +1.0+1.0 1520023934.9",
        "AT A 0.123456789 k +1.0+1.0 1520023934.9",
        "AT A +0.123456789  k +1.0+1.0 1520023934.9",
        "AT A +0.123456789 k +1+1.0 1520023934.9",
        "AT A +0.123456789 k +1.0+1.0 1520023934.9\r",
        "AT A +0.123456789 k +1.0+1.0 1520023934.9 A",
        "AT A +0.123456789 \u{e9} +1.0+1.0 1520023934.9",
        "AT -A +0.123456789 k +1.0+1.0 1520023934.9",
        "AT +0.123456789 k +1.0+1.0 1520023934.9",
        "UPTO 3",
        "",
        "\n+0.123456789 k +1.0+1.0 1520023934.9",
        "IAMAT k +1.0+1.0 1520023934.9",
        &format!("AT {} +0.123456789 k +1.0+1.0 1520023934.9", name(65)),
    ];
    for other in others {
        assert_eq!(converse(format!("{other}\n").as_bytes(), &[], &conduct, true).1, 0, "{other}");
    }
    // Who has proved nothing is not believed.
    let stream = format!("{}\n", usual[0]);
    assert_eq!(
        converse(stream.as_bytes(), &[], &Conduct { speaker: Speaker::Client, ..conduct.clone() }, true).1,
        0
    );
    let two = format!("{}\n{}\n", usual[0], usual[0].replace("kiwi", "lime"));
    assert_eq!(converse(two.as_bytes(), &[two.len() - 3], &conduct, true).1, 2);
}

#[test]
fn replies_that_are_long_enough_let_the_others_wait() {
    let stream = "IAMAT k +1.0+1.0 1520023934.9\n".repeat(50);
    let me = Arc::new(Identity::new(ServerName::parse("Alford").unwrap(), Vec::new(), Epoch(1)));
    for most in [0, 100, 1_000, 4_000] {
        let (mut framing, mut session) = (Framing::for_client().roomy(), Session::client(me.clone()));
        let mut batch = Batch::default();
        framing.space()[..stream.len()].copy_from_slice(stream.as_bytes());
        framing.filled(stream.len());
        let lines = session.canonical_lines(&mut framing, RECEIVED, most, &mut batch);
        assert!(batch.replies().len() <= most && lines < 50);
        assert!(lines > 0 || most < 1_000);
    }
}

/// What most servers are like.
fn usual(speaker: Speaker) -> Conduct {
    Conduct {
        name: "Alford".into(),
        clock_lead_max: Some(Duration::from_secs(60)),
        speaker,
        keeps_lines: false,
        line_bytes_max: LINE_BYTES_MAX,
        replies_bytes_max: usize::MAX,
    }
}

/// A conversation with a neighbour that has been welcomed.
fn met(me: Arc<Identity>, node: &mut Node) -> Session {
    let hello = format!("HELLO {PEER_VERSION} Parker {} {:016x}", me.name, EPOCH.0);
    let (mut session, mut batch) = (Session::peer(me, KEY), Batch::default());
    session.line(Line::Whole(hello.as_bytes()), RECEIVED, &mut batch);
    assert_eq!(session.line(Line::Whole(b"READY"), RECEIVED, &mut batch), Step::Authenticated(0));
    session.authenticate(node, &mut batch);
    session
}

/// Says a stream in pieces; answers what came of it and how many lines were taken several at once.
fn converse(stream: &[u8], cuts: &[usize], conduct: &Conduct, at_once: bool) -> (Outcome, u64) {
    let name = |text: &str| ServerName::parse(text).unwrap();
    let mut me = Identity::new(name(&conduct.name), vec![Neighbour::herd(name("Parker"))], Epoch(1));
    me.clock_lead_max = conduct.clock_lead_max;
    let me = Arc::new(me);
    let mut node = Node::new(me.clone()).bounded(if conduct.keeps_lines { 3 } else { 1_000_000 }, u64::MAX);
    let mut session = match conduct.speaker {
        Speaker::Client => Session::client(me),
        Speaker::Classic => Session::legacy(me, vec![0]),
        Speaker::Neighbour => met(me, &mut node),
    };
    let mut framing = Framing::new(conduct.line_bytes_max, 1_000);
    let mut batch = Batch::default();
    batch.retain_originals(conduct.keeps_lines);
    let (mut all, mut lines, mut reports) = (Vec::new(), 0, 0);
    let (mut news, mut stale, mut refused, mut closed) = (0, 0, 0, false);
    let mut ends: Vec<usize> =
        cuts.iter().map(|cut| cut % (stream.len() + 1)).chain([stream.len()]).collect();
    ends.sort_unstable();
    let mut rest = stream;
    while !closed {
        let said = stream.len() - rest.len();
        let end = ends.iter().find(|&&end| end > said).map_or(0, |end| end - said);
        let count = framing.space().len().min(end);
        framing.space()[..count].copy_from_slice(&rest[..count]);
        framing.filled(count);
        rest = &rest[count..];
        loop {
            if at_once {
                reports +=
                    session.canonical_lines(&mut framing, RECEIVED, conduct.replies_bytes_max, &mut batch);
            }
            let Some(line) = framing.next_line() else { break };
            lines += 1;
            closed |= matches!(session.line(line, RECEIVED, &mut batch), Step::Close(_));
        }
        let settled = node.apply(&mut batch, None);
        (news, stale, refused) =
            (news + settled.applied, stale + settled.outdated, refused + settled.rejected);
        all.extend_from_slice(batch.replies());
        batch.sent();
        closed |= count == 0;
    }
    let walked = |teller| {
        let mut lines = Vec::new();
        let _ = Cursor::new(0, teller).copy(node.store(), u64::MAX, usize::MAX, &mut lines);
        lines
    };
    let (stored, due) = (walked(Source::NONE), walked(Source::neighbour(0, EPOCH)));
    let (number, total) = (node.store().last_seq(), node.store().digest().total());
    let lines = lines + reports;
    (Outcome { replies: all, lines, news, stale, refused, number, total, stored, due }, reports)
}

fn conduct() -> impl Strategy<Value = Conduct> {
    let names = select(&[
        "A",
        "Alford",
        "a-server.with_a-name.of-thirty-one",
        "x123456789-x123456789-x123456789-x123456789-x123456789-x12345678",
    ]);
    let lead = prop_oneof![Just(None), Just(Some(Duration::from_secs(1_000)))];
    let limits =
        (select(&[100_usize, 128, 200, 256, LINE_BYTES_MAX]), select(&[0_usize, 500, 3_000, 1_000_000]));
    let speakers = select(&[Speaker::Client, Speaker::Classic, Speaker::Neighbour]);
    (names, lead, speakers, prop::bool::weighted(0.1), limits).prop_map(
        |(name, clock_lead_max, speaker, keeps_lines, (line_bytes_max, replies_bytes_max))| Conduct {
            name: name.into(),
            clock_lead_max,
            speaker,
            keeps_lines,
            line_bytes_max,
            replies_bytes_max,
        },
    )
}

/// A line: as nearly all are, nearly so, with some bytes changed, or anything.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let edits = vec((any::<usize>(), hostile_byte(), any::<bool>()), 1..4);
    prop_oneof![
        4 => report(),
        4 => told(),
        4 => (prop_oneof![report(), told()], edits).prop_map(|(line, edits)| edited(line, &edits)),
        1 => vec(hostile_byte(), 0..150),
    ]
}

/// What a neighbour tells, with a beginning that is usual or not, and sometimes how far it has come.
fn told() -> impl Strategy<Value = Vec<u8>> {
    let origin =
        prop_oneof![6 => select(&["Alford", "B", "Parker"]).prop_map(str::to_owned), 1 => "[-.A-z]{1,70}"];
    let skew = prop_oneof![6 => "[+-][0-9]{1,2}\\.[0-9]{9}", 2 => "[+-]?[0-9]{0,9}\\.?[0-9]{0,10}"];
    let sender = prop_oneof![9 => Just(""), 1 => Just(" B")];
    let at = (origin, skew, report(), sender).prop_map(|(origin, skew, report, sender)| {
        let fields = report.strip_prefix(b"IAMAT").unwrap().strip_suffix(b"\n").unwrap();
        [b"AT ", origin.as_bytes(), b" ", skew.as_bytes(), fields, sender.as_bytes(), b"\n"].concat()
    });
    prop_oneof![9 => at, 1 => (0..100_u64).prop_map(|position| format!("UPTO {position}\n").into_bytes())]
}

/// Fields that are usual, and a few that are not.
fn report() -> impl Strategy<Value = Vec<u8>> {
    let client = prop_oneof![
        8 => "[a-d]{1,2}",
        2 => "[!-~]{1,80}",
        1 => any::<String>(),
    ];
    let degrees = |most: u32| {
        let whole = prop_oneof![4 => 0..most, 1 => Just(most), 1 => 0..1_000_u32];
        let places = prop_oneof![8 => "[0-9]{1,7}", 1 => "[0-9]{8,12}", 1 => "0{1,7}"];
        (
            select(&["+", "-"]),
            select(&["", "0", "00000"]),
            whole,
            select(&[".", ".", ".", ".", "", "-"]),
            places,
        )
            .prop_map(|(sign, zeros, whole, point, places)| match point {
                "" => format!("{sign}{zeros}{whole}"),
                _ => format!("{sign}{zeros}{whole}{point}{places}"),
            })
    };
    let seconds = prop_oneof![
        6 => 1_699_999_980..1_700_000_020_u64,
        1 => any::<u64>(),
        1 => Just(0),
        1 => 1_000_000_000..9_999_999_999_u64,
    ];
    let fraction = prop_oneof![6 => "\\.[0-9]{9}", 2 => "\\.[0-9]{1,12}", 1 => "\\.0{1,9}", 1 => "\\.?"];
    let width = select(&[0_usize, 10, 10, 10]);
    let end = select(&["\n", "\n", "\n", "\n", "\n", "\n", "\r\n", " \n"]);
    (client, degrees(90), degrees(180), (seconds, width, fraction), end).prop_map(
        |(client, latitude, longitude, (seconds, width, fraction), end)| {
            format!("IAMAT {client} {latitude}{longitude} {seconds:0width$}{fraction}{end}").into_bytes()
        },
    )
}

fn edited(mut line: Vec<u8>, edits: &[(usize, u8, bool)]) -> Vec<u8> {
    for &(at, byte, inserts) in edits {
        let at = at % line.len();
        if inserts { line.insert(at, byte) } else { line[at] = byte }
    }
    line
}

fn hostile_byte() -> impl Strategy<Value = u8> {
    prop_oneof![2 => select(b" \t\r\n+-.0129:/,\x00\x0b\x1f\x7f\x80\xb0\xff"), 1 => any::<u8>()]
}
