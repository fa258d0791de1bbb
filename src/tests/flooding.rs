//! Updates take a tree through the herd, and another way where it breaks.

use std::sync::Arc;
use std::time::Duration;

use crate::proto::line::framing::Line;
use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::model::time::Moment;
use crate::proto::node::{Identity, NO_WAL, Neighbour, Node};
use crate::proto::peering::grammar::push_offer;
use crate::proto::peering::link::{Answered, Due, HEARTBEAT_EVERY, Link, TooManyAtOnce};
use crate::proto::session::{Session, Step};
use crate::proto::store::cursor::HASHES_MAX;
use crate::proto::store::digest::record_hash;
use crate::proto::store::update::{MergeRule, Source, Update};
use crate::sim::graph::Graph;
use crate::sim::{Crash, EPOCH_NS, Options, World};
use crate::tests::harness::{TestServer, catalogue, herd};
use crate::tests::peers::{KEY, call, met};

/// Reports in a second of virtual time.
const RATE: u64 = 200;

/// The herd must agree within this time after everything works again.
const SETTLE: Duration = Duration::from_secs(20);

/// A tree must have formed after this time, whatever the graph: most of it is for the twelve servers of a mesh, where
/// each of them prunes one link in a second.
const FORM_S_MAX: u64 = 60;

/// What is reported when a link of the tree has been cut must be known everywhere within this time: a hash waits for
/// 80 ms, and the offer and what comes of it cross a few links.
const REPAIR_MS_MAX: u64 = 100;

/// Links that may be pruned by mistake while a tree forms: two servers may prune two links of one circle at once.
const GRAFTS_MAX: u64 = 2;

const NEAR: Options = Options {
    catch_up: true,
    has_tree: true,
    is_near: true,
    heartbeats: true,
    at_once: true,
    durability: crate::sim::Durability::None,
    expire_after: None,
    clock_lead_max: None,
    clock_error_max: None,
};

/// A simulated herd in which every server has clients that report.
struct Busy {
    world: World,
    reports: u64,
    /// How many there are in a second.
    rate: u64,
    rng: fastrand::Rng,
}

impl Busy {
    fn new(seed: u64, graph: Graph, options: Options) -> Busy {
        Busy {
            world: World::new(seed, graph, options),
            reports: 0,
            rate: RATE,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    fn servers(&self) -> usize {
        self.world.graph().names().len()
    }

    /// One report at a random server; returns its client and the line.
    fn report(&mut self) -> (String, Vec<u8>) {
        let (client, server) = (format!("c{}", self.reports % 1_000), self.rng.usize(..self.servers()));
        self.reports += 1;
        let time = EPOCH_NS + self.world.now_ns();
        let (seconds, nanos) = (time / 1_000_000_000, time % 1_000_000_000);
        let line = format!("IAMAT {client} +1+1 {seconds}.{nanos:09}\n");
        (client, self.world.report(server, line.as_bytes()))
    }

    /// Reports for so long, and waits until everything is known everywhere. Returns by how many messages that was more
    /// than one for each report and server that had to learn it.
    fn run(&mut self, seconds: u64) -> i64 {
        let before = self.world.messages();
        for _ in 0..seconds * self.rate {
            self.report();
            self.world.run_for(Duration::from_nanos(1_000_000_000 / self.rate));
        }
        self.world.run_for(Duration::from_millis(300));
        (self.world.messages() - before) as i64 - (seconds * self.rate * (self.servers() as u64 - 1)) as i64
    }

    /// Reports until every report has cost as little as it can for three seconds.
    fn run_until_it_is_a_tree(&mut self) {
        let deadline_ns = self.world.now_ns() + FORM_S_MAX * 1_000_000_000;
        while self.run(3) != 0 {
            assert!(self.world.now_ns() < deadline_ns, "{:?}", self.world.prunes_and_grafts());
        }
    }

    /// Reports for a second, and returns the longest time in milliseconds until all servers that are up knew one.
    fn longest_way_ms(&mut self, down: Option<usize>) -> u64 {
        let (mut open, mut longest) = (Vec::new(), 0);
        for ms in 0..2_000 {
            if ms % (1_000 / RATE) == 0 && ms < 1_000 {
                let (client, line) = self.report();
                if !line.is_empty() {
                    open.push((ms, client, line));
                }
            }
            self.world.run_for(Duration::from_millis(1));
            let knows = |server: &usize, client: &str, line: &[u8]| {
                Some(*server) == down || self.world.line_of(*server, client) == Some(line)
            };
            open.retain(|(since, client, line)| {
                let is_known = (0..self.servers()).all(|server| knows(&server, client, line));
                longest = if is_known { longest.max(ms + 1 - since) } else { longest };
                !is_known
            });
        }
        assert!(open.is_empty(), "{} reports are not known after a second", open.len());
        longest
    }
}

fn graphs() -> Vec<Graph> {
    let mut rng = fastrand::Rng::with_seed(1);
    vec![
        Graph::default_herd(),
        Graph::chain(5),
        Graph::star(5),
        Graph::mesh(5),
        Graph::ring(20),
        Graph::mesh(12),
        Graph::connected(20, 20, &mut rng),
    ]
}

#[test]
fn updates_take_a_tree_through_any_graph_and_it_stays() {
    for (seed, graph) in (0..3).flat_map(|seed| graphs().into_iter().map(move |graph| (seed, graph))) {
        let mut busy = Busy::new(seed, graph, NEAR);
        busy.run_until_it_is_a_tree();
        let before = busy.world.prunes_and_grafts();
        assert!(before.1 <= GRAFTS_MAX, "seed {seed}: {} links were pruned too many", before.1);
        assert_eq!(busy.run(10), 0);
        assert_eq!(busy.world.prunes_and_grafts(), before);
        assert_eq!(busy.world.tree_links().len(), busy.servers() - 1);
        busy.world.settle(SETTLE).unwrap();
    }
}

#[test]
fn two_hundred_servers_form_a_tree() {
    let graph = Graph::connected(200, 200, &mut fastrand::Rng::with_seed(3));
    let mut busy = Busy { rate: 20, ..Busy::new(1, graph, NEAR) };
    busy.run_until_it_is_a_tree();
    assert_eq!(busy.world.tree_links().len(), 199);
    busy.world.settle(SETTLE).unwrap();
}

#[test]
fn update_takes_another_way_soon_when_a_link_of_the_tree_is_gone() {
    for seed in 0..12 {
        for is_blackhole in [false, true] {
            let graph = if seed % 2 == 0 { Graph::mesh(5) } else { Graph::ring(6) };
            let mut busy = Busy::new(seed, graph, NEAR);
            busy.run_until_it_is_a_tree();
            let tree = busy.world.tree_links();
            let link = tree[busy.rng.usize(..tree.len())];
            if is_blackhole {
                busy.world.blackhole(link);
            } else {
                busy.world.cut(link);
            }
            let longest_ms = busy.longest_way_ms(None);
            assert!(longest_ms <= REPAIR_MS_MAX, "seed {seed}: {longest_ms} ms");
            busy.world.heal_all();
            busy.world.settle(SETTLE).unwrap();
        }
    }
}

#[test]
fn updates_of_the_others_take_another_way_soon_when_a_server_is_gone() {
    for seed in 0..6 {
        let mut busy = Busy::new(seed, Graph::mesh(5), NEAR);
        busy.run_until_it_is_a_tree();
        busy.world.crash(seed as usize % 5, Crash::Killed);
        let longest_ms = busy.longest_way_ms(Some(seed as usize % 5));
        assert!(longest_ms <= REPAIR_MS_MAX, "seed {seed}: {longest_ms} ms");
        busy.world.heal_all();
        busy.world.settle(SETTLE).unwrap();
    }
}

#[test]
fn herd_whose_servers_are_slow_and_far_apart_agrees_with_a_tree_too() {
    for seed in 0..6 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut busy =
            Busy::new(seed, Graph::connected(12, 12, &mut rng), Options { is_near: false, ..NEAR });
        for _ in 0..4 {
            busy.run(5);
            let link = rng.usize(..busy.world.graph().links().len());
            busy.world.cut(link);
            busy.run(2);
            busy.world.heal_all();
        }
        busy.world.settle(SETTLE).unwrap();
    }
}

/// Two neighbours of a server, and what it tells them.
struct Told {
    node: Node,
    neighbours: Vec<Session>,
}

impl Told {
    fn new() -> Told {
        let name = |text| ServerName::parse(text).unwrap();
        let neighbours = vec![Neighbour::herd(name("Bolden")), Neighbour::herd(name("Parker"))];
        let mut node = Node::new(Arc::new(Identity::new(name("Alford"), neighbours, Epoch(1))));
        let neighbours = (0..2).map(|at| met(&mut node, at, Epoch(2)).0).collect();
        Told { node, neighbours }
    }

    /// One of them says something. Returns what it is told about its link.
    fn tell(&mut self, neighbour: usize, lines: &str) -> String {
        let mut batch = crate::proto::line::batch::Batch::default();
        let mut told = String::new();
        for line in lines.lines() {
            let line = Line::Whole(line.as_bytes());
            let step = self.neighbours[neighbour].line(line, Moment::default(), &mut batch);
            assert!(matches!(step, Step::Next | Step::Heartbeat(_)), "{step:?}");
        }
        let applied = self.node.apply(&mut batch, None);
        if applied.prunes {
            told += "prune ";
        }
        if let Some(verdict) = applied.verdict {
            told += &format!("{verdict:?}");
        }
        told
    }
}

fn line(client: usize) -> String {
    format!("AT Hamilton +0.5 c{client} +1+1 5\n")
}

fn offer(position: u64, clients: impl IntoIterator<Item = usize>) -> String {
    let hashes: Vec<u64> =
        clients.into_iter().map(|client| record_hash(line(client).trim_end().as_bytes())).collect();
    let mut out = Vec::new();
    push_offer(position, &hashes, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn neighbour_is_told_that_its_offer_is_known_only_if_all_of_it_is() {
    let mut told = Told::new();
    let all: String = (0..8).map(line).collect();
    assert_eq!(told.tell(0, &all), "");
    assert_eq!(told.tell(1, &offer(8, 0..8)), "Known(8)");
    assert_eq!(told.tell(1, &offer(9, 8..9)), "Graft");
    // Of many, a few may be on their way; but not for long.
    assert_eq!(told.tell(1, &offer(9, 0..9)), "Known(0)");
    assert_eq!(told.tell(1, &offer(9, 0..9)), "Graft");
    assert_eq!(told.tell(1, &offer(9, 0..9)), "Known(0)");
    assert_eq!(told.tell(0, &line(8)), "");
    assert_eq!(told.tell(1, &offer(9, 0..9)), "Known(9)");
    // What comes with the offer, before it, counts.
    assert_eq!(told.tell(1, &(line(9) + &offer(10, 9..10))), "Known(10)");
    // Of two offers at once the last is known only if both are.
    assert_eq!(told.tell(1, &(offer(11, 20..22) + &offer(12, 0..2))), "Graft");
}

#[test]
fn what_was_outdated_when_it_came_is_known() {
    let mut told = Told::new();
    told.tell(0, "AT Hamilton +0.5 c1 +1+1 6\n");
    assert_eq!(told.tell(1, &offer(1, [1])), "Graft");
    told.tell(0, &line(1));
    assert_eq!(told.tell(1, &offer(1, [1])), "Known(1)");
}

#[test]
fn neighbour_is_told_to_prune_only_while_its_lines_are_late_and_if_it_understands() {
    for says in ["", "LAZY\n"] {
        let mut told = Told::new();
        told.tell(1, says);
        let mut prunes = 0;
        for round in 0..20 {
            // The countdown begins with a heartbeat behind some lines.
            let news: String = (10 * round..10 * round + 10).map(line).collect();
            assert_eq!(told.tell(1, &format!("{news}BEAT 0 0000000000000000 0 1000 0\n")), "");
            assert!(!told.node.tree().is_lazy(1));
            // As many late lines as the countdown may have.
            for _ in 0..40 {
                if told.tell(1, &line(10 * round)) == "prune " {
                    prunes += 1;
                    assert!(told.node.tree().is_lazy(1) && !told.node.tree().is_lazy(0));
                    assert_eq!(told.tell(1, &offer(9, [10_000])), "Graft");
                    assert!(!told.node.tree().is_lazy(1));
                    break;
                }
            }
            if prunes > 0 {
                break;
            }
        }
        assert_eq!(prunes, usize::from(!says.is_empty()));
    }
}

fn identity() -> Identity {
    let name = |text| ServerName::parse(text).unwrap();
    Identity::new(name("Alford"), vec![Neighbour::herd(name("Bolden"))], Epoch(1))
}

/// A server, and its live link to its neighbour of index 0.
fn linked(me: Identity) -> (Node, Link) {
    let me = Arc::new(me);
    let (node, mut link) = (Node::new(Arc::clone(&me)), Link::new(me, 0));
    link.hello(KEY);
    for line in [&b"HELLO 5 Bolden Alford 0000000000000002"[..], b"WELCOME 0"] {
        link.answered(&node, line, Duration::ZERO).unwrap();
    }
    (node, link)
}

fn learn(node: &mut Node, count: usize) {
    for _ in 0..count {
        let line = line(node.store().last_seq() as usize);
        node.apply(&mut Update::from_stored(line.as_bytes(), Source::CLIENT).unwrap(), None);
    }
}

/// How many lines are sent by the thread that has merged them.
fn sent_at_once(node: &Node, link: &mut Link) -> Result<usize, TooManyAtOnce> {
    let due = link.due_at_once(node, NO_WAL, &mut Vec::new())?;
    due.into_iter().for_each(|due| link.written(due, Duration::ZERO));
    Ok(due.map_or(0, Due::lines))
}

const MS: Duration = Duration::from_millis(1);

/// What is written at this time.
fn written(node: &Node, link: &mut Link, now: Duration) -> String {
    let (mut out, mut all) = (Vec::new(), String::new());
    while let Some(due) = link.due(node, NO_WAL, now, &mut out) {
        link.written(due, now);
        all += &String::from_utf8(std::mem::take(&mut out)).unwrap();
    }
    all
}

#[test]
fn pruned_link_offers_what_it_has_and_moves_only_when_that_is_known() {
    let (mut node, mut link) = linked(identity());
    assert_eq!(link.answered(&node, b"PRUNE", MS), Ok(Answered::Pruned));
    learn(&mut node, 2);
    assert_eq!(sent_at_once(&node, &mut link), Err(TooManyAtOnce));
    assert_eq!((&*written(&node, &mut link, MS), link.position()), ("", Some(0)));
    // What is new by then is not offered yet.
    learn(&mut node, 1);
    let at = link.offer_at().unwrap();
    assert!(at > MS && link.wake_at() == Some(at));
    let offer = written(&node, &mut link, at);
    assert!(offer.starts_with("IHAVE 2 ") && offer.split(' ').count() == 4, "{offer}");
    assert_eq!((&*written(&node, &mut link, 2 * at), link.position()), ("", Some(0)));
    assert_eq!(link.answered(&node, b"KNOWN 0", at), Ok(Answered::Known));
    assert_eq!(link.position(), Some(0), "something is missing");
    let again = written(&node, &mut link, 4 * at);
    assert!(again.starts_with("IHAVE 3 ") && again.split(' ').count() == 5, "{again}");
    assert_eq!(link.answered(&node, b"KNOWN 2", at), Ok(Answered::Known));
    assert_eq!(link.position(), Some(0), "that was another offer");
    let last = written(&node, &mut link, 8 * at);
    assert_eq!(last, again);
    assert_eq!(link.answered(&node, b"KNOWN 3", at), Ok(Answered::Known));
    assert_eq!((link.position(), link.offer_at()), (Some(3), None));
    let heartbeat = written(&node, &mut link, HEARTBEAT_EVERY + MS);
    assert!(heartbeat.starts_with("BEAT 3 "), "{heartbeat}");
}

#[test]
fn offer_is_not_kept_back_by_what_the_reader_has_told_itself() {
    let (mut node, mut link) = linked(identity());
    link.answered(&node, b"PRUNE", MS).unwrap();
    let own = Source::neighbour(0, Epoch(2));
    for _ in 0..3 * HASHES_MAX {
        let line = line(node.store().last_seq() as usize);
        node.apply(&mut Update::from_stored(line.as_bytes(), own).unwrap(), None);
    }
    learn(&mut node, 1);
    written(&node, &mut link, MS);
    let offer = written(&node, &mut link, 100 * MS);
    assert!(offer.starts_with(&format!("IHAVE {} ", 3 * HASHES_MAX + 1)), "{offer}");
}

#[test]
fn what_a_classic_neighbour_tells_is_not_known_if_it_is_outdated() {
    let mut told = Told::new();
    let (lesser, greater) = ("AT A +1 c +1+1 1\n", "AT B +1 c +1+1 1\n");
    told.tell(0, lesser);
    // Of equal times one that a classic neighbour tells loses, and of others the greater one wins.
    let classic = Update::from_stored(greater.as_bytes(), Source::neighbour(0, Epoch::LEGACY)).unwrap();
    told.node.apply(&mut Update { rule: MergeRule::LaterTime, ..classic }, None);
    let mut offer = Vec::new();
    push_offer(7, &[record_hash(greater.trim_end().as_bytes())], &mut offer);
    assert_eq!(told.tell(1, std::str::from_utf8(&offer).unwrap()), "Graft");
}

#[test]
fn grafted_link_sends_all_that_was_not_known() {
    let (mut node, mut link) = linked(identity());
    link.answered(&node, b"PRUNE", MS).unwrap();
    learn(&mut node, 2);
    written(&node, &mut link, MS);
    assert!(written(&node, &mut link, 100 * MS).starts_with("IHAVE 2 "));
    assert_eq!(link.answered(&node, b"GRAFT", 100 * MS), Ok(Answered::Grafted));
    assert_eq!(sent_at_once(&node, &mut link), Ok(2));
    // The answer to an offer that was given up.
    link.answered(&node, b"PRUNE", MS).unwrap();
    learn(&mut node, 1);
    link.answered(&node, b"KNOWN 2", 100 * MS).unwrap();
    assert_eq!(link.position(), Some(2));
}

#[test]
fn lazy_link_sends_lines_if_it_ends_or_is_far_behind() {
    let (mut node, mut link) = linked(identity());
    link.answered(&node, b"PRUNE", MS).unwrap();
    learn(&mut node, 4 * HASHES_MAX + 1);
    assert!(written(&node, &mut link, MS).starts_with("AT "));
    let position = link.position();
    learn(&mut node, 1);
    written(&node, &mut link, 200 * MS);
    assert!(position < Some(node.store().last_seq()));
    link.finish();
    assert!(written(&node, &mut link, 200 * MS).starts_with("AT "));
    assert_eq!(link.position(), Some(node.store().last_seq()));
}

#[test]
fn link_without_catching_up_is_never_lazy_and_older_releases_are_understood() {
    let (node, mut link) = linked(identity());
    assert_eq!(link.answered(&node, b"? LAZY", MS), Ok(Answered::Acknowledged));
    assert!(link.answered(&node, b"? BEAT", MS).is_err());
    let (mut node, mut link) = linked(Identity { catch_up: false, ..identity() });
    link.answered(&node, b"PRUNE", MS).unwrap();
    learn(&mut node, 1);
    assert!(written(&node, &mut link, MS).starts_with("AT "));
}

#[test]
fn neighbour_is_told_once_that_prune_is_understood_if_there_is_another_one() {
    let (node, mut link) = linked(identity());
    assert!(written(&node, &mut link, HEARTBEAT_EVERY).starts_with("BEAT "));
    node.identity().neighbours.add(Neighbour::herd(ServerName::parse("Parker").unwrap()));
    assert!(written(&node, &mut link, 2 * HEARTBEAT_EVERY).starts_with("LAZY\nBEAT "));
    assert!(written(&node, &mut link, 3 * HEARTBEAT_EVERY).starts_with("BEAT "));
}

#[test]
fn link_that_carries_much_is_not_pruned() {
    let mut told = Told::new();
    told.tell(1, "LAZY\n");
    let much: String = (0..20_001).map(line).collect();
    for _ in 0..10 {
        assert_eq!(told.tell(1, &format!("{much}BEAT 0 0000000000000000 0 1000 0\n")), "");
        assert_eq!(told.tell(1, &much), "");
    }
}

#[test]
fn lazy_link_is_answered_over_a_socket() {
    let herd = herd(&["Alford", "Bolden", "Parker"], &[("Alford", "Bolden"), ("Alford", "Parker")], true);
    let server = TestServer::start(&herd, "Alford", catalogue());
    let mut bolden = call(server.peers, "Bolden", "Alford", Epoch(1));
    assert_eq!(bolden.ask(offer(3, [1, 2]).trim_end()), "GRAFT");
    let known = line(1) + &line(2) + &offer(3, [1, 2]);
    assert_eq!(bolden.ask(&format!("LAZY\n{}", known.trim_end())), "KNOWN 3");
    assert_eq!(bolden.ask("IHAVE 3 123"), "? IHAVE 3 123");
    server.stop();
}
