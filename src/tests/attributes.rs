//! Attributes of a sighting: they reach every server with the winner, survive a restart, and are hidden from those who
//! know six fields alone.

use std::sync::Arc;
use std::time::Duration;

use super::harness::{Talk, TestServer, catalogue, config, eventually, herd};
use crate::config::{Config, Durability, JournalOptions};
use crate::proto::model::attributes::Attributes;
use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::node::{Dialect, Identity, Neighbour, Node};
use crate::proto::peering::legacy::LegacyLink;
use crate::proto::store::update::{MergeRule, Source, Update, Updates};
use crate::sim::faults::{FaultMix, Schedule};
use crate::sim::graph::Graph;
use crate::sim::{self, Options, World};
use crate::tests::peers::call;

const AT: &str = "AT Alford +0.500000000 jane/phone +34.068930-118.445127 1621464827";
const WITH: &str =
    "WITH acc=12&batt=85&tid=JP AT Alford +0.500000000 jane/phone +34.068930-118.445127 1621464827";

#[test]
fn herds_whose_phones_report_with_attributes_agree() {
    for seed in 0..400 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let graph = Graph::any(6, &mut rng);
        let durability = [sim::Durability::None, sim::Durability::Os, sim::Durability::Sync][rng.usize(..3)];
        let mut world = World::new(seed, graph, Options { durability, ..Options::default() });
        world.settle(Duration::from_secs(20)).unwrap();
        let mix = FaultMix {
            span_ms: [500, 5_000][rng.usize(..2)],
            clients: rng.usize(1..4),
            reports: rng.usize(1..20),
            faults: rng.usize(0..8),
            forgets: rng.usize(0..3),
            points: 40,
            swizzle: rng.u8(..10) == 0,
            is_steady: false,
        };
        Schedule::random(&world, mix, &mut rng).play(&mut world);
        world.heal_all();
        world.settle(Duration::from_secs(20)).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    }
}

/// A report as a door makes it.
fn report(line: &str) -> Update<'_> {
    Update { rule: MergeRule::LaterTime, ..Update::from_stored(line.as_bytes(), Source::CLIENT).unwrap() }
}

fn attributes_on(server: &TestServer) -> Option<String> {
    let located = server.member.locate(b"jane/phone")?;
    Some(located.attributes().map(Attributes::text).unwrap_or_default().to_owned())
}

#[test]
fn attributes_reach_every_server_with_the_winner_and_no_line_client() {
    let herd = herd(&["Alford", "Bolden", "Hamilton"], &[("Alford", "Bolden"), ("Bolden", "Hamilton")], true);
    let servers = ["Alford", "Bolden", "Hamilton"].map(|name| TestServer::start(&herd, name, catalogue()));
    servers[0].member.apply(&mut report(&format!("{WITH}\n")));
    servers[0].member.notifiers.notify(&*servers[0].member);
    for server in &servers {
        eventually("it is there", || (attributes_on(server)? == "acc=12&batt=85&tid=JP").then_some(()));
        let mut talk = server.client();
        assert_eq!(talk.ask("WHATSAT jane/phone 10 5"), AT);
        assert_eq!(talk.json()["status"], "OK");
    }
    // A line client's later report has none.
    assert!(servers[2].client().ask("IAMAT jane/phone +1+1 1621464828").starts_with("AT Hamilton "));
    for server in &servers {
        eventually("it is there", || attributes_on(server)?.is_empty().then_some(()));
    }
    let digests = servers.each_ref().map(|server| server.member.read(|node| node.store().digest().total()));
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

#[test]
fn of_two_lines_the_one_with_attributes_stays_whichever_comes_first() {
    let herd = herd(&["Alford", "Parker"], &[("Alford", "Parker")], true);
    for lines in [[AT, WITH], [WITH, AT]] {
        let server = TestServer::start(&herd, "Alford", catalogue());
        let mut neighbour: Talk = call(server.peers, "Parker", "Alford", Epoch(1));
        for line in lines {
            neighbour.send(format!("{line}\n"));
        }
        assert_eq!(neighbour.ask("x"), "? x");
        assert_eq!(attributes_on(&server).as_deref(), Some("acc=12&batt=85&tid=JP"));
        let too_long = WITH.replace("acc=12", &"a".repeat(257));
        assert_eq!(neighbour.ask(&too_long), format!("? {too_long}"));
        // On the client port it is no command.
        assert_eq!(server.client().ask(WITH), format!("? {WITH}"));
    }
}

#[test]
fn attributes_are_in_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let journal = JournalOptions { durability: Durability::Os, dir: dir.path().to_owned() };
    let config = Config { journal, ..config(&herd(&["Alford"], &[], true), "Alford") };
    let server = TestServer::with(&config, catalogue());
    let (_, lsn) = server.member.apply(&mut report(&format!("{WITH}\n")));
    server.member.persist(lsn).unwrap();
    server.stop();
    let server = TestServer::with(&config, catalogue());
    assert_eq!(attributes_on(&server).as_deref(), Some("acc=12&batt=85&tid=JP"));
    assert_eq!(server.member.forget(b"jane/phone", 1_700_000_000), Ok(()));
    assert_eq!(attributes_on(&server), None);
    // The next report inherits the era, and the last one is known again without its attributes.
    server.member.apply(&mut report(&format!("{AT}\n")));
    assert_eq!(attributes_on(&server), None);
    let later = format!("{}\n", WITH.replace("1621464827", "1621464828"));
    server.member.apply(&mut report(&later));
    assert_eq!(attributes_on(&server).as_deref(), Some("acc=12&batt=85&tid=JP"));
    server.stop();
    let server = TestServer::with(&config, catalogue());
    assert_eq!(attributes_on(&server).as_deref(), Some("acc=12&batt=85&tid=JP"));
}

#[test]
fn legacy_neighbour_gets_six_fields() {
    let name = |name| ServerName::parse(name).unwrap();
    let neighbour = Neighbour { name: name("Classic"), dialect: Dialect::Legacy };
    let me = Arc::new(Identity::new(name("Alford"), vec![neighbour], Epoch(1)));
    let mut node = Node::new(me.clone());
    let line = format!("{WITH}\n");
    let mut update = report(&line);
    node.apply(&mut update as &mut dyn Updates, None);
    let mut out = Vec::new();
    assert!(LegacyLink::new(me, 0).due(&node, u64::MAX, &mut out).is_some());
    assert_eq!(out, format!("{AT}\r\n").into_bytes());
}
