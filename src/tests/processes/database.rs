//! A herd and a real Redis, which is killed, frozen, filled, emptied and failed over meanwhile: at the end the database
//! equals the herd byte for byte. `PROXYHERD_DATABASE_LONG` runs the longer forms.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::free_address::free_address;
use crate::programs::program;
use crate::real::{RealHerd, ask, eventually, line, note, now};
use crate::transcripts::run::Talk as _;

/// A Redis, which is killed when it is dropped.
pub(crate) struct Redis {
    pub(crate) program: PathBuf,
    pub(crate) folder: TempDir,
    child: Child,
    options: Vec<String>,
    /// Where it listens, if not only at its socket; port 0 otherwise.
    pub(crate) address: SocketAddr,
}

impl Redis {
    /// Starts one; `None`, with a sentence that says so, if there is no such program.
    pub(crate) fn start(options: &[&str]) -> Option<Redis> {
        Redis::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), options)
    }

    pub(crate) fn start_at(address: SocketAddr, options: &[&str]) -> Option<Redis> {
        let program = program("redis-server", "redis-server")?;
        let folder = tempfile::tempdir().unwrap();
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let child = spawn(&program, folder.path(), address, &options);
        let redis = Redis { program, folder, child, options, address };
        redis.wait_until_ready();
        Some(redis)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        self.child = spawn(&self.program, self.folder.path(), self.address, &self.options);
        self.wait_until_ready();
    }

    fn wait_until_ready(&self) {
        eventually("redis answers", || (self.cli(&["PING"]).trim() == "PONG").then_some(()));
    }

    /// What redis-cli prints.
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        let output = command.arg("--raw").arg("-s").arg(self.socket()).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// The values of all clients.
    pub(crate) fn values(&self) -> BTreeSet<String> {
        let script = "local all = {} for _, key in ipairs(redis.call('KEYS', 'p:*')) do \
                      all[#all + 1] = redis.call('GET', key) end return table.concat(all, '\\30')";
        let all = self.cli(&["EVAL", script, "0"]);
        all.trim_end().split('\x1e').filter(|value| !value.is_empty()).map(str::to_owned).collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // One that has ended cannot be killed any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &Path, folder: &Path, address: SocketAddr, options: &[String]) -> Child {
    let mut command = Command::new(program);
    command
        .args(["--port", &address.port().to_string(), "--bind", &address.ip().to_string(), "--unixsocket"])
        .arg(folder.join("redis.sock"));
    // Its own machine is more than 127.0.0.1.
    command.args(["--protected-mode", "no"]);
    // A replica that has never had the data cannot take the place of its primary.
    command.args(["--repl-diskless-sync-delay", "0", "--save", "", "--dir"]).arg(folder).args(options);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A stored line of a value of the database, as `FORMAT.md` says.
fn stored(value: &str) -> String {
    let (head, attributes) = value.split_once('\n').map_or((value, None), |(head, rest)| (head, Some(rest)));
    let line = head.splitn(3, ' ').nth(2).unwrap();
    match attributes {
        None => line.to_owned(),
        Some(attributes) => {
            let (life, at) = line.split_at(line.find("AT ").unwrap());
            format!("{life}WITH {attributes} {at}")
        }
    }
}

/// All that a server has stored, as lines.
fn exported(herd: &RealHerd, server: &str) -> BTreeSet<String> {
    let output = herd.run(&["export", server, "--herd", "herd.toml"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |object: Value| {
        let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
        let era = object["era"].as_u64();
        if object["forgotten"] == true {
            return format!("FORGET {} {} {}", era.unwrap(), text("client"), hash(&text("era_hash")));
        }
        let life = era.map_or(String::new(), |era| format!("ERA {era} {} ", hash(&text("era_hash"))));
        let with = object["attributes"].as_str().map_or(String::new(), |text| format!("WITH {text} "));
        let [server, skew, client, location, time] =
            ["server", "skew", "client", "location", "time"].map(text);
        format!("{life}{with}AT {server} {skew} {client} {location} {time}")
    };
    let objects = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    objects.filter(|object| object["end"].is_null()).map(line).collect()
}

fn hash(text: &str) -> String {
    format!("#{}", text.trim_start_matches('#'))
}

/// Waits until the database has exactly what both servers have.
pub(crate) fn wait_until_equal(herd: &RealHerd, values: impl Fn() -> BTreeSet<String>) -> BTreeSet<String> {
    let since = now();
    loop {
        let known = exported(herd, "Alford");
        let there: BTreeSet<String> = values().iter().map(|value| stored(value)).collect();
        if !known.is_empty() && known == there && known == exported(herd, "Bolden") {
            return known;
        }
        if since.elapsed() > Duration::from_secs(60) {
            let missing: Vec<_> = known.difference(&there).take(3).collect();
            let others: Vec<_> = there.difference(&known).take(3).collect();
            let (known, there) = (known.len(), there.len());
            panic!("not equal: {known} known, {there} there; missing {missing:?}, others {others:?}");
        }
        std::thread::yield_now();
    }
}

const LINKS: [(&str, &str); 1] = [("Alford", "Bolden")];

/// Two linked servers with a database.
pub(crate) fn two(url: &str, more: &[&str]) -> RealHerd {
    let options = [&["--database", url], more].concat();
    let mut herd = RealHerd::with_http(&["Alford", "Bolden"], &LINKS, &options);
    herd.start_one("Alford");
    herd.start_one("Bolden");
    herd
}

/// Reports of so many clients to a server, which are all acknowledged.
pub(crate) fn report(herd: &RealHerd, server: &str, clients: u32, time: u64) {
    let mut talk = herd.client(server);
    for client in 0..clients {
        let latitude = client % 90;
        talk.send(format!("IAMAT c{client} +{latitude}.5-118.5 {time}.{client}\n").as_bytes()).unwrap();
    }
    for _ in 0..clients {
        assert!(line(&mut talk).starts_with("AT "));
    }
}

/// What curl gets.
pub(crate) fn get(herd: &RealHerd, server: &str, path: &str) -> (u16, String) {
    let url = format!("http://{}{path}", herd.http(server));
    let output = Command::new("curl").args(["-s", "-w", "\n%{http_code}", &url]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

/// Has a phone report over HTTP.
fn post(herd: &RealHerd, server: &str, path: &str, body: &str) {
    let url = format!("http://{}{path}", herd.http(server));
    let mut command = Command::new("curl");
    command.args(["-s", "-f", "-H", "Content-Type: application/json", "--data-binary", body, &url]);
    assert!(command.output().unwrap().status.success());
}

pub(crate) fn database(herd: &RealHerd, server: &str) -> Value {
    let (status, body) = get(herd, server, "/v1/status");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str::<Value>(&body).unwrap()["database"].clone()
}

pub(crate) fn is_long() -> bool {
    std::env::var_os("PROXYHERD_DATABASE_LONG").is_some()
}

#[test]
fn database_equals_the_herd_whatever_happens_to_it() {
    let (Some(mut redis), Some(_)) = (Redis::start(&[]), program("curl", "curl")) else { return };
    let mut herd = two(&redis.url(), &[]);
    report(&herd, "Alford", 200, 1_700_000_000);
    report(&herd, "Bolden", 300, 1_700_000_001);
    post(
        &herd,
        "Alford",
        "/owntracks/jane/phone",
        r#"{"_type":"location","lat":1,"lon":2,"tst":1700000000,"acc":5}"#,
    );
    assert_eq!(herd.run(&["forget", "Alford", "c7", "--data-dir", "data/Alford"]).stdout, b"FORGOT c7\n");
    assert!(ask(&mut herd.client("Bolden"), "IAMAT % +1+1 5").starts_with("AT "));
    assert!(ask(&mut herd.client("Bolden"), "IAMAT }{ +1+1 5").starts_with("AT "));
    let known = wait_until_equal(&herd, || redis.values());
    assert_eq!(known.len(), 303);
    assert!(known.iter().any(|line| line.starts_with("FORGET ")));
    assert!(known.iter().any(|line| line.starts_with("WITH ")));

    // Emptied.
    redis.cli(&["FLUSHALL"]);
    assert_eq!(wait_until_equal(&herd, || redis.values()), known);

    // Killed: it has kept nothing.
    redis.kill();
    report(&herd, "Alford", 100, 1_700_000_002);
    redis.start_again();
    wait_until_equal(&herd, || redis.values());

    // Frozen: no client waits for it.
    redis.signal(Signal::STOP);
    let (since, mut rounds) = (now(), 0);
    eventually("the status says that it is down", || {
        rounds += 1;
        report(&herd, "Bolden", 200, 1_700_000_002 + rounds);
        assert!(ask(&mut herd.client("Alford"), "WHATSAT stranger 1 1").starts_with('?'));
        let database = database(&herd, "Bolden");
        let is_over = !is_long() || since.elapsed() > Duration::from_secs(10);
        (is_over && database["is_up"] == false && database["behind"].as_u64()? >= 200).then_some(())
    });
    let took = since.elapsed();
    redis.signal(Signal::CONT);
    note(format_args!("frozen for {took:?}: {} reports were acknowledged", 200 * rounds));
    wait_until_equal(&herd, || redis.values());

    // Full.
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    report(&herd, "Alford", 50, 1_800_000_000);
    eventually("the status says that it is full", || {
        let state = database(&herd, "Alford")["state"].as_str()?.to_owned();
        state.contains("it is full: raise its `maxmemory`").then_some(())
    });
    let status = herd.run(&["status", "Alford", "--herd", "herd.toml"]);
    assert!(String::from_utf8(status.stdout).unwrap().contains("database  redis+unix:///"));
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    wait_until_equal(&herd, || redis.values());

    // A server that starts again goes on where it was: the database remembers that.
    herd.terminate("Alford");
    herd.start_one("Alford");
    report(&herd, "Alford", 3, 1_800_000_200);
    let known = wait_until_equal(&herd, || redis.values());
    // The other server may have written them first.
    let (written, metrics) = eventually("it has written, too", || {
        let (_, metrics) = get(&herd, "Alford", "/metrics");
        let written = metrics.lines().find_map(|line| line.strip_prefix("proxyherd_database_writes_total "));
        let written: usize = written.unwrap().parse().unwrap();
        (written >= 3).then_some((written, metrics))
    });
    assert!(written < known.len(), "{written}");
    assert!(metrics.contains("\nproxyherd_database_up 1\n"));

    // What no server of ours has written does not keep us from writing.
    redis.cli(&["SET", "p:{c1}", "zzz"]);
    redis.cli(&["DEL", "p:{c2}"]);
    redis.cli(&["LPUSH", "p:{c2}", "zzz"]);
    report(&herd, "Bolden", 3, 1_800_000_300);
    wait_until_equal(&herd, || redis.values());
}

#[test]
fn server_without_data_knows_what_the_database_has() {
    let (Some(mut redis), Some(_)) = (Redis::start(&[]), program("curl", "curl")) else { return };
    let mut herd = two(&redis.url(), &["--durability", "none", "--database-wait", "2s"]);
    report(&herd, "Alford", 2_000, 1_700_000_000);
    let known = wait_until_equal(&herd, || redis.values());
    herd.kill_all(&["Alford", "Bolden"]);
    herd.start_one("Alford");
    // It knew that when its ports opened.
    assert_eq!(exported(&herd, "Alford"), known);
    let says = |herd: &RealHerd, words: &str| {
        eventually(words, || herd.log("Alford").contains(words).then_some(()));
    };
    says(&herd, "the database knows 2000 clients, which were read in");
    // So it is with a journal that has nothing yet.
    let mut other = RealHerd::with_http(&["Alford"], &[], &["--database", &redis.url()]);
    other.start_one("Alford");
    assert_eq!(exported(&other, "Alford"), known);
    drop(other);

    // A database that does not answer keeps no server down, and what it has is found when it is asked for.
    redis.signal(Signal::STOP);
    herd.kill_one("Alford");
    herd.start_one("Alford");
    says(&herd, "the server starts with 0 clients, because the database says nothing new for 2s");
    assert!(ask(&mut herd.client("Alford"), "WHATSAT c1 1 1").starts_with('?'));
    redis.signal(Signal::CONT);
    eventually("it is found by WHATSAT", || {
        let mut talk = herd.client("Alford");
        ask(&mut talk, "WHATSAT c1 1 1").starts_with("AT Alford ").then_some(())
    });
    assert_eq!(get(&herd, "Alford", "/v1/clients/c2").0, 200);
    assert_eq!(get(&herd, "Alford", "/v1/clients/c3/nearby").0, 200);
    assert_eq!(get(&herd, "Alford", "/v1/clients/stranger").0, 404);
    // Of those that are unknown there the second question is not asked.
    let questions = |herd: &RealHerd| {
        let (_, metrics) = get(herd, "Alford", "/metrics");
        let line = metrics.lines().find_map(|line| line.strip_prefix("proxyherd_database_questions_total "));
        line.unwrap().parse::<u64>().unwrap()
    };
    let before = questions(&herd);
    assert_eq!(get(&herd, "Alford", "/v1/clients/stranger").0, 404);
    assert_eq!(questions(&herd), before);
    // What is damaged there is not believed.
    redis.cli(&["SET", "p:{c4}", "0000000000 000000001700000000.4 AT Alford +1 c4 +1+1 9"]);
    redis.cli(&["SET", "p:{c5}", "9999999999 x"]);
    assert_eq!(get(&herd, "Alford", "/v1/clients/c4").0, 404);
    assert_eq!(get(&herd, "Alford", "/v1/clients/c5").0, 404);
    redis.kill();
    assert_eq!(get(&herd, "Alford", "/v1/clients/c9").0, 404);
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
}

#[test]
fn script_that_puts_replaces_what_is_not_ours_and_keeps_the_end_and_the_era() {
    let Some(redis) = Redis::start(&[]) else { return };
    let script = include_str!("../../database/redis/put.lua");
    let put = |keys: &[&str], value: &str, era: &str, is_tombstone: &str, expires_s: &str| {
        let count = keys.len().to_string();
        let words = [&["EVAL", script, &count], keys, &[value, era, is_tombstone, expires_s]].concat();
        redis.cli(&words).trim().to_owned()
    };
    let value = "0000000000 000000001700000000. AT Alford +1 kiwi +1+1 1700000000";
    for foreign in ["9999999999 x", "9999999999 000000001700000000. x", "0000000000 x", "0000000000 -x", "00"]
    {
        redis.cli(&["SET", "p:{kiwi}", foreign]);
        assert_eq!(put(&["p:{kiwi}"], value, "0", "0", "0"), "1", "{foreign}");
        assert_eq!(put(&["p:{kiwi}"], value, "0", "0", "0"), "0");
    }
    // The time that clients are kept is set, shortened, and not set any more.
    for expires_s in ["4000000000", "3000000000"] {
        assert_eq!(put(&["p:{kiwi}"], value, "0", "0", expires_s), "0");
        assert_eq!(redis.cli(&["EXPIRETIME", "p:{kiwi}"]).trim(), expires_s);
    }
    assert_eq!(put(&["p:{kiwi}"], value, "0", "0", "0"), "0");
    assert_eq!(redis.cli(&["EXPIRETIME", "p:{kiwi}"]).trim(), "-1");
    // Of what came before an era nothing stays, even if something there is not ours.
    let both = ["p:{kiwi}", "h:{kiwi}"];
    redis.cli(&["XADD", "h:{kiwi}", "*", "foreign", "x"]);
    redis.cli(&["XADD", "h:{kiwi}", "*", "line", "AT ...", "received", "1700000001"]);
    redis.cli(&["XADD", "h:{kiwi}", "*", "line", "AT ...", "received", "1700000009"]);
    let later = "1700000005 000000001700000008. ERA 1700000005 #00 AT Alford +1 kiwi +1+1 1700000008";
    assert_eq!(put(&both, later, "1700000005", "0", "0"), "1");
    assert_eq!(redis.cli(&["XLEN", "h:{kiwi}"]).trim(), "1");
    assert_eq!(redis.cli(&["GET", "p:{kiwi}"]).trim(), later);
    let tombstone = "1700000010 - FORGET 1700000010 kiwi #00";
    assert_eq!(put(&both, tombstone, "1700000010", "1", "0"), "1");
    assert_eq!(redis.cli(&["EXISTS", "h:{kiwi}"]).trim(), "0");
    assert_eq!(put(&both, later, "1700000005", "0", "0"), "0");
}

#[test]
fn passwords_are_never_logged_and_a_wrong_one_is_named() {
    let Some(redis) = with_password() else { return };
    let mut herd =
        RealHerd::with_http(&["Alford"], &[], &["--database", &redis.url(), "--database-wait", "1s"]);
    std::fs::write(herd.path("password"), "s3cret-pass\n").unwrap();
    std::fs::write(herd.path("wrong"), "wr0ng-pass\n").unwrap();
    herd.spawn_with_options("Alford", &["--database-password-file", "wrong"]);
    herd.wait_until_ready("Alford");
    eventually("it says so", || herd.log("Alford").contains("it does not let us in").then_some(()));
    herd.terminate("Alford");
    herd.spawn_with_options("Alford", &["--database-password-file", "password"]);
    herd.wait_until_ready("Alford");
    report(&herd, "Alford", 3, 1_700_000_000);
    eventually("it is written", || herd.log("Alford").contains("redis.sock is there").then_some(()));
    let log = herd.log("Alford");
    assert!(!log.contains("s3cret") && !log.contains("wr0ng"), "{log}");
    herd.terminate("Alford");
    let output =
        herd.run(&["serve", "Alford", "--herd", "herd.toml", "--database", "redis://:s3cret@localhost"]);
    let noted = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && noted.contains("--database-password-file"), "{noted}");
}

/// With a password it does not answer `PING` without it.
fn with_password() -> Option<Redis> {
    let redis = Redis::start(&[])?;
    redis.cli(&["CONFIG", "SET", "requirepass", "s3cret-pass"]);
    Some(redis)
}

#[test]
fn replica_that_cannot_be_written_to_is_caught_up_when_it_can() {
    let primary = free_address();
    let Some(mut first) = Redis::start_at(primary, &[]) else { return };
    let (ip, port) = (primary.ip().to_string(), primary.port().to_string());
    let Some(second) = Redis::start(&["--replicaof", &ip, &port]) else { return };
    if program("curl", "curl").is_none() {
        return;
    }
    let herd = two(&second.url(), &[]);
    report(&herd, "Alford", 50, 1_700_000_000);
    eventually("the status says that it is a replica", || {
        let state = database(&herd, "Alford")["state"].as_str()?.to_owned();
        state.contains("it is a replica that cannot be written to").then_some(())
    });
    first.kill();
    second.cli(&["REPLICAOF", "NO", "ONE"]);
    wait_until_equal(&herd, || second.values());
}

#[test]
fn tracks_have_every_report_and_end_when_the_client_is_forgotten() {
    let (Some(redis), Some(_)) = (Redis::start(&[]), program("curl", "curl")) else { return };
    let herd = two(&redis.url(), &["--history", "30d", "--history-points-max", "1000"]);
    let mut talk = herd.client("Alford");
    for time in [5, 7, 6, 7] {
        assert!(ask(&mut talk, &format!("IAMAT kiwi +{time}-1{time} 170000000{time}")).starts_with("AT "));
    }
    assert!(ask(&mut herd.client("Bolden"), "IAMAT kiwi +8-18 1700000008").starts_with("AT "));
    // A batch whose points are late: they are no news, and history all the same.
    let feature = |minute: u32| {
        let geometry = format!(r#"{{"type":"Point","coordinates":[-1{minute},3.5]}}"#);
        let time = format!("2023-11-14T22:0{minute}:00Z");
        let properties = format!(r#"{{"timestamp":"{time}","altitude":12,"device_id":"kiwi"}}"#);
        format!(r#"{{"type":"Feature","geometry":{geometry},"properties":{properties}}}"#)
    };
    let batch: Vec<String> = [3, 1, 2].into_iter().map(feature).collect();
    post(&herd, "Bolden", "/overland", &format!(r#"{{"locations":[{}]}}"#, batch.join(",")));
    let times = |path: &str| -> Option<Vec<String>> {
        let (status, body) = get(&herd, "Alford", path);
        let value: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
        let times = value["features"][0]["properties"]["times"].as_array().cloned().unwrap_or_default();
        Some(times.iter().map(|time| time.as_str().unwrap().to_owned()).collect())
    };
    let path = "/v1/clients/kiwi/track";
    let all = eventually("all points are there", || times(path).filter(|times| times.len() >= 4));
    assert_eq!(all[all.len() - 4..], ["1700000005", "1700000006", "1700000007", "1700000008"], "{all:?}");
    let late = eventually("the batch is there", || {
        let keys = redis.cli(&["KEYS", "h:*"]);
        let device = keys.lines().find_map(|key| key.strip_prefix("h:{")?.strip_suffix('}'))?;
        let found = keys.lines().count();
        let count = |key: &str| redis.cli(&["XLEN", key]).trim().parse::<u32>().unwrap();
        (keys.lines().map(count).sum::<u32>() == 8).then(|| (device.to_owned(), found))
    });
    assert_eq!(late, ("kiwi".to_owned(), 1));
    let all = times(path).unwrap();
    assert_eq!(all.len(), 7, "{all:?}");
    let part = times(&format!("{path}?from=1700000006&to=2023-11-14T22:13:27Z")).unwrap();
    assert_eq!(part, ["1700000006", "1700000007"]);
    assert_eq!(get(&herd, "Alford", &format!("{path}?from=x")).0, 400);
    assert_eq!(get(&herd, "Alford", &format!("{path}?format=kml")).0, 400);
    let (status, gpx) = get(&herd, "Alford", &format!("{path}?format=gpx"));
    assert!(status == 200 && gpx.matches("<trkpt ").count() == all.len(), "{gpx}");
    opened(&gpx, &get(&herd, "Alford", path).1, all.len());
    // One that crosses the antimeridian twice.
    for (time, place) in [(5, "+10+179"), (6, "+20-179"), (7, "+20-178"), (8, "+30+178")] {
        assert!(ask(&mut talk, &format!("IAMAT ship {place} 170000000{time}")).starts_with("AT "));
    }
    let ship_path = "/v1/clients/ship/track";
    let ship = eventually("the ship is there", || {
        let (status, body) = get(&herd, "Alford", ship_path);
        (status == 200 && body.contains("\"reports\":4")).then_some(body)
    });
    in_pieces(&get(&herd, "Alford", &format!("{ship_path}?format=gpx")).1, &ship);

    assert_eq!(herd.run(&["forget", "Bolden", "kiwi", "--data-dir", "data/Bolden"]).stdout, b"FORGOT kiwi\n");
    eventually("nothing is left of it", || (redis.cli(&["EXISTS", "h:{kiwi}"]).trim() == "0").then_some(()));
    let later = now_s() + 2;
    assert!(ask(&mut herd.client("Alford"), &format!("IAMAT kiwi +9-19 {later}")).starts_with("AT "));
    let mut last = Vec::new();
    eventually("it begins again", || {
        // A report of the second in which a client was forgotten may be left out.
        ask(&mut herd.client("Alford"), &format!("IAMAT kiwi +9-19 {later}"));
        last = times(path)?;
        (!last.is_empty()).then_some(())
    });
    assert!(last.iter().all(|time| *time == later.to_string()), "{last:?}");
    let ttl: i64 = redis.cli(&["TTL", "h:{kiwi}"]).trim().parse().unwrap();
    assert!((1..=30 * 86_400).contains(&ttl), "{ttl}");
}

#[expect(clippy::disallowed_methods, reason = "a report that is taken has the time of the clock")]
fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// The track as programs of others read it.
fn opened(gpx: &str, geojson: &str, points: usize) {
    let folder = tempfile::tempdir().unwrap();
    let [gpx_file, json_file] = ["track.gpx", "track.geojson"].map(|name| folder.path().join(name));
    std::fs::write(&gpx_file, gpx).unwrap();
    std::fs::write(&json_file, geojson).unwrap();
    if let Some(gpsbabel) = program("gpsbabel", "gpsbabel") {
        let mut command = Command::new(gpsbabel);
        command.args(["-t", "-i", "gpx", "-f"]).arg(&gpx_file).args(["-o", "unicsv", "-F", "-"]);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().count(), points + 1, "{text}");
    }
    if let Some(ogr2ogr) = program("ogr2ogr", "gdal-bin") {
        for (file, layer) in [(&gpx_file, Some("track_points")), (&json_file, None)] {
            let mut command = Command::new(&ogr2ogr);
            command.args(["-f", "GeoJSON", "/vsistdout/"]).arg(file).args(layer);
            let output = command.output().unwrap();
            let value: Value = serde_json::from_slice(&output.stdout).unwrap();
            let features = value["features"].as_array().unwrap();
            let found = match layer {
                Some(_) => features.len(),
                None => features[0]["geometry"]["coordinates"].as_array().unwrap().len(),
            };
            assert_eq!(found, points, "{value}");
        }
    }
}

/// A track that is cut twice, as programs of others read it.
fn in_pieces(gpx: &str, geojson: &str) {
    let Some(ogr2ogr) = program("ogr2ogr", "gdal-bin") else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, text, layer) in [("ship.gpx", gpx, Some("tracks")), ("ship.geojson", geojson, None)] {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(&ogr2ogr);
        command.args(["-f", "GeoJSON", "/vsistdout/"]).arg(file).args(layer);
        let output = command.output().unwrap();
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        let geometry = &value["features"][0]["geometry"];
        assert_eq!(geometry["type"], "MultiLineString", "{value}");
        let pieces: Vec<Vec<f64>> =
            geometry["coordinates"].as_array().unwrap().iter().map(longitudes).collect();
        assert_eq!(pieces.len(), 3, "{value}");
        assert!(
            pieces.iter().all(|piece| piece.windows(2).all(|two| (two[0] - two[1]).abs() < 10.0)),
            "{value}"
        );
    }
}

fn longitudes(line: &Value) -> Vec<f64> {
    line.as_array().unwrap().iter().map(|position| position[0].as_f64().unwrap()).collect()
}

#[test]
fn history_that_waits_is_bounded_and_counted() {
    let (Some(redis), Some(_)) = (Redis::start(&[]), program("curl", "curl")) else { return };
    let herd = two(&redis.url(), &["--history", "1h", "--history-queue-bytes-max", "64KiB"]);
    redis.signal(Signal::STOP);
    for round in 0..10 {
        report(&herd, "Alford", 200, 1_700_000_000 + round);
    }
    let counted = eventually("some are dropped", || {
        let (_, metrics) = get(&herd, "Alford", "/metrics");
        let line = metrics.lines().find_map(|line| line.strip_prefix("proxyherd_history_dropped_total "));
        line?.parse::<u64>().ok().filter(|count| *count > 0)
    });
    assert!(database(&herd, "Alford")["history_bytes"].as_u64().unwrap() <= 64 << 10);
    redis.signal(Signal::CONT);
    let kept = 2_000 - counted;
    eventually("the others are written", || {
        let script = "local n = 0 for _, key in ipairs(redis.call('KEYS', 'h:*')) do \
                      n = n + redis.call('XLEN', key) end return n";
        let count: u64 = redis.cli(&["EVAL", script, "0"]).trim().parse().unwrap();
        (count >= kept).then_some(())
    });
    wait_until_equal(&herd, || redis.values());
}

#[test]
fn examples_of_the_format_work() {
    let (Some(redis), Some(_)) = (Redis::start(&[]), program("curl", "curl")) else { return };
    let herd = two(&redis.url(), &["--history", "1h"]);
    post(
        &herd,
        "Alford",
        "/owntracks/jane/phone",
        r#"{"_type":"location","lat":1.5,"lon":-2,"tst":1700000000,"acc":5}"#,
    );
    wait_until_equal(&herd, || redis.values());
    eventually("the history is there", || {
        (redis.cli(&["XLEN", "h:{jane/phone}"]).trim() == "1").then_some(())
    });
    let format = include_str!("../../database/FORMAT.md");
    let blocks = |kind: &str| -> Vec<String> {
        let begin = format!("```{kind}\n");
        let blocks = format.split(&begin).skip(1);
        blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
    };
    let shell = blocks("sh");
    assert!(!shell.is_empty());
    for block in shell {
        let block = block.replace("redis-cli", &format!("redis-cli -s {}", redis.socket().display()));
        let output = Command::new("sh").args(["-ec", &block]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && text.contains("jane/phone") && text.contains("+1.5-2"),
            "{block}: {text}"
        );
    }
    let Some(python) = program("python3", "python3") else { return };
    let scripts = blocks("python");
    assert!(!scripts.is_empty());
    for script in scripts {
        let mut child = Command::new(&python);
        child.arg("-").arg(redis.socket()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.trim(), "jane/phone 1.5 -2 1700000000 acc=5", "{script}");
    }
}
