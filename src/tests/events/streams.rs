//! Streams over real sockets.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::config::{Config, Durability, Herd, JournalOptions, Limits, Member, TokenHash};
use crate::journal::Disk;
use crate::os::clock;
use crate::tests::finding::pair;
use crate::tests::free_address::free_address;
use crate::tests::harness::{FailingDisk, Talk, TestServer, catalogue, config, eventually, herd};
use crate::tests::http::{get, server};
use crate::tests::http_access::{file, with_users};

/// A stream of events that is being read.
pub(crate) struct Events {
    talk: Talk,
    pub(crate) head: String,
    /// The id that was told last.
    pub(crate) id: String,
}

impl Events {
    /// Begins one; `rest` is what stands behind `/v1/events`, and more header fields.
    pub(crate) fn of(http: SocketAddr, query: &str, fields: &str) -> Events {
        let mut talk = Talk::with(http);
        talk.send(format!("GET /v1/events{query} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
        let mut head = String::new();
        loop {
            match talk.line() {
                line if line == "\r" => break,
                line => head += &line,
            }
        }
        Events { talk, head, id: String::new() }
    }

    /// The next event and its data, or none if the stream has ended.
    pub(crate) fn next(&mut self) -> Option<(String, String)> {
        let (mut event, mut data) = (String::new(), String::new());
        loop {
            let line = self.talk.line_or_end()?;
            match line.trim_end_matches('\n').split_once(": ") {
                Some(("id", id)) => self.id = id.to_owned(),
                Some(("event", name)) => event = name.to_owned(),
                Some(("data", text)) => data = text.to_owned(),
                Some(_) => {}
                None if event.is_empty() => {}
                None => return Some((event, data)),
            }
        }
    }

    /// All events up to the one of this kind, in short: the kind, and the client.
    pub(crate) fn until(&mut self, last: &str) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            let (event, data) = self.next().expect("the stream goes on");
            let data: serde_json::Value = serde_json::from_str(&data).unwrap();
            told.push(format!("{event} {}", data["client"].as_str().unwrap_or_default()).trim().to_owned());
            if told.last().is_some_and(|told| told.starts_with(last)) {
                return told;
            }
        }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        while let Some(_event) = self.next() {}
        true
    }
}

fn report(server: &TestServer, client: &str, place: &str, time: u64) {
    let reply = server.client().ask(&format!("IAMAT {client} {place} {time}"));
    assert!(reply.starts_with("AT "), "{reply}");
}

#[test]
fn watchers_at_another_server_are_told_of_reports_moves_and_forgets() {
    let (servers, http) = pair();
    report(&servers[0], "kiwi", "+1.5+2", 1_700_000_000);
    let mut all = Events::of(http[1], "", "");
    let mut near = Events::of(http[1], "?box=0,0,5,5", "");
    let mut one = Events::of(http[1], "?client=kiwi&client=moa&client=none", "");
    for field in [
        "HTTP/1.1 200 OK",
        "Content-Type: text/event-stream",
        "Cache-Control: no-store",
        "X-Accel-Buffering: no",
        "Connection: close",
    ] {
        assert!(all.head.contains(&format!("{field}\r")), "{}", all.head);
    }
    assert!(!all.head.contains("Content-Length"));
    for events in [&mut all, &mut near, &mut one] {
        // The report may have come before the stream, or after it has begun.
        let begun = events.until("current");
        if begun != ["reset", "client kiwi", "current"] {
            assert_eq!(
                (begun, events.until("client")),
                (vec_of(&["reset", "current"]), vec_of(&["client kiwi"]))
            );
        }
    }
    report(&servers[0], "moa", "+50+50", 1_700_000_001);
    report(&servers[0], "emu", "+50+50", 1_700_000_001);
    assert_eq!(all.until("client emu"), ["client moa", "client emu"]);
    assert_eq!(one.until("client"), ["client moa"]);
    report(&servers[0], "kiwi", "+51+2", 1_700_000_002);
    assert_eq!(near.until("gone"), ["gone kiwi"]);
    assert_eq!([all.until("client"), one.until("client")], [["client kiwi"], ["client kiwi"]]);
    report(&servers[0], "emu", "+1+1", 1_700_000_003);
    // Only what has been told cannot be passed over for what comes next.
    assert_eq!([near.until("client"), all.until("client")], [["client emu"], ["client emu"]]);
    let mut talk = Talk::with(http[0]);
    talk.send("DELETE /v1/clients/emu HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(near.until("gone"), ["gone emu"]);
    assert_eq!(all.until("gone"), ["gone emu"]);
    servers.into_iter().for_each(TestServer::stop);
    assert!(all.has_ended() && near.has_ended() && one.has_ended());
}

fn vec_of(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn bytes_of_a_stream_are_these() {
    let (server, http) = server(|config| config);
    server.client().ask("IAMAT kiwi +034.50-118 1621464827.5");
    let mut events = Events::of(http, "", "");
    let mut bytes = String::new();
    while !bytes.contains("event: current\ndata: {}\n\n") {
        bytes += &events.talk.line_or_end().unwrap();
    }
    let generation = &bytes["retry: 2000\n\nid: ".len()..][..16];
    assert!(u64::from_str_radix(generation, 16).is_ok(), "{bytes}");
    let (before, after) = bytes.split_once("\"skew\":\"").unwrap();
    let skew = after.split('"').next().unwrap();
    assert_eq!(
        bytes,
        format!(
            "retry: 2000\n\nid: {generation}.0\nevent: reset\ndata: {{}}\n\n\
             id: {generation}.1\nevent: client\ndata: {{\"client\":\"kiwi\",\"latitude\":34.50,\"longitude\":-118,\
             \"time\":\"1621464827.5\",\"time_utc\":\"2021-05-19T22:53:47Z\",\"server\":\"Alford\",\
             \"skew\":\"{skew}\"}}\n\nid: {generation}.1\nevent: current\ndata: {{}}\n\n"
        ),
        "{before}"
    );
    let object = get(&mut Talk::with(http), "/v1/clients/kiwi").body;
    assert!(bytes.contains(&format!("data: {object}\n")), "the same object");
}

#[test]
fn streams_are_resumed_where_they_ended() {
    let (server, http) = server(|config| config);
    for (at, client) in ["a", "b", "c"].into_iter().enumerate() {
        report(&server, client, "+1+1", 1_700_000_000 + at as u64);
    }
    let mut events = Events::of(http, "", "");
    assert_eq!(events.until("client b"), ["reset", "client a", "client b"]);
    let mid = events.id.clone();
    events.until("current");
    drop(events);
    report(&server, "a", "+2+2", 1_700_000_009);
    report(&server, "d", "+2+2", 1_700_000_009);
    report(&server, "d", "+3+3", 1_700_000_010);
    // The newest of each, once, by the header field of a browser or the query of a program.
    let rest = ["client c", "client a", "client d", "current"];
    let mut resumed = Events::of(http, "?last_event_id=x", &format!("Last-Event-ID: {mid}\r\n"));
    assert_eq!(resumed.until("current"), rest);
    let mut resumed = Events::of(http, &format!("?last_event_id={mid}"), "");
    assert_eq!(resumed.until("current"), rest);
    let last = resumed.id.clone();
    assert_eq!(Events::of(http, "", &format!("Last-Event-ID: {last}\r\n")).until("current"), ["current"]);
    // A box does not say what was in it before.
    let mut left = Events::of(http, "?box=0,0,1.5,1.5", &format!("Last-Event-ID: {mid}\r\n"));
    assert_eq!(left.until("current"), ["client c", "gone a", "gone d", "current"]);
    report(&server, "b", "+5+5", 1_700_000_020);
    assert_eq!(left.until("gone"), ["gone b"]);
    let everything = ["reset", "client b", "client c", "client a", "client d", "current"];
    let position = last.split('.').nth(1).unwrap();
    for other in ["", "x", "1.1", &format!("{}.{position}", "0".repeat(16)), &format!("{last}9")] {
        let mut events = Events::of(http, "", &format!("Last-Event-ID: {other}\r\n"));
        let mut told = events.until("current");
        told.sort();
        let mut expected = vec_of(&everything);
        expected.sort();
        assert_eq!(told, expected, "{other}");
    }
}

/// A herd of one server, and its port for HTTP.
fn alone_with_http() -> (Herd, SocketAddr) {
    let http = free_address();
    let member = Member { http: Some(http.into()), ..herd(&["Alford"], &[], true).members()[0].clone() };
    (Herd::new(vec![member], Vec::new(), true).unwrap(), http)
}

#[test]
fn expired_clients_are_gone_also_for_those_who_come_back() {
    let (mut one, http) = alone_with_http();
    one.expire_after = Some(Duration::from_secs(3_600));
    let server = TestServer::with(&config(&one, "Alford"), catalogue());
    let now_s = clock::now().seconds;
    report(&server, "old", "+1+1", now_s);
    let mut all = Events::of(http, "", "");
    let mut near = Events::of(http, "?box=0,0,2,2", "");
    let mut far = Events::of(http, "?box=5,5,6,6", "");
    assert_eq!(
        [all.until("client"), near.until("client")],
        [["reset", "client old"], ["reset", "client old"]]
    );
    all.until("current");
    near.until("current");
    assert_eq!(far.until("current"), ["reset", "current"]);
    let fields = format!("Last-Event-ID: {}\r\n", near.id);
    server.member.expire(now_s + 3 * 3_600);
    assert_eq!([all.until("gone"), near.until("gone")], [["gone old"], ["gone old"]]);
    assert_eq!(Events::of(http, "?box=0,0,2,2", &fields).until("current"), ["gone old", "current"]);
    assert_eq!(server.clients_known(), 0);
}

#[test]
fn what_a_crash_could_undo_is_not_told() {
    let (disk, folder) = (Arc::new(FailingDisk::default()), tempfile::tempdir().unwrap());
    let (herd, http) = alone_with_http();
    let journal = JournalOptions { durability: Durability::Os, dir: folder.path().to_owned() };
    let with_journal = Config { journal, ..config(&herd, "Alford") };
    let server = TestServer::on(Arc::clone(&disk) as Arc<dyn Disk>, &with_journal, catalogue());
    report(&server, "kiwi", "+1+1", 1_700_000_000);
    let mut events = Events::of(http, "", "");
    let begun = ["reset", "client kiwi", "current"];
    assert_eq!(events.until("current"), begun);
    disk.fails.store(true, Ordering::Relaxed);
    let refused = server.client().ask("IAMAT moa +1+1 1700000000");
    assert!(refused.starts_with("? ") && server.member.locate(b"moa").is_some(), "{refused}");
    assert_eq!(Events::of(http, "?box=0,0,2,2", "").until("current"), begun);
    disk.fails.store(false, Ordering::Relaxed);
    assert_eq!(events.until("client"), ["client moa"]);
}

#[test]
fn methods_and_mistakes_are_answered() {
    let (_server, http) = server(|config| Config {
        limits: Limits { watchers_max: Some(2), ..config.limits.clone() },
        ..config
    });
    let mut talk = Talk::with(http);
    talk.send("HEAD /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = String::from_utf8(talk.rest()).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("Connection: close\r\n\r\n"), "{head}");
    let ask = |line: &str, fields: &str| {
        crate::tests::http::ask(
            &mut Talk::with(http),
            &format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"),
        )
    };
    let posted = ask("POST /v1/events", "");
    assert!(posted.status == 405 && posted.head.contains("Allow: GET, HEAD"), "{}", posted.head);
    let many: String = (0..101).map(|number| format!("client=c{number}&")).collect();
    for (query, why) in [
        ("box=1,2,3", "box is not"),
        ("box=1,9,3,2", "the south of the box"),
        ("group=family", "there are no groups"),
        (&*many, "more than 100 clients"),
    ] {
        let refused = ask(&format!("GET /v1/events?{query}"), "");
        assert!(refused.status == 400 && refused.body.contains(why), "{query}: {}", refused.body);
    }
    assert_eq!(ask("GET /v1/events", "Sec-Fetch-Site: cross-site\r\n").status, 403);
    let [mut one, two] = [(); 2].map(|()| Events::of(http, "", ""));
    one.until("current");
    let refused = ask("GET /v1/events", "");
    assert!(refused.status == 503 && refused.body.contains("try another server"), "{}", refused.body);
    assert!(get(&mut Talk::with(http), "/metrics").body.contains("proxyherd_watchers_open 2"));
    // Its place is free when a write has found that it is gone.
    drop(two);
    drop(one);
}

#[test]
fn reader_that_takes_nothing_is_ended() {
    let limits =
        Limits { reply_time_max: Duration::from_millis(200), connections_max: 100, ..Limits::default() };
    let (server, http) = server(|config| Config { limits, ..config });
    let mut line = server.client();
    for client in 0..5_000 {
        line.send(format!("IAMAT client-{client} +1.{client:04}+2 1621464827\n"));
        line.line();
    }
    let mut talk = Talk::with_little_room(http);
    talk.send("GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    eventually("it is ended", || (server.member.metrics.over_reply_time.get() == 1).then_some(()));
}

#[test]
fn two_hundred_watchers_are_told_of_each_client_of_their_boxes() {
    let limits = Limits { connections_max: 1_000, ..Limits::default() };
    let (server, http) = server(|config| Config { limits, ..config });
    let boxes = 0..200;
    let mut watchers: Vec<Events> = boxes
        .clone()
        .map(|at| {
            Events::of(
                http,
                &format!("?box={at}.5,10,{}.5,20", at + 1)
                    .replace("?box=179.5,10,180.5", "?box=179.5,10,-179.5"),
                "",
            )
        })
        .take(170)
        .collect();
    watchers.iter_mut().for_each(|watcher| drop(watcher.until("current")));
    let mut line = server.client();
    for at in 1..=170 {
        for phone in 0..3 {
            line.ask(&format!("IAMAT c{at}-{phone} +15+{at} 1621464827"));
        }
    }
    for (at, watcher) in watchers.iter_mut().enumerate() {
        let mut told: Vec<String> = (0..3).flat_map(|_| watcher.until("client")).collect();
        told.sort();
        let expected: Vec<String> = (0..3).map(|phone| format!("client c{}-{phone}", at + 1)).collect();
        assert_eq!(told, expected);
    }
    drop(line);
    server.stop();
    assert!(watchers.iter_mut().all(Events::has_ended));
}

#[test]
fn rights_are_those_of_the_access_file_of_the_moment() {
    let (server, http, dir) = with_users("", |config| config);
    for client in ["jane/phone", "joe/phone", "bob/phone"] {
        report(&server, client, "+1+1", 1_700_000_000);
    }
    let login = |user: &str| format!("Authorization: Bearer {user}-token\r\n");
    let mut ann = Events::of(http, "", &login("ann"));
    let mut family = Events::of(http, "?group=family", &login("ann"));
    let mut jane = Events::of(http, "?box=0,0,2,2", &login("jane"));
    let mut joe = Events::of(http, "?token=joe-token", "");
    let sorted = |mut told: Vec<String>| {
        told.sort();
        told
    };
    let everybody = ["client bob/phone", "client jane/phone", "client joe/phone", "current", "reset"];
    assert_eq!(sorted(ann.until("current")), everybody);
    assert_eq!(sorted(family.until("current")), everybody[1..]);
    assert_eq!(sorted(jane.until("current")), everybody[1..]);
    assert_eq!(joe.until("current"), ["reset", "client joe/phone", "current"]);
    let before = jane.id.clone();
    // Joe's token is revoked, and Jane sees only her own from now on.
    let now = file("").replace("see = 'group'", "see = 'self'");
    let now = now.replace(&TokenHash::of(b"joe-token").to_string(), &TokenHash::of(b"other").to_string());
    fs::write(dir.path().join("access.toml"), now).unwrap();
    server.stopper.reload_access();
    assert!(joe.has_ended());
    let told = jane.until("current");
    assert!(told.contains(&"gone joe/phone".to_owned()), "{told:?}");
    assert!(told.contains(&"client jane/phone".to_owned()), "{told:?}");
    report(&server, "joe/phone", "+1.5+1", 1_700_000_001);
    report(&server, "jane/phone", "+1.5+1", 1_700_000_002);
    assert_eq!(jane.until("client"), ["client jane/phone"]);
    let again = Events::of(http, "?box=0,0,2,2", &format!("{}Last-Event-ID: {before}\r\n", login("jane")))
        .until("current");
    assert_eq!(again, ["reset", "client jane/phone", "current"], "an id of other rights says nothing");
    assert_eq!(ann.until("current").last().map(String::as_str), Some("current"), "she is told again");
    fs::write(dir.path().join("access.toml"), "[users.bob]\n").unwrap();
    server.stopper.reload_access();
    assert!(ann.has_ended() && jane.has_ended() && family.has_ended());
}
