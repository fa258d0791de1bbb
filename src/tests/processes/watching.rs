//! Streams of events as curl reads them, and links as `proxyherd share` makes them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{ChildStdout, Command, Stdio};

use proxyherd::config::TokenHash;
use rustix::process::Signal;

use crate::free_address::free_address;
use crate::programs::{Running, program};
use crate::real::{RealHerd, ask, eventually};

/// Two linked servers with a secret and ports for HTTP, which have not been started.
fn herd() -> (RealHerd, [SocketAddr; 2]) {
    let options = ["--secret-file", "secret"];
    let herd = RealHerd::new(&["Alford", "Bolden"], &[("Alford", "Bolden")], &options);
    let http = [free_address(), free_address()];
    let file = herd.path("herd.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    for (server, http) in ["Alford", "Bolden"].into_iter().zip(http) {
        let table = format!("[servers.{server}]\n");
        text = text.replace(&table, &format!("{table}http = \"{http}\"\n"));
    }
    fs::write(&file, text).unwrap();
    fs::write(herd.path("secret"), "0123456789abcdef").unwrap();
    (herd, http)
}

/// curl that reads a stream, and what it has read of it.
struct Curl {
    _running: Running,
    lines: BufReader<ChildStdout>,
    id: String,
}

impl Curl {
    fn reads(url: &str, field: &str) -> Option<Curl> {
        let mut command = Command::new(program("curl", "curl")?);
        command.args(["-sN", "-H", field, url]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Some(Curl { _running: Running(child), lines, id: String::new() })
    }

    /// All events up to the one of this kind, in short; none behind the end.
    fn until(&mut self, last: &str) -> Vec<String> {
        let (mut told, mut line, mut event) = (Vec::new(), String::new(), String::new());
        while self.lines.read_line(&mut line).unwrap() > 0 {
            match std::mem::take(&mut line).trim_end().split_once(": ") {
                Some(("id", id)) => self.id = id.to_owned(),
                Some(("event", name)) => event = name.to_owned(),
                Some(("data", data)) => {
                    let data: serde_json::Value = serde_json::from_str(data).unwrap();
                    told.push(format!("{event} {}", data["client"].as_str().unwrap_or_default()));
                    if event == last {
                        break;
                    }
                }
                Some(_) | None => {}
            }
        }
        told
    }
}

#[test]
fn curl_is_told_of_what_happens_at_the_other_server_and_after_a_crash_of_everything() {
    let (mut herd, http) = herd();
    herd.start_one("Alford");
    herd.start_one("Bolden");
    let url = format!("http://{}/v1/events?box=0,0,9,9", http[1]);
    let Some(mut curl) = Curl::reads(&url, "X: y") else { return };
    assert_eq!(curl.until("current"), ["reset ", "current "]);
    assert!(ask(&mut herd.client("Alford"), "IAMAT kiwi +1+1 1900000000").starts_with("AT "));
    assert!(ask(&mut herd.client("Alford"), "IAMAT moa +2+2 1900000000").starts_with("AT "));
    assert_eq!([curl.until("client"), curl.until("client")].concat(), ["client kiwi", "client moa"]);
    assert_eq!(herd.run(&["forget", "Alford", "kiwi"]).status.code(), Some(0));
    assert_eq!(curl.until("gone"), ["gone kiwi"]);
    let id = format!("Last-Event-ID: {}", curl.id);
    assert_eq!(Curl::reads(&url, &id).unwrap().until("current"), ["current "]);
    herd.kill_one("Bolden");
    assert_eq!(curl.until("current"), [""; 0], "the stream has ended");
    herd.start_one("Bolden");
    let told = eventually("it has read its journal", || {
        let told = Curl::reads(&url, &id).unwrap().until("current");
        (told.len() == 3).then_some(told)
    });
    assert_eq!(told, ["reset ", "client moa", "current "], "another run, so everything");
}

#[test]
fn share_prints_a_link_that_the_other_server_honours() {
    let (mut herd, http) = herd();
    herd.start_one("Alford");
    herd.start_one("Bolden");
    assert!(ask(&mut herd.client("Alford"), "IAMAT kiwi +1+1 1900000000").starts_with("AT "));
    let url = format!("http://{}", http[0]);
    let output = herd.run(&["share", "kiwi", "--for", "2h", "--url", &url]);
    let link = String::from_utf8(output.stdout).unwrap();
    let token = link.trim_end().strip_prefix(&format!("{url}/#share=")).expect(&link);
    let there = format!("http://{}/v1/events", http[1]);
    let Some(mut curl) = Curl::reads(&there, &format!("Authorization: Bearer {token}")) else { return };
    assert_eq!(curl.until("client").last().unwrap(), "client kiwi");
    assert_eq!(herd.run(&["forget", "Alford", "kiwi"]).status.code(), Some(0));
    assert_eq!(curl.until("never").last().unwrap(), "gone kiwi", "and then the stream has ended");
    for (words, why) in [
        (&["share", "none", "--for", "2h", "--url", &url][..], "nothing is known of this client"),
        (&["share", "kiwi", "--for", "soon", "--url", &url], "for is no time from 1s to 30days"),
        (&["share", "kiwi", "--for", "2h", "--url", "http://127.0.0.1:1"], "is it running?"),
    ] {
        let output = herd.run(words);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && complaint.contains(why), "{words:?}: {complaint}");
    }
}

#[test]
fn sighup_ends_the_streams_of_tokens_that_were_revoked() {
    let (mut herd, http) = herd();
    let file = |token: &str| format!("[users.jane]\ntokens = ['{}']\n", TokenHash::of(token.as_bytes()));
    fs::write(herd.path("access.toml"), file("one")).unwrap();
    herd.spawn_with_options("Alford", &["--access", "access.toml"]);
    herd.wait_until_ready("Alford");
    let url = format!("http://{}/v1/events", http[0]);
    let Some(mut curl) = Curl::reads(&url, "Authorization: Bearer one") else { return };
    assert_eq!(curl.until("current"), ["reset ", "current "]);
    fs::write(herd.path("access.toml"), file("two")).unwrap();
    herd.signal("Alford", Signal::HUP);
    assert_eq!(curl.until("never"), [""; 0], "the stream has ended");
}
