//! The door of HTTP over real sockets: what apps send, byte for byte, and what programs and attackers do.

use std::io::Write;
use std::net::SocketAddr;

use super::harness::{Talk, TestServer, catalogue, config, herd};
use crate::config::{Config, Durability, Herd, JournalOptions, Limits, Member};
use crate::tests::free_address::free_address;

/// Recorded requests, each with the status and the body of its answer, and with what is known after it.
pub(super) const TRANSCRIPTS: [(&str, &str); 4] = [
    ("owntracks", include_str!("http_transcripts/owntracks.txt")),
    ("traccar", include_str!("http_transcripts/traccar.txt")),
    ("overland", include_str!("http_transcripts/overland.txt")),
    ("gpslogger", include_str!("http_transcripts/gpslogger.txt")),
];

/// An answer: its status, its head and its body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

/// A server with a port for HTTP, and that port.
pub(super) fn server(changed: impl FnOnce(Config) -> Config) -> (TestServer, SocketAddr) {
    let name = &herd(&["Alford"], &[], true).members()[0].clone();
    let http = free_address();
    let member = Member { http: Some(http.into()), ..name.clone() };
    let herd = Herd::new(vec![member], Vec::new(), true).unwrap();
    (TestServer::with(&changed(config(&herd, "Alford")), catalogue()), http)
}

/// Reads one answer.
fn answer(talk: &mut Talk) -> Answer {
    let mut head = String::new();
    loop {
        let line = talk.line();
        let line = line.strip_suffix('\r').expect("all lines of a head end with CR and LF");
        if line.is_empty() {
            break;
        }
        head += &format!("{line}\n");
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let length = length.map_or(0, |length| length.parse().unwrap());
    Answer { status, head, body: talk.bytes(length) }
}

pub(super) fn ask(talk: &mut Talk, request: &str) -> Answer {
    talk.send(request);
    answer(talk)
}

pub(super) fn get(talk: &mut Talk, path: &str) -> Answer {
    ask(talk, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

/// Whether a text is as expected, in which `*` stands for anything.
fn is_like(text: &str, expected: &str) -> bool {
    let mut rest = text;
    let mut parts = expected.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(after) = rest.strip_prefix(first) else { return false };
    rest = after;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || expected.ends_with('*')
}

#[test]
fn what_apps_send_is_understood() {
    for (name, transcript) in TRANSCRIPTS {
        let (server, http) = server(|config| config);
        let mut talk = Talk::with(http);
        for block in transcript.split("====\n").skip(1) {
            let mut parts = block.split("---- ");
            let (head, body) = parts.next().unwrap().split_once("\n\n").unwrap();
            let body = body.trim_end_matches('\n');
            let request = format!("{}\r\n\r\n{body}", head.replace('\n', "\r\n"));
            let asked = |status: u16, found: &Answer, expected: &str| {
                let is_problem = expected.starts_with("* ");
                let is_right = if is_problem {
                    found.body.contains(expected.trim_matches(['*', ' ']))
                } else {
                    is_like(&found.body, expected)
                };
                assert!(
                    found.status == status && is_right,
                    "{name}: {request}\n{} {}\nand not {status} {expected}",
                    found.status,
                    found.body
                );
            };
            let found = ask(&mut talk, &request);
            let (status, expected) = parts.next().unwrap().split_once('\n').unwrap();
            asked(status.parse().unwrap(), &found, expected.trim_end_matches('\n'));
            for part in parts {
                let (path, expected) = part.strip_prefix("GET ").unwrap().split_once('\n').unwrap();
                let found = get(&mut talk, path);
                match expected.trim_end_matches('\n') {
                    "404" => asked(404, &found, "*"),
                    expected => asked(200, &found, expected),
                }
            }
        }
        assert!(server.clients_known() > 0);
    }
}

#[test]
fn report_over_http_is_one_for_line_clients_too() {
    let (server, http) = server(|config| config);
    let mut talk = Talk::with(http);
    let report = "POST /?id=jane/phone&lat=34.068930&lon=-118.445127&timestamp=1621464827 HTTP/1.1\r\n\
                  Host: [::1]:80\r\n\r\n";
    assert_eq!(ask(&mut talk, report).status, 200);
    let reply = server.client().ask("WHATSAT jane/phone 10 5");
    assert!(
        reply.starts_with("AT Alford +") && reply.ends_with(" jane/phone +34.068930-118.445127 1621464827"),
        "{reply}"
    );
    let near = get(&mut talk, "/v1/clients/jane%2Fphone/nearby?radius=10&limit=2");
    let near: serde_json::Value = serde_json::from_str(&near.body).unwrap();
    assert_eq!((near["status"].as_str(), near["results"].as_array().map(Vec::len)), (Some("OK"), Some(2)));
    assert_eq!(get(&mut talk, "/v1/clients/jane%2Fphone/nearby?radius=51").status, 400);
    assert_eq!(get(&mut talk, "/v1/clients/joe/nearby").status, 404);

    // A line client's report is asked for over HTTP, as JSON, as GeoJSON, and not again if it is the same.
    server.client().ask("IAMAT kiwi +34.068930-118.445127 1621464827.959498503");
    let kiwi = get(&mut talk, "/v1/clients/kiwi");
    assert!(
        kiwi.body
            .contains("\"latitude\":34.068930,\"longitude\":-118.445127,\"time\":\"1621464827.959498503\"")
    );
    let tag = kiwi.head.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap().to_owned();
    let again = format!("GET /v1/clients/kiwi HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {tag}\r\n\r\n");
    assert_eq!(ask(&mut talk, &again).status, 304);
    let geojson = "GET /v1/clients/kiwi HTTP/1.1\r\nHost: localhost\r\nAccept: application/geo+json\r\n\r\n";
    let feature: serde_json::Value = serde_json::from_str(&ask(&mut talk, geojson).body).unwrap();
    assert_eq!(feature["geometry"]["coordinates"], serde_json::json!([-118.445127, 34.068930]));

    let head = talk.send("HEAD /v1/clients/kiwi HTTP/1.1\r\nHost: localhost\r\n\r\n").line();
    assert_eq!(head, "HTTP/1.1 200 OK\r");
    while talk.line() != "\r" {}
    let forget = "DELETE /v1/clients/kiwi HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!((ask(&mut talk, forget).status, ask(&mut talk, forget).status), (204, 204));
    assert_eq!(get(&mut talk, "/v1/clients/kiwi").status, 404);
    assert_eq!(server.client().ask("WHATSAT kiwi 10 5"), "? WHATSAT kiwi 10 5");
}

#[test]
fn requests_may_come_in_a_row_and_in_pieces() {
    let (_server, http) = server(|config| config);
    let mut talk = Talk::with(http);
    let one = "POST /pub?u=a&d=b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
               3c\r\n{\"_type\":\"location\",\"lat\":1.5,\"lon\":2,\"tst\":1700000000,\"t\":\"\r\n\
               2\r\nu\"\r\n1\r\n}\r\n0\r\n\r\n";
    talk.send(one.repeat(3) + "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    (0..3).for_each(|_| assert_eq!(answer(&mut talk).body, "[]"));
    assert_eq!(answer(&mut talk).body, "{\"status\":\"ok\"}");
    for byte in one.bytes() {
        talk.socket.write_all(&[byte]).unwrap();
    }
    assert_eq!(answer(&mut talk).body, "[]");
    talk.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 26\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!((talk.line(), talk.line()), ("HTTP/1.1 100 Continue\r".to_owned(), "\r".to_owned()));
    assert_eq!(ask(&mut talk, "id=c&lat=1&lon=2&timestamp").status, 200);
    let closed = ask(&mut talk, "GET / HTTP/1.0\r\n\r\n");
    assert!(closed.head.contains("Connection: close") && talk.line_or_end().is_none());
}

#[test]
fn web_pages_proxies_and_other_names_are_kept_out() {
    let (server, http) = server(|config| config);
    let report = "GET /?id=a&lat=1&lon=2&timestamp=1700000000";
    let mut server_was_told = false;
    for (fields, status) in [
        ("Host: localhost\r\nOrigin: http://evil.example", 403),
        ("Host: localhost\r\nOrigin: null", 403),
        ("Host: localhost\r\nSec-Fetch-Site: cross-site", 403),
        ("Host: localhost\r\nSec-Fetch-Site: same-site", 403),
        ("Host: localhost\r\nX-Forwarded-For: 10.0.0.1", 403),
        ("Host: localhost\r\nForwarded: for=10.0.0.1", 403),
        ("Host: localhost\r\nVia: 1.1 proxy", 403),
        ("Host: evil.example", 421),
        ("Host: evil.example:12750", 421),
        ("Host: localhost:12750\r\nOrigin: http://localhost:12750\r\nSec-Fetch-Site: same-origin", 200),
        ("Host: 127.0.0.1\r\nSec-Fetch-Site: none", 403),
        ("Host: localhost\r\nReferer: http://evil.example/", 403),
        ("Host: localhost\r\nCF-Connecting-IP: 10.0.0.1", 403),
        ("Host: localhost\r\nX_Forwarded_Host: a", 403),
        ("Host: 127.0.0.1", 200),
    ] {
        let request = format!("{report} HTTP/1.1\r\n{fields}\r\n\r\n");
        assert_eq!(ask(&mut Talk::with(http), &request).status, status, "{fields}");
        let known = server.clients_known();
        assert!(known == 0 || status == 200 || server_was_told, "{fields}");
        server_was_told |= status == 200;
    }
    let page = "DELETE /v1/clients/a HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n";
    assert_eq!(ask(&mut Talk::with(http), page).status, 403);
    // Whether it is well may be asked through a proxy.
    let health = "GET /health HTTP/1.1\r\nHost: herd.example\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n";
    assert_eq!(ask(&mut Talk::with(http), health).status, 200);
}

#[test]
fn errors_are_problems_and_close_only_what_cannot_go_on() {
    let (_server, http) = server(|config| config);
    let mut talk = Talk::with(http);
    for (request, status) in [
        ("GET /nothing HTTP/1.1", 404),
        ("BREW /health HTTP/1.1", 405),
        ("PUT /v1/clients/a HTTP/1.1", 405),
        ("OPTIONS * HTTP/1.1", 404),
        ("GET /v1/clients/a HTTP/1.1", 404),
        ("GET /?lat=1&lon=2&timestamp=5 HTTP/1.1", 400),
        ("GET /?device=x&latitude=1 HTTP/1.1", 400),
        ("GET http://evil.example/health HTTP/1.1", 200),
        ("GET http://evil.example/v1/status HTTP/1.1", 421),
    ] {
        let found = ask(&mut talk, &format!("{request}\r\nHost: localhost\r\n\r\n"));
        assert_eq!(found.status, status, "{request}");
        if status == 200 {
            continue;
        }
        assert!(found.head.contains("Content-Type: application/problem+json"));
        let problem: serde_json::Value = serde_json::from_str(&found.body).unwrap();
        assert_eq!(problem["status"], status);
    }
    for (request, status) in [
        ("IAMAT kiwi +1+1 5\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}", 400),
        ("DELETE /v1/clients/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n\r\n", 413),
        ("POST /overland HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n", 413),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
    ] {
        let mut talk = Talk::with(http);
        let found = ask(&mut talk, request);
        assert_eq!(found.status, status, "{request:?}");
        assert!(found.head.contains("Connection: close") && talk.line_or_end().is_none());
    }
    let head = "POST /overland HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n";
    let batch = format!("{{\"locations\":[],\"trip\":\"{}\"}}", "x".repeat(1_048_576 - 26));
    assert_eq!(batch.len(), 1_048_576);
    assert_eq!(ask(&mut talk, &format!("{head}{batch}")).body, "{\"result\":\"ok\"}");
}

#[test]
fn body_that_says_nothing_is_no_success() {
    let (server, http) = server(|config| config);
    let mut talk = Talk::with(http);
    let post = |path: &str, body: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    for body in [
        "garbage",
        "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb",
        "\u{feff}{\"a\":1}",
        "<xml/>",
    ] {
        assert_eq!(
            ask(&mut talk, &post("/?id=w&lat=1&lon=2", body)).status,
            if body.contains('{') { 200 } else { 400 }
        );
    }
    assert_eq!(server.clients_known(), 1, "the object of JSON says nothing, and the query all");
    talk.send("HEAD /?id=h&lat=1&lon=2 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    while talk.line() != "\r" {}
    assert_eq!(get(&mut talk, "/v1/clients/h").status, 404);
    // A batch of a day may come to the root, too.
    let points: Vec<String> = (0..2_000)
        .map(|n| {
            format!(
                "{{\"id\":\"b\",\"lat\":1.5,\"lon\":2.5,\"timestamp\":{},\"speed\":1}}",
                1_700_000_000 + n
            )
        })
        .collect();
    assert_eq!(ask(&mut talk, &post("/", &format!("[{}]", points.join(",")))).status, 200);
    assert!(get(&mut talk, "/v1/clients/b").body.contains("\"time\":\"1700001999\""));
}

#[test]
fn monitors_see_what_the_log_says() {
    let (server, http) = server(|config| config);
    let mut talk = Talk::with(http);
    server.client().ask("IAMAT kiwi +1+1 5");
    let status: serde_json::Value = serde_json::from_str(&get(&mut talk, "/v1/status").body).unwrap();
    assert_eq!((&status["server"], &status["gauges"]["clients"]), (&"Alford".into(), &1.into()));
    assert_eq!(status["counters"]["applied"], 1);
    let plain = get(&mut talk, "/metrics");
    assert!(plain.head.contains("text/plain; version=0.0.4"), "{}", plain.head);
    assert!(plain.body.contains("# TYPE proxyherd_applied_total counter\nproxyherd_applied_total 1\n"));
    assert!(plain.body.contains("proxyherd_clients 1\n") && !plain.body.contains("kiwi"));
    let accept = "Accept: application/openmetrics-text; version=1.0.0";
    let open = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n\r\n");
    let open = ask(&mut talk, &open);
    assert!(open.body.contains("# TYPE proxyherd_applied counter\nproxyherd_applied_total 1\n"));
    assert!(open.body.ends_with("# EOF\n") && open.head.contains("application/openmetrics-text"));
}

#[test]
fn newcomers_beyond_the_bound_are_to_come_again() {
    let (server, http) =
        server(|config| Config { limits: Limits { clients_max: 1, ..config.limits.clone() }, ..config });
    let report = |id: &str| {
        format!("GET /?id={id}&lat=1&lon=2&timestamp=1700000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    };
    let mut talk = Talk::with(http);
    assert_eq!(ask(&mut talk, &report("a")).status, 200);
    let refused = ask(&mut talk, &report("b"));
    assert!(refused.status == 503 && refused.head.contains("Retry-After: "), "{}", refused.head);
    assert_eq!(ask(&mut talk, &report("a")).status, 200, "a point that is known is one that has arrived");
    assert_eq!(server.clients_known(), 1);
}

#[test]
fn acknowledged_points_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let journal = JournalOptions { durability: Durability::Os, dir: dir.path().to_owned() };
    let (before, http) = server(|config| Config { journal: journal.clone(), ..config });
    let report = "GET /?id=a&lat=1&lon=2&timestamp=1700000000&batt=55 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(ask(&mut Talk::with(http), report).status, 200);
    before.stop();
    let (_after, http) = server(|config| Config { journal: journal.clone(), ..config });
    assert!(get(&mut Talk::with(http), "/v1/clients/a").body.contains("\"battery_percent\":55"));
}

#[test]
fn a_value_that_comes_twice_is_the_last_one() {
    let (_server, http) = server(|config| config);
    let mut talk = Talk::with(http);
    for (path, body) in [
        (
            "/pub?u=a&d=b",
            r#"{"_type":"lwt","_type":"location","lat":91,"lat":1.25,"lon":2,"tst":5,"l\u0061t":1.5}"#,
        ),
        (
            "/overland",
            r#"{"locations":[],"locations":[{"geometry":{"coordinates":[9,9],"coordinates":[2,1.5]},
            "properties":{"device_id":"x","device_id":"a/b","timestamp":6}}]}"#,
        ),
        (
            "/",
            r#"{"device_id":"x","device_id":"a/b","location":{"timestamp":7,"coords":{"latitude":9,"latitude":1.5,
            "longitude":2}}}"#,
        ),
    ] {
        let length = body.len();
        let request = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        let found = ask(&mut talk, &(request + body));
        assert_eq!(found.status, 200, "{path}: {}", found.body);
        let client = get(&mut talk, "/v1/clients/a%2Fb").body;
        assert!(client.contains("\"latitude\":1.5,\"longitude\":2,"), "{path}: {client}");
    }
    assert_eq!(get(&mut talk, "/v1/clients/x").status, 404);
}

#[test]
fn name_that_is_too_long_is_no_success() {
    let (server, http) = server(|config| config);
    let mut talk = Talk::with(http);
    let long = "%2F".repeat(400);
    let report =
        |id: &str| format!("POST /?id={id}&lat=1&lon=2&timestamp=5 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // As long as it may be, and one more.
    assert_eq!(ask(&mut talk, &report(&"x".repeat(1_024))).status, 200);
    for name in ["x".repeat(1_025), "a%20b".repeat(300)] {
        let found = ask(&mut talk, &report(&name));
        assert!(found.status == 400 && found.body.contains("more than 1024 bytes"), "{}", found.body);
    }
    let body = "{\"_type\":\"location\",\"lat\":1,\"lon\":2,\"tst\":5}";
    let request = format!(
        "POST /pub?u={long}&d=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(ask(&mut talk, &request).status, 400);
    // In a batch the others count.
    let point = |id: &str| format!("{{\"id\":\"{id}\",\"lat\":1,\"lon\":2,\"timestamp\":5}}");
    let body = format!("[{},{}]", point(&"y".repeat(2_000)), point("z"));
    let request =
        format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!((ask(&mut talk, &request).status, server.clients_known()), (200, 2));
}

#[test]
fn media_types_and_connections_are_as_the_client_says() {
    let (_server, http) = server(|config| config);
    let mut talk = Talk::with(http);
    let report = "POST /?id=a&lat=1&lon=2&timestamp=5 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(ask(&mut talk, report).status, 200);
    for (accept, is_geojson) in [
        ("application/geo+json", true),
        ("application/json;q=0.5, Application/Geo+JSON ; q=0.001", true),
        ("text/html\r\nAccept: application/geo+json", true),
        ("application/geo+json;q=0", false),
        ("application/json, application/geo+json; Q=0.000", false),
        ("application/geo+jsonx", false),
        ("application/*", false),
        ("*/*", false),
    ] {
        let asked = format!("GET /v1/clients/a HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
        let found = ask(&mut talk, &asked);
        assert_eq!(found.head.contains("application/geo+json"), is_geojson, "{accept}");
    }
    let refused = "application/openmetrics-text;version=1.0.0;q=0, text/plain";
    let asked = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {refused}\r\n\r\n");
    assert!(ask(&mut talk, &asked).head.contains("Content-Type: text/plain; version=0.0.4"));
    // HTTP/1.0 ends unless both say that it goes on; 1.1 need not say it.
    let old = "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    for _ in 0..2 {
        assert!(ask(&mut talk, old).head.contains("\nConnection: keep-alive\n"));
    }
    assert!(!get(&mut talk, "/health").head.contains("Connection:"));
    let last = ask(&mut talk, "GET /health HTTP/1.0\r\n\r\n");
    assert!(last.head.contains("Connection: close") && talk.line_or_end().is_none());
}
