//! Commands that ask running servers, as an operator types them: `status`, `clients`, `watch`, `export`, `import`,
//! `drain` and `share`.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use proxyherd::config::TokenHash;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::free_address::free_address;
use crate::real::{RealHerd, ask, eventually, note};
use crate::transcripts::run::Talk as _;

/// Two servers with a port for HTTP each, not started.
fn two(options: &[&str]) -> RealHerd {
    let herd = RealHerd::new(&["Alford", "Bolden"], &[("Alford", "Bolden")], options);
    add_doors(&herd, "http");
    herd
}

fn add_doors(herd: &RealHerd, door: &str) {
    let path = herd.path("herd.toml");
    let mut text = fs::read_to_string(&path).unwrap();
    for name in ["Alford", "Bolden"] {
        let table = format!("[servers.{name}]\n");
        text = text.replace(&table, &format!("{table}{door} = \"{}\"\n", free_address()));
    }
    fs::write(path, text).unwrap();
}

fn started(options: &[&str]) -> RealHerd {
    let mut herd = two(options);
    herd.start_one("Alford");
    herd.start_one("Bolden");
    herd
}

/// The exit code of a command on the file of the herd, what it prints, and what it notes.
fn run(herd: &RealHerd, line: &str) -> (i32, String, String) {
    let words: Vec<&str> = line.split(' ').chain(["--herd", "herd.toml"]).collect();
    let output = herd.run(&words);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// A command that goes on.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn of(herd: &RealHerd, line: &str) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxyherd"));
        command.args(line.split(' ')).args(["--herd", "herd.toml"]).current_dir(herd.path(""));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { child, lines }
    }

    /// The next line that has these words.
    fn line(&mut self, words: &str) -> String {
        let mut lines = self.lines.by_ref().map(|line| line.unwrap());
        lines.find(|line| line.contains(words)).unwrap_or_else(|| panic!("it ended before {words:?}"))
    }

    /// Its exit code, if it was no signal, and what it has noted.
    fn ended(mut self) -> (Option<i32>, String) {
        drop(self.lines);
        let mut noted = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut noted).unwrap();
        (self.child.wait().unwrap().code(), noted)
    }
}

fn report(herd: &RealHerd, server: &str, line: &str) {
    assert!(ask(&mut herd.client(server), &format!("IAMAT {line}")).starts_with("AT "));
}

fn status(herd: &RealHerd, server: &str) -> Value {
    serde_json::from_str(&run(herd, &format!("status {server} --json")).1).unwrap()
}

fn wait_until_agreed(herd: &RealHerd) {
    eventually("both know the same", || {
        let digests = ["Alford", "Bolden"].map(|server| status(herd, server)["status"]["digest"].clone());
        (digests[0].is_string() && digests[0] == digests[1]).then_some(())
    });
}

#[test]
fn status_says_whether_all_is_well() {
    let mut herd = started(&[]);
    report(&herd, "Alford", "kiwi +1+1 1700000000");
    let text = eventually("the link is up", || {
        let (code, text, _) = run(&herd, "status");
        (code == 0 && text.contains("clients   1, 0 forgotten")).then_some(text)
    });
    assert!(text.starts_with("server    Alford, release ") && text.contains(": well\n"), "{text}");
    for words in ["herd      2 servers, 1 link; digest ", "journal   durable, ", "doors     client 127."] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(text.contains("link      to Bolden: live for "), "{text}");
    herd.kill_one("Bolden");
    eventually("the link is down", || {
        let (code, text, _) = run(&herd, "status Alford");
        (code == 1 && text.contains(": not well: 1 link down\n")).then_some(())
    });
    assert_eq!(status(&herd, "Alford")["is_well"], false);
    let (code, text, noted) = run(&herd, "status Bolden");
    assert_eq!((code, &*text), (2, ""));
    assert!(noted.contains("connection refused: is it running?") && noted.lines().count() == 1, "{noted}");
}

#[test]
fn clients_are_listed_and_their_names_command_nothing() {
    let herd = started(&[]);
    assert!(run(&herd, "clients").2.contains("no such client is known"));
    for line in
        ["zoe +34.5-118.25 1700000000", "a\u{9b}2J +34.6-118.25 1700000000.5", "b +0.000000-1 1700000000"]
    {
        report(&herd, "Alford", line);
    }
    let text = eventually("all are found", || {
        let (code, text, noted) = run(&herd, "clients Bolden");
        (code == 0 && text.lines().count() == 4).then_some((text, noted))
    });
    let first: Vec<&str> = text.0.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(first, ["CLIENT", "a\\xc2\\x9b2J", "b", "zoe"]);
    assert!(text.0.contains("  0.000000  "), "{}", text.0);
    assert_eq!(text.1, "");
    let (_, near, noted) = run(&herd, "clients Bolden --near 34.5,-118.25 --radius 20km --limit 1");
    assert!(near.lines().nth(1).unwrap().starts_with("zoe ") && near.ends_with("0 m\n"), "{near}");
    assert!(noted.starts_with("these are 1 of more: say --limit"), "{noted}");
    let (code, json, noted) = run(&herd, "clients --json --client zoe --client none");
    assert_eq!((code, json.lines().count()), (1, 1));
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["client"], "zoe");
    assert_eq!(noted, "nothing is known of none, or not to you\n");
}

#[test]
fn watch_tells_of_each_change_and_comes_back() {
    let mut herd = started(&[]);
    report(&herd, "Alford", "kiwi +1+1 1700000000");
    let mut watch = Running::of(&herd, "watch Bolden");
    let mut json = Running::of(&herd, "watch Bolden --json --near 1,1 --radius 1km");
    assert!(watch.line("kiwi").ends_with(" kiwi at 1,1 by Alford"));
    json.line("\"event\":\"current\"");
    report(&herd, "Alford", "kiwi +1.001+1 1700000001");
    watch.line("kiwi at 1.001,1");
    json.line("1.001");
    report(&herd, "Alford", "kiwi +2+1 1700000002");
    assert_eq!(json.line("kiwi"), "{\"event\":\"gone\",\"data\":{\"client\":\"kiwi\"}}");
    assert_eq!(herd.run(&["forget", "Alford", "kiwi"]).status.code(), Some(0));
    watch.line(" kiwi is gone");

    herd.kill_one("Bolden");
    report(&herd, "Alford", "emu +3+3 1700000003");
    herd.start_one("Bolden");
    watch.line("emu at 3,3");
    report(&herd, "Bolden", "emu +4+4 1700000004");
    watch.line("emu at 4,4");
    kill_process(Pid::from_child(&watch.child), Signal::INT).unwrap();
    let (code, noted) = watch.ended();
    assert_eq!(code, None, "by a signal, as the system has it");
    assert!(noted.contains("; trying again\n") && noted.contains(" is there again\n"), "{noted}");
    // Its reader is gone.
    let Running { mut child, lines } = json;
    drop(lines);
    report(&herd, "Bolden", "emu +1+1 1700000005");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(run(&herd, "watch Bolden --group family").0, 2);
}

#[test]
fn backup_of_a_running_herd_is_brought_into_another_and_undoes_nothing() {
    let herd = started(&[]);
    for client in 0..300 {
        report(&herd, "Alford", &format!("client-{client} +1+1 1700000000.{client}"));
    }
    assert_eq!(herd.run(&["forget", "Alford", "client-7"]).status.code(), Some(0));
    report(&herd, "Alford", "client-7 +2+2 1700000001");
    assert_eq!(herd.run(&["forget", "Alford", "client-8"]).status.code(), Some(0));
    wait_until_agreed(&herd);
    let (code, text, noted) = run(&herd, "export Bolden --out b.backup");
    assert_eq!((code, &*text, &*noted), (0, "", "exported: 299 known, 1 forgotten\n"));
    let backup = fs::read_to_string(herd.path("b.backup")).unwrap();
    assert_eq!(backup.lines().count(), 301);
    assert_eq!(run(&herd, "export").1.lines().count(), 301);
    assert!(!herd.path("b.backup.part").exists());

    let other = started(&[]);
    fs::write(other.path("b.backup"), &backup).unwrap();
    let imported = run(&other, "import b.backup Bolden");
    assert_eq!((imported.0, &*imported.1), (0, "imported: 300 new, 0 known or older, 0 refused\n"));
    wait_until_agreed(&other);
    let digest = |herd: &RealHerd| status(herd, "Alford")["status"]["digest"].clone();
    assert_eq!(digest(&other), digest(&herd));
    assert_eq!(run(&other, "import b.backup Alford").1, "imported: 0 new, 300 known or older, 0 refused\n");

    // What is newer stays, and what is foreign is refused.
    report(&other, "Alford", "client-1 +3+3 1800000000");
    assert_eq!(other.run(&["forget", "Alford", "client-2"]).status.code(), Some(0));
    let cut: Vec<&str> = backup.lines().take(5).collect();
    fs::write(other.path("odd.backup"), format!("{}\nhello \u{1b}[2J\n{}", cut.join("\n"), cut[0])).unwrap();
    let before = digest(&other);
    let (code, text, noted) = run(&other, "import odd.backup");
    assert_eq!((code, &*text), (1, "imported: 0 new, 6 known or older, 1 refused\n"));
    assert!(noted.starts_with("line 6 is refused: it is no line of an export: "), "{noted}");
    assert!(noted.contains("the backup does not end as one that is whole"), "{noted}");
    assert_eq!(run(&other, "import b.backup").1, "imported: 0 new, 300 known or older, 0 refused\n");
    assert_eq!(digest(&other), before);
    let log = other.log("Alford");
    assert!(log.contains(" imports: 0 lines applied, 6 outdated, 1 refused"), "{log}");
    assert!(herd.log("Bolden").contains(" are exported: http 127.0.0.1:"), "{}", herd.log("Bolden"));
}

#[test]
fn lines_that_were_imported_survive_the_end_of_the_server() {
    let mut herd = two(&[]);
    herd.start_one("Alford");
    let object = |client: u32| {
        format!(
            "{{\"client\":\"client-{client}\",\"location\":\"+1+2\",\"time\":\"1700000000\",\"server\":\"X\",\
             \"skew\":\"+1\"}}\n"
        )
    };
    let lines = 60_000;
    let text: String = (0..lines).map(object).collect();
    fs::write(herd.path("big.backup"), text).unwrap();
    let import = Running::of(&herd, "import big.backup Alford");
    // A part of 256 KiB holds fewer than 3,000 of these lines: the first is answered before another is sent.
    eventually("some of it is acknowledged", || {
        let known = status(&herd, "Alford")["status"]["gauges"]["clients"].as_u64().unwrap_or_default();
        (known > 6_000).then_some(())
    });
    herd.kill_one("Alford");
    let (code, noted) = import.ended();
    herd.start_one("Alford");
    let known = run(&herd, "export Alford").1;
    if code == Some(2) {
        // The first line that may be missing.
        let after = noted.split("before number ").nth(1).unwrap();
        let first: u32 = after.split(' ').next().unwrap().parse().unwrap();
        assert!(first > 1, "{noted}");
        let known: std::collections::HashSet<&str> = known.lines().collect();
        assert!((0..first - 1).all(|client| known.contains(object(client).trim_end())));
        assert!(noted.contains("import the file again later") && noted.lines().count() == 1, "{noted}");
    } else {
        note(format_args!("the import was over before the server was killed"));
        assert_eq!(known.lines().count(), lines as usize + 1);
    }
    assert!(matches!(run(&herd, "import big.backup Alford").0, 0));
    assert_eq!(run(&herd, "export Alford").1.lines().count(), lines as usize + 1);
}

#[test]
fn users_need_their_tokens() {
    let mut herd = two(&["--access", "access.toml"]);
    let token = |user: &str| TokenHash::of(format!("{user}-token").as_bytes());
    let access = format!(
        "[users.ann]\ntokens = ['{}']\nsee = 'all'\nadmin = true\n[users.jane]\ntokens = ['{}']\n",
        token("ann"),
        token("jane")
    );
    fs::write(herd.path("access.toml"), access).unwrap();
    for (file, text) in [("ann", "ann-token\n"), ("jane", "jane-token"), ("wrong", "x"), ("empty", "\n")] {
        fs::write(herd.path(file), text).unwrap();
    }
    herd.start_one("Alford");
    fs::write(herd.path("a.backup"), "").unwrap();
    for command in ["status", "clients", "watch", "export", "import a.backup", "drain"] {
        // An empty backup is not sent.
        if command.starts_with("import") {
            continue;
        }
        for (file, advice) in [
            ("", "this needs the token of a user: name the file with yours by --token-file"),
            ("--token-file wrong", "the token is wrong, or not this user's: see --token-file"),
            ("--token-file empty", "cannot read the token in empty: it holds no token on one line"),
            ("--token-file nowhere", "cannot read the token in nowhere: "),
        ] {
            let (code, text, noted) = run(&herd, format!("{command} Alford {file}").trim_end());
            // How well it is may be asked by everybody.
            assert_eq!((code, &*text), (2, ""), "{command} {file}");
            assert!(noted.contains(advice) && noted.lines().count() == 1, "{command} {file}: {noted}");
        }
    }
    for command in ["status", "export", "drain"] {
        let (code, _, noted) = run(&herd, &format!("{command} Alford --token-file jane"));
        assert!(code == 2 && noted.contains("this is for users with `admin = true`"), "{command}: {noted}");
    }
    report(&herd, "Alford", "jane/phone +1+1 1700000000");
    report(&herd, "Alford", "joe +1+1 1700000000");
    let seen = |user: &str| {
        let list = eventually("the index is there", || {
            let (code, text, _) = run(&herd, &format!("clients Alford --json --token-file {user}"));
            (code == 0 && text.contains("jane")).then_some(text)
        });
        list.lines().count()
    };
    assert_eq!((seen("ann"), seen("jane")), (2, 1));
    assert_eq!(run(&herd, "export Alford --token-file ann").1.lines().count(), 3);
    for (user, expected) in
        [("jane", (2, "")), ("ann", (0, "FORGOT jane/phone\n")), ("ann", (0, "FORGOT jane/phone\n"))]
    {
        let (code, text, noted) = run(&herd, &format!("forget Alford jane/phone --token-file {user}"));
        assert_eq!((code, &*text), expected, "{user}: {noted}");
    }
    let file = fs::read_to_string(herd.path("herd.toml")).unwrap();
    let http = file.lines().find_map(|line| line.strip_prefix("http = ")).unwrap();
    let url = format!("http://{}", http.trim_matches('"'));
    let (code, text, _) = run(&herd, "forget Alford nobody --token-file ann");
    assert_eq!((code, &*text), (1, "? nobody is not known here\n"));
    let by_url = ["forget", "joe", "--url", &url, "--token-file", "ann"];
    assert_eq!(herd.run(&by_url).stdout, b"FORGOT joe\n");
    assert!(herd.log("Alford").contains("jane/phone is forgotten: ann at http "));
    let (code, text, _) = run(&herd, "drain Alford --for 5s --token-file ann");
    assert_eq!((code, &*text), (0, "drained: no client is connected any more; the server stops\n"));
    assert_eq!(herd.ended("Alford").0.code(), Some(0));
    let log = herd.log("Alford");
    assert!(log.contains(": ann at http 127.0.0.1:") && log.contains("asked to stop by a drain"), "{log}");
}

#[test]
fn mistakes_in_where_the_server_is_say_what_to_do() {
    let mut herd = RealHerd::new(&["Alford", "Bolden"], &[("Alford", "Bolden")], &[]);
    herd.start_one("Alford");
    let client = herd.address("Alford");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    drop(silent);
    for (words, advice) in [
        ("status Alford", "Alford has no address for HTTP: give it one in the herd file"),
        ("status Zoe", "choose one of Alford, Bolden"),
        ("export --out /nowhere/x Alford", "Alford has no address for HTTP"),
    ] {
        let (code, _, noted) = run(&herd, words);
        assert!(code == 2 && noted.contains(advice) && noted.lines().count() == 1, "{words}: {noted}");
    }
    let lines = format!("http://{client}");
    for (words, advice) in [
        (vec!["status", "--url", &lines], "is that where it speaks HTTP?"),
        (vec!["clients", "--url", "http://no.such.host.invalid"], "no such host is found: is --url right?"),
        (vec!["status", "--url", &lines.replace("http", "https")], "there is no TLS there: write http://"),
        (vec!["status", "--url", &lines, "--ca", "herd.toml"], "it has no certificate in PEM"),
        (vec!["import", "nowhere.backup"], "name a file that `proxyherd export` has written"),
        (vec!["import", "."], "name a file that `proxyherd export` has written"),
    ] {
        let output = herd.run(&words);
        let noted = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {noted}");
        assert!(noted.contains(advice) && noted.lines().count() == 1, "{words:?}: {noted}");
    }
    add_doors(&herd, "http");
    herd.start_one("Bolden");
    for (words, advice) in [
        ("export Bolden --out /nowhere/x", "name another file with --out"),
        ("share kiwi Bolden --for 2h", "this herd has no secret"),
        ("watch Bolden --group family", "there are no groups, because there are no users"),
        ("clients Bolden --group family", "there are no groups, because there are no users"),
    ] {
        let (code, _, noted) = run(&herd, words);
        assert!(code == 2 && noted.contains(advice) && noted.lines().count() == 1, "{words}: {noted}");
    }
}

#[test]
fn servers_with_tls_are_asked_with_the_certificate_that_vouches_for_them() {
    if Command::new("openssl").arg("version").output().is_err() {
        return note(format_args!("skipped: it takes openssl (Debian: apt-get install openssl)"));
    }
    let mut herd = RealHerd::new(
        &["Alford", "Bolden"],
        &[("Alford", "Bolden")],
        &["--tls-cert", "cert.pem", "--tls-key", "key.pem"],
    );
    add_doors(&herd, "https");
    let text = fs::read_to_string(herd.path("herd.toml")).unwrap();
    let host = text.split("https = \"").nth(1).unwrap().split(':').next().unwrap();
    let names = format!("subjectAltName=IP:{host}");
    for (cert, key, constraints) in [
        ("cert.pem", "key.pem", "basicConstraints=critical,CA:FALSE"),
        ("other.pem", "other.key", "basicConstraints=critical,CA:TRUE"),
    ] {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        openssl.args(["-days", "30", "-subj", "/CN=localhost", "-addext", &names, "-addext", constraints]);
        openssl.arg("-keyout").arg(herd.path(key)).arg("-out").arg(herd.path(cert));
        assert!(openssl.output().unwrap().status.success());
    }
    herd.start_one("Alford");
    report(&herd, "Alford", "kiwi +1+1 1700000000");
    let (code, text, noted) = run(&herd, "status Alford --ca cert.pem");
    assert!(code == 1 && text.contains(", https 127."), "{text}{noted}");
    assert!(run(&herd, "export Alford --ca cert.pem").1.contains("kiwi"));
    let mut watch = Running::of(&herd, "watch Alford --ca cert.pem");
    watch.line("kiwi");
    watch.child.kill().unwrap();
    watch.ended();
    for ca in ["", " --ca other.pem"] {
        let (code, _, noted) = run(&herd, &format!("status Alford{ca}"));
        assert!(code == 2 && noted.contains("by --ca") && noted.lines().count() == 1, "{noted}");
    }
    herd.terminate("Alford");
    for (from, to) in [("other.pem", "cert.pem"), ("other.key", "key.pem")] {
        fs::rename(herd.path(from), herd.path(to)).unwrap();
    }
    herd.start_one("Alford");
    let (code, _, noted) = run(&herd, "status Alford --ca cert.pem");
    assert!(code == 2 && noted.contains("make one with -addext"), "{noted}");
}

#[test]
fn drained_server_lets_clients_finish_and_no_others_in() {
    let mut herd = started(&[]);
    let mut client = herd.client("Alford");
    assert!(ask(&mut client, "IAMAT kiwi +1+1 1700000000").starts_with("AT "));
    let drain = Running::of(&herd, "drain Alford --for 1m");
    eventually("no more are let in", || {
        let mut other = herd.client("Alford");
        // It may be refused before that is sent.
        let _ = other.send(b"x\n");
        let line = other.line().ok().flatten()?;
        line.starts_with(b"? this server takes no more connections").then_some(())
    });
    assert!(ask(&mut client, "IAMAT kiwi +2+2 1700000001").starts_with("AT "));
    let (code, text, _) = run(&herd, "status Alford");
    assert!(code == 1 && text.contains(": not well: this server takes no more connections"), "{text}");
    let (code, _, noted) = run(&herd, "drain Alford");
    assert!(code == 2 && noted.contains("because it is drained"), "{noted}");
    drop(client);
    assert_eq!(drain.ended(), (Some(0), String::new()));
    assert_eq!(herd.ended("Alford").0.code(), Some(0));
    // It was told to the others.
    eventually("Bolden knows it", || {
        ask(&mut herd.client("Bolden"), "WHATSAT kiwi 1 1").contains(" +2+2 ").then_some(())
    });
    let client = herd.client("Bolden");
    let (code, text, _) = run(&herd, "drain Bolden --for 50ms");
    assert_eq!((code, &*text), (1, "not drained: 1 still connected after 50ms; the server stops\n"));
    assert_eq!(herd.ended("Bolden").0.code(), Some(0));
    drop(client);
}

#[test]
fn every_command_works_over_https_with_a_private_authority() {
    if Command::new("openssl").arg("version").output().is_err() {
        return note(format_args!("skipped: it takes openssl (Debian: apt-get install openssl)"));
    }
    let options = ["--tls-cert", "cert.pem", "--tls-key", "key.pem", "--secret-file", "secret"];
    let mut herd = RealHerd::new(&["Alford"], &[], &options);
    fs::write(herd.path("secret"), "the secret of this herd").unwrap();
    add_doors(&herd, "https");
    let text = fs::read_to_string(herd.path("herd.toml")).unwrap();
    let host = text.split("https = \"").nth(1).unwrap().split(':').next().unwrap();
    fs::write(herd.path("names"), format!("subjectAltName=IP:{host}\nbasicConstraints=critical,CA:FALSE\n"))
        .unwrap();
    let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for line in [
        format!("req -x509 {new_key} -days 30 -subj /CN=authority -keyout ca.key -out ca.pem"),
        format!("req {new_key} -subj /CN=Alford -keyout key.pem -out asked.pem"),
        "x509 -req -in asked.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 20 -extfile names".to_owned()
            + " -out cert.pem",
    ] {
        let mut openssl = Command::new("openssl");
        openssl.args(line.split(' ')).current_dir(herd.path("."));
        let output = openssl.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    herd.start_one("Alford");
    report(&herd, "Alford", "kiwi +1+1 1700000000");
    let link = format!("https://{host}:");
    for (words, expected) in [
        ("status Alford", ": well"),
        ("clients Alford", "kiwi "),
        ("share kiwi Alford --for 2h", &*link),
        ("export Alford", "\"client\":\"kiwi\""),
        ("export Alford --out backup", ""),
        ("import backup Alford", "1 known or older, 0 refused"),
        ("forget kiwi", "FORGOT kiwi"),
    ] {
        let (code, text, noted) = run(&herd, &format!("{words} --ca ca.pem"));
        assert!(code == 0 && text.contains(expected), "{words}: {code} {text}{noted}");
        // The authority is not one of the public ones.
        let (code, _, noted) = run(&herd, words);
        assert!(code == 2 && noted.contains("by --ca"), "{words}: {code} {noted}");
    }
    report(&herd, "Alford", "emu +1+1 1700000001");
    let mut watch = Running::of(&herd, "watch Alford --ca ca.pem");
    watch.line("emu");
    watch.child.kill().unwrap();
    watch.ended();
    let (code, text, noted) = run(&herd, "drain Alford --ca ca.pem");
    assert!(code == 0, "{text}{noted}");
    assert_eq!(herd.ended("Alford").0.code(), Some(0));
}
