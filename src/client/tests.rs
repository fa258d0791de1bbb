//! The client against small servers on real sockets.

use std::io::{BufRead, BufReader, PipeWriter, Read};
use std::net::{Shutdown, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread;

use super::*;
use crate::proto::model::name::ServerName;

/// Long enough for any machine; a test that waits for it has failed.
const DEADLINE: Duration = Duration::from_secs(20);

/// Holds a conversation with `server`, which is handed the accepted connection.
fn talk(
    input: Input,
    output: &mut impl Write,
    server: impl FnOnce(TcpStream) + Send,
) -> Result<Replies, ClientError> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = Target::Host(listener.local_addr().unwrap().to_string());
    thread::scope(|scope| {
        scope.spawn(move || {
            let (connection, _) = listener.accept().unwrap();
            connection.set_read_timeout(Some(DEADLINE)).unwrap();
            server(connection);
        });
        let stream = connect(&host).unwrap();
        converse(&stream, input, &mut Outputs { replies: output, notes: Vec::new() }, DEADLINE)
    })
}

/// A server that reads one request, and answers with `reply`.
fn answering(reply: &[u8]) -> impl FnOnce(TcpStream) + Send {
    move |connection| {
        BufReader::new(&connection).read_line(&mut String::new()).unwrap();
        (&connection).write_all(reply).unwrap();
    }
}

fn nowhere() -> Outputs<Vec<u8>, Vec<u8>> {
    Outputs { replies: Vec::new(), notes: Vec::new() }
}

fn text(requests: &str) -> Input {
    Input::Text(requests.to_owned())
}

/// An input that is still open, and the keyboard that writes to it.
fn typed() -> (Input, PipeWriter) {
    let (read, write) = io::pipe().unwrap();
    (Input::Stream(File::from(OwnedFd::from(read))), write)
}

#[test]
fn the_end_of_the_input_is_told_to_the_server_when_all_replies_have_come() {
    let mut output = Vec::new();
    let replies = talk(text("hello\nWHATSAT a 1 1"), &mut output, |connection| {
        let mut requests = BufReader::new(&connection);
        let mut line = String::new();
        requests.read_line(&mut line).unwrap();
        (&connection).write_all(b"? hello\n").unwrap();
        // The end of the input ends a line, and only the line is told before its reply has come.
        requests.read_line(&mut line).unwrap();
        assert_eq!(line, "hello\nWHATSAT a 1 1\n");
        connection.set_nonblocking(true).unwrap();
        for part in [&b"AT \xff\r\n{"[..], b"}\n", b"\n"] {
            assert_eq!(requests.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            (&connection).write_all(part).unwrap();
        }
        connection.set_nonblocking(false).unwrap();
        assert_eq!(requests.read(&mut [0]).unwrap(), 0);
        // Its own direction then still works.
        (&connection).write_all(b"AT more\n").unwrap();
    });
    assert_eq!(replies.unwrap(), Replies::Errors);
    assert_eq!(output, b"? hello\nAT \xff\r\n{}\n\nAT more\n", "byte for byte");
}

#[test]
fn a_server_that_answers_at_the_end_is_told_it_after_a_silence() {
    let silence = Duration::from_secs(2);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut connection, _) = listener.accept().unwrap();
    let mut output = Outputs { replies: Vec::new(), notes: Vec::new() };
    let replies = thread::scope(|scope| {
        scope.spawn(move || {
            connection.read_to_end(&mut Vec::new()).unwrap();
            connection.write_all(b"AT a\nAT b\n").unwrap();
        });
        converse(&stream, text("IAMAT a\nIAMAT b\n"), &mut output, silence)
    });
    assert_eq!((replies.unwrap(), output.replies), (Replies::Good, b"AT a\nAT b\n".to_vec()));
}

/// A relay as they are: when one direction has ended it closes both.
fn relay(listener: &TcpListener, server: SocketAddr) {
    let (client, _) = listener.accept().unwrap();
    let server = TcpStream::connect(server).unwrap();
    thread::scope(|scope| {
        for (mut from, mut to) in [(&client, &server), (&server, &client)] {
            scope.spawn(move || {
                // Either end may be gone already.
                let _ = io::copy(&mut from, &mut to);
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    });
}

#[test]
fn every_reply_comes_through_a_relay_that_closes_both_directions_at_once() {
    let server = crate::tests::harness::alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = Target::Host(listener.local_addr().unwrap().to_string());
    let many: String = (1..=20_000).map(|time| format!("IAMAT kiwi +1+1 {time}\n")).collect();
    let cases = [
        ("IAMAT kiwi +1+1 1".to_owned(), 1, Replies::Good),
        ("WHATSAT kiwi 1 1\n".to_owned(), 0, Replies::Good),
        (many + "WHATSAT kiwi 1 1", 20_000, Replies::Good),
        ("\r\nWHATSAT emu 1 1\nWHATSAT kiwi 1 1\nlast".to_owned(), 0, Replies::Errors),
    ];
    for (requests, reports, expected) in cases {
        let (lines, has_question) = (requests.lines().count(), requests.contains("WHATSAT kiwi"));
        let mut output = Outputs { replies: Vec::new(), notes: Vec::new() };
        let replies = thread::scope(|scope| {
            scope.spawn(|| relay(&listener, server.clients));
            converse(&connect(&host).unwrap(), Input::Text(requests), &mut output, DEADLINE)
        });
        assert_eq!(replies.unwrap(), expected);
        let replies = String::from_utf8(output.replies).unwrap();
        let begun = replies.lines().filter(|line| line.starts_with("AT ") || line.starts_with("? ")).count();
        assert_eq!((begun, replies.ends_with("}\n\n")), (lines, has_question && expected == Replies::Good));
        assert!(begun >= reports);
    }
}

#[test]
fn error_lines_are_noticed_wherever_they_are() {
    let cases: [(&[u8], Replies); 8] = [
        (b"? IAMAT\n", Replies::Errors),
        (b"? \n", Replies::Errors),
        (b"AT a\n? b\nAT c\n", Replies::Errors),
        (b"AT a\n{}\n\n? b\n", Replies::Errors),
        (b"AT ? b\n", Replies::Good),
        (b"?b ? c\n", Replies::Errors),
        (b"220 mail.example ESMTP\r\n", Replies::Errors),
        (b"AT a\n{\"name\": \"? Why\",\n\"? x\": 1}\n\n", Replies::Good),
    ];
    for (reply, expected) in cases {
        let mut output = Vec::new();
        let request = if reply.starts_with(b"AT a\n{") { "WHATSAT a 1 1\n" } else { "x\n" };
        let replies = talk(text(request), &mut output, answering(reply)).unwrap();
        assert_eq!(replies, expected, "{reply:?}");
        assert_eq!(output, reply);
    }
}

#[test]
fn replies_appear_while_the_input_is_still_open() {
    struct Told(mpsc::Sender<Vec<u8>>);
    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (input, mut keyboard) = typed();
    let (told, screen) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..3 {
                keyboard.write_all(b"hello\n").unwrap();
                assert_eq!(screen.recv_timeout(DEADLINE).unwrap(), b"AT hello\n");
            }
        });
        let replies = talk(input, &mut Told(told), |mut connection| {
            let requests = BufReader::new(connection.try_clone().unwrap());
            for line in requests.lines() {
                let reply = format!("AT {}\n", line.unwrap());
                connection.write_all(reply.as_bytes()).unwrap();
            }
        });
        assert_eq!(replies.unwrap(), Replies::Good);
    });
}

#[test]
fn much_input_and_much_output_do_not_block_each_other() {
    let (input, mut keyboard) = typed();
    let bytes = 16 << 20;
    let mut output = Vec::new();
    thread::scope(|scope| {
        scope.spawn(move || keyboard.write_all(&vec![b'\n'; bytes]).unwrap());
        let replies = talk(input, &mut output, |mut connection| {
            // Echoes what it can read before it reads on, so it stops reading when the echo is not read.
            let mut chunk = [0; 1 << 16];
            loop {
                match connection.read(&mut chunk).unwrap() {
                    0 => return,
                    n => connection.write_all(&chunk[..n]).unwrap(),
                }
            }
        });
        assert_eq!(replies.unwrap(), Replies::Good);
    });
    assert_eq!(output.len(), bytes);
}

#[test]
fn an_empty_input_is_no_error() {
    let (input, keyboard) = typed();
    drop(keyboard);
    assert_eq!(talk(input, &mut Vec::new(), answering(b"")).unwrap(), Replies::Good);
}

#[test]
fn a_server_that_closes_early_ends_the_client_at_once() {
    // An open keyboard on which nothing more is typed does not hold the client up.
    let (input, mut keyboard) = typed();
    keyboard.write_all(b"IAMAT a +1+1 1\n").unwrap();
    let mut output = Vec::new();
    let closed = talk(input, &mut output, |mut connection| {
        let mut request = String::new();
        BufReader::new(&connection).read_line(&mut request).unwrap();
        connection.write_all(b"AT a\n").unwrap();
    });
    assert!(matches!(closed, Err(ClientError::Closed)), "{closed:?}");
    assert_eq!(output, b"AT a\n");
    drop(keyboard);
}

#[test]
fn a_server_that_closes_after_an_error_has_said_why() {
    let (input, mut keyboard) = typed();
    keyboard.write_all(b"xxxxx\n").unwrap();
    let replies = talk(input, &mut Vec::new(), |mut connection| {
        let mut request = String::new();
        BufReader::new(&connection).read_line(&mut request).unwrap();
        connection.write_all(b"? xxx\n").unwrap();
    });
    assert_eq!(replies.unwrap(), Replies::Errors);
    drop(keyboard);
}

#[test]
fn a_missing_or_cut_reply_is_no_reply() {
    for reply in [&b""[..], b"AT Alford +0.1 a", b"AT a\n{\"results"] {
        let closed = talk(text("WHATSAT a 1 1\n"), &mut Vec::new(), answering(reply));
        assert!(matches!(closed, Err(ClientError::Closed)), "{reply:?}: {closed:?}");
    }
}

#[test]
fn a_silent_server_is_given_up() {
    // Connections wait in the backlog, established, until they are accepted.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = connect(&Target::Host(listener.local_addr().unwrap().to_string())).unwrap();
    let (silence_max, begun) = (Duration::from_secs(1), crate::os::clock::ticks());
    let silent = converse(&stream, text("x\n"), &mut nowhere(), silence_max);
    assert!(matches!(silent, Err(ClientError::Silent(_))), "{silent:?}");
    let took = crate::os::clock::ticks() - begun;
    // It says so long. A machine that does ten other things is late, but not by two thirds of that.
    assert!((silence_max..silence_max * 5 / 3).contains(&took), "{took:?}");
}

#[test]
fn silence_is_no_error_while_the_input_is_open() {
    let silence_max = Duration::from_millis(10);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = connect(&Target::Host(listener.local_addr().unwrap().to_string())).unwrap();
    let (mut connection, _) = listener.accept().unwrap();
    let (input, keyboard) = typed();
    thread::scope(|scope| {
        scope.spawn(move || {
            // Many times as long as the client would wait for a reply.
            connection.set_read_timeout(Some(silence_max * 30)).unwrap();
            assert_eq!(connection.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            connection.write_all(b"? too quiet\n").unwrap();
        });
        assert_eq!(converse(&stream, input, &mut nowhere(), silence_max).unwrap(), Replies::Errors);
    });
    drop(keyboard);
}

#[test]
fn a_closed_output_ends_the_client_quietly() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (input, mut keyboard) = typed();
    keyboard.write_all(b"a\n").unwrap();
    let replies = talk(input, &mut Gone, |mut connection| {
        connection.write_all(b"AT a\n").unwrap();
        // Ends when the client goes, although its input is still open.
        let _ = connection.read_to_end(&mut Vec::new());
    });
    assert_eq!(replies.unwrap(), Replies::Good);
    drop(keyboard);
}

#[test]
fn a_refused_connection_is_explained() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let name = ServerName::parse("Alford").unwrap();
    let message = connect(&Target::Member(name, address.into())).unwrap_err().to_string();
    assert!(message.starts_with(&format!("cannot connect to Alford at {address}: ")), "{message}");
    assert!(message.ends_with("is it running? `proxyherd serve Alford` starts it"), "{message}");
    let message = connect(&Target::Host("127.0.0.1:x".to_owned())).unwrap_err().to_string();
    assert!(message.starts_with("cannot find \"127.0.0.1:x\": "), "{message}");
}

#[test]
fn requests_are_written_as_lines() {
    let report = |time: Option<&str>| Ask::IAmAt {
        client: "kiwi".to_owned(),
        location: "-1+2".to_owned(),
        time: time.map(str::to_owned),
    };
    let now = Duration::new(1_621_464_827, 5_000_000);
    assert_eq!(report(None).line(now), "IAMAT kiwi -1+2 1621464827.005000000\n");
    assert_eq!(report(Some("1.50")).line(now), "IAMAT kiwi -1+2 1.50\n");
    let question = Ask::WhatsAt { client: "kiwi".to_owned(), radius: "10".to_owned(), limit: "5".to_owned() };
    assert_eq!(question.line(now), "WHATSAT kiwi 10 5\n");
    assert!(super::now() > now, "the clock of this machine is before this test was written");
}

#[test]
fn the_silence_of_a_server_is_counted_from_the_end_of_the_input() {
    let silence = Duration::from_secs(3);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut connection, _) = listener.accept().unwrap();
    let (input, keyboard) = typed();
    let replies = thread::scope(|scope| {
        scope.spawn(move || {
            // The input pauses for a while; then the server does, for less than it may.
            thread::sleep(silence * 3 / 4);
            (&keyboard).write_all(b"x\n").unwrap();
            drop(keyboard);
            connection.read_to_end(&mut Vec::new()).unwrap();
            thread::sleep(silence / 3);
            // The client may have given up.
            let _ = connection.write_all(b"? x\n");
        });
        converse(&stream, input, &mut nowhere(), silence)
    });
    assert_eq!(replies.unwrap(), Replies::Errors);
}
