//! The door of HTTP: what OwnTracks sends is answered alike by the threaded server and by the one on hyper.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use proxyherd::config::Member;

use crate::kinds::{HYPER, Kind, THREADS};
use crate::served::Served;

/// Requests of the apps, each with its answer.
const TRANSCRIPT: &str = include_str!("../../../../src/tests/http_transcripts/owntracks.txt");

#[test]
fn hyper_answers_reports_as_the_threaded_server_does() {
    // The variant knows no friends.
    let threads = Kind { args: &["--friends-max", "0"], ..THREADS };
    let servers =
        [threads, HYPER].map(|kind| Served::start(kind, |member, at| Member { http: Some(at), ..member }));
    let [mut threads, mut hyper] = servers.each_ref().map(Served::talk);
    let mut asked = 0;
    for (request, status) in reports() {
        let answers = [&mut threads, &mut hyper].map(|talk| ask(talk, &request));
        assert_eq!(answers[0], answers[1], "{request}");
        assert_eq!(answers[0].0, status, "{request}");
        asked += 1;
    }
    assert!(asked > 5, "only {asked}");
}

/// The reports to the path that both serve, and one that is none, each with its status.
fn reports() -> impl Iterator<Item = (String, u16)> {
    let bad = "POST /pub HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}".to_owned();
    // The variant decrypts nothing.
    let is_served = |block: &&str| block.starts_with("POST /pub") && !block.contains("\"encrypted\"");
    let blocks = TRANSCRIPT.split("====\n").skip(1).filter(is_served);
    let of_apps = blocks.map(|block| {
        let (request, answer) = block.split_once("---- ").unwrap();
        let (head, body) = request.split_once("\n\n").unwrap();
        let request = format!("{}\r\n\r\n{}", head.replace('\n', "\r\n"), body.trim_end_matches('\n'));
        (request, answer.split_once('\n').unwrap().0.parse().unwrap())
    });
    of_apps.chain([(bad, 400)])
}

/// Asks; returns the status of the answer, what its fields say but for the time, and its body.
fn ask(talk: &mut BufReader<TcpStream>, request: &str) -> (u16, Vec<String>, String) {
    talk.get_ref().write_all(request.as_bytes()).unwrap();
    let mut line = || {
        let mut line = String::new();
        talk.read_line(&mut line).unwrap();
        line
    };
    let status = line().split(' ').nth(1).unwrap().parse().unwrap();
    let mut fields = Vec::new();
    loop {
        let line = line().trim_end().to_lowercase();
        match line.as_str() {
            "" => break,
            date if date.starts_with("date: ") => {}
            field => fields.push(field.to_owned()),
        }
    }
    fields.sort_unstable();
    let length = fields.iter().find_map(|field| field.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    talk.read_exact(&mut body).unwrap();
    (status, fields, String::from_utf8(body).unwrap())
}
