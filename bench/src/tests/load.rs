//! The programs that measure, against real processes: the threaded server, and one that answers wrongly.

// Clippy counts only functions marked #[test] as tests, and everything in this target is one.
#![allow(clippy::unwrap_used)]

#[path = "threaded.rs"]
mod threaded;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};
use std::thread::{Builder, scope};
use std::time::Duration;

#[path = "../../../src/tests/free_address.rs"]
mod free_address;

use free_address::free_address;
use proxyherd_bench::load::clock;
use rustix::process::{Pid, Signal, kill_process};
use threaded::threaded_server;

/// How long a server may take to answer for the first time.
const START_WAIT: Duration = Duration::from_secs(20);

#[test]
fn load_measures_the_threaded_server() {
    let folder = folder("threaded");
    let (server, Doors { client, .. }) = serve(&folder);
    let out = folder.join("results.jsonl");
    let pid = server.0.id().to_string();
    let mix = "iamat=80,whatsat=15,stale=5";
    let output = load(client, &["-N", "8", "-P", "4", "--mix", mix, "--pid", &pid, "--out"], &out);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("replies, all right") && text.contains("context switches"), "{text}");
    let lines = std::fs::read_to_string(&out).unwrap();
    let line: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert!(line["outcome"]["replies"].as_u64().unwrap() > 100, "{line}");
    assert_eq!(line["outcome"]["servers"][0]["pid"], server.0.id());
    assert_eq!(line["options"]["mix"], mix);
    assert!(line["provenance"]["cpus"].as_u64().unwrap() > 0, "{line}");
}

#[test]
fn load_measures_the_door_of_http() {
    let folder = folder("http");
    let (server, Doors { http, https, .. }) = serve(&folder);
    let (out, pid) = (folder.join("results.jsonl"), server.0.id().to_string());
    let cert = folder.join("cert.pem");
    let secured = ["--protocol", "https", "--ca", cert.to_str().unwrap()];
    let runs: [(SocketAddr, &str, &[&str]); 5] = [
        (http, "news", &["--protocol", "http", "-N", "8", "-C", "4"]),
        (http, "asked", &["--protocol", "http", "-N", "8", "-P", "4", "--mix", "iamat=50,whatsat=50"]),
        (https, "tls", &["-N", "8", "-C", "4", "-P", "16", "--mix", "iamat=50,whatsat=50"]),
        (https, "full", &["-N", "4", "--churn"]),
        (https, "resumed", &["-N", "4", "--churn", "--resume"]),
    ];
    for (at, name, options) in runs {
        let secured = if at == https { &secured[..] } else { &[] };
        let output = load(at, &[secured, options, &["--name", name, "--pid", &pid, "--out"]].concat(), &out);
        assert!(output.status.success(), "{name}: {output:?}");
        assert!(replies(&out) > 100, "{name}: {output:?}");
    }
    let server = server.stop();
    let log = std::fs::read_to_string(folder.join("Alford.log")).unwrap();
    assert!(server.success() && log.contains(" outdated=0 ") && log.contains(" points_left_out=0 "), "{log}");
}

#[test]
fn load_measures_the_door_of_mqtt() {
    let folder = folder("mqtt");
    let (server, Doors { mqtt, .. }) = serve(&folder);
    let out = folder.join("results.jsonl");
    let mut sum = 0;
    for (name, options) in [
        ("acknowledged", &["-P", "8"][..]),
        ("not", &["-P", "8", "--qos", "0"]),
        ("paced", &["-R", "500", "--qos", "0"]),
    ] {
        let protocol = ["--protocol", "mqtt", "-N", "8", "--name", name];
        let output = load(mqtt, &[&protocol, options, &["--out"]].concat(), &out);
        assert!(output.status.success(), "{name}: {output:?}");
        sum += replies(&out);
    }
    assert!(sum > 1_000, "{sum}");
    assert!(server.stop().success());
    let log = std::fs::read_to_string(folder.join("Alford.log")).unwrap();
    let (_, applied) = log.rsplit_once(" applied=").unwrap();
    let applied: u64 = applied.split(' ').next().unwrap().parse().unwrap();
    assert!(applied >= sum && log.contains(" outdated=0 "), "of {sum}: {log}");
}

/// The replies of the last run.
fn replies(out: &Path) -> u64 {
    let lines = std::fs::read_to_string(out).unwrap();
    let line: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    line["outcome"]["replies"].as_u64().unwrap()
}

#[test]
fn load_fails_at_a_server_that_answers_wrongly() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let out = folder("wrong").join("results.jsonl");
    scope(|scope| {
        let answer = || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(socket.try_clone().unwrap()).read_line(&mut line).unwrap();
            socket.write_all(line.replacen("IAMAT", "AT Alford 1e-05", 1).as_bytes()).unwrap();
        };
        Builder::new().spawn_scoped(scope, answer).unwrap();
        let output = load(address, &["--out"], &out);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(told.contains("answered wrongly: the skew must be a sign"), "{told}");
    });
    assert!(!out.exists(), "a failed run is no result");
}

fn load(target: SocketAddr, options: &[&str], out: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_load"))
        .args(["--target", &target.to_string(), "--warm-up", "100ms", "--duration", "1s"])
        .args(options)
        .arg(out)
        .output()
        .unwrap()
}

#[test]
fn suite_goes_on_where_it_was_stopped_and_is_shown() {
    let folder = folder("suite");
    let programs = threaded_server(env!("CARGO_BIN_EXE_load"));
    let run = |options: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_suite")).args(options).current_dir(&folder).output().unwrap()
    };
    let memory =
        ["run", "memory", "--quick", "--variants", "threads", "--out", "results.jsonl", "--programs"];
    let memory = [&memory[..], &[programs.parent().unwrap().to_str().unwrap()]].concat();
    let first = run(&memory);
    assert!(first.status.success(), "{first:?}");
    let results = std::fs::read_to_string(folder.join("results.jsonl")).unwrap();
    assert_eq!(results.lines().count(), 1, "{results}");
    let again = run(&memory);
    assert!(String::from_utf8_lossy(&again.stdout).contains("done before"), "{again:?}");
    assert_eq!(std::fs::read_to_string(folder.join("results.jsonl")).unwrap(), results);
    let targets = run(&["targets", "results.jsonl"]);
    let scoreboard = String::from_utf8_lossy(&targets.stdout);
    assert!(targets.status.success() && scoreboard.contains("| not measured |"), "{targets:?}");
    assert!(String::from_utf8_lossy(&first.stdout).contains("its own, KiB"), "{first:?}");
    let unknown = run(&["run", "memory", "--variants", "nobody"]);
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("load-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Where a server is.
struct Doors {
    client: SocketAddr,
    http: SocketAddr,
    https: SocketAddr,
    mqtt: SocketAddr,
}

/// Starts a server alone, with a certificate that is in the folder.
fn serve(folder: &Path) -> (Stopped, Doors) {
    let [client, peer, http, https, mqtt] = [(); 5].map(|()| free_address());
    let herd = folder.join("herd.toml");
    let text = format!(
        "[servers.Alford]\nclient = \"{client}\"\npeer = \"{peer}\"\nhttp = \"{http}\"\nhttps = \"{https}\"\n\
         mqtt = \"{mqtt}\"\n"
    );
    std::fs::write(&herd, text).unwrap();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let [cert_file, key_file] = ["cert.pem", "key.pem"].map(|name| folder.join(name));
    std::fs::write(&cert_file, cert.pem()).unwrap();
    std::fs::write(&key_file, signing_key.serialize_pem()).unwrap();
    let server = Command::new(threaded_server(env!("CARGO_BIN_EXE_load")))
        .args(["serve", "Alford", "--durability", "none", "--log-level", "info", "--herd"])
        .arg(&herd)
        .arg("--tls-cert")
        .arg(&cert_file)
        .arg("--tls-key")
        .arg(&key_file)
        .arg("--log-dir")
        .arg(folder)
        .spawn();
    let server = Stopped(server.unwrap());
    [client, http, https, mqtt].into_iter().for_each(wait_for);
    (server, Doors { client, http, https, mqtt })
}

fn wait_for(address: SocketAddr) {
    let end_ns = clock::monotonic_ns() + clock::ns(START_WAIT);
    while TcpStream::connect(address).is_err() {
        assert!(clock::monotonic_ns() < end_ns, "{address} does not answer");
        std::thread::yield_now();
    }
}

/// A process that ends with the test.
struct Stopped(Child);

impl Stopped {
    /// Asks it to stop, and waits until it has.
    fn stop(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        self.0.wait().unwrap()
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
