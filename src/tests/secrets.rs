//! Links of herds with a secret, on real sockets: who is believed, and what cannot be done to a link from outside.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use super::harness::{Talk, TestServer, WAIT, catalogue, config, eventually, herd};
use super::peers::hello;
use crate::config::{Auth, Config, Herd, Limits};
use crate::proto::line::framing::MESSAGE_LENGTH_BYTES;
use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::model::secret::Secret;
use crate::proto::peering::frames::{Frames, WEAR, Wear};
use crate::proto::peering::grammar::{Greeting, PEER_VERSION};
use crate::proto::peering::noise::{Begun, EphemeralKey, answer, begin};

const NEWS: &str = "AT Bolden +0.5 kiwi +1+1 5";

const DIFFERS: &str = "? secret, herd or version differs\n";

/// The bytes of a message of the handshake with its length.
const MESSAGE_BYTES: usize = 58;

fn pair() -> Herd {
    herd(&["Alford", "Bolden"], &[("Alford", "Bolden")], true)
}

fn secret(text: &str) -> Secret {
    Secret::parse(text.as_bytes()).unwrap()
}

fn ours() -> Secret {
    secret("the secret of this herd")
}

fn guarded(herd: &Herd, name: &str, secrets: Vec<Secret>) -> TestServer {
    TestServer::with(&Config { auth: Auth::Secrets(secrets), ..config(herd, name) }, catalogue())
}

fn greeting(from: &str, to: &str) -> Greeting {
    let name = |text| ServerName::parse(text).unwrap();
    Greeting { from: name(from), to: name(to), epoch: None }
}

/// What Bolden opens a connection to Alford with.
fn opening(secret: &Secret, key: u8) -> (Begun, Vec<u8>) {
    let greeting = greeting("Bolden", "Alford");
    let (begun, message) = begin(secret, &greeting, Epoch(1), EphemeralKey([key; 32]));
    let mut opening = Vec::new();
    greeting.push_to(&mut opening);
    opening.extend_from_slice(&message);
    (begun, opening)
}

/// A test that speaks in frames.
struct Sealed {
    socket: TcpStream,
    frames: Frames,
}

impl Sealed {
    /// As Bolden, who has not said yet that he is ready.
    fn begin(server: &TestServer, key: u8) -> Sealed {
        let (begun, opening) = opening(&ours(), key);
        let mut socket = connected(server);
        socket.write_all(&opening).unwrap();
        let (frames, _) = begun.finish(&message(&mut socket)).unwrap();
        Sealed { socket, frames }
    }

    /// As Bolden, who is welcome.
    fn call(server: &TestServer, key: u8) -> Sealed {
        let mut sealed = Sealed::begin(server, key);
        assert!(sealed.ask("READY").starts_with("WELCOME "));
        sealed
    }

    fn frame(&mut self, lines: &str) -> Vec<u8> {
        let mut frame = Vec::new();
        self.frames.sealer.seal(lines.as_bytes(), &mut frame).unwrap();
        frame
    }

    fn send(&mut self, lines: &str) {
        let frame = self.frame(lines);
        self.socket.write_all(&frame).unwrap();
    }

    /// The next line.
    fn line(&mut self) -> String {
        let (mut line, mut byte) = (String::new(), [0]);
        loop {
            match self.frames.opener.read(&mut byte).unwrap() {
                Some(_) if byte[0] == b'\n' => return line,
                Some(_) => line.push(char::from(byte[0])),
                None => {
                    let count = self.socket.read(self.frames.opener.space()).unwrap();
                    assert!(count > 0, "it ended");
                    self.frames.opener.filled(count);
                }
            }
        }
    }

    fn ask(&mut self, line: &str) -> String {
        self.send(&format!("{line}\n"));
        self.line()
    }

    /// The server has closed the connection, and said no more.
    fn expect_closed(mut self) {
        assert_eq!(rest(&mut self.socket), b"");
    }
}

fn connected(server: &TestServer) -> TcpStream {
    let socket = TcpStream::connect_timeout(&server.peers, WAIT).unwrap();
    socket.set_read_timeout(Some(WAIT)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// The next message of a handshake.
fn message(socket: &mut TcpStream) -> Vec<u8> {
    let mut message = vec![0; MESSAGE_BYTES];
    socket.read_exact(&mut message).unwrap();
    message.split_off(MESSAGE_LENGTH_BYTES)
}

fn rest(socket: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // What was sent behind what has ended the connection may have reset it.
    let _ = socket.read_to_end(&mut rest);
    rest
}

/// Sends all that there is, and gives all that is answered.
fn told(server: &TestServer, bytes: &[u8]) -> Vec<u8> {
    let mut socket = connected(server);
    socket.write_all(bytes).unwrap();
    rest(&mut socket)
}

fn knows(server: &TestServer, client: &str) -> bool {
    server.client().ask(&format!("WHATSAT {client} 1 1")).starts_with("AT ")
}

#[test]
fn only_a_neighbour_that_knows_the_secret_is_believed() {
    let server = guarded(&pair(), "Alford", vec![ours()]);
    let metrics = &server.member.metrics;
    let news = format!("{NEWS}\n");

    let (_, wrong) = opening(&secret("the secret of another"), 1);
    assert_eq!(told(&server, &[&wrong, news.as_bytes()].concat()), DIFFERS.as_bytes());
    let (_, mut changed) = opening(&ours(), 1);
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(told(&server, &changed), DIFFERS.as_bytes());
    // What Alford has said to Bolden comes back to Alford.
    let (_, mut reflected) = opening(&ours(), 1);
    let message_at = reflected.len() - MESSAGE_BYTES;
    let (_, own) = begin(&ours(), &greeting("Alford", "Bolden"), Epoch(1), EphemeralKey([1; 32]));
    reflected.splice(message_at.., own.iter().copied());
    assert_eq!(told(&server, &reflected), DIFFERS.as_bytes());
    let own = [format!("HELLO {PEER_VERSION} Alford Bolden\n").as_bytes(), &own].concat();
    assert_eq!(told(&server, &own), format!("? HELLO {PEER_VERSION} Alford Bolden\n").as_bytes());
    // A herd with a secret never speaks without.
    let plain = hello("Bolden", "Alford", Epoch(1));
    assert_eq!(
        told(&server, format!("{plain}\nREADY\n{news}").as_bytes()),
        format!("? {plain}\n").as_bytes()
    );
    assert_eq!(metrics.peers_unproved.get(), 4);

    // In clear behind the message, at once and later.
    let (_, mut hasty) = opening(&ours(), 1);
    hasty.extend_from_slice(format!("READY\n{news}").as_bytes());
    let answer = told(&server, &hasty);
    assert_eq!(answer.len(), MESSAGE_BYTES);
    let mut later = Sealed::begin(&server, 1);
    later.socket.write_all(format!("READY\n{news}").as_bytes()).unwrap();
    // As a frame, it would be a long one, whose end does not come.
    assert_eq!(later.line(), "? no HELLO within 2s");
    later.expect_closed();
    // Within a frame, but before it is ready.
    let mut early = Sealed::begin(&server, 1);
    assert_eq!(early.ask(NEWS), format!("? {NEWS}"));
    assert!(!knows(&server, "kiwi"));
    assert_eq!(metrics.peers_tampered.get(), 1);

    let mut good = Sealed::call(&server, 1);
    good.send(&news);
    eventually("the neighbour is believed", || knows(&server, "kiwi").then_some(()));
}

#[test]
fn another_version_is_named_and_refused() {
    let server = guarded(&pair(), "Alford", vec![ours()]);
    for old in [
        "HELLO 4 Bolden Alford 0000000000000001 07070707",
        "HELLO 6 Bolden Alford",
        "HELLO 4 Mallory Alford 0000000000000001 07070707",
    ] {
        assert_eq!(told(&server, format!("{old}\n").as_bytes()), format!("? {old}\n").as_bytes());
    }
    assert_eq!(server.member.metrics.peers_of_other_version.get(), 3);
}

#[test]
fn what_was_recorded_opens_nothing_and_ends_no_link() {
    let server = guarded(&pair(), "Alford", vec![ours()]);
    let metrics = &server.member.metrics;
    let (begun, recorded) = opening(&ours(), 1);
    let mut socket = connected(&server);
    socket.write_all(&recorded).unwrap();
    let (frames, _) = begun.finish(&message(&mut socket)).unwrap();
    let mut good = Sealed { socket, frames };
    let (ready, first) = (good.frame("READY\n"), good.frame("AT Bolden +0.5 emu +1+1 5\nUPTO 7\n"));
    good.socket.write_all(&ready).unwrap();
    assert_eq!(good.line(), "WELCOME 0");
    good.socket.write_all(&first).unwrap();
    eventually("it is merged", || knows(&server, "emu").then_some(()));

    for _ in 0..3 {
        let mut replayed = connected(&server);
        replayed.write_all(&recorded).unwrap();
        // It is answered, because it is the message of one who knows the secret.
        message(&mut replayed);
        replayed.write_all(&[&ready[..], &first].concat()).unwrap();
        assert_eq!(rest(&mut replayed), b"");
    }
    eventually("each is counted", || (metrics.peers_tampered.get() == 3).then_some(()));
    assert_eq!(metrics.peers_replaced.get(), 0);
    assert_eq!(good.ask("x"), "? x", "the link that is here goes on");

    // One who is here again is another matter.
    let mut again = Sealed::begin(&server, 2);
    assert_eq!(again.ask("READY"), "WELCOME 7");
    good.expect_closed();
    assert_eq!(metrics.peers_replaced.get(), 1);
}

#[test]
fn frames_that_were_changed_dropped_repeated_or_swapped_end_the_conversation_unheard() {
    let server = guarded(&pair(), "Alford", vec![ours()]);
    let good = |client: u32| format!("AT Bolden +0.5 good{client} +1+1 5\n");
    for fault in 0..5_u32 {
        let mut bolden = Sealed::call(&server, fault as u8);
        let [one, two, three] = [0, 1, 2].map(|at| bolden.frame(&good(10 * fault + at)));
        let mut changed = two.clone();
        changed[5] ^= 4;
        let stream = match fault {
            0 => [&one[..], &changed, &three].concat(),
            1 => [&one[..], &three].concat(),
            2 => [&one[..], &one, &two].concat(),
            3 => [&one[..], &three, &two].concat(),
            // As long as it says, and in clear.
            _ => [&one[..], b"\0\x1dAT Bolden +0.5 forged +1+1 5\n"].concat(),
        };
        bolden.socket.write_all(&stream).unwrap();
        bolden.expect_closed();
        eventually("it was counted", || {
            (server.member.metrics.peers_tampered.get() == u64::from(fault) + 1).then_some(())
        });
        assert!(knows(&server, &format!("good{}", 10 * fault)));
        assert!(!knows(&server, &format!("good{}", 10 * fault + 1)));
        assert!(!knows(&server, &format!("good{}", 10 * fault + 2)));
    }
    // Half of a line is none, and a cut makes no earlier time of it.
    let mut bolden = Sealed::call(&server, 9);
    bolden.send("AT Bolden +0.5 cut +1+1 5");
    bolden.socket.shutdown(Shutdown::Write).unwrap();
    bolden.expect_closed();
    assert!(!knows(&server, "cut"));
}

#[test]
fn lines_of_any_length_pass_through_frames() {
    let server = guarded(&pair(), "Alford", vec![ours()]);
    let mut bolden = Sealed::call(&server, 1);
    let names: Vec<String> = (0..3_u8).map(|at| char::from(b'a' + at).to_string().repeat(40_000)).collect();
    let lines: Vec<String> = names.iter().map(|name| format!("AT Bolden +0.5 {name} +1+1 5\n")).collect();
    bolden.send(&lines.concat());
    assert!(bolden.ask("BEAT 9 0000000000000000 0 1000000000 0").starts_with("ACK 9 3 0 "));
    assert_eq!(server.clients_known(), 3);
}

#[test]
fn servers_with_one_secret_tell_each_other_and_those_with_two_do_not() {
    let herd = pair();
    let alford = guarded(&herd, "Alford", vec![ours()]);
    let stranger = guarded(&herd, "Bolden", vec![secret("the secret of another")]);
    alford.client().ask("IAMAT kiwi +1+1 5");
    stranger.client().ask("IAMAT emu +1+1 5");
    for server in [&alford, &stranger] {
        let metrics = &server.member.metrics;
        eventually("both say so", || {
            (metrics.peers_unproved.get() > 0 && metrics.links_unproved.get() > 0).then_some(())
        });
    }
    assert!(!knows(&stranger, "kiwi"));
    stranger.stop();
    let bolden = guarded(&herd, "Bolden", vec![ours()]);
    eventually("the herd has found together", || knows(&bolden, "kiwi").then_some(()));
    assert!(!knows(&alford, "emu"));
    assert_eq!(alford.member.metrics.links_tampered.get(), 0);
}

#[test]
fn one_with_a_secret_and_one_without_tell_each_other_nothing() {
    let herd = pair();
    let alford = guarded(&herd, "Alford", vec![ours()]);
    let bolden = TestServer::start(&herd, "Bolden", catalogue());
    alford.client().ask("IAMAT kiwi +1+1 5");
    bolden.client().ask("IAMAT emu +1+1 5");
    for server in [&alford, &bolden] {
        let metrics = &server.member.metrics;
        eventually("both say so", || {
            (metrics.peers_unproved.get() > 1 && metrics.links_unproved.get() > 1).then_some(())
        });
    }
    assert!(!knows(&alford, "emu") && !knows(&bolden, "kiwi"));
}

#[test]
fn secret_is_changed_one_server_after_the_other() {
    let herd = herd(&["Alford", "Bolden", "Powell"], &[("Alford", "Bolden"), ("Bolden", "Powell")], true);
    let (old, new) = (ours(), secret("the next secret of this herd"));
    let names = ["Alford", "Bolden", "Powell"];
    let mut servers: Vec<Option<TestServer>> =
        names.iter().map(|name| Some(guarded(&herd, name, vec![old.clone()]))).collect();
    let mut second = 0;
    let steps = [vec![old.clone(), new.clone()], vec![new.clone(), old], vec![new]];
    for secrets in steps {
        for at in [1, 0, 2] {
            servers[at].take().unwrap().stop();
            servers[at] = Some(guarded(&herd, names[at], secrets.clone()));
            second += 1;
            let server = |at: usize| servers[at].as_ref().unwrap();
            server(0).client().ask(&format!("IAMAT kiwi +1+1 {second}"));
            let far = format!(" {second}");
            eventually("it comes to the other end", || {
                let line = server(2).client().ask("WHATSAT kiwi 1 1");
                (line.starts_with("AT ") && line.ends_with(&far)).then_some(())
            });
        }
    }
    let refused: u64 = servers.iter().flatten().map(|it| it.member.metrics.peers_unproved.get()).sum();
    assert_eq!(refused, 0);
}

#[test]
fn a_link_tells_nothing_to_one_that_does_not_know_the_secret() {
    let herd = pair();
    let impostor = TcpListener::bind(&herd.member("Bolden").unwrap().peer).unwrap();
    let alford = guarded(&herd, "Alford", vec![ours()]);
    alford.client().ask("IAMAT kiwi +1+1 5");
    let opening = format!("HELLO {PEER_VERSION} Alford Bolden\n").into_bytes();
    for trick in 0..5 {
        let (mut socket, _) = impostor.accept().unwrap();
        let mut heard = vec![0; opening.len() + MESSAGE_BYTES];
        socket.read_exact(&mut heard).unwrap();
        let (hello, first) = heard.split_at(opening.len());
        assert_eq!(hello, opening);
        let wrong = secret("the secret of another");
        let hello = greeting("Alford", "Bolden");
        let made_up = begin(&wrong, &hello, Epoch(2), EphemeralKey([5; 32])).1;
        let answer = match trick {
            0 => first.to_vec(),
            1 => made_up,
            // It pretends to have no secret.
            2 => format!("{}\nWELCOME 0\n", super::peers::hello("Bolden", "Alford", Epoch(2))).into_bytes(),
            3 => b"WELCOME 0\n".to_vec(),
            _ => b"? HELLO 5 Alford Bolden\n".to_vec(),
        };
        socket.write_all(&answer).unwrap();
        assert_eq!(rest(&mut socket), b"", "it has told an impostor something");
    }
    eventually("each is counted", || (alford.member.metrics.links_unproved.get() >= 3).then_some(()));
}

#[test]
fn what_comes_in_clear_behind_the_answer_ends_a_link() {
    let herd = pair();
    let listener = TcpListener::bind(&herd.member("Bolden").unwrap().peer).unwrap();
    let alford = guarded(&herd, "Alford", vec![ours()]);
    alford.client().ask("IAMAT kiwi +1+1 5");
    let (socket, _) = listener.accept().unwrap();
    let mut talk = Talk::of(socket);
    assert_eq!(talk.line(), format!("HELLO {PEER_VERSION} Alford Bolden"));
    let first = talk.raw(MESSAGE_BYTES);
    let hello = greeting("Alford", "Bolden");
    let (mut frames, _, second) =
        answer(&[ours()], &hello, &first[MESSAGE_LENGTH_BYTES..], Epoch(2), EphemeralKey([3; 32])).unwrap();
    // In one piece, so that it is read at once.
    talk.send([&second[..], b"WELCOME 0\n"].concat());
    let mut seen = Vec::new();
    loop {
        let free = frames.opener.space();
        let Ok(count @ 1..) = talk.socket.read(free) else { break };
        frames.opener.filled(count);
        let mut lines = [0; 1000];
        while let Some(count) = frames.opener.read(&mut lines).unwrap() {
            seen.extend_from_slice(&lines[..count]);
        }
    }
    assert!(seen.is_empty() || seen == b"READY\n", "{}", seen.escape_ascii());
}

#[test]
fn worn_link_gives_way_to_one_with_new_keys_and_nothing_is_lost() {
    const ROUNDS: usize = 5;
    const CLIENTS_EACH: usize = 50;
    let by_bytes = Wear { bytes_max: 1_000, ..WEAR };
    let by_age = Wear { age_max: Duration::ZERO, ..WEAR };
    for wear in [by_bytes, by_age] {
        let herd = pair();
        let [alford, bolden] = ["Alford", "Bolden"].map(|name| {
            let config = config(&herd, name);
            let limits = Limits { link_wear: wear, ..config.limits.clone() };
            TestServer::with(&Config { auth: Auth::Secrets(vec![ours()]), limits, ..config }, catalogue())
        });
        for round in 1..=ROUNDS {
            for (server, from) in [(&alford, "a"), (&bolden, "b")] {
                let mut talk = server.client();
                for client in 0..CLIENTS_EACH {
                    talk.ask(&format!("IAMAT {from}{round}-{client} +1+1 {round}"));
                }
            }
            eventually("both know all", || {
                let digests =
                    [&alford, &bolden].map(|it| it.member.read(|node| node.store().digest().clone()));
                let known = [&alford, &bolden].map(|it| it.clients_known());
                (known == [2 * round * CLIENTS_EACH; 2] && digests[0] == digests[1]).then_some(())
            });
        }
        for server in [&alford, &bolden] {
            let metrics = &server.member.metrics;
            // The first of them is none that has taken the place of another.
            assert!(metrics.links_up.get() > ROUNDS as u64, "{wear:?}: {}", metrics.links_up.get());
            for trouble in [&metrics.links_lost, &metrics.links_tampered, &metrics.peers_tampered] {
                assert_eq!(trouble.get(), 0, "{wear:?}");
            }
            assert_eq!(
                metrics.peers_flapping.get(),
                0,
                "two links of one neighbour would be taken for two servers"
            );
        }
    }
}
