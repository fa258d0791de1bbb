//! Reports of OwnTracks that are encrypted, over real sockets: what is kept, what is answered, and what is refused so
//! that a phone keeps its point.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::harness::{Talk, TestServer};
use super::http::{Answer, ask, server};
use crate::config::{Config, OwnTracksKeys};
use crate::proto::http::form;
use crate::proto::http::phones::encrypted::Key;

const POINT: &str = "{\"_type\":\"location\",\"lat\":1.5,\"lon\":2,\"tst\":1700000000,\"tid\":\"xx\"}";

fn with_keys(text: &str) -> (TestServer, SocketAddr) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.toml");
    fs::write(&path, text).unwrap();
    let owntracks_keys = Some(OwnTracksKeys::load(&path).unwrap());
    server(|config| Config { owntracks_keys, ..config })
}

fn post(talk: &mut Talk, user: &str, body: &str) -> Answer {
    let fields = format!("X-Limit-U: {user}\r\nX-Limit-D: phone\r\nContent-Length: {}", body.len());
    ask(talk, &format!("POST /pub HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n{body}"))
}

fn sealed(secret: &str, nonce: u8, message: &str) -> String {
    String::from_utf8(Key::of(secret).unwrap().seal([nonce; 24], message.as_bytes())).unwrap()
}

/// The array in an encrypted answer.
fn opened(secret: &str, answer: &Answer) -> String {
    let value: Value = serde_json::from_str(&answer.body).unwrap();
    let (kind, data) = (&value["_type"], value["data"].as_str());
    assert_eq!((answer.status, kind, value.as_object().unwrap().len()), (200, &Value::from("encrypted"), 2));
    String::from_utf8(Key::of(secret).unwrap().open(data.unwrap()).unwrap()).unwrap()
}

#[test]
fn encrypted_reports_are_kept_and_answered_encrypted() {
    let (server, http) = with_keys("jane = 'one'\n'joe/phone' = 'two'\n");
    let mut talk = Talk::with(http);
    let first = post(&mut talk, "jane", &sealed("one", 1, POINT));
    assert_eq!(opened("one", &first), "[]");
    let joe = POINT.replace("1.5", "7.5");
    let second = post(&mut talk, "joe", &sealed("two", 1, &joe));
    assert!(opened("two", &second).contains("\"tid\":\"jane phone\""), "{}", second.body);
    // Every message is encrypted by the apps, and each answer has a nonce of its own.
    let lwt = sealed("one", 2, "{\"_type\":\"lwt\",\"tst\":5}");
    let answers = [post(&mut talk, "jane", &lwt), post(&mut talk, "jane", &lwt)];
    assert!(answers.iter().all(|answer| opened("one", answer).contains("joe phone")));
    assert_ne!(answers[0].body, answers[1].body);
    // A phone of which a key is known is told of no friends in plain text.
    assert_eq!(post(&mut talk, "jane", POINT).body, "[]");
    assert!(post(&mut talk, "ann", POINT).body.contains("jane phone"));
    assert_eq!(server.clients_known(), 3);
}

#[test]
fn phones_keep_what_cannot_be_decrypted_and_lose_what_is_none() {
    let (server, http) = with_keys("jane = 'one'\n");
    let mut talk = Talk::with(http);
    let inner = sealed("one", 1, POINT);
    let cut: String = inner.replace("\"}", "").chars().take(60).collect();
    let long = format!("{{\"_type\":\"encrypted\",\"data\":\"{}\"}}", "A".repeat(300_000));
    for (user, body, status, why) in [
        ("jane", sealed("two", 1, POINT), 503, "another key"),
        ("joe", sealed("one", 1, POINT), 503, "no key of this client"),
        ("jane", sealed("one", 1, &inner), 400, "encrypted twice"),
        ("jane", sealed("one", 1, "lat=1"), 400, "no JSON object"),
        ("jane", sealed("one", 1, "{\"_type\":\"new\"}"), 400, "_type is unknown"),
        ("jane", "{\"_type\":\"encrypted\",\"data\":\"?\"}".to_owned(), 400, "no Base64"),
        ("jane", "{\"_type\":\"encrypted\"}".to_owned(), 400, "no data"),
        ("jane", format!("{cut}\"}}"), 400, "no Base64"),
        ("jane", long, 400, "no Base64"),
    ] {
        let answer = post(&mut talk, user, &body);
        assert!(answer.status == status && answer.body.contains(why), "{body:.100}: {}", answer.body);
        assert_eq!(answer.head.contains("Retry-After"), status == 503);
    }
    let rows = server.member.metrics.rows();
    assert_eq!(rows.iter().find(|row| row.name == "not_decrypted").unwrap().value, 2);
    assert_eq!(server.clients_known(), 0);
}

fn skipped(missing: &str) {
    // The other side may be gone.
    let _ =
        writeln!(std::io::stderr(), "skipped: this needs {missing} (Debian: apt-get install python3-nacl)");
}

#[test]
fn libsodium_reads_what_is_encrypted_here_and_the_other_way_round() {
    const PROGRAM: &str = "import sys, base64, nacl.bindings as n\n\
        key, nonce = sys.argv[1].encode().ljust(32, b'\\0'), bytes(range(24))\n\
        sealed = base64.b64decode(sys.stdin.read())\n\
        plain = n.crypto_secretbox_open(sealed[24:], sealed[:24], key)\n\
        print(base64.b64encode(nonce + n.crypto_secretbox(plain[::-1], nonce, key)).decode())\n";
    for (secret, message) in [("s3cret", POINT), (&*"k".repeat(32), ""), ("\u{e9}", &*"x".repeat(5_000))] {
        let sealed: Value = serde_json::from_str(&sealed(secret, 9, message)).unwrap();
        let mut command = Command::new("/usr/bin/python3");
        command
            .args(["-c", PROGRAM, secret])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let Ok(mut python) = command.spawn() else {
            skipped("python3");
            return;
        };
        // One without the library does not read it.
        let _ = python.stdin.take().unwrap().write_all(sealed["data"].as_str().unwrap().as_bytes());
        let output = python.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("No module named 'nacl'") {
            skipped("PyNaCl");
            return;
        }
        assert!(output.status.success(), "{said}");
        let back = String::from_utf8(output.stdout).unwrap();
        assert!(form::base64(back.trim()).is_some(), "{back}");
        let reversed: String = message.chars().rev().collect();
        assert_eq!(Key::of(secret).unwrap().open(back.trim()).unwrap(), reversed.as_bytes());
    }
}
