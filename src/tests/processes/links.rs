//! Links of a herd with a secret between real servers: through a relay that does to them what it can, while the secret
//! is changed, and beside a release of another version.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::real::{RealHerd, ask, eventually};
use crate::transcripts::sockets::WAIT;

/// What the relay does to the next frame that it is to pass on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// It cuts the connection behind it.
    Cut,
    /// It passes on the half of it, and cuts the connection.
    Truncate,
    /// It passes it on twice.
    Repeat,
    /// It leaves it out.
    Drop,
    /// It passes it on behind the next one.
    Swap,
    /// It changes a bit of it.
    Flip,
    /// It puts a frame in clear before it.
    Inject,
}

const FAULTS: [Fault; 7] =
    [Fault::Cut, Fault::Truncate, Fault::Repeat, Fault::Drop, Fault::Swap, Fault::Flip, Fault::Inject];

/// One between two servers, who passes on what one of them sends to the other and back.
#[derive(Clone, Default)]
struct Relay(Arc<Mutex<Relayed>>);

#[derive(Default)]
struct Relayed {
    /// What is to be done to the next frame from the one that has dialled, and to the next one to it.
    faults: [Option<Fault>; 2],
    /// All that the first one that has dialled has sent.
    recorded: Vec<u8>,
    connections: usize,
    /// Whether what clients have said was to be read on the way.
    was_readable: bool,
}

impl Relay {
    /// Begins to relay to a server. Returns where to dial in its place.
    #[expect(clippy::disallowed_methods, reason = "its threads end with the test's process")]
    fn start(&self, server: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let relay = self.clone();
        thread::spawn(move || {
            for dialled in listener.incoming() {
                let dialled = dialled.unwrap();
                // The server may not be there yet.
                let Ok(answering) = TcpStream::connect(server) else { continue };
                let number = {
                    let mut relayed = relay.0.lock().unwrap();
                    relayed.connections += 1;
                    relayed.connections
                };
                for (way, from, to) in [(0, &dialled, &answering), (1, &answering, &dialled)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let relay = relay.clone();
                    thread::spawn(move || {
                        let _ = relay.pass(&from, &to, way, number == 1);
                        let _ = from.shutdown(Shutdown::Both);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        address
    }

    fn pass(
        &self,
        mut from: &TcpStream,
        mut to: &TcpStream,
        way: usize,
        is_recorded: bool,
    ) -> io::Result<()> {
        if way == 0 {
            let mut byte = [0];
            let mut hello = Vec::new();
            while byte != *b"\n" {
                from.read_exact(&mut byte)?;
                hello.push(byte[0]);
            }
            assert!(hello.starts_with(b"HELLO "), "{}", hello.escape_ascii());
            self.record(&hello, is_recorded);
            to.write_all(&hello)?;
        }
        let message = frame(from)?;
        self.record(&message, is_recorded && way == 0);
        to.write_all(&message)?;
        loop {
            let mut frame = frame(from)?;
            self.record(&frame, is_recorded && way == 0);
            let fault = self.0.lock().unwrap().faults[way].take();
            match fault {
                None => to.write_all(&frame)?,
                Some(Fault::Cut) => return to.write_all(&frame),
                Some(Fault::Truncate) => return to.write_all(&frame[..frame.len() / 2]),
                Some(Fault::Repeat) => to.write_all(&[&frame[..], &frame].concat())?,
                Some(Fault::Drop) => {}
                Some(Fault::Swap) => to.write_all(&[self::frame(from)?, frame].concat())?,
                Some(Fault::Flip) => {
                    *frame.last_mut().unwrap() ^= 1;
                    to.write_all(&frame)?;
                }
                Some(Fault::Inject) => {
                    let forged = b"AT Alford +0.5 forged +1+1 5\nACK 999 999 0\n";
                    let length = (forged.len() as u16).to_be_bytes();
                    to.write_all(&[&length[..], forged, &frame].concat())?;
                }
            }
        }
    }

    fn record(&self, bytes: &[u8], is_recorded: bool) {
        let mut relayed = self.0.lock().unwrap();
        relayed.was_readable |= bytes.windows(4).any(|some| some == b"kiwi");
        if is_recorded {
            relayed.recorded.extend_from_slice(bytes);
        }
    }

    fn connections(&self) -> usize {
        self.0.lock().unwrap().connections
    }
}

/// A frame or a message of a handshake, with its length.
fn frame(mut from: &TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    from.read_exact(&mut length)?;
    let mut frame = length.to_vec();
    frame.resize(2 + usize::from(u16::from_be_bytes(length)), 0);
    from.read_exact(&mut frame[2..])?;
    Ok(frame)
}

/// Lets a server dial another one through a relay: it reads the herd file when it starts.
fn redirected(herd: &RealHerd, server: &str, through: SocketAddr) {
    let text = fs::read_to_string(herd.path("original.toml")).unwrap();
    let address = herd.peer(server).to_string();
    assert!(text.contains(&address));
    fs::write(herd.path("herd.toml"), text.replace(&address, &through.to_string())).unwrap();
}

#[test]
fn nothing_forged_is_merged_and_links_recover() {
    let names = ["Alford", "Bolden"];
    let mut herd = RealHerd::new(&names, &[("Alford", "Bolden")], &["--secret-file", "secret"]);
    fs::write(herd.path("secret"), "the secret of this herd").unwrap();
    fs::copy(herd.path("herd.toml"), herd.path("original.toml")).unwrap();
    let relays = [Relay::default(), Relay::default()];
    for (name, other, relay) in [("Alford", "Bolden", &relays[0]), ("Bolden", "Alford", &relays[1])] {
        redirected(&herd, other, relay.start(herd.peer(other)));
        herd.start_one(name);
    }
    let mut clients = Vec::new();
    let report = |herd: &RealHerd, clients: &mut Vec<String>| {
        for name in names {
            let client = format!("kiwi{}", clients.len());
            let reply = ask(&mut herd.client(name), &format!("IAMAT {client} +1+1 5"));
            assert!(reply.starts_with("AT "), "{reply}");
            clients.push(client);
        }
    };
    report(&herd, &mut clients);
    herd.wait_until_agreed(&names, &clients, None);
    let recorded = relays[0].0.lock().unwrap().recorded.clone();

    for fault in FAULTS {
        for way in 0..2 {
            let before = relays.each_ref().map(Relay::connections);
            relays.iter().for_each(|relay| relay.0.lock().unwrap().faults[way] = Some(fault));
            report(&herd, &mut clients);
            eventually(&format!("{fault:?} ends both links, and there are others"), || {
                let now = relays.each_ref().map(Relay::connections);
                (now[0] > before[0] && now[1] > before[1]).then_some(())
            });
            herd.wait_until_agreed(&names, &clients, None);
        }
    }

    // One who has recorded a link sends it again, to the server and to the one that it came from.
    let replaced = |herd: &RealHerd| herd.log("Bolden").matches("its older connection is cut").count();
    let before = replaced(&herd);
    for server in ["Bolden", "Alford"] {
        let mut socket = TcpStream::connect(herd.peer(server)).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        socket.write_all(&recorded).unwrap();
        // It may be reset, because more comes than is read.
        let _ = socket.read_to_end(&mut Vec::new());
    }
    report(&herd, &mut clients);
    herd.wait_until_agreed(&names, &clients, None);
    assert_eq!(replaced(&herd), before, "a link was ended by what was recorded");

    for name in names {
        assert_eq!(ask(&mut herd.client(name), "WHATSAT forged 1 1"), "? WHATSAT forged 1 1");
        assert_eq!(herd.terminate(name).0.code(), Some(0));
        let log = herd.log(name);
        assert!(log.contains(" WARN ") && !log.contains("ERROR"), "{log}");
        assert!(log.contains("a frame was changed, repeated or left out on its way"), "{log}");
    }
    assert!(relays.iter().all(|relay| !relay.0.lock().unwrap().was_readable));
}

#[test]
fn secret_is_changed_while_the_herd_runs() {
    let names = ["Alford", "Bolden", "Powell"];
    let links = [("Alford", "Bolden"), ("Bolden", "Powell")];
    let mut herd = RealHerd::new(&names, &links, &[]);
    fs::write(herd.path("old"), "the old secret of this herd").unwrap();
    fs::write(herd.path("new"), "the new secret of this herd").unwrap();
    let mut time = 1;
    let steps: [&[&str]; 4] = [&["old"], &["old", "new"], &["new", "old"], &["new"]];
    for (step, secrets) in steps.iter().enumerate() {
        let options: Vec<&str> = secrets.iter().flat_map(|&file| ["--secret-file", file]).collect();
        for name in names {
            if step > 0 {
                assert_eq!(herd.terminate(name).0.code(), Some(0));
            }
            herd.spawn_with_options(name, &options);
            herd.wait_until_ready(name);
            if step > 0 {
                time += 1;
                let reply = ask(&mut herd.client("Alford"), &format!("IAMAT kiwi +1+1 {time}"));
                herd.wait_until_agreed(&names, &["kiwi".to_owned()], Some(&[reply]));
            }
        }
    }
    for name in names {
        let log = herd.log(name);
        assert!(!log.contains("secret, herd or version differs"), "{log}");
    }
    // One that has slept through it is told, and nothing else.
    assert_eq!(herd.terminate("Powell").0.code(), Some(0));
    herd.spawn_with_options("Powell", &["--secret-file", "old"]);
    eventually("both sides say so", || {
        let says = |name| herd.log_so_far(name).contains("secret, herd or version differs");
        (says("Bolden") && says("Powell")).then_some(())
    });
    let three = ["serve", "Alford", "--herd", "herd.toml"];
    let three: Vec<&str> = three.into_iter().chain(["--secret-file", "new"].repeat(3)).collect();
    let refused = herd.run(&three);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--secret-file is there more than twice"));
}

#[test]
fn release_of_another_version_is_named_by_both_ways() {
    let mut herd =
        RealHerd::new(&["Alford", "Bolden"], &[("Alford", "Bolden")], &["--secret-file", "secret"]);
    fs::write(herd.path("secret"), "the secret of this herd").unwrap();
    // As Bolden, of the release before.
    let bolden = TcpListener::bind(herd.peer("Bolden")).unwrap();
    herd.start_one("Alford");
    let (mut dialled, _) = bolden.accept().unwrap();
    let mut hello = [0; 22];
    dialled.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"HELLO 5 Alford Bolden\n");
    dialled.write_all(b"? HELLO 5 Alford Bolden\n").unwrap();
    let mut dialling = TcpStream::connect(herd.peer("Alford")).unwrap();
    dialling.set_read_timeout(Some(WAIT)).unwrap();
    let old = format!("HELLO 4 Bolden Alford 0000000000000001 {}\n", "07".repeat(32));
    dialling.write_all(old.as_bytes()).unwrap();
    let mut answer = String::new();
    dialling.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, format!("? {old}"));
    eventually("both are said", || {
        let log = herd.log("Alford");
        let says = |words| log.lines().any(|line| line.contains(" WARN ") && line.contains(words));
        let is_said = says("link to Bolden: it refuses our HELLO (version 5): run the same release")
            && log.contains(" WARN neighbour Bolden, from 127.0.0.1:")
            && says(
                " is turned away: it speaks version 4 and this release 5: run the same release on both servers",
            );
        is_said.then_some(())
    });
}
