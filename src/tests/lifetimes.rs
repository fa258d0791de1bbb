//! How clients come to an end: forgotten, expired, from the future, or never taken because there is no memory.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::config::{Config, Durability, JournalOptions, Limits};
use crate::member::ForgetError;
use crate::os::clock;
use crate::proto::store::bounds::Bounds;
use crate::proto::store::cursor::Cursor;
use crate::proto::store::digest::{Digest, report_hash};
use crate::proto::store::update::{MergeRule, Source, Update};
use crate::proto::store::{Merged, Store};
use crate::sim::faults::{FaultMix, Schedule};
use crate::sim::graph::Graph;
use crate::sim::{self, Crash, EPOCH_NS, Options, World};
use crate::tests::harness::{TestServer, catalogue, config, eventually, herd};

const SETTLE: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// When a world begins, in seconds since 1970.
const EPOCH_S: u64 = EPOCH_NS / 1_000_000_000;

fn journalled(options: Options) -> Options {
    Options { durability: sim::Durability::Sync, ..options }
}

/// How much happens to a herd within this time.
fn mix(span: Duration, rng: &mut fastrand::Rng) -> FaultMix {
    FaultMix {
        span_ms: span.as_millis() as u64,
        clients: rng.usize(1..12),
        reports: rng.usize(1..80),
        faults: rng.usize(0..8),
        forgets: 0,
        points: 0,
        swizzle: rng.u8(..10) == 0,
        is_steady: false,
    }
}

#[test]
fn herds_whose_clients_are_forgotten_agree() {
    for seed in 0..400 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let graph = Graph::any(6, &mut rng);
        let clock_lead_max = rng.bool().then_some(DAY);
        let durability = [sim::Durability::None, sim::Durability::Os, sim::Durability::Sync][rng.usize(..3)];
        let options = Options { durability, clock_lead_max, ..Options::default() };
        let mut world = World::new(seed, graph, options);
        world.settle(SETTLE).unwrap();
        let span = Duration::from_millis([50, 500, 5_000][rng.usize(..3)]);
        let mix = FaultMix { forgets: 10, ..mix(span, &mut rng) };
        Schedule::random(&world, mix, &mut rng).play(&mut world);
        world.heal_all();
        world.settle(SETTLE).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    }
}

/// A herd from a seed whose clients expire after two hours, whose clocks are wrong by up to an hour each way, and whose
/// partitions are as long: it must agree, and know none after another six hours. Returns how often it has repaired.
fn expire(seed: u64, is_steady: bool) -> u64 {
    let mut rng = fastrand::Rng::with_seed(!seed);
    let graph = Graph::any(6, &mut rng);
    let durability = if rng.bool() { sim::Durability::Sync } else { sim::Durability::None };
    let (expire_after, clock_error_max) = (Some(2 * HOUR), Some(HOUR));
    let options = Options { durability, expire_after, clock_error_max, ..Options::default() };
    let mut world = World::new(seed, graph, options);
    world.settle(SETTLE).unwrap();
    let mut mix = mix(6 * HOUR, &mut rng);
    if is_steady {
        mix = FaultMix { is_steady, faults: 0, swizzle: false, ..mix };
    } else {
        world.expect_repairs();
    }
    Schedule::random(&world, mix, &mut rng).play(&mut world);
    world.heal_all();
    world.settle(SETTLE).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    world.run_for(6 * HOUR);
    world.settle(SETTLE).unwrap_or_else(|wrong| panic!("seed {seed}, later: {wrong}"));
    for client in 0..mix.clients {
        let lines = known(&world, &format!("client-{client}.example"));
        assert!(lines.iter().all(Option::is_none), "seed {seed}: {lines:?}");
    }
    world.repairs()
}

#[test]
fn herds_whose_clients_expire_agree_and_repair_nothing() {
    (0..150).for_each(|seed| assert_eq!(expire(seed, true), 0, "seed {seed}"));
}

/// Where a client repeats an old report, or clocks differ by more than its reports, one server may have dropped the
/// later report and another may have refused the earlier one for it: then they repair that.
#[test]
fn herds_whose_clients_expire_agree_after_faults_and_seldom_repair() {
    let repaired = (0..150).filter(|&seed| expire(seed, false) > 0).count();
    assert!(repaired < 30, "{repaired} of 150 herds had to repair");
}

/// What each server of a simulated herd says of a client.
fn known(world: &World, client: &str) -> Vec<Option<String>> {
    let text = |line: &[u8]| String::from_utf8_lossy(line).trim_end().to_owned();
    (0..world.graph().names().len()).map(|server| world.line_of(server, client).map(text)).collect()
}

#[test]
fn forgotten_client_is_unknown_everywhere_and_begins_again() {
    let mut world = World::new(3, Graph::default_herd(), journalled(Options::default()));
    world.report(0, b"IAMAT kiwi +1+1 1900000000\n");
    world.settle(SETTLE).unwrap();
    world.forget(2, "kiwi");
    world.settle(SETTLE).unwrap();
    assert_eq!(known(&world, "kiwi"), vec![None; 5]);

    // What was forgotten is no news, no matter who repeats it, and a restart brings nothing back.
    world.report(1, b"IAMAT kiwi +1+1 1900000000\n");
    world.crash(2, Crash::Killed);
    world.heal_all();
    world.settle(SETTLE).unwrap();
    assert_eq!(known(&world, "kiwi"), vec![None; 5]);

    // An earlier time than the forgotten one is taken.
    world.report(4, b"IAMAT kiwi +2+2 1700000000\n");
    world.settle(SETTLE).unwrap();
    let now = known(&world, "kiwi");
    assert!(now.iter().all(|line| line.as_ref().is_some_and(|line| line.ends_with(" kiwi +2+2 1700000000"))));
    world.report(4, b"IAMAT kiwi +3+3 1699999999\n");
    world.report(3, b"IAMAT kiwi +1+1 1900000000\n");
    world.settle(SETTLE).unwrap();
    assert_eq!(known(&world, "kiwi"), now, "the later time wins, and what was forgotten is still no news");
}

#[test]
fn report_that_is_taken_elsewhere_before_the_news_arrives_loses() {
    let mut world = World::new(4, Graph::chain(2), journalled(Options::default()));
    world.report(0, b"IAMAT kiwi +1+1 1700000000\n");
    world.settle(SETTLE).unwrap();
    world.cut(0);
    world.forget(0, "kiwi");
    world.report(1, b"IAMAT kiwi +2+2 1700000009\n");
    world.run_for(Duration::from_secs(5));
    world.heal_all();
    world.settle(SETTLE).unwrap();
    assert_eq!(known(&world, "kiwi"), [None, None]);
}

#[test]
fn neighbour_that_slept_and_a_journal_bring_no_expired_client_back() {
    let options = Options { expire_after: Some(2 * HOUR), clock_error_max: Some(HOUR), ..Options::default() };
    for seed in 0..40 {
        let mut world = World::new(seed, Graph::chain(3), journalled(options));
        world.report(0, format!("IAMAT kiwi +1+1 {EPOCH_S}\n").as_bytes());
        world.settle(SETTLE).unwrap();
        world.crash(2, Crash::Killed);
        world.run_for(5 * HOUR);
        world.settle(SETTLE).unwrap();
        world.restart(2);
        world.settle(SETTLE).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        assert_eq!(known(&world, "kiwi"), vec![None; 3], "seed {seed}");
    }
}

#[test]
fn report_within_the_guard_replaces_a_record_beyond_it() {
    let update = |line: &'static str, source, rule| Update {
        rule,
        ..Update::from_stored(line.as_bytes(), source).unwrap()
    };
    let told = |line| update(line, Source::NONE, MergeRule::GreaterSighting);
    let report = |line| update(line, Source::CLIENT, MergeRule::LaterTime);
    let poison = "AT A -1698300000000.5 kiwi +1+1 1700000000000\n";
    let honest = "AT B +0.500000000 kiwi +2+2 1700000000\n";

    let mut open = Store::new();
    assert_eq!(open.merge(&told(poison)), Merged::Applied);
    assert_eq!(open.merge(&report(honest)), Merged::Outdated, "without a guard any time is as good");

    let guarded = || Store::new().bounded(Bounds { clock_lead_max: Some(DAY), ..Bounds::default() });
    let mut store = guarded();
    assert_eq!(store.merge(&told(poison)), Merged::Applied);
    assert_eq!(store.merge(&report(honest)), Merged::AppliedInEra);
    assert_eq!(store.line_of(b"kiwi"), Some(honest.as_bytes()));
    let stored = store.stored_line_of(b"kiwi").unwrap().to_vec();
    let hash = report_hash(b"kiwi +1+1 1700000000000");
    assert_eq!(stored, format!("ERA 1700000000 #{hash:016x} {honest}").as_bytes());
    assert_eq!(store.merge(&report(poison)), Merged::Outdated, "an echo of it is no news");
    assert_eq!(store.newest_line(), Some(&*stored));
    assert_eq!(store.merge(&told(poison)), Merged::Outdated, "it blocks no longer");

    // It wins everywhere, and the later reports of its client go on from there.
    let stored: &'static [u8] = stored.leak();
    assert_eq!(open.merge(&Update::from_stored(stored, Source::NONE).unwrap()), Merged::Applied);
    assert_eq!(open.merge(&report("AT B +0.5 kiwi +3+3 1700000001\n")), Merged::AppliedInEra);
    assert_eq!(open.merge(&report("AT B +0.5 kiwi +3+3 1700000000.5\n")), Merged::Outdated);

    // A record that is merely later, within the guard, is not replaced.
    let mut store = guarded();
    assert_eq!(store.merge(&told("AT A -80000.5 kiwi +1+1 1700080000\n")), Merged::Applied);
    assert_eq!(store.merge(&report(honest)), Merged::Outdated);
}

/// A stored line of one of two clients, in one of three eras, with or without attributes.
fn stored_line() -> impl Strategy<Value = String> {
    let attributes = select(&["", "WITH acc=5 ", "WITH acc=6&tid=JP "]);
    (0..3_u8, 0..3_u32, 0..2_u8, 1..4_u8, 0..3_u8, attributes).prop_map(
        |(kind, era, client, time, other, attributes)| {
            let at = format!("{attributes}AT S{other} +0.5 client{client} +1+1 {time}\n");
            match (kind, era) {
                (0, 1..) => format!("FORGET {era} client{client} #000000000000000{other}\n"),
                (_, 0) => at,
                (_, era) => format!("ERA {era} #000000000000000{other} {at}"),
            }
        },
    )
}

proptest! {
    #[test]
    fn stored_lines_are_merged_alike_in_every_order(mut lines in vec(stored_line(), 1..12), seed in any::<u64>()) {
        let merged = |lines: &[String]| {
            let mut store = Store::new();
            for line in lines {
                store.merge(&Update::from_stored(line.as_bytes(), Source::NONE).unwrap());
            }
            let known = [b"client0", b"client1"].map(|client| store.stored_line_of(client).map(<[u8]>::to_vec));
            let greatest = [b"client0", b"client1"].map(|client| store.line_of(client).is_some());
            prop_assert_eq!(store.len(), greatest.iter().filter(|known| **known).count());
            prop_assert_eq!(store.len() + store.tombstones(), known.iter().flatten().count());
            Ok((known, store.digest().total()))
        };
        let before = merged(&lines)?;
        fastrand::Rng::with_seed(seed).shuffle(&mut lines);
        lines.extend_from_within(..lines.len() / 2);
        prop_assert_eq!(merged(&lines)?, before);
    }

    #[test]
    fn what_has_expired_leaves_nothing_behind(lines in vec(stored_line(), 1..40)) {
        let mut store = Store::new();
        for line in &lines {
            store.merge(&Update::from_stored(line.as_bytes(), Source::CLIENT).unwrap());
        }
        store.expiry.set_clock(2_000_000_000, Duration::from_secs(1));
        while store.sweep().1 {}
        prop_assert_eq!((store.len(), store.tombstones(), store.line_bytes()), (0, 0, 0));
        prop_assert_eq!(store.digest(), &Digest::empty());
        prop_assert!(store.line_of(b"client0").is_none());
        // Their places are taken by others, and followers are told of those alone.
        for name in ["one", "two", "three"] {
            let line = format!("AT S +1 {name} +1+1 2000000000\n");
            let update = Update::from_stored(line.as_bytes(), Source::CLIENT).unwrap();
            prop_assert_eq!(store.merge(&update), Merged::Applied);
        }
        let mut told = Vec::new();
        let scanned = Cursor::new(0, Source::NONE).copy(&store, u64::MAX, usize::MAX, &mut told);
        prop_assert_eq!((scanned.lines(), told.split(|&byte| byte == b'\n').count()), (3, 4));
    }
}

/// A server with a journal.
fn with_journal(dir: &std::path::Path) -> Config {
    let journal = JournalOptions { durability: Durability::Os, dir: dir.to_owned() };
    Config { journal, ..config(&herd(&["Alford"], &[], true), "Alford") }
}

#[test]
fn record_of_a_former_run_blocks_its_client_no_longer_once_there_is_a_guard() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = with_journal(dir.path());
    let now = clock::now().seconds;
    let server = TestServer::with(&config, catalogue());
    assert!(server.client().ask(&format!("IAMAT kiwi +1+1 {now}000")).starts_with("AT "));
    assert!(server.client().ask(&format!("IAMAT kiwi +2+2 {now}")).starts_with("AT "));
    assert!(server.client().ask("WHATSAT kiwi 1 1").ends_with(&format!("+1+1 {now}000")), "it is blocked");
    server.stop();

    config.herd.clock_lead_max = Some(DAY);
    let server = TestServer::with(&config, catalogue());
    assert!(server.client().ask(&format!("IAMAT kiwi +1+1 {now}000")).starts_with("? "));
    assert!(server.client().ask(&format!("IAMAT kiwi +2+2 {now}")).starts_with("AT "));
    assert!(server.client().ask("WHATSAT kiwi 1 1").ends_with(&format!("+2+2 {now}")));
    server.stop();

    // The era is in the journal.
    config.herd.clock_lead_max = None;
    let server = TestServer::with(&config, catalogue());
    assert!(server.client().ask("WHATSAT kiwi 1 1").ends_with(&format!("+2+2 {now}")));
    assert_eq!(server.member.forget(b"kiwi", now), Ok(()));
    assert_eq!(server.member.forget(b"kiwi", now), Ok(()), "it may be asked for again");
    assert_eq!(server.member.forget(b"emu", now), Err(ForgetError::Unknown));
    server.stop();
    let server = TestServer::with(&config, catalogue());
    assert_eq!(server.client().ask("WHATSAT kiwi 1 1"), "? WHATSAT kiwi 1 1");
    assert_eq!(server.clients_known(), 0);
}

#[test]
fn client_that_has_not_reported_is_dropped() {
    let mut herd = herd(&["Alford", "Bolden"], &[("Alford", "Bolden")], true);
    herd.expire_after = Some(Duration::from_secs(1));
    let servers = ["Alford", "Bolden"].map(|name| TestServer::start(&herd, name, catalogue()));
    assert!(servers[0].client().ask("IAMAT kiwi +1+1 5").starts_with("AT "));
    for server in &servers {
        eventually("it is dropped", || (server.member.metrics.expired.get() > 0).then_some(()));
        assert_eq!(server.client().ask("WHATSAT kiwi 1 1"), "? WHATSAT kiwi 1 1");
        assert_eq!(server.clients_known(), 0);
    }
    // It is not taken for a stranger who comes too late.
    assert!(servers[1].client().ask("IAMAT kiwi +1+1 6").starts_with("AT "));
}

#[test]
fn memory_is_bounded_for_new_clients_and_the_smallest_server_speaks_for_the_herd() {
    const BYTES_MAX: u64 = 2 << 20;
    let herd = herd(&["Alford", "Bolden"], &[("Alford", "Bolden")], true);
    let limits = |bytes| Limits { memory_bytes_max: Some(bytes), ..Limits::default() };
    let start =
        |name, bytes| TestServer::with(&Config { limits: limits(bytes), ..config(&herd, name) }, catalogue());
    let (small, large) = (start("Bolden", BYTES_MAX), start("Alford", 1 << 40));
    eventually("the bound is told", || {
        (large.member.read(|node| node.memory_bytes_max()) == BYTES_MAX).then_some(())
    });
    let mut talk = large.client();
    let name = |number: usize| format!("{number:->1000}");
    let taken =
        (0..10_000).find(|&number| talk.ask(&format!("IAMAT {} +1+1 5", name(number))).starts_with("? "));
    let taken = taken.expect("not all are taken");
    assert!((1_000..2_000).contains(&taken), "{taken} clients of a thousand bytes");
    assert!(talk.ask(&format!("IAMAT {} +1+1 6", name(0))).starts_with("AT "), "known ones go on");
    eventually("the small one knows all", || (small.clients_known() == taken).then_some(()));
    // Nor do those that are known take more than before.
    let long = format!("IAMAT {} +1+1 7.{}", name(1), "0".repeat(2_000));
    assert_eq!(talk.ask(&long), format!("? {long}"));
    for server in [&small, &large] {
        assert!(server.member.read(|node| node.store().memory_bytes()) <= BYTES_MAX);
        assert!(server.client().ask(&format!("IAMAT {} +1+1 5", name(99_999))).starts_with("? "));
    }
}

#[test]
fn name_is_bounded_where_a_client_registers_itself() {
    let herd = herd(&["Alford"], &[], true);
    let limits = Limits { client_name_bytes_max: 128, ..Limits::default() };
    let server = TestServer::with(&Config { limits, ..config(&herd, "Alford") }, catalogue());
    let mut talk = server.client();
    let line =
        |bytes: usize| format!("IAMAT {} +34.068930-118.445127 1621464827.959498503", "k".repeat(bytes));
    assert!(talk.ask(&line(128)).starts_with("AT "));
    assert_eq!(talk.ask(&line(129)), format!("? {}", line(129)));
    assert_eq!(Limits::default().client_name_bytes_max, 1_024);
}
