//! The doors with an access file, over real sockets: who gets in, who may what, and what others are told.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use super::harness::{Talk, TestServer, eventually};
use super::http::{Answer, ask, server};
use crate::config::{Access, Config, Limits, TokenHash};

const USERS: [&str; 4] = ["ann", "bob", "jane", "joe"];

/// The file of these tests; the token of each user is the user's name and `-token`.
pub(super) fn file(line_from: &str) -> String {
    let token = |user: &str| TokenHash::of(format!("{user}-token").as_bytes());
    let [ann, bob, jane, joe] = USERS.map(token);
    format!(
        "line_from = [{line_from}]\n[users.ann]\ntokens = ['{ann}']\nsee = 'all'\nadmin = true\n\
         [users.bob]\ntokens = ['{bob}']\n\
         [users.jane]\ntokens = ['{jane}']\nsee = 'group'\ngroup = 'family'\ndevices = ['48241179']\n\
         [users.joe]\ntokens = ['{joe}']\ngroup = 'family'\nname = 'Joe'\n"
    )
}

/// A server with users, its port for HTTP, and the folder with their file.
pub(super) fn with_users(
    line_from: &str,
    changed: impl FnOnce(Config) -> Config,
) -> (TestServer, SocketAddr, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.toml");
    fs::write(&path, file(line_from)).unwrap();
    let access = Some(Access::load(&path).unwrap());
    let (server, http) = server(|config| changed(Config { access, ..config }));
    (server, http, dir)
}

pub(super) fn bearer(talk: &mut Talk, user: &str, line: &str) -> Answer {
    ask(talk, &format!("{line} HTTP/1.1\r\nHost: herd.example\r\nAuthorization: Bearer {user}-token\r\n\r\n"))
}

pub(super) fn report(client: &str) -> String {
    format!("POST /?id={client}&lat=1&lon=2&timestamp=1700000000")
}

#[test]
fn a_token_gets_in_wherever_an_app_can_put_it() {
    let (server, http, _dir) = with_users("", |config| config);
    let mut talk = Talk::with(http);
    let body = "{\"_type\":\"location\",\"lat\":1.5,\"lon\":2,\"tst\":1700000000,\"tid\":\"ph\"}";
    let mut clients = 0;
    for (line, fields) in [
        ("POST /pub", "Authorization: Basic amFuZTpqYW5lLXRva2Vu\r\nX-Limit-D: a"),
        ("POST /pub", "Authorization: Basic amFuZS10b2tlbjo=\r\nX-Limit-D: b"),
        ("POST /pub", "Authorization: Basic jane-token:\r\nX-Limit-D: c"),
        ("POST /pub", "Authorization: Bearer jane-token\r\nX-Limit-U: jane\r\nX-Limit-D: d"),
        ("POST /pub?token=jane-token", "X-Limit-D: e"),
        ("POST /pub?api_key=jane-token", "X-Limit-D: f"),
        ("POST /t/jane-token/pub", "X-Limit-D: g"),
        ("POST /t/jane-token", "X-Limit-D: h"),
        // A proxy's own login says nothing here, and does no harm.
        ("POST /t/jane-token/pub", "Authorization: Basic cHJveHk6cHJveHk=\r\nX-Limit-D: i"),
        ("POST /t/jane-token/owntracks/jane/j", "X-Forwarded-For: 192.0.2.1\r\nVia: 1.1 proxy"),
    ] {
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: herd.example\r\n{fields}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let found = ask(&mut talk, &request);
        // The other devices are friends.
        assert!(found.status == 200 && found.body.starts_with('['), "{request}");
        clients += 1;
        assert_eq!(server.clients_known(), clients, "{request}");
    }
    for (line, fields) in [
        ("GET /v1/clients/jane%2Fa", ""),
        ("POST /pub", "Authorization: Basic am9lOmphbmUtdG9rZW4=\r\n"),
        ("POST /pub", "Authorization: Bearer jane-toke\r\n"),
        ("POST /t/Jane-token/pub", ""),
        ("POST /t//pub", ""),
        ("GET /nothing", ""),
        ("GET /metrics", ""),
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        let found = ask(&mut Talk::with(http), &request);
        assert_eq!(found.status, 401, "{request}");
        let challenge = "WWW-Authenticate: Basic realm=\"proxyherd\", charset=\"UTF-8\"";
        assert!(found.head.contains(challenge), "{}", found.head);
    }
    let failed = server.member.metrics.rows().into_iter().find(|row| row.name == "logins_failed").unwrap();
    assert_eq!(failed.value, 3, "what shows no token guesses none");
    assert_eq!(ask(&mut talk, "GET /health HTTP/1.1\r\nHost: herd.example\r\n\r\n").status, 200);
}

#[test]
fn users_report_and_see_what_they_may() {
    let (server, http, _dir) = with_users("", |config| config);
    let mut talk = Talk::with(http);
    for (user, client, status) in [
        ("jane", "jane/phone", 200),
        ("jane", "48241179", 200),
        ("joe", "joe/phone", 200),
        ("joe", "jane/phone", 403),
        ("joe", "48241179", 403),
        ("bob", "kiwi", 403),
        // To manage is not to report for others.
        ("ann", "jane/phone", 403),
    ] {
        assert_eq!(bearer(&mut talk, user, &report(client)).status, status, "{user} {client}");
    }
    assert_eq!(server.clients_known(), 3);
    let overland = |device: &str| {
        format!(
            "{{\"type\":\"Feature\",\"geometry\":{{\"type\":\"Point\",\"coordinates\":[2,1]}},\
             \"properties\":{{\"timestamp\":\"2023-11-14T22:13:20Z\",\"device_id\":\"{device}\"}}}}"
        )
    };
    let body = format!("{{\"locations\":[{},{}]}}", overland("one"), overland("two"));
    let request = format!(
        "POST /overland HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer joe-token\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(ask(&mut talk, &request).body, "{\"result\":\"ok\"}");
    assert_eq!(server.clients_known(), 5);
    for (user, seen) in [
        ("ann", &["jane%2Fphone", "48241179", "joe%2Fphone", "joe%2Ftwo"][..]),
        ("jane", &["jane%2Fphone", "48241179", "joe%2Fphone", "joe%2Ftwo"]),
        ("joe", &["joe%2Fphone", "joe%2Ftwo"]),
        ("bob", &[]),
    ] {
        for client in ["jane%2Fphone", "48241179", "joe%2Fphone", "joe%2Ftwo", "none"] {
            for (path, status) in [
                ("", if seen.contains(&client) { 200 } else { 404 }),
                ("/nearby?radius=5", if seen.contains(&client) { 200 } else { 404 }),
            ] {
                let found = bearer(&mut talk, user, &format!("GET /v1/clients/{client}{path}"));
                assert_eq!(found.status, status, "{user} {client}{path}");
                assert!(status == 200 || found.body.contains("nothing is known of this client"));
            }
        }
    }
    for (line, user_status, admin_status) in [
        ("GET /v1/status", 403, 200),
        ("GET /metrics", 403, 200),
        ("DELETE /v1/clients/jane%2Fphone", 403, 204),
        ("GET /", 200, 200),
        ("GET /nothing", 404, 404),
        ("PUT /metrics", 405, 405),
    ] {
        assert_eq!(bearer(&mut talk, "jane", line).status, user_status, "{line}");
        assert_eq!(bearer(&mut talk, "ann", line).status, admin_status, "{line}");
    }
    for field in
        ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Referer: http://evil.example/x"]
    {
        let line = format!("{} HTTP/1.1\r\nHost: herd.example\r\n{field}", report("jane/phone"));
        let request = format!("{line}\r\nAuthorization: Bearer jane-token\r\n\r\n");
        assert_eq!(ask(&mut talk, &request).status, 403, "{field}");
    }
    let own =
        format!("{} HTTP/1.1\r\nHost: herd.example\r\nOrigin: https://herd.example", report("jane/phone"));
    assert_eq!(ask(&mut talk, &format!("{own}\r\nAuthorization: Bearer jane-token\r\n\r\n")).status, 200);
}

#[test]
fn other_machines_are_served_with_a_token_and_lines_only_from_networks_that_are_named() {
    let proxied = |config: Config| Config { proxy_from: vec!["127.0.0.0/8".parse().unwrap()], ..config };
    let from = |address: SocketAddr, client: &str| {
        let mut talk = Talk::with(address);
        talk.send(format!("PROXY TCP4 {client} 127.0.0.1 5000 80\r\n"));
        talk
    };
    let (with, http, _dir) = with_users("'10.0.0.0/8'", proxied);
    assert_eq!(bearer(&mut from(http, "192.0.2.1"), "jane", "GET /v1/clients/none").status, 404);
    // Who comes through a proxy may be anyone, also where the proxy says that it is this machine.
    const REFUSED: &str = "? this port is not for your network: use HTTP, or have it named in `line_from`";
    for (client, reply) in [("10.1.2.3", "? x"), ("127.0.0.1", REFUSED), ("192.0.2.1", REFUSED)] {
        let mut talk = from(with.clients, client);
        assert_eq!(talk.ask("x"), reply, "{client}");
        assert_eq!(
            talk.line_or_end().is_none(),
            reply.len() > 5 || talk.half_close().line_or_end().is_none()
        );
    }
    drop(with);
    let (without, http) = server(proxied);
    for client in ["192.0.2.1", "127.0.0.1"] {
        let asked = bearer(&mut from(http, client), "jane", "GET /v1/clients/none");
        assert_eq!(asked.status, 403, "{client}");
    }
    let mut unnamed = Talk::with(http);
    unnamed.send("PROXY UNKNOWN\r\n");
    assert_eq!(bearer(&mut unnamed, "jane", "GET /v1/clients/none").status, 403);
    assert_eq!(from(without.clients, "192.0.2.1").ask("x"), "? x");
}

#[test]
fn users_change_while_the_server_runs_and_a_wrong_file_changes_nothing() {
    let (server, http, dir) = with_users("", |config| config);
    let path = dir.path().join("access.toml");
    let change = |text: String, path: &Path| {
        fs::write(path, text).unwrap();
        server.stopper.reload_access();
    };
    let (mut jane, mut bob) = (Talk::with(http), Talk::with(http));
    assert_eq!(bearer(&mut jane, "jane", "GET /v1/clients/none").status, 404);
    change("[users.jane]\ncolour = 1\n".to_owned(), &path);
    assert_eq!(bearer(&mut jane, "jane", "GET /v1/clients/none").status, 404);
    // One connection that stays open is asked again at each request.
    let bob_alone = format!("[users.bob]\ntokens = ['{}']\nadmin = true\n", TokenHash::of(b"bob-token"));
    change(bob_alone, &path);
    eventually("bob is an admin", || (bearer(&mut bob, "bob", "GET /metrics").status == 200).then_some(()));
    assert_eq!(bearer(&mut jane, "jane", "GET /v1/clients/none").status, 401);
    change(String::new(), &path);
    change("[users".to_owned(), &path);
    assert_eq!(bearer(&mut bob, "bob", "GET /metrics").status, 200);
}

#[test]
fn right_tokens_are_answered_while_wrong_ones_wait() {
    let limits = Limits { connections_max: 100, ..Limits::default() };
    let (server, http, _dir) = with_users("", |config| Config { limits, ..config });
    let wrong = "GET /v1/status HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer wrong\r\n\r\n";
    // More than may wait at once, each with more than one to answer.
    let mut guessing: Vec<Talk> = (0..40).map(|_| Talk::with(http)).collect();
    for talk in &mut guessing {
        talk.send(wrong.repeat(2));
    }
    let mut jane = Talk::with(http);
    for _ in 0..20 {
        assert_eq!(bearer(&mut jane, "jane", "GET /v1/clients/none").status, 404);
    }
    let refused = eventually("some are refused at once", || {
        let rows = server.member.metrics.rows();
        let failed = rows.iter().find(|row| row.name == "logins_failed").unwrap().value;
        (failed >= 40).then_some(failed)
    });
    assert!(refused <= 80, "{refused}");
    // A stop does not wait for those that wait.
    server.stop();
}
