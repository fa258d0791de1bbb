//! A provider of places that takes its time, and who waits for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use crate::kinds::{CURRENT, Kind, LOOP, SINGLE, TEXTBOOK, TUNED, TWO_LOOPS};
use crate::processes::Processes;
use crate::talk::WAIT;

#[test]
fn tokio_tuned_serves_others_meanwhile() {
    answers_a_slow_question(TUNED, true);
}

#[test]
fn tokio_textbook_serves_others_meanwhile() {
    answers_a_slow_question(TEXTBOOK, true);
}

#[test]
fn tokio_on_one_thread_serves_others_meanwhile() {
    answers_a_slow_question(CURRENT, true);
}

#[test]
fn epoll_answers_in_the_end() {
    answers_a_slow_question(LOOP, false);
}

#[test]
fn epoll_on_two_threads_answers_in_the_end() {
    answers_a_slow_question(TWO_LOOPS, false);
}

#[test]
fn single_answers_in_the_end() {
    answers_a_slow_question(SINGLE, false);
}

/// The provider answers when it is let go: with `others`, only after another client has been served.
fn answers_a_slow_question(kind: Kind, others: bool) {
    let provider = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", provider.local_addr().unwrap());
    let server = Processes::alone_with(kind, &["--places", "photon", "--places-url", &url]);
    let (asked, wait_until_asked) = mpsc::channel();
    let (let_go, wait) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let (socket, _) = provider.accept().unwrap();
            read_request(&socket);
            asked.send(()).unwrap();
            wait.recv_timeout(WAIT).unwrap();
            let body = r#"{"features":[]}"#;
            let length = body.len();
            write!(&socket, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
                .unwrap();
        });
        let mut talk = server.client("Alford");
        talk.send("IAMAT kiwi +34.068930-118.445127 1621464827.5\nWHATSAT kiwi 10 5\nx\n");
        let line = talk.line();
        assert!(line.starts_with("AT Alford +"), "{line}: what was answered before must not wait");
        wait_until_asked.recv_timeout(WAIT).unwrap();
        if others {
            assert_eq!(server.client("Alford").ask("y"), "? y");
        }
        let_go.send(()).unwrap();
        assert_eq!(talk.line(), line);
        assert_eq!(talk.json()["status"], "ZERO_RESULTS");
        assert_eq!(talk.line(), "? x");
    });
}

/// Reads a request with its body.
fn read_request(socket: &TcpStream) {
    let mut reader = BufReader::new(socket);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
}
