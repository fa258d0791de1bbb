//! One server of each kind, and its clients.

use std::thread;

use crate::kinds::{
    CURRENT, CURRENT_TEXTBOOK, CURRENT_TWO, ECHO, ECHO_EPOLL, ECHO_TWO_LOOPS, Kind, LOOP, NAIVE, SINGLE,
    TEXTBOOK, TUNED, TWO_LOOPS,
};
use crate::processes::Processes;
use crate::talk::{Talk, eventually};

const KIWI: &str = "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503";

/// More than the buffers of a connection hold, in bytes of lines.
const PIPELINED_LINES: usize = 100_000;

macro_rules! for_each_kind {
    ($check:ident: $($name:ident = $kind:expr,)+) => {
        mod $check {
            use super::*;
            $(#[test] fn $name() { super::$check($kind); })+
        }
    };
}

macro_rules! for_all_servers {
    ($check:ident) => {
        for_each_kind! { $check:
            tokio_tuned = TUNED,
            tokio_textbook = TEXTBOOK,
            tokio_current = CURRENT,
            tokio_current_textbook = CURRENT_TEXTBOOK,
            tokio_current_on_two_threads = CURRENT_TWO,
            epoll = LOOP,
            epoll_on_two_threads = TWO_LOOPS,
            single = SINGLE,
            naive = NAIVE,
        }
    };
}

for_all_servers!(answers);
for_all_servers!(answers_all_that_is_pipelined_before_any_reply_is_read);
for_all_servers!(ends_at_a_signal);

for_each_kind! { finishes_at_a_signal:
    tokio_tuned = TUNED,
    tokio_textbook = TEXTBOOK,
    tokio_current = CURRENT,
    tokio_current_on_two_threads = CURRENT_TWO,
    epoll = LOOP,
    epoll_on_two_threads = TWO_LOOPS,
}

for_each_kind! { refuses_one_connection_too_many:
    tokio_tuned = Kind { args: &["--style", "tuned", "--connections-max", "2"], ..TUNED },
    tokio_textbook = Kind { args: &["--style", "textbook", "--connections-max", "2"], ..TUNED },
    epoll = Kind { args: &["--connections-max", "2"], ..LOOP },
    epoll_on_two_threads = Kind { args: &["--threads", "2", "--connections-max", "2"], ..LOOP },
}

for_each_kind! { echoes:
    echo = ECHO,
    echo_epoll = ECHO_EPOLL,
    echo_epoll_on_two_threads = ECHO_TWO_LOOPS,
}

fn answers(kind: Kind) {
    let server = Processes::alone(kind);
    let mut talk = server.client("Alford");
    let lines = format!("{KIWI}\nWHATSAT kiwi.cs.ucla.edu 10 2\r\nfoo\n\tWHATSAT  nobody 1 1 \n\n");
    for chunk in [1, 7, 1000] {
        for bytes in lines.as_bytes().chunks(chunk) {
            talk.send(bytes);
        }
        let first = talk.line();
        let tail = " kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503";
        assert!(first.starts_with("AT Alford +") && first.ends_with(tail), "{first}");
        assert!(talk.line().ends_with(tail));
        assert_eq!(talk.json()["results"].as_array().unwrap().len(), 2);
        assert_eq!(talk.line(), "? foo");
        assert_eq!(talk.line(), "? \tWHATSAT  nobody 1 1 ");
        assert_eq!(talk.line(), "? ");
    }
    talk.send("last").half_close();
    assert_eq!(talk.rest(), b"? last\n");
    if kind.is_complete() {
        let mut talk = server.client("Alford");
        let expected = format!("? ok\n? IAMAT \u{fffd}\n? {}\n", "x".repeat(4096));
        talk.send("ok\nIAMAT \u{fffd}\r\n").send(vec![b'x'; 100_000]);
        assert!(talk.rest() == expected.as_bytes());
        assert_eq!(server.client("Alford").send(b"\xff\xfe\n").half_close().rest(), b"? \xff\xfe\n");
    }
}

fn answers_all_that_is_pipelined_before_any_reply_is_read(kind: Kind) {
    let server = Processes::alone(kind);
    let mut talk = server.client("Alford");
    // Little is on its way at once, so the server must wait with its replies again and again.
    socket2::SockRef::from(&talk.socket).set_recv_buffer_size(128 * 1024).unwrap();
    let mut writer = talk.socket.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut lines = String::new();
            for number in 0..PIPELINED_LINES {
                lines += &format!("this is line {number}, and its reply is as long as it is\n");
            }
            std::io::Write::write_all(&mut writer, lines.as_bytes()).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        // Others are served meanwhile, where there can be others.
        if kind.program != SINGLE.program {
            let mut other = server.client("Alford");
            assert_eq!(other.ask("x"), "? x");
        }
        for number in 0..PIPELINED_LINES {
            assert_eq!(talk.line(), format!("? this is line {number}, and its reply is as long as it is"));
        }
    });
    assert_eq!(talk.rest(), b"");
}

fn ends_at_a_signal(kind: Kind) {
    let mut server = Processes::alone(kind);
    let mut talk = server.client("Alford");
    talk.ask("x");
    assert_eq!(server.terminate("Alford"), Some(0));
    assert_eq!(talk.rest(), b"");
}

fn finishes_at_a_signal(kind: Kind) {
    let mut server = Processes::alone(kind);
    let mut talk = server.client("Alford");
    talk.send("x\nIAMAT kiwi +34-118 1621");
    assert_eq!(talk.line(), "? x");
    assert_eq!(server.terminate("Alford"), Some(0));
    assert_eq!(talk.rest(), b"", "half a line was taken for a report");
    let log = server.log("Alford");
    assert!(log.contains("stopping") && log.contains("stopped: clients_accepted="), "{log}");
    assert!(!log.contains("WARN"), "{log}");
    server.start("Alford");
    assert_eq!(server.client("Alford").ask("WHATSAT kiwi 10 1"), "? WHATSAT kiwi 10 1");
}

fn refuses_one_connection_too_many(kind: Kind) {
    let server = Processes::alone(kind);
    // The connection with which the start was noticed may not be gone yet.
    let greeted = || {
        let mut talk = server.client("Alford");
        (talk.ask("x") == "? x").then_some(talk)
    };
    let first = eventually("a place is free", greeted);
    let mut second = eventually("another place is free", greeted);
    let refused = String::from_utf8(server.client("Alford").rest()).unwrap();
    assert!(refused.starts_with("? too many connections"), "{refused}");
    assert_eq!(second.ask("x"), "? x");
    drop(first);
    eventually("a place is free again", greeted);
}

fn echoes(kind: Kind) {
    let mut server = Processes::alone(kind);
    let mut talks: Vec<Talk> = (0..20).map(|_| server.client("Alford")).collect();
    for (number, talk) in talks.iter_mut().enumerate() {
        assert_eq!(talk.ask(&format!("line {number}")), format!("line {number}"));
    }
    let mut writer = talks[0].socket.try_clone().unwrap();
    let sent = "0123456789\n".repeat(PIPELINED_LINES);
    thread::scope(|scope| {
        scope.spawn(|| {
            std::io::Write::write_all(&mut writer, sent.as_bytes()).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        assert!(talks[0].rest() == sent.as_bytes());
    });
    drop(talks);
    assert_eq!(server.client("Alford").ask("again"), "again");
    assert_eq!(server.terminate("Alford"), Some(0));
}
