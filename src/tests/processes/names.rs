//! Servers with names, which appear late and move; and a herd file that changes while its servers run.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proxyherd::config::{self, Herd};
use proxyherd::proto::model::name::ServerName;
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use crate::real::{RealHerd, ask, eventually, note};
use crate::transcripts::sockets::{Connection, WAIT};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The herd of these servers and links, at the addresses that the first file of a herd gives them.
fn part_of(all: &Herd, names: &[&str], links: &[(&str, &str)]) -> String {
    let name = |text: &str| ServerName::parse(text).unwrap();
    let members = names.iter().map(|name| all.member(name).unwrap().clone()).collect();
    let links = links.iter().map(|(a, b)| (name(a), name(b))).collect();
    config::to_toml(&Herd::new(members, links, true).unwrap())
}

fn log_says(herd: &RealHerd, server: &str, what: &str) {
    eventually(&format!("{server} logs: {what}"), || herd.log_so_far(server).contains(what).then_some(()));
}

/// Whether a server may have files of its own; says so if not.
fn may_mount() -> bool {
    let permitted = Command::new("unshare").args(["--mount", "true"]).status();
    let may_mount = permitted.is_ok_and(|status| status.success());
    if !may_mount {
        note(format_args!("skipped: a hosts file of one's own takes root, and `unshare --mount`"));
    }
    may_mount
}

#[test]
fn server_that_appears_later_and_moves_is_found_by_its_name() {
    if !may_mount() {
        return;
    }
    let link = [("Alford", "Bolden")];
    let options = ["--secret-file", "herd.secret", "--log-level", "debug"];
    let mut herd = RealHerd::new(&["Alford", "Bolden"], &link, &options);
    fs::write(herd.path("herd.secret"), SECRET).unwrap();
    let file = config::load(&herd.path("herd.toml")).unwrap();
    let mut text = String::from("links = [['Alford', 'Bolden']]\n");
    for member in file.members() {
        let [client, peer] = [&member.client, &member.peer].map(|address| address.port());
        let name = member.name.as_str();
        // They have no case.
        let host = if name == "Alford" { "alford.herd.test" } else { "BOLDEN.herd.test." };
        writeln!(text, "[servers.{name}]\nclient = '{host}:{client}'\npeer = '{host}:{peer}'").unwrap();
    }
    fs::write(herd.path("herd.toml"), text).unwrap();
    let hosts = |herd: &RealHerd, file: &str, bolden: &str| {
        let alford = herd.address("Alford").ip();
        let text = format!("127.0.0.1 localhost\n{alford} alford.herd.test\n{bolden}");
        fs::write(herd.path(file), text).unwrap();
    };
    hosts(&herd, "hosts", "");
    herd.spawn_with_hosts("Alford", "hosts");
    herd.wait_until_ready("Alford");
    log_says(&herd, "Alford", "link to Bolden cannot be made yet: bolden.herd.test.:");
    assert!(ask(&mut herd.client("Alford"), "IAMAT kiwi +1+1 1700000000").starts_with("AT "));
    let port = herd.address("Bolden").port();
    let found_at = |host: u8, time: u64| {
        let at = SocketAddr::from(([127, 0, 0, host], port));
        eventually("Bolden knows it", || {
            let mut talk = Connection::to(at).ok()?;
            ask(&mut talk, "WHATSAT kiwi 1 1").ends_with(&format!(" {time}")).then_some(())
        });
    };
    // It appears, moves, and moves again while nothing tells the other that it has gone.
    for (host, ending) in [(2, Some(Signal::TERM)), (3, Some(Signal::KILL)), (4, None)] {
        let right = format!("127.0.0.{host} bolden.herd.test\n");
        hosts(&herd, "hosts-of-bolden", &right);
        // A name may have addresses where nothing listens, before and after the one that is right.
        hosts(&herd, "hosts", &format!("127.0.0.9 bolden.herd.test\n{right}::1 bolden.herd.test\n"));
        herd.spawn_with_hosts("Bolden", "hosts-of-bolden");
        let time = 1_700_000_000 + u64::from(host);
        assert!(ask(&mut herd.client("Alford"), &format!("IAMAT kiwi +1+1 {time}")).starts_with("AT "));
        found_at(host, time);
        if let Some(signal) = ending {
            herd.signal("Bolden", signal);
            herd.ended("Bolden");
        }
    }
    // A link to where its name does not lead any more is cut when that is asked for.
    hosts(&herd, "hosts", "127.0.0.5 bolden.herd.test\n");
    herd.signal("Alford", Signal::HUP);
    log_says(&herd, "Alford", "Bolden is not at 127.0.0.4:");
    log_says(&herd, "Alford", "link to Bolden cannot be made yet: 127.0.0.5:");
    // A stop does not wait for a resolver.
    hosts(&herd, "hosts", "");
    herd.kill_one("Bolden");
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
}

/// Reports one client again and again until told to stop or the server ends, and returns the time that was last
/// acknowledged.
fn report_until(over: &AtomicBool, mut talk: Connection, client: &str) -> u64 {
    let mut acknowledged = 0;
    for time in 1_700_000_000.. {
        use crate::transcripts::run::Talk as _;
        let sent = talk.send(format!("IAMAT {client} +1+1 {time}\n").as_bytes());
        if sent.is_err() || !matches!(talk.line(), Ok(Some(line)) if line.starts_with(b"AT ")) {
            break;
        }
        acknowledged = time;
        if over.load(Ordering::Relaxed) {
            break;
        }
    }
    acknowledged
}

/// Ends those who report when the test does, which may be by a panic.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn herd_file_grows_by_a_server_and_loses_one_without_a_loss() {
    let names = ["Alford", "Bolden", "Hamilton", "Parker"];
    let links = [("Alford", "Bolden"), ("Bolden", "Hamilton"), ("Hamilton", "Parker"), ("Bolden", "Parker")];
    let mut herd = RealHerd::new(&names, &links, &["--durability", "os"]);
    let all = config::load(&herd.path("herd.toml")).unwrap();
    let change = |herd: &RealHerd, names: &[&str], links: &[(&str, &str)]| {
        fs::write(herd.path("herd.toml"), part_of(&all, names, links)).unwrap();
    };
    change(&herd, &names[..3], &links[..2]);
    names[..3].iter().for_each(|name| herd.start_one(name));
    let clients: Vec<String> = names.iter().map(|name| format!("client-of-{name}")).collect();
    let over = AtomicBool::new(false);
    let acknowledged: Vec<u64> = thread::scope(|scope| {
        let _ends_whatever_happens = Ends(&over);
        let reporting = |herd: &RealHerd, at: usize| {
            let (talk, client, over) = (herd.client(names[at]), &clients[at], &over);
            scope.spawn(move || report_until(over, talk, client))
        };
        let mut reporters: Vec<_> = (0..3).map(|at| reporting(&herd, at)).collect();
        // One more.
        fs::write(herd.path("herd.toml"), config::to_toml(&all)).unwrap();
        for name in &names[..3] {
            herd.signal(name, Signal::HUP);
            log_says(&herd, name, "the herd file is read again: servers 4, links 4; new: Parker");
        }
        herd.start_one("Parker");
        reporters.push(reporting(&herd, 3));
        herd.wait_until_agreed(&["Parker"], &clients[..3], None);
        // One less: first it is stopped, so that it tells all that it has acknowledged.
        assert_eq!(herd.terminate("Hamilton").0.code(), Some(0));
        change(&herd, &["Alford", "Bolden", "Parker"], &[links[0], links[3]]);
        for name in ["Alford", "Bolden", "Parker"] {
            herd.signal(name, Signal::HUP);
            log_says(&herd, name, "the herd file is read again: servers 3, links 2; gone: Hamilton");
        }
        let gone = " WARN Hamilton is no neighbour any more: it is cut, and not let in again";
        ["Bolden", "Parker"].iter().for_each(|name| log_says(&herd, name, gone));
        assert!(!herd.log("Alford").contains(gone));
        thread::yield_now();
        over.store(true, Ordering::Relaxed);
        reporters.into_iter().map(|reporter| reporter.join().unwrap()).collect()
    });
    let time_of = |answer: &String| answer.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    let (answers, _) = herd.wait_until_agreed(&["Alford", "Bolden", "Parker"], &clients, None);
    for (answer, acknowledged) in answers.iter().zip(acknowledged) {
        assert!(
            acknowledged > 0 && time_of(answer) >= acknowledged,
            "{answer}, and {acknowledged} was acknowledged"
        );
    }
    // The one that is gone has the older file still, and is kept out.
    fs::write(herd.path("herd.toml"), config::to_toml(&all)).unwrap();
    herd.start_one("Hamilton");
    log_says(&herd, "Bolden", "HELLO from a server that is no neighbour");
    assert!(ask(&mut herd.client("Hamilton"), "IAMAT stranded +1+1 1700000000").starts_with("AT "));
    assert_eq!(ask(&mut herd.client("Bolden"), "WHATSAT stranded 1 1"), "? WHATSAT stranded 1 1");
    for name in ["Alford", "Bolden", "Parker", "Hamilton"] {
        assert_eq!(herd.terminate(name).0.code(), Some(0));
    }
}

#[test]
fn wrong_herd_file_changes_nothing_and_what_needs_a_restart_is_named() {
    let mut herd = RealHerd::start(&["Alford", "Bolden"], &[("Alford", "Bolden")], &[]);
    let whole = fs::read_to_string(herd.path("herd.toml")).unwrap();
    let two = config::load(&herd.path("herd.toml")).unwrap();
    let hangup = |herd: &mut RealHerd, text: &str, what: &str| {
        fs::write(herd.path("herd.toml"), text).unwrap();
        herd.signal("Alford", Signal::HUP);
        log_says(herd, "Alford", what);
    };
    let kept = " WARN the herd file is as it was before: ";
    let table = "[servers.Alford]\n";
    for (text, why) in [
        (whole[..whole.len() / 2].to_owned(), "herd.toml: "),
        (whole.replace("[\"Alford\"", "[\"Zoe\""), "names \"Zoe\", which is not a server of the herd"),
        (format!("colour = 1\n{whole}"), "unknown field `colour`"),
        (part_of(&two, &["Bolden"], &[]), "has no server Alford: stop this server, or put its table back"),
        // With this one it could not be started again.
        (
            whole.replace(table, &format!("{table}listen_client = \"0.0.0.0:1\"\n")),
            "0.0.0.0:1, where any machine",
        ),
    ] {
        hangup(&mut herd, &text, why);
    }
    assert_eq!(herd.log("Alford").matches(kept).count(), 5);
    fs::remove_file(herd.path("herd.toml")).unwrap();
    herd.signal("Alford", Signal::HUP);
    log_says(&herd, "Alford", "cannot read the herd file herd.toml: ");
    hangup(&mut herd, &whole, "the herd file is read again: nothing has changed");
    let other = whole.replace(table, &format!("{table}listen_client = \"127.0.0.1:1\"\n"));
    let other = other.replace("catch_up = true", "catch_up = false\nexpire_after = \"30d\"");
    hangup(
        &mut herd,
        &other,
        " WARN these changes of the herd file wait until Alford is started again: listen_client of Alford, catch_up, \
         expire_after\n",
    );
    assert!(!herd.log("Alford").contains("link to Bolden is down"), "{}", herd.log("Alford"));
    assert!(ask(&mut herd.client("Alford"), "IAMAT kiwi +1+1 1700000000").starts_with("AT "));
    herd.wait_until_agreed(&["Alford", "Bolden"], &["kiwi".to_owned()], None);
}

#[test]
fn check_looks_names_up_and_says_so_by_its_exit_code() {
    let herd = RealHerd::new(&["Alford"], &[], &[]);
    let checked = |host: &str| {
        let text = format!("[servers.Alford]\nclient = '{host}:1'\npeer = '127.0.0.1:2'\n");
        fs::write(herd.path("herd.toml"), text).unwrap();
        let output = herd.run(&["herd", "--check", "herd.toml", "--resolve"]);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = checked("localhost");
    assert!(code == Some(0) && text.contains("\nlocalhost is ") && text.contains("127.0.0.1"), "{text}");
    let (code, text) = checked("herd.invalid");
    assert!(code == Some(1) && text.contains("\nherd.invalid is not found: "), "{text}");
    let (code, text) = checked("herd..invalid");
    assert!(code == Some(2) && text.is_empty(), "{text}");
}

#[test]
fn name_server_that_never_answers_holds_up_nothing_else() {
    // On an address of this machine that is no other's.
    let Ok(silent) = UdpSocket::bind("127.53.53.53:53") else {
        return note(format_args!("skipped: a name server of one's own takes the port 53 of 127.53.53.53"));
    };
    silent.set_read_timeout(Some(WAIT)).unwrap();
    if !may_mount() {
        return;
    }
    let names = ["Alford", "Bolden", "Parker"];
    let links = [("Alford", "Bolden"), ("Alford", "Parker")];
    let mut herd = RealHerd::new(&names, &links, &["--secret-file", "herd.secret", "--log-level", "debug"]);
    fs::write(herd.path("herd.secret"), SECRET).unwrap();
    fs::write(herd.path("hosts"), "127.0.0.1 localhost\n").unwrap();
    // Asked as patiently as the system's resolver can: for two minutes and a half.
    let resolver = "nameserver 127.53.53.53\noptions timeout:30 attempts:5\n";
    fs::write(herd.path("resolv.conf"), resolver).unwrap();
    let parker = herd.peer("Parker");
    let text = fs::read_to_string(herd.path("herd.toml")).unwrap();
    let named = text.replace(&parker.to_string(), &format!("parker.herd.test:{}", parker.port()));
    assert_ne!(text, named);
    fs::write(herd.path("herd.toml"), &named).unwrap();
    herd.spawn_with_files("Alford", &[("hosts", "/etc/hosts"), ("resolv.conf", "/etc/resolv.conf")]);
    herd.wait_until_ready("Alford");
    let mut question = [0; 512];
    let count = silent.recv(&mut question).expect("the resolver of the system asks");
    assert!(question[..count].windows(6).any(|some| some == b"parker"));

    // Another neighbour, which comes later.
    herd.start_one("Bolden");
    let reply = ask(&mut herd.client("Alford"), "IAMAT kiwi +1+1 1700000000");
    herd.wait_until_agreed(&["Alford", "Bolden"], &["kiwi".to_owned()], Some(&[reply]));
    // The herd file, also if it has no word of the name any more or has it again.
    herd.signal("Alford", Signal::HUP);
    log_says(&herd, "Alford", "the herd file is read again: nothing has changed");
    let two = part_of(&config::load(&herd.path("herd.toml")).unwrap(), &["Alford", "Bolden"], &links[..1]);
    for (text, what) in [(&two, "; gone: Parker"), (&named, "; new: Parker")] {
        fs::write(herd.path("herd.toml"), text).unwrap();
        herd.signal("Alford", Signal::HUP);
        log_says(&herd, "Alford", what);
    }
    log_says(&herd, "Alford", "the resolver has not answered within 5s");
    // A stop.
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
    assert!(!herd.log("Alford").contains("link to Bolden is down: "), "{}", herd.log("Alford"));
}

#[test]
fn connection_of_a_classic_neighbour_that_was_removed_is_cut() {
    let mut herd = RealHerd::new(&["Alford"], &[], &[]);
    let alone = fs::read_to_string(herd.path("herd.toml")).unwrap();
    let both = alone.replace("links = []", "links = [[\"Alford\", \"Classic\"]]");
    // Where no client comes from.
    let classic: SocketAddr = "127.0.0.77:0".parse().unwrap();
    let both = format!("{both}\n[servers.Classic]\nclient = \"127.0.0.77:9\"\nclassic = true\n");
    fs::write(herd.path("herd.toml"), both).unwrap();
    herd.start_one("Alford");
    let dial = |herd: &RealHerd| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&classic.into()).unwrap();
        socket.connect(&herd.address("Alford").into()).unwrap();
        TcpStream::from(socket)
    };
    let tell = |mut socket: &TcpStream, client: &str| {
        use std::io::Write as _;
        socket.write_all(format!("AT Classic +0.5 {client} +1+1 1700000000\n").as_bytes()).unwrap();
    };
    let mut client = herd.client("Alford");
    let mut neighbours = [dial(&herd), dial(&herd)];
    for (socket, name) in neighbours.iter().zip(["kiwi", "emu"]) {
        tell(socket, name);
        eventually("the neighbour is believed", || {
            let is_known = ask(&mut client, &format!("WHATSAT {name} 1 1")).starts_with("AT ");
            while is_known && !crate::real::line(&mut client).is_empty() {}
            is_known.then_some(())
        });
    }
    fs::write(herd.path("herd.toml"), alone).unwrap();
    herd.signal("Alford", Signal::HUP);
    for socket in &mut neighbours {
        socket.set_read_timeout(Some(WAIT)).unwrap();
        assert_eq!(socket.read_to_end(&mut Vec::new()).unwrap(), 0, "it is cut without a word");
    }
    log_says(&herd, "Alford", " WARN Classic is no neighbour any more: it is cut, and not let in again");
    // The others go on, and what comes from there is a client like any other.
    assert_eq!(ask(&mut client, "x"), "? x");
    let again = dial(&herd);
    tell(&again, "ostrich");
    let mut said = [0; 4];
    (&again).read_exact(&mut said).unwrap();
    assert_eq!(&said, b"? AT");
    assert_eq!(ask(&mut client, "WHATSAT ostrich 1 1"), "? WHATSAT ostrich 1 1");
}
