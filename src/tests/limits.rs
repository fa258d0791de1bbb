//! Every limit on real sockets: what is beyond it is refused as documented, and everybody else is served as ever.
//!
//! Times are bounds that the server was given; no test here says how long anything took.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::scope;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::harness::{Talk, TestServer, WAIT, catalogue, config, eventually, herd};
use crate::config::{self, Config, Herd, Limits};
use crate::member::turn::Host;
use crate::os::clock;
use crate::places::{Answer, PlacesError, PlacesProvider};
use crate::proto::line::query::NearbyQuery;
use crate::proto::model::attributes::ATTRIBUTES_BYTES_MAX;
use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::tests::free_address::free_address;
use crate::tests::peers::{call, greet, hello};

/// Long enough to be kept by a test that means to, and short to wait for.
const SOON: Duration = Duration::from_millis(300);

/// Connections of a flood that are held at once.
const FLOOD_HELD_MAX: usize = 500;

const KIWI: &str = "IAMAT kiwi +34.068930-118.445127 1621464827";

fn limited(limits: Limits) -> TestServer {
    limited_with(limits, catalogue())
}

fn limited_with(limits: Limits, places: Arc<dyn PlacesProvider>) -> TestServer {
    let pair = herd(&["Alford", "Parker"], &[("Alford", "Parker")], true);
    TestServer::with(&Config { limits, ..config(&pair, "Alford") }, places)
}

fn rest(talk: &mut Talk) -> String {
    String::from_utf8(talk.rest()).unwrap()
}

#[test]
fn a_refused_client_gets_its_line_even_if_it_speaks_first() {
    let server = limited(Limits { connections_max: 2, ..Limits::default() });
    let mut held = [server.client(), server.client()];
    held.iter_mut().for_each(|talk| assert_eq!(talk.ask("x"), "? x"));
    for _ in 0..100 {
        let mut talk = server.client();
        // It may be closed before all of this is out, and must have its line all the same.
        let _ = talk.socket.write_all(format!("{KIWI}\n").repeat(100).as_bytes());
        let told = rest(&mut talk);
        assert_eq!(told, "? too many connections here; try another server of the herd\n");
    }
    assert_eq!(held[1].ask("x"), "? x");
}

#[test]
fn an_address_has_its_share_of_connections_and_others_theirs() {
    let server = limited(Limits { connections_per_address_max: Some(2), ..Limits::default() });
    let mut held = [server.client(), server.client()];
    held.iter_mut().for_each(|talk| assert_eq!(talk.ask("x"), "? x"));
    assert_eq!(rest(&mut server.client()), "? too many connections from your address; close some of them\n");
    let mut elsewhere = Talk::from("127.0.0.99:0".parse().unwrap(), server.clients);
    assert_eq!(elsewhere.ask("x"), "? x");
    drop(held);
    eventually("the address has room again", || {
        let mut talk = server.client();
        let _ = talk.socket.write_all(b"x\n");
        (talk.line() == "? x").then_some(())
    });
}

#[test]
fn strangers_on_the_peer_port_are_few_and_have_little_time() {
    let limits = Limits { hello_pending_max: 2, hello_time_max: SOON, ..Limits::default() };
    let server = limited(limits);
    let stranger = || Talk::from("127.0.0.77:0".parse().unwrap(), server.peers);
    // One is silent, one says hello and does not prove it.
    let mut strangers = [stranger(), stranger()];
    strangers[1].send(hello("Parker", "Alford", Epoch(1)) + "\n");
    for talk in &mut strangers {
        let told = rest(talk);
        assert!(told.ends_with("? no HELLO within 300ms\n"), "{told}");
    }
    // A neighbour has the time it needs, and takes no stranger's place.
    let mut neighbour = call(server.peers, "Parker", "Alford", Epoch(1));
    stranger().rest();
    assert_eq!(neighbour.ask("x"), "? x", "longer than a stranger may stay");
}

#[test]
fn oldest_stranger_on_the_peer_port_gives_way_and_is_told() {
    let server = limited(Limits { hello_pending_max: 2, hello_time_max: WAIT, ..Limits::default() });
    let mut strangers: Vec<Talk> =
        (2..6).map(|host| Talk::from(([127, 0, 0, host], 0).into(), server.peers)).collect();
    let mut staying = strangers.split_off(2);
    for talk in &mut strangers {
        assert_eq!(rest(talk), "? too many connections without a hello; try again later\n");
    }
    for talk in &mut staying {
        assert!(talk.ask(&hello("Parker", "Alford", Epoch(1))).starts_with("HELLO"));
    }
}

#[test]
fn neighbour_is_in_at_once_however_many_strangers_come() {
    let pair = herd(&["Alford", "Parker"], &[("Alford", "Parker")], true);
    let server = TestServer::start(&pair, "Alford", catalogue());
    let parker = SocketAddr::new(pair.member("Parker").unwrap().peer.literal().unwrap().ip(), 0);
    let (held, is_over) = bounded::<()>(0);
    scope(|scope| {
        let held = held;
        // From more addresses than there are places for strangers.
        scope.spawn(|| flood(server.peers, 2..250, &is_over));
        for epoch in 1.. {
            let talk = Talk::from(parker, server.peers);
            let mut neighbour = greet(talk, "Parker", "Alford", Epoch(epoch));
            assert_eq!(neighbour.ask("x"), "? x");
            if server.member.metrics.unauthenticated_displaced.get() > 500 {
                break;
            }
        }
        drop(held);
    });
}

#[test]
fn neighbour_is_in_soon_even_if_strangers_come_from_its_address() {
    let server = limited(Limits::default());
    let (held, is_over) = bounded::<()>(0);
    scope(|scope| {
        let held = held;
        scope.spawn(|| flood(server.peers, 1..2, &is_over));
        eventually("it is in", || {
            let mut talk = server.peer();
            talk.socket.write_all(format!("{}\n", hello("Parker", "Alford", Epoch(1))).as_bytes()).ok()?;
            talk.line_or_end()?.starts_with("HELLO").then_some(())?;
            talk.socket.write_all(b"READY\n").ok()?;
            talk.line_or_end()?.starts_with("WELCOME").then_some(())
        });
        drop(held);
    });
}

/// Silent connections from these hosts of 127.0.0.0/24, one a millisecond, until it is over.
fn flood(to: SocketAddr, hosts: Range<u8>, is_over: &Receiver<()>) {
    let mut held = VecDeque::new();
    for host in hosts.cycle() {
        if is_over.recv_timeout(Duration::from_millis(1)) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        held.push_front(Talk::from(([127, 0, 0, host], 0).into(), to));
        held.truncate(FLOOD_HELD_MAX);
    }
}

#[test]
fn a_stranger_has_short_lines_and_a_neighbour_the_longest_that_any_herd_allows() {
    let server = limited(Limits { line_bytes_max: 256, ..Limits::default() });
    let mut stranger = server.peer();
    stranger.send("x".repeat(2_000));
    assert_eq!(rest(&mut stranger), format!("? {}\n", "x".repeat(1_024)));

    let mut client = server.client();
    let line = |bytes: usize| format!("IAMAT {} +1+1 1", "c".repeat(bytes - "IAMAT  +1+1 1".len()));
    assert!(client.ask(&line(256)).starts_with("AT "));
    client.send(line(257) + "\nx\n");
    assert_eq!(rest(&mut client), format!("? {}\n", &line(257)[..256]));

    // What the most generous server of a herd takes, the meanest one keeps.
    let generous = Limits { line_bytes_max: 65_536, client_name_bytes_max: 65_536, ..Limits::default() };
    let generous = limited(generous);
    let reply = generous.client().ask(&line(65_536));
    let mut neighbour = call(server.peers, "Parker", "Alford", Epoch(1));
    neighbour.send(format!("{reply}\n"));
    assert_eq!(neighbour.ask("x"), "? x");
    let fields = reply.split(' ').skip(1).collect::<Vec<_>>().join(" ");
    let longest = format!(
        "ERA 4294967295 #0123456789abcdef WITH {} AT {} -{}.{} {}\n",
        "a".repeat(ATTRIBUTES_BYTES_MAX),
        "N".repeat(64),
        "9".repeat(18),
        "9".repeat(9),
        &fields[fields.find("ccc").unwrap()..]
    );
    neighbour.send(longest.replace(" 1\n", " 2\n"));
    assert_eq!(neighbour.ask("x"), "? x", "it was no error");
}

#[test]
fn a_line_that_drips_in_is_given_up_and_one_in_time_is_answered() {
    let server = limited(Limits { line_time_max: SOON, ..Limits::default() });
    let mut honest = server.client();
    let mut dripping = server.client();
    dripping.send("x\n");
    assert_eq!(dripping.line(), "? x");
    dripping.socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    // Every byte is in time, the whole is not: it says so while the bytes still come.
    let mut sent = String::new();
    let mut told = Vec::new();
    let mut space = [0; 1024];
    eventually("it is given up", || {
        if dripping.socket.write_all(b"y").is_ok() {
            sent.push('y');
        }
        match dripping.socket.read(&mut space) {
            Ok(0) => return Some(()),
            Ok(count) => told.extend_from_slice(&space[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Some(()),
        }
        None
    });
    let told = String::from_utf8(told).unwrap();
    let copy = told.strip_prefix("? ").and_then(|told| told.strip_suffix('\n')).unwrap();
    assert!(!copy.is_empty() && sent.starts_with(copy), "{told}");
    // Between lines a client may take its time, and a line in two pieces is one.
    assert_eq!(honest.ask("x"), "? x");
    honest.send("a b");
    assert_eq!(honest.ask(" c"), "? a b c");
}

#[test]
fn a_whole_line_is_not_held_against_the_one_that_follows() {
    let server = limited(Limits { line_time_max: SOON, ..Limits::default() });
    let mut talk = server.client();
    // Each write ends a line and begins one: it is never between lines, and never long in one.
    talk.send("a");
    let begun = clock::deadline(SOON * 3);
    while clock::instant() < begun {
        talk.send("b\na");
        assert_eq!(talk.line(), "? ab");
    }
}

#[test]
fn an_idle_client_is_let_go_if_asked_for_and_a_busy_one_stays() {
    let server = limited(Limits { idle_time_max: Some(SOON), ..Limits::default() });
    let mut idle = server.client();
    assert_eq!(idle.ask("x"), "? x");
    let mut busy = server.client();
    idle.socket.set_nonblocking(true).unwrap();
    eventually("the idle one is let go", || {
        assert_eq!(busy.ask("x"), "? x");
        matches!((&idle.socket).read(&mut [0; 1]), Ok(0)).then_some(())
    });
}

#[test]
fn idle_client_gives_way_when_the_server_is_full_and_a_busy_one_does_not() {
    let limits = Limits { connections_max: 2, idle_time_when_full: SOON, ..Limits::default() };
    let server = limited(limits);
    let mut idle = server.client();
    assert_eq!(idle.ask("x"), "? x");
    let mut busy = server.client();
    let mut newcomer = eventually("a newcomer is served", || {
        assert_eq!(busy.ask("x"), "? x");
        let mut talk = server.client();
        let _ = talk.socket.write_all(b"x\n");
        (talk.line() == "? x").then_some(talk)
    });
    assert_eq!(rest(&mut idle), "", "it may wait for the reply to something else");
    assert_eq!((busy.ask("x"), newcomer.ask("x")), ("? x".to_owned(), "? x".to_owned()));
    assert_eq!(server.member.metrics.idle_displaced.get(), 1);
}

#[test]
fn idle_client_that_speaks_again_is_as_good_as_new() {
    let limits = Limits { connections_max: 1, idle_time_when_full: SOON, ..Limits::default() };
    let server = limited(limits);
    let mut talk = server.client();
    // It is often idle for long enough, and no other client comes.
    for _ in 0..3 {
        assert_eq!(talk.ask("x"), "? x");
        talk.socket.set_read_timeout(Some(SOON * 2)).unwrap();
        assert!(talk.socket.read(&mut [0; 1]).is_err());
        talk.socket.set_read_timeout(Some(WAIT)).unwrap();
    }
    assert_eq!(talk.ask("x"), "? x");
    assert_eq!(rest(&mut server.client()), "? too many connections here; try another server of the herd\n");
}

#[test]
fn classic_neighbour_may_have_nothing_to_tell_for_ever() {
    let name = |text| ServerName::parse(text).unwrap();
    let members = vec![
        config::Member::herd(name("Alford"), free_address(), free_address()),
        config::Member::legacy(name("Classic"), free_address()),
    ];
    let herd = Herd::new(members, vec![(name("Alford"), name("Classic"))], true).unwrap();
    let limits = Limits { idle_time_max: Some(SOON), ..Limits::default() };
    let server = TestServer::with(&Config { limits, ..config(&herd, "Alford") }, catalogue());
    let at = herd.member("Classic").unwrap().client.literal().unwrap().ip();
    let mut neighbour = Talk::from((at, 0).into(), server.clients);
    let mut elsewhere = Talk::from("127.0.0.9:0".parse().unwrap(), server.clients);
    assert_eq!(neighbour.ask("x"), "? x");
    assert_eq!(rest(&mut elsewhere), "");
    assert_eq!(neighbour.ask("x"), "? x");
}

#[test]
fn a_client_that_takes_a_little_at_a_time_does_not_hold_on() {
    // So few that the kernel keeps for each what it may: with less it wakes a writer for less.
    let server = limited(Limits { reply_time_max: SOON, connections_max: 100, ..Limits::default() });
    let mut talk = Talk::with_little_room(server.clients);
    let mut honest = server.client();
    assert!(talk.ask(KIWI).starts_with("AT "));
    talk.send("WHATSAT kiwi 50 20\n".repeat(1_000));
    talk.socket.set_nonblocking(true).unwrap();
    // So little that one write takes twice the time it may, and so much that it gets on all the time.
    const BYTES_PER_MS: u128 = 100;
    let (begun, mut taken) = (clock::instant(), 0);
    eventually("it is cut off", || {
        assert_eq!(honest.ask("x"), "? x");
        let may_take = (clock::instant() - begun).as_millis() * BYTES_PER_MS - taken;
        let mut space = vec![0; may_take.min(4_096) as usize];
        if space.is_empty() {
            return None;
        }
        match (&talk.socket).read(&mut space) {
            Ok(0) => Some(()),
            Ok(count) => {
                taken += count as u128;
                None
            }
            Err(error) => (error.kind() != ErrorKind::WouldBlock).then_some(()),
        }
    });
    assert!(taken > 0, "it took some");
}

#[test]
fn new_clients_are_refused_when_enough_are_known_and_neighbours_are_believed() {
    let server = limited(Limits { clients_max: 2, ..Limits::default() });
    let mut talk = server.client();
    assert!(talk.ask(KIWI).starts_with("AT "));
    // In one write, so that known and new ones come into one batch.
    let lines = "IAMAT emu +1+1 1\n IAMAT  ibis +1+1 1 \nIAMAT kiwi +1+1 1821464827\nIAMAT  ara +1+1 1\n";
    talk.send(lines);
    assert!(talk.line().ends_with(" emu +1+1 1"));
    assert_eq!(talk.line(), "?  IAMAT  ibis +1+1 1 ");
    assert!(talk.line().ends_with(" kiwi +1+1 1821464827"));
    assert_eq!(talk.line(), "? IAMAT  ara +1+1 1");
    assert_eq!(talk.ask("WHATSAT ibis 1 1"), "? WHATSAT ibis 1 1");

    let mut neighbour = call(server.peers, "Parker", "Alford", Epoch(1));
    neighbour.send("AT Parker +1.5 ibis +1+1 1\n");
    assert_eq!(neighbour.ask("x"), "? x");
    assert_eq!(talk.ask("WHATSAT ibis 1 1"), "AT Parker +1.5 ibis +1+1 1");
    talk.json();
    assert!(talk.ask("IAMAT ibis +2+2 2").starts_with("AT Alford "), "it is known now");
}

/// A provider that counts its calls, over the network or not.
struct Counted {
    calls: AtomicUsize,
    may_wait: bool,
}

impl PlacesProvider for Counted {
    fn nearby(&self, _: &NearbyQuery) -> Result<Answer, PlacesError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Ok(Answer::parse("{\"results\":[],\"status\":\"OK\"}".to_owned())?)
    }

    fn may_wait(&self) -> bool {
        self.may_wait
    }

    fn stop(&self) {}
}

#[test]
fn a_connection_has_its_share_of_calls_over_the_network_and_local_ones_are_free() {
    for (may_wait, served) in [(true, 2), (false, 5)] {
        let places = Arc::new(Counted { calls: AtomicUsize::new(0), may_wait });
        let server = limited_with(Limits { places_calls_per_minute: 2, ..Limits::default() }, places.clone());
        let mut talk = server.client();
        let line = talk.ask(KIWI);
        for question in 0..5 {
            assert_eq!(talk.ask("WHATSAT kiwi 10 5"), line, "never an error line");
            let json = talk.json();
            assert_eq!(json["results"], serde_json::json!([]));
            let status = if question < served { "OK" } else { "OVER_QUERY_LIMIT" };
            assert_eq!(json["status"], status);
            assert_eq!(json["error_message"].is_string(), question >= served, "{json}");
        }
        assert_eq!(places.calls.load(Ordering::SeqCst), served);
        let mut other = server.client();
        assert_eq!(other.ask("WHATSAT kiwi 10 5"), line);
        assert_eq!(other.json()["status"], "OK", "another connection has its own share");
    }
}

/// A provider in memory that panics when it is asked about a radius of 50 km.
struct Panicking(Arc<dyn PlacesProvider>);

impl PlacesProvider for Panicking {
    fn nearby(&self, query: &NearbyQuery) -> Result<Answer, PlacesError> {
        assert!(query.radius_m < 50_000, "planted");
        self.0.nearby(query)
    }

    fn may_wait(&self) -> bool {
        false
    }

    fn stop(&self) {}
}

#[test]
fn panic_costs_one_connection_and_leaves_no_lock_and_no_half_record() {
    let server = TestServer::start(&herd(&["Alford"], &[], true), "Alford", Arc::new(Panicking(catalogue())));
    let mut witness = server.client();
    witness.ask(KIWI);
    let mut others: Vec<Talk> = (0..8).map(|_| server.client()).collect();
    let mut clients = 1;
    for round in 0..20 {
        for (at, talk) in others.iter_mut().enumerate() {
            talk.send(format!("IAMAT other-{at}-{round} +1+1 1\n"));
        }
        let mut unlucky = server.client();
        unlucky.send(format!("IAMAT unlucky-{round} +1+1 1\nWHATSAT kiwi 50 1\nIAMAT never +1+1 1\n"));
        // What was merged before the bug stays, though it was not acknowledged.
        clients += others.len() + 1;
        let told = unlucky.socket.read(&mut [0; 1024]);
        assert!(matches!(told, Ok(0) | Err(_)), "{told:?}");
        for talk in &mut others {
            assert!(talk.line().starts_with("AT "));
        }
        // A panic under the lock itself leaves it free.
        let under_lock = catch_unwind(AssertUnwindSafe(|| server.member.write(|_| panic!("planted"))));
        assert!(under_lock.is_err());
        assert_eq!(server.clients_known(), clients);
    }
    assert_eq!(witness.ask("WHATSAT never 1 1"), "? WHATSAT never 1 1");
    assert!(witness.ask("WHATSAT unlucky-1 1 1").ends_with(" unlucky-1 +1+1 1"));
    witness.json();
    // It stops like any other.
    server.stop();
}

#[test]
fn changes_that_a_panic_left_untold_reach_the_neighbours() {
    let pair = herd(&["Alford", "Parker"], &[("Alford", "Parker")], true);
    let alford = TestServer::start(&pair, "Alford", Arc::new(Panicking(catalogue())));
    let parker = TestServer::start(&pair, "Parker", catalogue());
    let found = |client: &str| parker.client().ask(&format!("WHATSAT {client} 1 1")).starts_with("AT ");
    alford.client().ask(KIWI);
    eventually("the link is up", || found("kiwi").then_some(()));
    alford.client().send("IAMAT unlucky +1+1 1\nWHATSAT kiwi 50 1\n").rest();
    eventually("the neighbour knows", || found("unlucky").then_some(()));
}

#[test]
fn an_unfinished_stream_is_still_answered_at_its_end() {
    // The waits above must not have changed what the end of a stream means.
    let server = limited(Limits { line_time_max: WAIT, idle_time_max: Some(WAIT), ..Limits::default() });
    let mut socket = TcpStream::connect(server.clients).unwrap();
    socket.write_all(b"hel").unwrap();
    socket.write_all(b"lo").unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut told = String::new();
    socket.read_to_string(&mut told).unwrap();
    assert_eq!(told, "? hello\n");
}
