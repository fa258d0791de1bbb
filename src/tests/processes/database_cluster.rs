//! A herd and a database of several servers: a cluster that fails over, freezes, loses writes and moves slots, and
//! sentinels; and one in TLS with a user of its own.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustix::process::Signal;

use crate::database::{Redis, database, get, is_long, report, two, wait_until_equal};
use crate::free_address::free_address;
use crate::programs::program;
use crate::real::{RealHerd, eventually, note};

/// How long a stop may take while a part of the database is frozen. It takes two seconds; a machine may be slow.
const STOP_WAIT_MAX: Duration = Duration::from_secs(10);

/// Three primaries with a replica each.
struct Cluster {
    nodes: Vec<Redis>,
}

impl Cluster {
    fn start() -> Option<Cluster> {
        let nodes: Option<Vec<Redis>> = (0..6)
            .map(|_| {
                // Its other port is greater by ten thousand, unless it is told.
                let (address, bus) = (free_address(), free_address().port().to_string());
                let ip = address.ip().to_string();
                let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
                let reached =
                    ["--cluster-port", &bus, "--cluster-announce-ip", &ip, "--bind-source-addr", &ip];
                Redis::start_at(address, &[&options[..], &reached].concat())
            })
            .collect();
        let nodes = nodes?;
        let mut command = Command::new("redis-cli");
        command.args(["--cluster", "create"]);
        command.args(nodes.iter().map(|node| node.address.to_string()));
        command.args(["--cluster-replicas", "1", "--cluster-yes"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let cluster = Cluster { nodes };
        eventually("the cluster is whole", || {
            let is_ok = |node: &Redis| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
            cluster.nodes.iter().all(is_ok).then_some(())
        });
        eventually("the replicas have the data", || {
            let roles = cluster.nodes.iter().map(|node| node.cli(&["ROLE"]));
            (roles.filter(|role| role.contains("\nconnected\n")).count() == 3).then_some(())
        });
        Some(cluster)
    }

    /// No replica takes the place of a primary from now on, and the other primaries go on.
    fn forbid_failover(&self) {
        for node in &self.nodes {
            node.cli(&["CONFIG", "SET", "cluster-replica-no-failover", "yes"]);
            node.cli(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
        }
    }

    fn url(&self) -> String {
        let nodes: Vec<String> = self.nodes.iter().map(|node| node.address.to_string()).collect();
        format!("redis+cluster://{}", nodes.join(","))
    }

    fn primaries(&self) -> Vec<usize> {
        let is_primary = |at: &usize| self.nodes[*at].cli(&["ROLE"]).starts_with("master");
        (0..self.nodes.len()).filter(is_primary).collect()
    }

    /// The replica of a primary.
    fn replica_of(&self, primary: usize) -> usize {
        let port = self.nodes[primary].address.port().to_string();
        let is_its = |at: &usize| {
            let role = self.nodes[*at].cli(&["ROLE"]);
            role.starts_with("slave") && role.lines().nth(2) == Some(&port)
        };
        (0..self.nodes.len()).find(is_its).unwrap()
    }

    fn values(&self) -> BTreeSet<String> {
        self.primaries().into_iter().flat_map(|at| self.nodes[at].values()).collect()
    }
}

#[test]
fn cluster_is_caught_up_after_a_failover_and_a_flush_of_one_part() {
    if program("curl", "curl").is_none() {
        return;
    }
    let Some(mut cluster) = Cluster::start() else { return };
    let herd = two(&cluster.url(), &["--history", "1d"]);
    report(&herd, "Alford", 500, 1_700_000_000);
    wait_until_equal(&herd, || cluster.values());
    // One part is emptied.
    let primaries = cluster.primaries();
    cluster.nodes[primaries[1]].cli(&["FLUSHALL"]);
    wait_until_equal(&herd, || cluster.values());
    // A primary is killed, and its replica takes its place.
    let killed = primaries[0];
    cluster.nodes[killed].kill();
    report(&herd, "Bolden", 500, 1_700_000_001);
    wait_until_equal(&herd, || cluster.values());
    cluster.nodes[killed].start_again();
    reshard(&cluster, &herd);
    report(&herd, "Alford", 500, 1_700_000_100);
    wait_until_equal(&herd, || cluster.values());
    let (status, track) = eventually("there is a history", || {
        let (status, track) = get(&herd, "Alford", "/v1/clients/c1/track");
        (status == 200 && track.contains("1700000100.1")).then_some((status, track))
    });
    assert!(status == 200 && track.contains("1700000000.1"), "{track}");
}

#[test]
fn clients_are_written_without_a_failure_while_slots_are_moved() {
    if program("curl", "curl").is_none() {
        return;
    }
    let Some(cluster) = Cluster::start() else { return };
    let herd = two(&cluster.url(), &[]);
    report(&herd, "Alford", 500, 1_700_000_000);
    wait_until_equal(&herd, || cluster.values());
    reshard(&cluster, &herd);
    report(&herd, "Alford", 500, 1_700_000_100);
    wait_until_equal(&herd, || cluster.values());
    for server in ["Alford", "Bolden"] {
        let (_, metrics) = get(&herd, server, "/metrics");
        assert!(metrics.contains("\nproxyherd_database_failures_total 0\n"), "{}", herd.log(server));
    }
}

/// Moves slots from one primary to another while clients report.
fn reshard(cluster: &Cluster, herd: &RealHerd) {
    let slots = if is_long() { "1000" } else { "100" };
    let primaries = cluster.primaries();
    let id = |at: usize| cluster.nodes[at].cli(&["CLUSTER", "MYID"]).trim().to_owned();
    let mut command = Command::new("redis-cli");
    command.args(["--cluster", "reshard", &cluster.nodes[primaries[0]].address.to_string()]);
    command.args(["--cluster-from", &id(primaries[0]), "--cluster-to", &id(primaries[1])]);
    command.args(["--cluster-slots", slots, "--cluster-yes"]).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    // No more points than wait in memory while a slot takes none: what is over that is dropped.
    let mut times = 1_700_000_010..1_700_000_100;
    while child.try_wait().unwrap().is_none() {
        match times.next() {
            Some(time) => report(herd, "Alford", 500, time),
            None => std::thread::yield_now(),
        }
    }
    assert!(child.wait().unwrap().success());
}

#[test]
fn primary_is_found_by_sentinels_after_a_failover() {
    if !is_long() {
        return note(format_args!("skipped: it takes half a minute, so PROXYHERD_DATABASE_LONG runs it"));
    }
    let primary = free_address();
    let (ip, port) = (primary.ip().to_string(), primary.port().to_string());
    let Some(mut first) = Redis::start_at(primary, &[]) else { return };
    let replica = free_address();
    let replica_ip = replica.ip().to_string();
    // On loopback it would come from another address than it listens on, and sentinels go by that.
    let options = ["--replicaof", &ip, &port, "--replica-announce-ip", &replica_ip];
    let Some(second) = Redis::start_at(replica, &options) else { return };
    let sentinel = free_address().port();
    let config = first.folder.path().join("sentinel.conf");
    let lines = format!(
        "port {sentinel}\nsentinel monitor main {ip} {port} 1\nsentinel down-after-milliseconds main 1000\n\
         sentinel failover-timeout main 5000\n"
    );
    std::fs::write(&config, lines).unwrap();
    let mut command = Command::new(&first.program);
    command.arg(&config).arg("--sentinel").stdout(Stdio::null());
    let _sentinel = crate::programs::Running(command.spawn().unwrap());
    let herd = two(&format!("redis+sentinel://127.0.0.1:{sentinel}/main"), &["--database-wait", "5s"]);
    report(&herd, "Alford", 100, 1_700_000_000);
    wait_until_equal(&herd, || second.values());
    first.kill();
    report(&herd, "Bolden", 100, 1_700_000_001);
    wait_until_equal(&herd, || second.values());
}

#[test]
fn frozen_primary_of_a_cluster_delays_neither_clients_nor_a_stop() {
    if program("curl", "curl").is_none() {
        return;
    }
    let Some(cluster) = Cluster::start() else { return };
    cluster.forbid_failover();
    let mut herd = two(&cluster.url(), &[]);
    report(&herd, "Alford", 200, 1_700_000_000);
    wait_until_equal(&herd, || cluster.values());
    let frozen = cluster.primaries()[0];
    cluster.nodes[frozen].signal(Signal::STOP);
    let mut time = 1_700_000_000;
    eventually("the status says that it is down", || {
        time += 1;
        report(&herd, "Bolden", 200, time);
        (database(&herd, "Bolden")["is_up"] == false).then_some(())
    });
    // A batch that is under way keeps no server from stopping.
    report(&herd, "Alford", 200, time + 1);
    let (status, took) = herd.terminate("Alford");
    assert!(status.success() && took < STOP_WAIT_MAX, "{status}, {took:?}");
    note(format_args!("stopped in {took:?} beside a frozen primary"));
    cluster.nodes[frozen].signal(Signal::CONT);
    herd.start_one("Alford");
    wait_until_equal(&herd, || cluster.values());
}

#[test]
fn server_without_data_starts_beside_a_frozen_primary_and_reads_the_rest_at_its_next_start() {
    if program("curl", "curl").is_none() {
        return;
    }
    let Some(cluster) = Cluster::start() else { return };
    cluster.forbid_failover();
    let herd = two(&cluster.url(), &[]);
    report(&herd, "Alford", 300, 1_700_000_000);
    wait_until_equal(&herd, || cluster.values());
    drop(herd);
    let frozen = cluster.primaries()[2];
    cluster.nodes[frozen].signal(Signal::STOP);
    let url = cluster.url();
    let mut herd = RealHerd::with_http(&["Alford"], &[], &["--database", &url, "--database-wait", "4s"]);
    herd.start_one("Alford");
    eventually("it starts with a part", || {
        let log = herd.log("Alford");
        log.contains("because the database says nothing new for 4s").then_some(())
    });
    let marker = herd.path("data/Alford/database.unread");
    assert_eq!(std::fs::metadata(&marker).unwrap().permissions().mode() & 0o777, 0o600);
    cluster.nodes[frozen].signal(Signal::CONT);
    herd.kill_one("Alford");
    herd.start_one("Alford");
    eventually("it has read the rest", || {
        herd.log("Alford").contains("the database knows 300 clients, which were read in").then_some(())
    });
    assert!(!marker.exists());
    herd.terminate("Alford");
    herd.start_one("Alford");
    eventually("it does not read it again", || {
        let words = "the database is not read, because 300 clients are known here";
        herd.log("Alford").contains(words).then_some(())
    });
}

#[test]
fn points_are_there_once_after_a_primary_was_frozen() {
    if program("curl", "curl").is_none() {
        return;
    }
    let Some(cluster) = Cluster::start() else { return };
    cluster.forbid_failover();
    let herd = two(&cluster.url(), &["--history", "30d"]);
    report(&herd, "Alford", 60, 1_700_000_000);
    let points = |of: &[usize]| -> u64 {
        let script = "local n = 0 for _, key in ipairs(redis.call('KEYS', 'h:*')) do \
                      n = n + redis.call('XLEN', key) end return n";
        of.iter()
            .map(|&at| cluster.nodes[at].cli(&["EVAL", script, "0"]).trim().parse::<u64>().unwrap())
            .sum()
    };
    let primaries = cluster.primaries();
    eventually("the first points are there", || (points(&primaries) == 60).then_some(()));
    let before = points(&primaries[1..]);
    cluster.nodes[primaries[0]].signal(Signal::STOP);
    report(&herd, "Alford", 60, 1_700_000_001);
    eventually("the status says that it is down", || {
        (database(&herd, "Alford")["is_up"] == false).then_some(())
    });
    cluster.nodes[primaries[0]].signal(Signal::CONT);
    eventually("all are there", || {
        let is_written = database(&herd, "Alford")["history_bytes"] == 0 && points(&primaries) >= 120;
        (is_written && points(&primaries[1..]) >= 2 * before).then_some(())
    });
    // What the frozen one was sent it may have done later, and twice.
    assert_eq!(points(&primaries[1..]), 2 * before);
}

#[test]
fn slot_whose_move_was_broken_off_keeps_no_other_client_from_being_written() {
    if program("curl", "curl").is_none() {
        return;
    }
    let Some(cluster) = Cluster::start() else { return };
    let herd = two(&cluster.url(), &["--history", "30d"]);
    report(&herd, "Alford", 100, 1_700_000_000);
    wait_until_equal(&herd, || cluster.values());
    let primaries = cluster.primaries();
    let slot_of = |client: &str| {
        let key = format!("p:{{{client}}}");
        cluster.nodes[primaries[0]].cli(&["CLUSTER", "KEYSLOT", &key]).trim().to_owned()
    };
    let has = |at: usize, client: &str| {
        cluster.nodes[at].cli(&["EXISTS", &format!("p:{{{client}}}")]).trim() == "1"
    };
    let client =
        (0..100).map(|number| format!("c{number}")).find(|client| has(primaries[0], client)).unwrap();
    let id = |at: usize| cluster.nodes[at].cli(&["CLUSTER", "MYID"]).trim().to_owned();
    let slot = slot_of(&client);
    cluster.nodes[primaries[1]].cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(primaries[0])]);
    cluster.nodes[primaries[0]].cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(primaries[1])]);
    // Of the two keys of the client one is missing: the script that adds points is refused.
    cluster.nodes[primaries[0]].cli(&["DEL", &format!("h:{{{client}}}")]);
    for time in 1..4 {
        report(&herd, "Alford", 100, 1_700_000_000 + time);
        wait_until_equal(&herd, || cluster.values());
    }
    let forget = herd.run(&["forget", "Alford", &client, "--data-dir", "data/Alford"]);
    assert!(forget.status.success());
    report(&herd, "Alford", 100, 1_700_000_010);
    eventually("the log names the slot", || {
        herd.log("Alford").contains("a slot of the cluster is being moved").then_some(())
    });
    eventually("all others are written", || {
        (cluster.values().iter().filter(|value| value.contains(" 1700000010.")).count() >= 99).then_some(())
    });
    cluster.nodes[primaries[0]].cli(&["CLUSTER", "SETSLOT", &slot, "STABLE"]);
    cluster.nodes[primaries[1]].cli(&["CLUSTER", "SETSLOT", &slot, "STABLE"]);
    wait_until_equal(&herd, || cluster.values());
}

#[test]
fn writes_that_a_failover_has_lost_are_written_again() {
    if program("curl", "curl").is_none() {
        return;
    }
    let Some(mut cluster) = Cluster::start() else { return };
    let herd = two(&cluster.url(), &[]);
    report(&herd, "Alford", 300, 1_700_000_000);
    wait_until_equal(&herd, || cluster.values());
    let lost = cluster.primaries()[0];
    let replica = cluster.replica_of(lost);
    // From here on it gets nothing: it says a password that its primary does not know.
    cluster.nodes[replica].cli(&["CONFIG", "SET", "masterauth", "wrong"]);
    cluster.nodes[lost].cli(&["CLIENT", "KILL", "TYPE", "replica"]);
    eventually("the replica has no primary", || {
        cluster.nodes[replica].cli(&["INFO", "replication"]).contains("master_link_status:down").then_some(())
    });
    report(&herd, "Bolden", 300, 1_700_000_001);
    wait_until_equal(&herd, || cluster.values());
    cluster.nodes[lost].kill();
    eventually("the replica takes its place", || {
        cluster.nodes[replica].cli(&["CLUSTER", "FAILOVER", "TAKEOVER"]);
        cluster.nodes[replica].cli(&["ROLE"]).starts_with("master").then_some(())
    });
    let known = wait_until_equal(&herd, || cluster.values());
    assert!(known.iter().all(|line| line.contains(" 1700000001.")), "{known:?}");
}

#[test]
fn database_in_tls_with_an_authority_and_a_user_of_its_own() {
    let (Some(program), Some(_)) = (program("redis-server", "redis-server"), program("curl", "curl")) else {
        return;
    };
    let mut command = Command::new(program);
    // There is nowhere to listen, which is said only if all words are understood.
    let said = command.args(["--port", "0", "--tls-auth-clients", "no"]).output().unwrap();
    let said = String::from_utf8([said.stdout, said.stderr].concat()).unwrap();
    if said.contains("Bad directive") {
        return note(format_args!("skipped: this redis-server was built without TLS"));
    }
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let ca = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let cert =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [ca_file, cert_file, key_file] =
        ["ca.pem", "cert.pem", "key.pem"].map(|name| folder.path().join(name));
    std::fs::write(&ca_file, ca).unwrap();
    std::fs::write(&cert_file, cert.pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();

    let port = free_address().port().to_string();
    let [ca, cert, key] = [&ca_file, &cert_file, &key_file].map(|path| path.to_str().unwrap());
    let options =
        ["--tls-port", &port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca];
    let Some(redis) = Redis::start(&[&options[..], &["--tls-auth-clients", "no"]].concat()) else { return };
    // As OPERATING.md says.
    let operating = include_str!("../../OPERATING.md").replace('\n', " ");
    let rights = operating.split("The user needs `").nth(1).unwrap().split(", and no key").next().unwrap();
    let rights = rights.replace('`', "").replace(" on ", " ");
    let user = ["ACL", "SETUSER", "herd", "on", ">s3cret-pass"];
    let said = redis.cli(&user.into_iter().chain(rights.split(' ')).collect::<Vec<_>>());
    assert_eq!(said.trim(), "OK", "{rights}");
    redis.cli(&["ACL", "SETUSER", "default", "-@write"]);

    std::fs::write(folder.path().join("password"), "s3cret-pass\n").unwrap();
    let password = folder.path().join("password");
    let url = format!("rediss://herd@localhost:{port}");
    let login = ["--database-password-file", password.to_str().unwrap(), "--database-wait", "1s"];
    let herd = two(&url, &[&login[..], &["--database-ca", ca, "--history", "1h"]].concat());
    report(&herd, "Alford", 50, 1_700_000_000);
    wait_until_equal(&herd, || redis.values());
    eventually("there is a history", || {
        (get(&herd, "Bolden", "/v1/clients/c1/track").0 == 200).then_some(())
    });
    assert_eq!(database(&herd, "Alford")["is_up"], true);
    assert_eq!(herd.run(&["forget", "Alford", "c7", "--data-dir", "data/Alford"]).stdout, b"FORGOT c7\n");
    wait_until_equal(&herd, || redis.values());

    // Who does not know its authority does not talk to it.
    let mut stranger = RealHerd::with_http(&["Alford"], &[], &["--database", &url]);
    stranger.spawn_with_options("Alford", &login);
    stranger.wait_until_ready("Alford");
    eventually("it says so", || stranger.log("Alford").contains("UnknownIssuer").then_some(()));
}
