//! Share links, and the picture of the herd, over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::events::streams::Events;
use super::harness::{Talk, TestServer, catalogue, config, eventually, herd};
use super::http::{Answer, ask, server};
use super::http_access::with_users;
use crate::client::http::{ANSWER_TIME_MAX, Server};
use crate::config::{Auth, Config, Herd, Member};
use crate::proto::http::share::Share;
use crate::proto::model::era::Era;
use crate::proto::model::secret::Secret;
use crate::tests::free_address::free_address;

fn secret() -> Secret {
    Secret::parse(b"of this herd: 0123456789abcdef").unwrap()
}

/// Two linked servers of a herd with a secret, and their ports for HTTP.
fn pair() -> ([TestServer; 2], [SocketAddr; 2]) {
    let plain = herd(&["Alford", "Bolden"], &[("Alford", "Bolden")], true);
    let http = [free_address(), free_address()];
    let members = plain.members().iter().zip(http);
    let members = members.map(|(member, http)| Member { http: Some(http.into()), ..member.clone() });
    let herd = Herd::new(members.collect(), plain.links().to_vec(), true).unwrap();
    let start = |name| {
        TestServer::with(&Config { auth: Auth::Secrets(vec![secret()]), ..config(&herd, name) }, catalogue())
    };
    ([start("Alford"), start("Bolden")], http)
}

fn report(server: &TestServer, client: &str) {
    assert!(server.client().ask(&format!("IAMAT {client} +1+1 1700000000")).starts_with("AT "));
}

fn post(http: SocketAddr, body: &Value, fields: &str) -> Answer {
    let body = body.to_string();
    let length = body.len();
    let head =
        format!("POST /v1/shares HTTP/1.1\r\nHost: herd.localhost:80\r\n{fields}Content-Length: {length}");
    ask(&mut Talk::with(http), &format!("{}\r\n\r\n{body}", head.replace("herd.localhost:80", "localhost")))
}

fn made(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

/// A request of a guest, who comes through a proxy.
fn guest(http: SocketAddr, token: &str, line: &str) -> Answer {
    let fields = format!("Host: herd.example\r\nVia: 1.1 proxy\r\nAuthorization: Bearer {token}");
    ask(&mut Talk::with(http), &format!("{line} HTTP/1.1\r\n{fields}\r\n\r\n"))
}

#[test]
fn every_server_honours_a_link_for_one_client_until_that_is_forgotten() {
    let (servers, http) = pair();
    report(&servers[0], "jane");
    report(&servers[0], "joe");
    let share = made(&post(http[0], &json!({ "client": "jane", "for": "2h" }), ""));
    let token = share["token"].as_str().unwrap();
    assert_eq!(share["url"], json!(format!("http://localhost/#share={token}")));
    let origin = post(http[0], &json!({ "client": "jane", "for": "2h" }), "Origin: https://localhost\r\n");
    assert!(made(&origin)["url"].as_str().unwrap().starts_with("https://localhost/#share="));

    eventually("both are known there", || (servers[1].clients_known() == 2).then_some(()));
    assert_eq!(guest(http[1], token, "GET /v1/clients/jane").status, 200);
    for path in [format!("/v1/clients/jane?token={token}"), format!("/t/{token}/v1/clients/jane")] {
        let found =
            ask(&mut Talk::with(http[1]), &format!("GET {path} HTTP/1.1\r\nHost: herd.example\r\n\r\n"));
        assert_eq!(found.status, 200, "{path}");
    }
    for (line, status) in [
        ("GET /v1/clients/joe", 404),
        ("GET /v1/clients/none", 404),
        ("DELETE /v1/clients/jane", 403),
        ("GET /v1/clients/jane/nearby", 403),
        ("GET /v1/clients?box=0,0,5,5", 403),
        ("GET /v1/status", 403),
        ("GET /v1/herd", 403),
        ("GET /metrics", 403),
        ("POST /?id=jane&lat=1&lon=2&timestamp=1700000009", 403),
        ("POST /v1/shares", 403),
    ] {
        assert_eq!(guest(http[1], token, line).status, status, "{line}");
    }
    let fields = format!("Authorization: Bearer {token}\r\n");
    let mut here = Events::of(http[0], &format!("?token={token}&box=50,50,60,60&client=joe"), "");
    let mut there = Events::of(http[1], "", &fields);
    for events in [&mut here, &mut there] {
        assert_eq!(events.until("current"), ["reset", "client jane", "current"]);
    }
    let mut changed = token.to_owned();
    let last = changed.pop();
    changed.push(if last == Some('A') { 'E' } else { 'A' });
    let other = Secret::parse(b"of another herd: 0123456789abcdef").unwrap();
    let endless = Share { client: "jane".to_owned(), era: Era::FIRST, until_s: u64::MAX };
    assert_eq!(guest(http[1], &endless.token(&secret()), "GET /v1/clients/jane").status, 200);
    for wrong in [&*changed, &endless.token(&other), "share.", "share.AAAA.AAAA"] {
        assert_eq!(guest(http[1], wrong, "GET /v1/clients/jane").status, 401, "{wrong}");
    }

    let forget = "DELETE /v1/clients/jane HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(ask(&mut Talk::with(http[1]), forget).status, 204);
    for events in [&mut here, &mut there] {
        assert_eq!(events.until("gone"), ["gone jane"]);
        assert!(events.has_ended());
    }
    // She comes back, as another.
    assert!(servers[1].client().ask("IAMAT jane +2+2 1700000100").starts_with("AT "));
    eventually("she is known here", || servers[0].member.locate(b"jane"));
    for http in http {
        let refused = guest(http, token, "GET /v1/clients/jane");
        assert!(refused.status == 401 && refused.body.contains("has ended"), "{}", refused.body);
        assert_eq!(guest(http, token, "GET /v1/events").status, 401);
    }
}

#[test]
fn links_end_in_time_and_streams_with_them() {
    let (servers, http) = pair();
    report(&servers[0], "jane");
    let share = made(&post(http[0], &json!({ "client": "jane", "for": "2s" }), ""));
    let token = share["token"].as_str().unwrap();
    let mut events = Events::of(http[0], &format!("?token={token}"), "");
    assert_eq!(events.until("current"), ["reset", "client jane", "current"]);
    assert!(events.has_ended());
    assert!(guest(http[0], token, "GET /v1/clients/jane").body.contains("has ended"));
}

#[test]
fn mistakes_in_shares_say_what_to_change() {
    let (servers, http) = pair();
    report(&servers[0], "jane");
    for (body, status, why) in [
        (json!({ "client": "none", "for": "2h" }), 404, "nothing is known"),
        (json!({ "client": "jane" }), 400, "the body is not"),
        (json!({ "client": "jane", "for": 5 }), 400, "the body is not"),
        (json!({ "client": "jane", "for": "2h", "x": 1 }), 400, "the body is not"),
        (json!({ "client": "jane", "for": "x" }), 400, "for is no time from 1s to 30days"),
        (json!({ "client": "jane", "for": "31days" }), 400, "for is no time"),
        (json!({ "client": "jane", "for": "0s" }), 400, "for is no time"),
    ] {
        let refused = post(http[0], &body, "");
        assert!(refused.status == status && refused.body.contains(why), "{body}: {}", refused.body);
    }
    let foreign =
        post(http[0], &json!({ "client": "jane", "for": "2h" }), "Origin: https://evil.example\r\n");
    assert_eq!(foreign.status, 403);
    let (alone, without) = server(|config| config);
    report(&alone, "jane");
    let refused = post(without, &json!({ "client": "jane", "for": "2h" }), "");
    assert!(refused.status == 409 && refused.body.contains("--secret-file"), "{}", refused.body);
    assert_eq!(guest(without, "share.AAAA.AAAA", "GET /v1/clients/jane").status, 401);

    let program = Server { url: format!("http://{}/", http[0]), ..Server::default() };
    let asked = program.open().unwrap();
    let made = asked.post("/v1/shares", &json!({ "client": "jane", "for": "2h" }), ANSWER_TIME_MAX).unwrap();
    assert!(made["token"].as_str().unwrap().starts_with("share."));
    let refused =
        asked.post("/v1/shares", &json!({ "client": "none", "for": "2h" }), ANSWER_TIME_MAX).unwrap_err();
    let refused = refused.to_string();
    assert!(refused.ends_with("nothing is known of this client"), "{refused}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "a b\n").unwrap();
    let program = Server { token_file: Some(file), ..program };
    assert!(program.open().err().unwrap().to_string().contains("it holds no token"));
    let absent = Server { url: format!("http://{}", free_address()), ..Server::default() };
    assert!(absent.open().unwrap().get("/v1/herd").unwrap_err().to_string().contains("is it running?"));
}

#[test]
fn users_share_what_they_may_see_and_links_end_before_forgotten_clients_are_no_more() {
    let (server, http, _dir) = with_users("", |mut config| {
        config.herd.expire_after = Some(Duration::from_secs(3_600));
        Config { auth: Auth::Secrets(vec![secret()]), ..config }
    });
    let line = "IAMAT joe/phone +1+1 ";
    let now = crate::os::clock::now().seconds;
    assert!(server.client().ask(&format!("{line}{now}")).starts_with("AT "));
    let share = |user: &str, time: &str| {
        let login = format!("Authorization: Bearer {user}-token\r\n");
        post(http, &json!({ "client": "joe/phone", "for": time }), &login)
    };
    assert_eq!(share("bob", "1h").status, 404, "he may not see him");
    assert!(share("jane", "2h").body.contains("to 1h"), "{}", share("jane", "2h").body);
    let token = made(&share("jane", "1h"))["token"].as_str().unwrap().to_owned();
    assert_eq!(guest(http, &token, "GET /v1/clients/joe%2Fphone").status, 200);
    assert_eq!(guest(http, &token, "GET /v1/status").status, 403);
    assert_eq!(guest(http, &format!("{token}x"), "GET /v1/clients/joe%2Fphone").status, 401);
    let mut events = Events::of(http, &format!("?token={token}"), "");
    assert_eq!(events.until("current"), ["reset", "client joe/phone", "current"]);
}

#[test]
fn herd_is_shown_from_each_server_and_to_admins_alone() {
    let (servers, http) = pair();
    report(&servers[0], "jane");
    let seen = |http: SocketAddr| -> Value {
        let found = super::http::get(&mut Talk::with(http), "/v1/herd");
        assert_eq!(found.status, 200);
        assert!(!found.body.contains("0123456789abcdef"));
        serde_json::from_str(&found.body).unwrap()
    };
    let herd = eventually("the link is up, and has sent a report", || {
        let herd = seen(http[0]);
        let link = &herd["links"][0];
        (link["is_up"] == true && link["updates_sent"] == 1 && link["updates_unacknowledged"] == 0)
            .then_some(herd)
    });
    assert_eq!(herd["server"], "Alford");
    assert_eq!(herd["herd_links"], json!([["Alford", "Bolden"]]));
    let own = &herd["servers"][0];
    assert_eq!(
        (&own["name"], &own["is_self"], &own["http"]),
        (&json!("Alford"), &json!(true), &json!(http[0].to_string()))
    );
    let link = &herd["links"][0];
    assert_eq!((&link["peer"], &link["is_legacy"]), (&json!("Bolden"), &json!(false)));
    assert!(link["updates_sent_per_second"].as_f64().unwrap() > 0.0 && link["since_s"].is_u64());
    let there = eventually("it has received it", || {
        let there = seen(http[1]);
        (there["links"][0]["updates_received"] == 1).then_some(there)
    });
    assert_eq!((&there["server"], &there["servers"][0]["is_self"]), (&json!("Bolden"), &json!(false)));
    let [one, other] = servers;
    drop(other);
    eventually("the link is down, with a reason", || {
        let link = &seen(http[0])["links"][0];
        (link["is_up"] == false && link["last_error"]["what"].is_string()).then_some(())
    });
    drop(one);
    let (_server, http, _dir) = with_users("", |config| config);
    let ask_as = |user: &str| {
        let login = format!("Authorization: Bearer {user}-token");
        ask(&mut Talk::with(http), &format!("GET /v1/herd HTTP/1.1\r\nHost: a\r\n{login}\r\n\r\n")).status
    };
    assert_eq!((ask_as("ann"), ask_as("jane")), (200, 403));
}
