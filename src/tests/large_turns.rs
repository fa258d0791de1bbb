//! Large turns: few are worked on at once, a small one waits for none of them, and none holds its permit while it
//! waits for something else.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::harness::{Talk, TestServer, WAIT, catalogue, config, eventually, herd};
use super::mqtt::{self, Mqtt};
use crate::config::{Config, Durability, JournalOptions};
use crate::member::core::{Core, CoreStatus, NoTrack};
use crate::member::turn::PERMITS_PER_PROCESSOR;
use crate::os::semaphore::OwnedPermit;
use crate::places::{Answer, PlacesError, PlacesProvider};
use crate::proto::line::query::NearbyQuery;
use crate::proto::store::Store;

/// More than a small turn has.
const LINES: usize = 300;

fn permits() -> usize {
    thread::available_parallelism().map_or(1, usize::from) * PERMITS_PER_PROCESSOR
}

fn serve(places: Arc<dyn PlacesProvider>) -> TestServer {
    TestServer::start(&herd(&["Alford"], &[], true), "Alford", places)
}

/// Reports of a client, in one write, so that the server reads more than a small turn at once.
fn reports(client: &str) -> String {
    (1..=LINES).map(|time| format!("IAMAT {client} +1.00000+1.00000 {time}\n")).collect()
}

fn take_all(server: &TestServer) -> Vec<OwnedPermit> {
    (0..permits()).map(|_| server.member.turn_permits.large(usize::MAX).unwrap()).collect()
}

/// Has as many clients as there are permits send this after their reports, and `wait` until all are stuck with it; then
/// another large turn is served.
fn serves_beside(
    server: &TestServer,
    last: &str,
    connect: fn(SocketAddr) -> Talk,
    wait: impl FnOnce(&mut [Talk]),
) {
    let mut stuck: Vec<Talk> = (0..permits()).map(|_| connect(server.clients)).collect();
    for (at, talk) in stuck.iter_mut().enumerate() {
        talk.send(reports(&format!("stuck-{at}")) + last);
    }
    wait(&mut stuck);
    let mut other = server.client();
    other.send(reports("other"));
    (0..LINES).for_each(|_| assert!(other.line().starts_with("AT Alford ")));
}

#[test]
fn small_turns_overtake_large_ones() {
    let server = serve(catalogue());
    let held = take_all(&server);
    let mut large = server.client();
    large.send(reports("emu"));
    eventually("the large turn waits", || (server.member.turn_permits.waiting() == 1).then_some(()));
    let mut small = server.client();
    assert_eq!(small.ask("WHATSAT emu 10 5"), "? WHATSAT emu 10 5", "nothing of it was taken");
    assert!(small.ask("IAMAT kiwi +1+1 1").starts_with("AT Alford "));
    drop(held);
    (0..LINES).for_each(|_| assert!(large.line().starts_with("AT Alford ")));
    // All have come back.
    drop(take_all(&server));
}

#[test]
fn large_turns_wait_for_nothing_where_commits_wait_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let herd = herd(&["Alford"], &[], true);
    let journal = JournalOptions { durability: Durability::Sync, dir: folder.path().join("data") };
    let server = TestServer::with(&Config { journal, ..config(&herd, "Alford") }, catalogue());
    assert!(server.member.turn_permits.large(usize::MAX).is_none());
}

#[test]
fn client_of_mqtt_that_has_yet_to_log_in_needs_no_permit() {
    let (server, mqtt) = mqtt::server(|config| config);
    let held = take_all(&server);
    let (_client, answer) = Mqtt::connect(mqtt, 4, "phone", Some(("jane", &"x".repeat(20_000))));
    assert_eq!(answer, [0, 0]);
    drop(held);
}

#[test]
fn turns_that_wait_for_a_provider_hold_no_permit() {
    let (asked, stop) = (Arc::new(AtomicUsize::new(0)), bounded(0));
    let server = serve(Arc::new(Waiting { asked: Arc::clone(&asked), stop }));
    server.client().ask("IAMAT kiwi +34.068930-118.445127 1");
    serves_beside(&server, "WHATSAT kiwi 10 5\n", Talk::with, |_| all_wait(&asked));
}

#[test]
fn turns_that_wait_for_a_database_hold_no_permit() {
    let (asked, stop) = (Arc::new(AtomicUsize::new(0)), bounded(0));
    let server = serve(catalogue());
    server.member.set_core(Arc::new(Waiting { asked: Arc::clone(&asked), stop: stop.clone() }));
    serves_beside(&server, "WHATSAT unknown 10 5\n", Talk::with, |_| all_wait(&asked));
    (0..permits()).for_each(|_| stop.0.send_timeout((), WAIT).unwrap());
}

#[test]
fn turns_that_wait_for_their_client_hold_no_permit() {
    let server = serve(catalogue());
    server.client().ask("IAMAT kiwi +34.068930-118.445127 1");
    serves_beside(&server, "", Talk::with_little_room, |stuck| {
        for talk in stuck {
            // When it takes no more questions it waits for the client to take answers.
            talk.socket.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
            let questions = "WHATSAT kiwi 50 20\n".repeat(1_000);
            let ended = (0..10_000).find_map(|_| talk.socket.write_all(questions.as_bytes()).err());
            assert_eq!(ended.map(|error| error.kind()), Some(ErrorKind::WouldBlock));
        }
    });
}

/// What lets everyone wait who asks it, until it is stopped.
#[derive(Debug)]
struct Waiting {
    asked: Arc<AtomicUsize>,
    stop: (Sender<()>, Receiver<()>),
}

fn all_wait(asked: &AtomicUsize) {
    eventually("all wait", || (asked.load(Ordering::SeqCst) == permits()).then_some(()));
}

impl Waiting {
    fn wait(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let _ = self.stop.1.recv_timeout(WAIT);
    }
}

impl PlacesProvider for Waiting {
    fn nearby(&self, _: &NearbyQuery) -> Result<Answer, PlacesError> {
        self.wait();
        Err(PlacesError::Stopped)
    }

    fn may_wait(&self) -> bool {
        true
    }

    fn stop(&self) {
        while self.stop.0.try_send(()).is_ok() {}
    }
}

impl Core for Waiting {
    fn fetch(&self, _: &str) -> bool {
        self.wait();
        false
    }

    fn keeps_history(&self) -> bool {
        false
    }

    fn record(&self, _: &[u8]) -> u64 {
        0
    }

    fn track(&self, _: &str) -> Result<Vec<Vec<u8>>, NoTrack> {
        Err(NoTrack::NotKept)
    }

    fn status(&self, _: &Store) -> CoreStatus {
        CoreStatus {
            url: String::new(),
            is_up: true,
            since: Duration::ZERO,
            behind: 0,
            error: None,
            history_bytes: 0,
        }
    }
}
