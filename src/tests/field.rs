//! What goes wrong in the field, each as a test on real sockets: one server, or a few, in this process.
//!
//! All that is known to go wrong, and where it is tested. What stands in italics is a golden conversation, held
//! against the pure core, threads and processes alike; `p::` are the tests with real processes.
//!
//! - replies lost on half-close:
//!   [`a_last_line_without_terminator_is_answered_before_the_connection_closes`], *line_ends*
//! - LF-only clients ignored: *line_ends*
//! - missing plus sign or exponent in the skew: every golden conversation has `<skew>`; `proto::time`'s
//!   and `merge::the_skew_is_the_exact_difference`
//! - times or coordinates rewritten: *times*, *locations*; `grammar::a_report_comes_back_byte_for_byte`
//! - the wrong origin server: *every_server_floods*;
//!   [`every_server_answers_with_the_same_bytes_and_the_origins_name_and_skew`]
//! - limit ignored: *radius_and_limit*, whose provider in the pure run always finds 20
//! - radius in metres: [`a_radius_is_in_kilometres_for_clients_and_in_metres_for_providers`],
//!   *radius_and_limit*
//! - error line and result both sent: *radius_and_limit*, *error_lines*: nothing comes that is not
//!   expected
//! - silence for an unknown client: *error_lines*
//! - silence for a failed provider: [`a_provider_that_fails_gets_the_line_and_an_answer_without_results`]
//! - JSON re-serialised: `grammar::results_are_cut_to_the_limit_and_nothing_else_changes`
//! - one read treated as one command: [`commands_are_answered_in_order_however_the_bytes_arrive`],
//!   *line_ends*
//! - a valid east longitude or an empty line killing a server: *locations*, *error_lines*
//! - NaN accepted: *locations*, *times*, *radius_and_limit*
//! - times compared as text or floats: *only_later_times*
//! - a later update never applied: *only_later_times*, *every_server_floods*
//! - an older one overwriting a newer: *only_later_times*, *report_session*
//! - equal times splitting the herd for good: *equal_times*
//! - a far-future time freezing a client:
//!   [`a_far_future_report_freezes_no_client_where_that_is_guarded_against_and_what_neighbours_tell_is_taken`]
//! - updates for a neighbour that is down lost: *server_back*;
//!   `p::failures::the_herd_agrees_soon_after_its_articulation_server_was_killed_and_is_back`
//! - live neighbours after a dead one told nothing: *dead_neighbour_first*;
//!   [`a_live_neighbour_is_told_although_the_one_before_it_is_down`]
//! - a minute of silence after a neighbour returned:
//!   `p::failures::the_herd_agrees_soon_after_its_articulation_server_was_killed_and_is_back`
//! - updates lost under load without an error:
//!   `p::failures::a_neighbour_that_stands_still_costs_bounded_memory_and_no_update`
//! - `AT` lines injected by any client: *peer_words*;
//!   [`at_on_the_client_port_gets_an_error_line_and_changes_nothing`]
//! - a provider call blocking all clients: [`a_provider_that_takes_its_time_holds_up_no_other_client`]

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::harness::{TestServer, WAIT, alone, catalogue, config, eventually, herd};
use super::peers::{call, hello};
use crate::config::Config;
use crate::os::clock;
use crate::places::{Answer, PlacesError, PlacesProvider};
use crate::proto::line::query::NearbyQuery;
use crate::proto::model::epoch::Epoch;

const KIWI: &str = "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503";

/// The fields of an `AT` line.
fn fields(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// Waits until a server's answer about a client is this `AT` line.
fn wait_for(server: &TestServer, client: &str, line: &str) {
    eventually(&format!("{line} at a server"), || {
        let mut talk = server.client();
        let answer = talk.ask(&format!("WHATSAT {client} 10 1"));
        (answer == line).then_some(())
    });
}

#[test]
fn a_last_line_without_terminator_is_answered_before_the_connection_closes() {
    let server = alone();
    let mut talk = server.client();
    let replies = talk.send(format!("x\r\n{KIWI}")).half_close().rest();
    let replies = String::from_utf8(replies).unwrap();
    let lines: Vec<_> = replies.lines().collect();
    assert_eq!(lines[0], "? x");
    assert!(lines[1].ends_with(" kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503"), "{replies}");
    assert_eq!(lines.len(), 2);
}

#[test]
fn nothing_is_written_before_a_command_and_nothing_but_replies_after() {
    let server = alone();
    assert_eq!(server.client().half_close().rest(), b"");
    assert_eq!(server.client().send("\n").half_close().rest(), b"? \n");
}

#[test]
fn commands_are_answered_in_order_however_the_bytes_arrive() {
    let server = alone();
    let mut talk = server.client();
    let lines = format!("{KIWI}\nWHATSAT kiwi.cs.ucla.edu 10 2\r\nfoo\n\tWHATSAT  nobody 1 1 \n");
    for chunk in [1, 7, 1000] {
        for bytes in lines.as_bytes().chunks(chunk) {
            talk.send(bytes);
        }
        let first = talk.line();
        assert!(first.starts_with("AT Alford +"), "{first}");
        assert_eq!(fields(&talk.line())[3..], fields(&first)[3..]);
        assert!(talk.json()["results"].as_array().unwrap().len() <= 2);
        assert_eq!(talk.line(), "? foo");
        assert_eq!(talk.line(), "? \tWHATSAT  nobody 1 1 ");
    }
}

#[test]
fn the_reply_to_whatsat_comes_in_one_write() {
    let server = alone();
    let mut talk = server.client();
    talk.ask(KIWI);
    talk.send("WHATSAT kiwi.cs.ucla.edu 10 5\n");
    let mut once = vec![0; 64 * 1024];
    let count = talk.socket.read(&mut once).unwrap();
    let reply = String::from_utf8(once[..count].to_vec()).unwrap();
    assert!(reply.starts_with("AT Alford +") && reply.ends_with("\n\n"), "{reply}");
    assert!(!reply.trim_end().contains("\n\n"));
}

#[test]
fn an_over_long_line_gets_a_cut_copy_and_ends_the_connection() {
    let server = alone();
    let mut talk = server.client();
    talk.send("ok\n").send(vec![b'x'; 100_000]);
    let replies = talk.rest();
    let expected = format!("? ok\n? {}\n", "x".repeat(4096));
    assert!(replies == expected.as_bytes(), "{} bytes came back", replies.len());
}

#[test]
fn bytes_that_are_not_utf8_are_copied_back_as_they_came() {
    let server = alone();
    let replies = server.client().send(b"IAMAT \xff\xfe +1+1 1\r\n").half_close().rest();
    assert_eq!(replies, b"? IAMAT \xff\xfe +1+1 1\n");
}

#[test]
fn at_on_the_client_port_gets_an_error_line_and_changes_nothing() {
    let server = alone();
    let mut talk = server.client();
    let forged = "AT Alford +0.1 kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503";
    assert_eq!(talk.ask(forged), format!("? {forged}"));
    let hello = hello("Bolden", "Alford", Epoch(1));
    assert_eq!(talk.ask(&hello), format!("? {hello}"));
    assert_eq!(talk.ask("WHATSAT kiwi.cs.ucla.edu 10 1"), "? WHATSAT kiwi.cs.ucla.edu 10 1");
}

#[test]
fn a_neighbours_line_is_believed_after_hello_only_and_a_seventh_field_reaches_no_client() {
    let pair = herd(&["Alford", "Bolden"], &[("Alford", "Bolden")], true);
    let server = TestServer::start(&pair, "Alford", catalogue());
    let line = "AT Bolden +0.263873386 kiwi +34.068930-118.445127 1621464827.959498503";
    let mut stranger = server.peer();
    assert_eq!(stranger.ask(line), format!("? {line}"));
    for (why, hello) in [
        ("another version", "HELLO 1 Bolden Alford 1".to_owned()),
        ("another server", hello("Bolden", "Parker", Epoch(1))),
        ("no neighbour", hello("Powell", "Alford", Epoch(1))),
    ] {
        let reply = server.peer().send(format!("{hello}\n")).rest();
        assert_eq!(String::from_utf8(reply).unwrap(), format!("? {hello}\n"), "{why}");
    }
    assert_eq!(server.client().ask("WHATSAT kiwi 10 1"), "? WHATSAT kiwi 10 1");

    let mut bolden = call(server.peers, "Bolden", "Alford", Epoch(1));
    bolden.send(format!("{line} Bolden\n"));
    wait_for(&server, "kiwi", line);
    let bad = "AT Bolden 0.5 kiwi +34.068930-118.445127 1621464828";
    assert_eq!(bolden.ask(bad), format!("? {bad}"));
}

#[test]
fn every_server_answers_with_the_same_bytes_and_the_origins_name_and_skew() {
    let names = ["Alford", "Bolden", "Hamilton", "Parker", "Powell"];
    let links = [
        ("Alford", "Parker"),
        ("Alford", "Powell"),
        ("Bolden", "Parker"),
        ("Bolden", "Powell"),
        ("Hamilton", "Parker"),
    ];
    let five = herd(&names, &links, true);
    let servers: Vec<_> = names.iter().map(|name| TestServer::start(&five, name, catalogue())).collect();
    for (at, server) in servers.iter().enumerate() {
        let line = server.client().ask(&format!("IAMAT client-{at} +34.0689300-118.445127 162146482{at}.5"));
        assert_eq!(fields(&line)[1], names[at]);
        servers.iter().for_each(|other| wait_for(other, &format!("client-{at}"), &line));
    }
    servers.into_iter().for_each(TestServer::stop);
}

#[test]
fn only_a_strictly_newer_report_is_news() {
    let pair = herd(&["Alford", "Bolden"], &[("Alford", "Bolden")], true);
    let alford = TestServer::start(&pair, "Alford", catalogue());
    let bolden = TestServer::start(&pair, "Bolden", catalogue());
    let first = alford.client().ask("IAMAT kiwi +34-118 999999999.5");
    wait_for(&bolden, "kiwi", &first);
    let same_time = bolden.client().ask("IAMAT kiwi +35-119 999999999.50");
    assert_eq!(fields(&same_time)[4], "+35-119", "a stale report is answered like any other");
    bolden.client().ask("IAMAT kiwi +35-119 5");
    assert_eq!(bolden.client().ask("WHATSAT kiwi 1 1"), first);
    let later = bolden.client().ask("IAMAT kiwi +35-119 1000000000.5");
    wait_for(&alford, "kiwi", &later);
}

#[test]
fn a_far_future_report_freezes_no_client_where_that_is_guarded_against_and_what_neighbours_tell_is_taken() {
    let pair = herd(&["Alford", "Bolden"], &[("Alford", "Bolden")], true);
    let hour = Duration::from_secs(3600);
    let guarded = Config { clock_lead_max: Some(hour), ..config(&pair, "Alford") };
    let alford = TestServer::with(&guarded, catalogue());
    let bolden = TestServer::start(&pair, "Bolden", catalogue());
    let report = |client: &str, lead| {
        format!("IAMAT {client} +34.068930-118.445127 {}", clock::now().after(lead).seconds)
    };
    let mut talk = alford.client();
    let far = report("kiwi", 2 * hour);
    assert_eq!(talk.ask(&far), format!("? {far}"));
    assert_eq!(talk.ask("WHATSAT kiwi 10 1"), "? WHATSAT kiwi 10 1", "it was stored all the same");
    assert!(talk.ask(&report("kiwi", hour / 2)).starts_with("AT Alford -"));
    assert!(talk.ask(&report("kiwi", hour * 3 / 4)).starts_with("AT Alford -"), "the connection goes on");
    let told = bolden.client().ask(&report("lime", 2 * hour));
    assert!(told.starts_with("AT Bolden -"), "{told}");
    wait_for(&alford, "lime", &told);
}

#[test]
fn a_live_neighbour_is_told_although_the_one_before_it_is_down() {
    let three = herd(&["A", "B", "C"], &[("A", "B"), ("A", "C")], true);
    let a = TestServer::start(&three, "A", catalogue());
    let c = TestServer::start(&three, "C", catalogue());
    let line = a.client().ask(KIWI);
    wait_for(&c, "kiwi.cs.ucla.edu", &line);
}

#[test]
fn a_neighbour_that_comes_back_empty_is_told_everything_even_what_it_once_told() {
    let pair = herd(&["Alford", "Bolden"], &[("Alford", "Bolden")], true);
    let alford = TestServer::start(&pair, "Alford", catalogue());
    let bolden = TestServer::start(&pair, "Bolden", catalogue());
    let told = bolden.client().ask("IAMAT told +1+1 1");
    wait_for(&alford, "told", &told);
    bolden.stop();
    let missed = alford.client().ask("IAMAT missed +1+1 1");
    let bolden = TestServer::start(&pair, "Bolden", catalogue());
    wait_for(&bolden, "missed", &missed);
    wait_for(&bolden, "told", &told);
}

#[test]
fn without_catching_up_a_new_connection_starts_at_the_present() {
    let pair = herd(&["Alford", "Bolden"], &[("Alford", "Bolden")], false);
    let alford = TestServer::start(&pair, "Alford", catalogue());
    alford.client().ask("IAMAT old +1+1 1");
    let bolden = TestServer::start(&pair, "Bolden", catalogue());
    // The link is up when something new arrives; until then no report is replicated.
    let mut time = 1;
    eventually("a report reaches the new neighbour", || {
        time += 1;
        let new = alford.client().ask(&format!("IAMAT new +1+1 {time}"));
        (bolden.client().ask("WHATSAT new 1 1") == new).then_some(())
    });
    assert_eq!(bolden.client().ask("WHATSAT old 1 1"), "? WHATSAT old 1 1");
}

#[test]
fn one_connection_too_many_is_told_so() {
    let server = alone();
    let mut held: Vec<_> = (0..100).map(|_| server.client()).collect();
    held.iter_mut().for_each(|talk| assert_eq!(talk.ask("x"), "? x"));
    let refused = String::from_utf8(server.client().rest()).unwrap();
    assert!(refused.starts_with("? too many connections"), "{refused}");
    assert_eq!(held[99].ask("x"), "? x");
    held.pop();
    eventually("a place is free again", || {
        let mut talk = server.client();
        talk.send("x\n");
        (talk.line() == "? x").then_some(())
    });
}

#[test]
fn a_neighbours_line_that_was_cut_off_is_no_news() {
    let pair = herd(&["Alford", "Bolden"], &[("Alford", "Bolden")], true);
    let server = TestServer::start(&pair, "Alford", catalogue());
    let mut bolden = call(server.peers, "Bolden", "Alford", Epoch(1));
    bolden.send("AT Bolden +0.263873386 bird +1+1 5\nAT Bolden +0.263873386 kiwi +1+1 16214");
    assert_eq!(bolden.half_close().rest(), b"");
    let mut talk = server.client();
    assert_eq!(talk.ask("WHATSAT bird 1 1"), "AT Bolden +0.263873386 bird +1+1 5");
    talk.json();
    assert_eq!(talk.ask("WHATSAT kiwi 1 1"), "? WHATSAT kiwi 1 1");
}

/// A provider that hands every question to the test, and waits for what that makes of it.
struct Asked {
    questions: Sender<NearbyQuery>,
    answers: Receiver<Result<Answer, PlacesError>>,
}

type Said = (Receiver<NearbyQuery>, Sender<Result<Answer, PlacesError>>);

impl Asked {
    fn start() -> (TestServer, Said) {
        let ((questions, asked), (say, answers)) = (unbounded(), unbounded());
        let places = Arc::new(Asked { questions, answers });
        (TestServer::start(&herd(&["Alford"], &[], true), "Alford", places), (asked, say))
    }
}

impl PlacesProvider for Asked {
    fn nearby(&self, near: &NearbyQuery) -> Result<Answer, PlacesError> {
        self.questions.send(*near).unwrap();
        self.answers.recv_timeout(WAIT).unwrap()
    }

    fn may_wait(&self) -> bool {
        true
    }

    fn stop(&self) {}
}

#[test]
fn a_radius_is_in_kilometres_for_clients_and_in_metres_for_providers() {
    let (server, (asked, say)) = Asked::start();
    let mut talk = server.client();
    let line = talk.ask("IAMAT kiwi +27.5916-086.5640 5");
    say.send(Answer::parse(r#"{"results":[1,2,3],"status":"OK"}"#.to_owned()).map_err(PlacesError::from))
        .unwrap();
    assert_eq!(talk.ask("WHATSAT kiwi 10 2"), line);
    assert_eq!(talk.line(), r#"{"results":[1,2],"status":"OK"}"#);
    assert_eq!(talk.line(), "");
    let near = NearbyQuery { latitude: 27.5916, longitude: -86.564, radius_m: 10_000 };
    assert_eq!(asked.try_recv(), Ok(near));
}

#[test]
fn a_provider_that_fails_gets_the_line_and_an_answer_without_results() {
    let (server, (_asked, say)) = Asked::start();
    let mut talk = server.client();
    let line = talk.ask("IAMAT kiwi +1+1 5");
    let cases = [
        (PlacesError::TooSlow(WAIT), "UNKNOWN_ERROR"),
        (PlacesError::Denied("no".to_owned()), "REQUEST_DENIED"),
        (PlacesError::OverLimit("no".to_owned()), "OVER_QUERY_LIMIT"),
    ];
    for (error, status) in cases {
        let why = error.to_string();
        say.send(Err(error)).unwrap();
        assert_eq!(talk.ask("WHATSAT kiwi 10 2"), line);
        let json = talk.json();
        assert_eq!(json["results"], serde_json::json!([]));
        assert_eq!(json["html_attributions"], serde_json::json!([]));
        assert_eq!(json["status"], status);
        assert_eq!(json["error_message"], why);
    }
    assert_eq!(talk.ask("x"), "? x");
}

#[test]
fn a_provider_that_takes_its_time_holds_up_no_other_client() {
    let (server, (asked, say)) = Asked::start();
    let mut waiting = server.client();
    waiting.send("IAMAT kiwi +1+1 5\nWHATSAT kiwi 10 2\nx\n");
    // What came before the question is answered before the provider is.
    let line = waiting.line();
    asked.recv_timeout(WAIT).unwrap();
    let mut other = server.client();
    assert_eq!(other.ask("x"), "? x");
    assert!(other.ask("IAMAT kiwi +2+2 6").starts_with("AT Alford +"));
    say.send(Answer::parse(r#"{"results":[]}"#.to_owned()).map_err(PlacesError::from)).unwrap();
    assert_eq!(waiting.line(), line, "the question was asked before the client moved");
    waiting.json();
    assert_eq!(waiting.line(), "? x");
}
