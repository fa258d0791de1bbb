//! Backups of running servers: what goes out comes in as it was, and undoes nothing.

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::harness::{Talk, TestServer, eventually};
use super::http::{ask, get, server};
use super::http_access::with_users;
use crate::client::http::{ANSWER_TIME_MAX, Http, Server};
use crate::config::{Config, Limits};
use crate::member::Member;
use crate::proto::http::backup::{Count, stored_line};
use crate::proto::store::update::{Source, Update};

/// Clients at random: known and forgotten, in all eras, with and without attributes, and with names that hold what is
/// special in JSON.
fn line(rng: &mut Rng, now_s: u64) -> String {
    let names = ["a", "b/c", "\"q\\", "\u{1}\u{202e}", "\u{a0}x", "\u{1f411}", "{}", "end"];
    let name = format!("{}{}", names[rng.usize(..names.len())], rng.u32(..40));
    let era = if rng.u8(..3) == 0 { rng.u32(1..5) } else { 0 };
    let hash = rng.u64(..3);
    if era > 0 && rng.u8(..3) == 0 {
        return format!("FORGET {era} {name} #{hash:016x}\n");
    }
    let era = if era > 0 { format!("ERA {era} #{hash:016x} ") } else { String::new() };
    let with = if rng.bool() { format!("WITH acc={}&tid=%22 ", rng.u8(..)) } else { String::new() };
    let (time, digits) = (now_s + rng.u64(..9), ["", ".5", ".50", ".000000000001"][rng.usize(..4)]);
    let skew = ["+0.5", "-3600", "+0.000000001"][rng.usize(..3)];
    format!("{era}{with}AT Server-{} {skew} {name} +{}.50-0 {time}{digits}\n", rng.u8(..3), rng.u8(..90))
}

fn learn(member: &Member, line: &str) {
    member.apply(&mut Update::from_stored(line.as_bytes(), Source::NONE).unwrap());
}

fn digest(server: &TestServer) -> u64 {
    server.member.read(|node| node.store().digest().total())
}

fn http(address: SocketAddr) -> Http {
    Server { url: format!("http://{address}"), ..Server::default() }.open().unwrap()
}

fn export(address: SocketAddr) -> String {
    let mut text = String::new();
    http(address).stream("/v1/export", None).unwrap().read_to_string(&mut text).unwrap();
    text
}

fn import(address: SocketAddr, text: &str) -> Value {
    http(address).send("/v1/import", "application/x-ndjson", text.as_bytes(), ANSWER_TIME_MAX).unwrap()
}

fn counts(answer: &Value) -> [u64; 3] {
    ["applied", "outdated", "refused"].map(|key| answer[key].as_u64().unwrap())
}

#[test]
fn what_is_exported_is_imported_byte_for_byte_and_once() {
    for seed in 0..20 {
        let mut rng = Rng::with_seed(seed);
        let [(from, from_http), (to, to_http)] = [server(|config| config), server(|config| config)];
        (0..rng.usize(..2_000)).for_each(|_| learn(&from.member, &line(&mut rng, 1_700_000_000)));
        let text = export(from_http);
        let known = from.member.read(|node| (node.store().len() as u64, node.store().tombstones() as u64));
        let count = Count::of_end(text.lines().last().unwrap().as_bytes()).unwrap();
        assert_eq!((count.clients, count.forgotten), known, "{seed}");
        let lines = count.clients + count.forgotten;
        assert_eq!(counts(&import(to_http, &text)), [lines, 0, 0]);
        assert_eq!((digest(&to), to.clients_known() as u64), (digest(&from), count.clients), "{seed}");
        let mut stored: Vec<&str> = text.lines().collect();
        for object in &stored {
            if let Some(line) = stored_line(object.as_bytes()).unwrap() {
                let name: Value = serde_json::from_str(object).unwrap();
                let name = name["client"].as_str().unwrap().as_bytes();
                to.member.read(|node| assert_eq!(node.store().stored_line_of(name), Some(line.as_bytes())));
            }
        }
        // Once more, and in another order.
        rng.shuffle(&mut stored);
        assert_eq!(counts(&import(to_http, &stored.join("\n"))), [0, lines, 0]);
        assert_eq!(digest(&to), digest(&from));

        // An old backup changes nothing that is newer, and a client that was forgotten since stays forgotten.
        (0..rng.usize(..500)).for_each(|_| learn(&from.member, &line(&mut rng, 1_700_000_005)));
        for object in stored.iter().filter(|_| rng.u8(..10) == 0) {
            let value: Value = serde_json::from_str(object).unwrap();
            if let Some(client) = value["client"].as_str() {
                from.member.forget(client.as_bytes(), 1_700_000_100).unwrap();
            }
        }
        let before = digest(&from);
        assert_eq!(counts(&import(from_http, &text)), [0, lines, 0]);
        assert_eq!(digest(&from), before, "{seed}");
    }
}

#[test]
fn foreign_lines_are_refused_with_their_numbers_and_bounds_hold() {
    let limits = Limits { clients_max: 3, connections_max: 100, ..Limits::default() };
    let (server, address) = server(|config| Config { limits, ..config });
    let object = |client: &str, time: u32| {
        format!(r#"{{"client":"{client}","location":"+1+2","time":"{time}","server":"A","skew":"+1"}}"#)
    };
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|client| object(client, 5));
    let text = format!("{a}\n\n{{\"id\":1}}\n{b}\n<gpx>\n\u{fffd}\n{c}\n{d}\n{}", object("a", 6));
    let answer = import(address, &text);
    assert_eq!(counts(&answer), [4, 0, 4], "{answer}");
    let refusals: Vec<(u64, &str)> = answer["refusals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["line"].as_u64().unwrap(), it["why"].as_str().unwrap()))
        .collect();
    assert_eq!(refusals.iter().map(|it| it.0).collect::<Vec<_>>(), [3, 5, 6, 8]);
    assert!(
        refusals[0].1.contains("unknown field `id`") && refusals[3].1.contains("--clients-max"),
        "{answer}"
    );
    assert_eq!(server.clients_known(), 3);
    let many = import(address, &"x\n".repeat(500));
    assert_eq!((counts(&many), many["refusals"].as_array().unwrap().len()), ([0, 0, 500], 100));
    let long = http(address).send("/v1/import", "a", &[b' '; 1 << 20], ANSWER_TIME_MAX);
    assert_eq!(counts(&long.unwrap()), [0, 0, 0]);
    let longer = http(address).send("/v1/import", "a", &[b' '; (1 << 20) + 1], ANSWER_TIME_MAX).unwrap_err();
    assert!(
        longer.to_string().contains("too long") || longer.to_string().contains("is it running"),
        "{longer}"
    );
}

#[test]
fn doors_of_operators_are_for_admins_and_not_for_web_pages() {
    let (server, address, _dir) = with_users("", |config| config);
    for (user, path, status) in [
        ("jane", "GET /v1/export", 403),
        ("jane", "POST /v1/import", 403),
        ("jane", "POST /v1/drain", 403),
        ("nobody", "GET /v1/export", 401),
        ("ann", "POST /v1/export", 405),
        ("ann", "GET /v1/import", 405),
        ("ann", "GET /v1/drain", 405),
        ("ann", "POST /v1/import", 200),
    ] {
        let login = format!("Host: herd.example\r\nAuthorization: Bearer {user}-token");
        let found = ask(&mut Talk::with(address), &format!("{path} HTTP/1.1\r\n{login}\r\n\r\n"));
        assert_eq!(found.status, status, "{user} {path}: {}", found.body);
    }
    for path in ["GET /v1/export", "POST /v1/import", "POST /v1/drain"] {
        let login = "Host: herd.example\r\nOrigin: https://evil.example\r\nAuthorization: Bearer ann-token";
        let found = ask(&mut Talk::with(address), &format!("{path} HTTP/1.1\r\n{login}\r\n\r\n"));
        assert_eq!(found.status, 403, "{path}");
    }
    let group = |user: &str, group: &str| -> Vec<String> {
        let login = format!("Host: a\r\nAuthorization: Bearer {user}-token");
        let line = format!("GET /v1/clients?box=-180,-90,180,90&group={group} HTTP/1.1");
        let found = eventually("the index is there", || {
            Some(ask(&mut Talk::with(address), &format!("{line}\r\n{login}\r\n\r\n")))
                .filter(|it| it.status != 503)
        });
        let list: Value = serde_json::from_str(&found.body).unwrap();
        let clients = list["clients"].as_array().unwrap_or_else(|| panic!("{list}"));
        clients.iter().map(|client| client["client"].as_str().unwrap().to_owned()).collect()
    };
    for client in ["joe/phone", "bob/phone"] {
        assert!(server.client().ask(&format!("IAMAT {client} +1+1 1700000000")).starts_with("AT "));
    }
    eventually("both are found", || (group("ann", "family") == ["joe/phone"]).then_some(()));
    assert_eq!(group("bob", "family"), [""; 0], "he may not see her");
}

#[test]
fn drained_server_sends_its_clients_away_and_stops() {
    let (server, address) = server(|config| config);
    let (mut line, mut kept) = (server.client(), Talk::with(address));
    assert!(line.ask("IAMAT a +1+1 1700000000").starts_with("AT "));
    assert_eq!(get(&mut kept, "/health").status, 200);
    let mut events = super::events::streams::Events::of(address, "", "");
    events.until("current");
    for body in ["{}", "{\"for\":30}", "{\"for\":\"2h\"}", "{\"for\":\"1s\",\"x\":1}", "x"] {
        let refused = http(address).send("/v1/drain", "a", body.as_bytes(), ANSWER_TIME_MAX).unwrap_err();
        assert!(refused.to_string().contains("the body is not"), "{refused}");
    }
    std::thread::scope(|scope| {
        let drained =
            scope.spawn(|| http(address).post("/v1/drain", &json!({ "for": "1h" }), Duration::from_secs(60)));
        assert!(events.has_ended());
        assert!(kept.line_or_end().is_none(), "an idle connection is ended");
        eventually("no more are let in", || {
            let said = Talk::with(server.clients).line_or_end();
            said.is_some_and(|line| line.starts_with("? this server takes no more connections")).then_some(())
        });
        let refused = get(&mut Talk::with(address), "/health");
        assert!(refused.status == 503 && refused.body.contains("try another server"), "{}", refused.body);
        // One that is there goes on.
        assert!(line.ask("IAMAT a +2+2 1700000001").starts_with("AT "));
        drop(line);
        let answer = drained.join().unwrap().unwrap();
        assert_eq!(answer, json!({ "is_drained": true, "connections_left": 0 }));
    });
    server.joined();
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn drain_has_an_end() {
    let (server, address) = server(|config| config);
    let mut line = server.client();
    assert!(line.ask("IAMAT a +1+1 1700000000").starts_with("AT "));
    let answer = http(address).post("/v1/drain", &json!({ "for": "20ms" }), ANSWER_TIME_MAX).unwrap();
    assert_eq!(answer, json!({ "is_drained": false, "connections_left": 1 }));
    assert!(line.line_or_end().is_none());
    server.joined();
}
