//! What the servers of a herd tell each other.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::herd::{Herd, NAMES, Variant};
use crate::talk::{Talk, WAIT, eventually};

/// Waits until this server's answer about a client is this `AT` line.
fn wait_for(herd: &Herd, server: &str, client: &str, line: &str) {
    let mut talk = herd.client(server);
    eventually(&format!("{line} at {server}"), || (asked(&mut talk, client) == line).then_some(()));
}

/// What a server says about a client: an `AT` line or an error line.
fn asked(talk: &mut Talk, client: &str) -> String {
    let answer = talk.ask(&format!("WHATSAT {client} 10 1"));
    if answer.starts_with("AT ") {
        talk.json();
    }
    answer
}

pub(crate) fn news_reaches_everybody(variant: Variant) {
    let herd = Herd::of_five(variant);
    for (at, name) in NAMES.iter().enumerate() {
        let client = format!("cl\u{ef}ent-{at}");
        let line = herd.client(name).ask(&format!("IAMAT {client} +34.0689300-118.445127 162146482{at}.50"));
        assert!(line.starts_with(&format!("AT {name} +")), "{line}");
        NAMES.iter().for_each(|other| wait_for(&herd, other, &client, &line));
    }
    // A later report elsewhere takes over, an earlier one changes nothing.
    let later = herd.client("Hamilton").ask("IAMAT cl\u{ef}ent-0 +1+1 1621464820.500000001");
    NAMES.iter().for_each(|other| wait_for(&herd, other, "cl\u{ef}ent-0", &later));
    let earlier = herd.client("Powell").ask("IAMAT cl\u{ef}ent-0 +2+2 999999999.999");
    assert!(earlier.ends_with(" +2+2 999999999.999"), "{earlier}");
    // What is told after it has come everywhere: so has the earlier report, if it was told at all.
    let marker = herd.client("Powell").ask("IAMAT marker +2+2 1");
    for name in NAMES {
        wait_for(&herd, name, "marker", &marker);
        assert_eq!(asked(&mut herd.client(name), "cl\u{ef}ent-0"), later);
    }
    // The longest report there can be is longer still between servers.
    let client = "x".repeat(4096 - "IAMAT  +1+1 1".len());
    let longest = herd.client("Hamilton").ask(&format!("IAMAT {client} +1+1 1"));
    NAMES.iter().for_each(|name| wait_for(&herd, name, &client, &longest));
}

pub(crate) fn equal_times_settle(variant: Variant) {
    let herd = Herd::of_five(variant);
    for round in 1..=20 {
        let mut talks = NAMES.map(|name| herd.client(name));
        for (talk, at) in talks.iter_mut().zip(1..) {
            talk.send(format!("IAMAT kiwi +{at}-{at} {round}.0\n"));
        }
        talks.iter_mut().for_each(|talk| drop(talk.line()));
        eventually(&format!("all agree in round {round}"), || {
            let mut known: Vec<_> = talks.iter_mut().map(|talk| asked(talk, "kiwi")).collect();
            let settled = known.iter().all(|line| line.ends_with(&format!(" {round}.0")));
            known.dedup();
            (settled && known.len() == 1).then_some(())
        });
    }
}

/// A neighbour of Alford played by the test: what reaches it, over however many connections.
struct Listener {
    socket: TcpListener,
    connection: Option<BufReader<TcpStream>>,
}

impl Listener {
    fn line(&mut self) -> String {
        loop {
            let connection = self.connection.get_or_insert_with(|| {
                let (socket, _) = self.socket.accept().unwrap();
                socket.set_read_timeout(Some(WAIT)).unwrap();
                BufReader::new(socket)
            });
            let mut line = String::new();
            if connection.read_line(&mut line).unwrap() > 0 {
                return line;
            }
            self.connection = None;
        }
    }
}

fn listen(herd: &mut Herd, name: &str) -> Listener {
    herd.kill(name);
    let address: SocketAddr = herd.address(name);
    let socket = eventually("the address is free", || TcpListener::bind(address).ok());
    Listener { socket, connection: None }
}

pub(crate) fn what_is_sent_and_believed(variant: Variant) {
    let links = [("Alford", "Bolden"), ("Alford", "Parker")];
    let mut herd = Herd::start(variant, &["Alford", "Bolden", "Parker"], &links);
    let (mut bolden, mut parker) = (listen(&mut herd, "Bolden"), listen(&mut herd, "Parker"));
    let mut client = herd.client("Alford");
    let line = client.ask("IAMAT kiwi +34-118 5");
    let told = format!("{line} Alford\n");
    assert_eq!((bolden.line(), parker.line()), (told.clone(), told));
    client.ask("IAMAT kiwi +34-118 5.0");
    client.ask("IAMAT kiwi +34-118 4");

    // Six fields and seven, LF and CRLF, a connection for each line or one for all: answered with nothing.
    let news = "AT Powell -0.263873386 \u{e9} +34.0-118.0 1621464827.50";
    let six = Talk::with(herd.address("Alford")).send(format!("{news}\r\n")).half_close().rest();
    assert_eq!(six, b"");
    assert_eq!(bolden.line(), format!("{news} Alford\n"), "the stale reports were not told");
    assert_eq!(parker.line(), format!("{news} Alford\n"));
    assert_eq!(asked(&mut client, "\u{e9}"), news);
    let mut neighbour = Talk::with(herd.address("Alford"));
    let seven = "AT Powell +1 kiwi +35-119 6";
    neighbour.send(format!("{seven} Bolden\n{news}\n{seven} Parker\nAT Powell +1 kiwi +35-119 5 Bolden\n"));
    assert_eq!(parker.line(), format!("{seven} Alford\n"));
    assert_eq!(asked(&mut client, "kiwi"), seven, "the sender does not matter");
    // Of equal times the greater line, from any neighbour and however often.
    let (less, greater) = ("AT Powell +0 kiwi +35-119 6.0", "AT Powell +1 kiwi +35-119 6.0");
    neighbour.send(format!("{less} Parker\n{greater} Parker\n{greater} Parker\n{less} Parker\n"));
    assert_eq!(bolden.line(), format!("{greater} Alford\n"), "what Bolden told was not told to Bolden");
    neighbour.send("AT Powell +1 end +1+1 1\n");
    assert_eq!(bolden.line(), "AT Powell +1 end +1+1 1 Alford\n");
    assert_eq!(parker.line(), "AT Powell +1 end +1+1 1 Alford\n");
    assert_eq!(asked(&mut client, "kiwi"), greater);

    // Half a line of a neighbour that died is no line: it may read as an earlier time.
    let half = Talk::with(herd.address("Alford")).send("AT Powell +1 half +1+1 1").half_close().rest();
    assert_eq!(half, b"");
    assert_eq!(asked(&mut client, "half"), "? WHATSAT half 10 1");
}

pub(crate) fn a_dead_neighbour_stops_no_other(variant: Variant) {
    let mut herd = Herd::of_five(variant);
    let line = herd.client("Alford").ask("IAMAT before +1+1 1");
    NAMES.iter().for_each(|name| wait_for(&herd, name, "before", &line));
    // Without Powell there is one way from each to each, so every link is needed.
    herd.kill("Powell");
    let others = ["Alford", "Bolden", "Hamilton", "Parker"];
    for name in others {
        for round in 1..=3 {
            let line = herd.client(name).ask(&format!("IAMAT {name} +1+1 {round}"));
            others.iter().for_each(|other| wait_for(&herd, other, name, &line));
        }
    }
    // The next news reaches who has returned, although the connection to it was lost.
    herd.start_again("Powell");
    assert_eq!(asked(&mut herd.client("Powell"), "before"), "? WHATSAT before 10 1");
    let back = herd.client("Alford").ask("IAMAT back +1+1 1");
    NAMES.iter().for_each(|name| wait_for(&herd, name, "back", &back));
    // Hamilton is reached through Parker alone: an island stays as it was, and lives.
    herd.kill("Parker");
    let island = herd.client("Hamilton").ask("IAMAT island +1+1 1");
    wait_for(&herd, "Hamilton", "island", &island);
    let mainland = herd.client("Bolden").ask("IAMAT mainland +1+1 1");
    ["Alford", "Bolden", "Powell"].iter().for_each(|name| wait_for(&herd, name, "mainland", &mainland));
    assert_eq!(asked(&mut herd.client("Hamilton"), "mainland"), "? WHATSAT mainland 10 1");
}
