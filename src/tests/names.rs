//! Servers that find each other by name, and a herd whose file changes while they run.

use std::net::TcpListener;
use std::path::PathBuf;

use super::free_address::free_address;
use super::harness::{Talk, TestServer, catalogue, config, eventually, herd};
use super::http;
use crate::config::{self, Address, Config, Herd, Member, Purpose};
use crate::member::neighbours;
use crate::proto::model::name::ServerName;

fn name(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}

/// A server at `localhost`.
fn at_localhost(server: &str) -> Member {
    let address = || format!("localhost:{}", free_address().port()).parse::<Address>().unwrap();
    Member::herd(name(server), address(), address())
}

fn of(members: Vec<Member>, links: &[(&str, &str)]) -> Herd {
    Herd::new(members, links.iter().map(|(a, b)| (name(a), name(b))).collect(), true).unwrap()
}

/// The state of the link to a neighbour, if there is one.
fn link(server: &TestServer, to: &str) -> Option<bool> {
    let mut links = neighbours::linked(&server.member);
    links.find(|(_, neighbour, _)| neighbour.name.as_str() == to).map(|(_, _, link)| link.is_up())
}

fn wait_for_link(server: &TestServer, to: &str) {
    eventually(&format!("the link to {to} is up"), || (link(server, to) == Some(true)).then_some(()));
}

fn knows(server: &TestServer, client: &str) {
    eventually(&format!("{client} is known"), || server.member.locate(client.as_bytes()).map(drop));
}

fn report(server: &TestServer, client: &str) {
    assert!(server.client().ask(&format!("IAMAT {client} +1+1 1700000000")).starts_with("AT "));
}

#[test]
fn servers_find_each_other_by_name_and_one_may_appear_later() {
    let herd = of(vec![at_localhost("Alford"), at_localhost("Bolden")], &[("Alford", "Bolden")]);
    let alford = TestServer::start(&herd, "Alford", catalogue());
    report(&alford, "kiwi");
    let error = eventually("Bolden is missed", || alford.member.links[0].last_error());
    assert!(error.1.contains("refused"), "{}", error.1);
    let bolden = TestServer::start(&herd, "Bolden", catalogue());
    knows(&bolden, "kiwi");
    report(&bolden, "lime");
    knows(&alford, "lime");
}

#[test]
fn name_that_is_not_found_is_told_and_does_not_hold_up_a_stop() {
    let missing = Member { peer: "herd.invalid:1".parse().unwrap(), ..at_localhost("Bolden") };
    let herd = of(vec![at_localhost("Alford"), missing], &[("Alford", "Bolden")]);
    let alford = TestServer::start(&herd, "Alford", catalogue());
    let error = eventually("it is missed", || alford.member.links[0].last_error());
    assert!(error.1.starts_with("link to Bolden cannot be made yet: herd.invalid:1: "), "{}", error.1);
    alford.stop();
}

#[test]
fn classic_neighbour_with_a_name_is_believed_where_that_is() {
    let at = format!("localhost:{}", free_address().port());
    let classic = Member::legacy(name("Classic"), at.parse::<Address>().unwrap());
    let herd = of(vec![at_localhost("Alford"), classic], &[("Alford", "Classic")]);
    let alford = TestServer::start(&herd, "Alford", catalogue());
    let line = "AT Classic +0.5 kiwi +1+1 1700000000\n";
    // From the moment on when its name has been found.
    eventually("it is believed", || {
        let mut talk = alford.client();
        talk.send(line).half_close();
        talk.rest().is_empty().then_some(())
    });
    knows(&alford, "kiwi");
}

#[test]
fn host_of_http_may_be_the_name_in_the_herd_file() {
    let port = free_address();
    let member = Member {
        http: Some("alford.example:80".parse().unwrap()),
        bound: [(Purpose::Http, port)].into(),
        ..at_localhost("Alford")
    };
    let alford = TestServer::start(&of(vec![member], &[]), "Alford", catalogue());
    let status = |host: &str| {
        let request = format!("GET /v1/status HTTP/1.1\r\nHost: {host}\r\n\r\n");
        http::ask(&mut Talk::with(port), &request).status
    };
    assert_eq!(["alford.example", "Alford.Example.:80", "localhost"].map(status), [200, 200, 200]);
    assert_eq!(["bolden.example", "alford.example.evil.example"].map(status), [421, 421]);
    alford.stop();
}

/// A herd whose file can be changed.
struct Changing {
    dir: tempfile::TempDir,
}

impl Changing {
    fn new(herd: &Herd) -> Changing {
        let changing = Changing { dir: tempfile::tempdir().unwrap() };
        changing.write(&config::to_toml(herd));
        changing
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("herd.toml")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    fn start(&self, server: &str) -> TestServer {
        let herd = config::load(&self.path()).unwrap();
        let config = Config { herd_file: Some(self.path()), ..config(&herd, server) };
        TestServer::with(&config, catalogue())
    }

    fn change(&self, herd: &Herd, servers: &[&TestServer]) {
        self.write(&config::to_toml(herd));
        servers.iter().for_each(|server| server.reloader.reload());
    }
}

#[test]
fn servers_join_leave_and_join_again_while_others_run() {
    let all = herd(&["Alford", "Bolden", "Hamilton"], &[("Alford", "Bolden"), ("Bolden", "Hamilton")], true);
    let [a, b, c] = [0, 1, 2].map(|at| all.members()[at].clone());
    let two = of(vec![a.clone(), b.clone()], &[("Alford", "Bolden")]);
    let file = Changing::new(&two);
    let (alford, bolden) = (file.start("Alford"), file.start("Bolden"));
    wait_for_link(&alford, "Bolden");
    report(&alford, "one");
    // One more.
    file.change(&all, &[&alford, &bolden]);
    let hamilton = file.start("Hamilton");
    wait_for_link(&bolden, "Hamilton");
    wait_for_link(&hamilton, "Bolden");
    knows(&hamilton, "one");
    report(&hamilton, "two");
    knows(&alford, "two");
    // It leaves, and its links in both directions with it.
    let unknown = || bolden.member.metrics.peers_unknown.get();
    let before = unknown();
    file.change(&two, &[&alford, &bolden]);
    eventually("it is no neighbour", || link(&bolden, "Hamilton").is_none().then_some(()));
    eventually("it is kept out", || (unknown() > before).then_some(()));
    eventually("its link is down", || (link(&hamilton, "Bolden") == Some(false)).then_some(()));
    report(&hamilton, "three");
    report(&bolden, "four");
    knows(&alford, "four");
    assert!(bolden.member.locate(b"three").is_none() && hamilton.member.locate(b"four").is_none());
    // It comes again, and nothing is missing.
    file.change(&all, &[&alford, &bolden]);
    wait_for_link(&bolden, "Hamilton");
    knows(&alford, "three");
    knows(&hamilton, "four");
    // Another link, and one less.
    let ring = of(vec![a.clone(), b, c], &[("Alford", "Hamilton"), ("Bolden", "Hamilton")]);
    file.change(&ring, &[&alford, &bolden, &hamilton]);
    wait_for_link(&alford, "Hamilton");
    eventually("the other is gone", || link(&alford, "Bolden").is_none().then_some(()));
    report(&alford, "five");
    knows(&bolden, "five");
    for server in [alford, bolden, hamilton] {
        server.stop();
    }
}

#[test]
fn neighbour_that_moves_is_dialled_where_it_is() {
    let two = herd(&["Alford", "Bolden"], &[("Alford", "Bolden")], true);
    let [a, b] = [0, 1].map(|at| two.members()[at].clone());
    let file = Changing::new(&two);
    let alford = file.start("Alford");
    let before = file.start("Bolden");
    wait_for_link(&alford, "Bolden");
    before.stop();
    report(&alford, "kiwi");
    let elsewhere = Member::herd(b.name, free_address(), free_address());
    file.change(&of(vec![a, elsewhere.clone()], &[("Alford", "Bolden")]), &[&alford]);
    let after = file.start("Bolden");
    knows(&after, "kiwi");
    // Nothing listens where it was.
    assert!(TcpListener::bind(two.member("Bolden").unwrap().peer.literal().unwrap()).is_ok());
    alford.stop();
}

#[test]
fn link_to_where_a_neighbour_is_no_longer_is_cut() {
    let two = herd(&["Alford", "Bolden"], &[("Alford", "Bolden")], true);
    let [a, b] = [0, 1].map(|at| two.members()[at].clone());
    let file = Changing::new(&two);
    let (alford, _bolden) = (file.start("Alford"), file.start("Bolden"));
    wait_for_link(&alford, "Bolden");
    let silent = TcpListener::bind(free_address()).unwrap();
    let moved = Member { peer: silent.local_addr().unwrap().into(), ..b };
    file.change(&of(vec![a, moved], &[("Alford", "Bolden")]), &[&alford]);
    eventually("it is dialled there", || silent.accept().ok().map(drop));
    eventually("the old link is cut", || (link(&alford, "Bolden") == Some(false)).then_some(()));
}
