//! A process that runs out of what the system grants it: clients that come then are refused in one line, those that
//! are connected are served, and it goes on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};

use crate::real::{RealHerd, ask, eventually, line, note, now};
use crate::transcripts::run::Talk as _;
use crate::transcripts::sockets::{Connection, WAIT};

/// Descriptors that the server may have, and more connections than that.
const DESCRIPTORS: usize = 64;
const CONNECTIONS: usize = 100;

/// Idle connections that are held. More, up to what the limits of the system allow, by the environment variable:
/// `PROXYHERD_IDLE_CONNECTIONS=16000 cargo test --test processes idle`.
const IDLE_CONNECTIONS: u32 = 1_000;

/// Descriptors of a test process besides its connections.
const OTHER_DESCRIPTORS: u64 = 500;

/// Connections that each report a client of their own, and the memory for each: some 20 KiB in a release.
const REPORTERS: u64 = 400;
const REPORTER_BYTES_MAX: u64 = 40 * 1024;

/// The lines of one batch, and the memory that is left to a connection after it: some 15 KiB in a release.
const BATCH_LINES: usize = 64;
const BATCH_BYTES_MAX: u64 = 40 * 1024;

const NO_DESCRIPTOR: &str = "? no descriptor for one more connection; try again later";

/// What a connection is told that sends a line at once: its reply, or why it is refused.
fn told(talk: &mut Connection) -> String {
    // Refused, it may be closed already.
    let _ = talk.send(b"hello\n");
    line(talk)
}

fn limit_descriptors(herd: &mut RealHerd, name: &str, most: u64) {
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    herd.limit(name, Resource::Nofile, limit);
}

#[test]
fn without_descriptors_one_more_is_refused_and_the_rest_is_served() {
    let mut herd = RealHerd::new(&["Alford", "Bolden"], &[("Alford", "Bolden")], &[]);
    herd.start_one("Bolden");
    herd.start_one("Alford");
    let first = ask(&mut herd.client("Bolden"), "IAMAT kiwi +1+1 1");
    let kiwi = ["kiwi".to_owned()];
    herd.wait_until_agreed(&["Alford", "Bolden"], &kiwi, Some(&[first]));
    // Taken away while it runs, for it asks for no more connections than it may have.
    limit_descriptors(&mut herd, "Alford", DESCRIPTORS as u64);

    let mut all: Vec<_> = (0..CONNECTIONS).map(|_| herd.client("Alford")).collect();
    let told: Vec<String> = all.iter_mut().map(told).collect();
    // Others leave meanwhile, and make room: the connections that have waited for the servers to agree.
    let served = told.iter().filter(|told| *told == "? hello").count();
    assert!(served > DESCRIPTORS / 2 && served < CONNECTIONS, "{served} served");
    assert!(told.iter().all(|told| told == "? hello" || told == NO_DESCRIPTOR), "{told:?}");
    // Those who are in are served, and told by a neighbour, as ever.
    let second = ask(&mut herd.client("Bolden"), "IAMAT kiwi +2+2 2");
    eventually("the neighbour's news are known", || {
        let known = ask(&mut all[0], "WHATSAT kiwi 1 1");
        while known.starts_with("AT ") && !line(&mut all[0]).is_empty() {}
        (known == second).then_some(())
    });
    // There is room again when clients leave.
    drop(all);
    eventually("a place is free", || (self::told(&mut herd.client("Alford")) == "? hello").then_some(()));
    let third = ask(&mut herd.client("Bolden"), "IAMAT kiwi +3+3 3");
    herd.wait_until_agreed(&["Alford", "Bolden"], &kiwi, Some(&[third]));
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
    let log = herd.log("Alford");
    let warnings = log.lines().filter(|line| line.contains(" WARN refused ")).count();
    assert_eq!(warnings, 1, "one shortage, one warning: {log}");
    assert!(!log.contains(" out_of_descriptors=0 "), "{log}");
}

#[test]
fn a_server_takes_no_more_clients_than_leave_room_for_its_neighbours() {
    let mut herd = RealHerd::new(&["Alford", "Bolden"], &[("Alford", "Bolden")], &[]);
    herd.spawn_in_shell("Alford", "ulimit -n 256;");
    herd.wait_until_ready("Alford");
    let warning = eventually("it says what it grants", || {
        herd.log("Alford").lines().find(|line| line.contains(" WARN ")).map(str::to_owned)
    });
    let lowered = warning.split_once("only ").unwrap().1.split_once(' ').unwrap().0;
    let lowered: usize = lowered.parse().unwrap();
    assert!(
        (20..200).contains(&lowered) && warning.contains("the system grants 256 open files"),
        "{warning}"
    );

    // It has been asked whether it is ready, and may be about to close that connection.
    let mut held = Vec::new();
    eventually("it is full", || {
        let mut talk = herd.client("Alford");
        match told(&mut talk) {
            reply if reply == "? hello" => held.push(talk),
            refused => assert_eq!(refused, "? too many connections here; try another server of the herd"),
        }
        (held.len() == lowered).then_some(())
    });
    assert!(told(&mut herd.client("Alford")).starts_with("? too many connections"));
    // A neighbour that comes now finds all that it needs, in both directions.
    herd.start_one("Bolden");
    let kiwi = ["kiwi".to_owned()];
    let first = ask(&mut held[0], "IAMAT kiwi +1+1 1");
    eventually("the neighbour is told", || (herd.answers("Bolden", &kiwi)[0] == first).then_some(()));
    let second = ask(&mut herd.client("Bolden"), "IAMAT kiwi +2+2 2");
    eventually("the neighbour's news are known", || {
        let known = ask(&mut held[0], "WHATSAT kiwi 1 1");
        while known.starts_with("AT ") && !line(&mut held[0]).is_empty() {}
        (known == second).then_some(())
    });
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
}

#[test]
fn without_memory_for_one_more_it_is_refused_and_the_rest_is_served() {
    let mut herd = RealHerd::new(&["Alford"], &[], &["--log-level", "info"]);
    // Or else the allocator reserves 64 MiB for each of the first threads, more of them the more processors there are.
    herd.spawn_in_shell("Alford", "MALLOC_ARENA_MAX=1; export MALLOC_ARENA_MAX;");
    herd.wait_until_ready("Alford");
    let mut held = vec![herd.client("Alford")];
    assert_eq!(told(&mut held[0]), "? hello");
    // Room for the stacks of some more threads, and not of all that will come.
    let most = herd.address_space_bytes("Alford") + (97 << 20);
    herd.limit("Alford", Resource::As, Rlimit { current: Some(most), maximum: Some(most) });
    let mut refused = 0;
    for _ in 0..200 {
        let mut talk = herd.client("Alford");
        match told(&mut talk).as_str() {
            "? hello" => held.push(talk),
            why => {
                // Of the memory that is left, a thread that starts takes some for a moment: either may fail.
                let whys = ["? no memory for one more connection", "? no thread for one more connection"];
                assert!(whys.iter().any(|known| why.starts_with(known)), "{why}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0 && held.len() > 5, "{refused} refused, {} served", held.len());
    for (at, talk) in held.iter_mut().enumerate() {
        assert!(ask(talk, &format!("IAMAT c{at} +1+1 1")).starts_with("AT "));
    }
    held.truncate(1);
    // A thread whose connection has ended takes another one.
    eventually("a thread is free", || (told(&mut herd.client("Alford")) == "? hello").then_some(()));
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
    let log = herd.log("Alford");
    assert!(log.contains(" connections_refused=") && !log.contains(" connections_refused=0"), "{log}");
}

#[test]
fn without_threads_for_one_more_it_is_refused_and_a_neighbour_still_finds_one() {
    // The superuser is not bound by this limit, and anybody else has other processes that count.
    let has = |what| Command::new(what).arg("--version").output().is_ok_and(|it| it.status.success());
    if !geteuid().is_root() || !has("setpriv") || !has("prlimit") {
        note(format_args!("skipped: it takes the superuser, setpriv and prlimit"));
        return;
    }
    let mut herd = RealHerd::new(
        &["Alford", "Bolden"],
        &[("Alford", "Bolden")],
        &["--log-level", "info", "--durability", "none"],
    );
    herd.start_one("Bolden");
    let user = 60_000 + std::process::id() % 5_000;
    let as_user = format!(
        "chmod 777 . && cp \"$1\" server && shift && \
         set -- prlimit --nproc=40 setpriv --reuid {user} --regid {user} --clear-groups ./server \"$@\";"
    );
    herd.spawn_in_shell("Alford", &as_user);
    herd.wait_until_ready("Alford");
    let mut served = Vec::new();
    let mut refused = 0;
    for _ in 0..60 {
        let mut talk = herd.client("Alford");
        match told(&mut talk).as_str() {
            "? hello" => served.push(talk),
            why => {
                assert_eq!(why, "? no thread for one more connection; try again later");
                refused += 1;
            }
        }
    }
    assert!(refused > 0 && served.len() > 10, "{refused} refused, {} served", served.len());
    assert!(ask(&mut served[0], "IAMAT kiwi +1+1 1").starts_with("AT Alford "));
    // Its thread was kept for it while it was away.
    herd.kill_one("Bolden");
    herd.start_one("Bolden");
    let second = ask(&mut herd.client("Bolden"), "IAMAT kiwi +2+2 2");
    eventually("the neighbour's news are known", || {
        let known = ask(&mut served[0], "WHATSAT kiwi 1 1");
        while known.starts_with("AT ") && !line(&mut served[0]).is_empty() {}
        (known == second).then_some(())
    });
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
    assert!(herd.log("Alford").contains(&format!(" out_of_threads={refused} ")), "{}", herd.log("Alford"));
}

#[test]
fn idle_connections_are_held_and_the_next_is_refused_with_a_line() {
    let asked = std::env::var("PROXYHERD_IDLE_CONNECTIONS").map(|count| count.parse::<u32>().unwrap());
    let connections = asked.unwrap_or(IDLE_CONNECTIONS);
    let limit = getrlimit(Resource::Nofile);
    let needed = u64::from(connections) + OTHER_DESCRIPTORS;
    if limit.maximum.is_some_and(|most| most < needed) {
        note(format_args!("skipped: it takes {needed} open files, and the limit is {:?}", limit.maximum));
        return;
    }
    if limit.current.is_some_and(|current| current < needed) {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    }
    let most = connections.to_string();
    let mut herd = RealHerd::start(&["Alford"], &[], &["--connections-max", &most, "--log-level", "info"]);
    // The connection that asked whether it is ready must not be counted.
    eventually("no client is there", || herd.log("Alford").contains(" disconnected").then_some(()));
    let since = now();
    let address = herd.address("Alford");
    let mut idle: Vec<TcpStream> = Vec::new();
    while idle.len() < connections as usize {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        socket.write_all(b"x\n").unwrap();
        idle.push(socket);
    }
    for socket in &mut idle {
        let mut reply = [0; 4];
        socket.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"? x\n");
    }
    note(format_args!("{connections} connections answered {:?} after the first was made", since.elapsed()));
    note(format_args!("resident: {} KiB", herd.resident_bytes("Alford") / 1024));
    assert_eq!(
        told(&mut herd.client("Alford")),
        "? too many connections here; try another server of the herd"
    );
    // All are still there, and one that speaks is answered.
    let mut reply = [0; 3];
    let last = idle.last_mut().unwrap();
    last.write_all(b"\n").unwrap();
    last.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"? \n");
    idle.pop();
    eventually("a place is free", || (told(&mut herd.client("Alford")) == "? hello").then_some(()));
    drop(idle);
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
    let log = herd.log("Alford");
    assert_eq!(log.matches(" WARN refused ").count(), 1, "one kind of refusal, one warning: {log}");
}

#[test]
fn a_server_without_descriptors_stops_like_any_other() {
    let mut herd = RealHerd::new(&["Alford"], &[], &[]);
    herd.start_one("Alford");
    limit_descriptors(&mut herd, "Alford", DESCRIPTORS as u64);
    let mut all: Vec<_> = (0..CONNECTIONS).map(|_| herd.client("Alford")).collect();
    all[..DESCRIPTORS / 2].iter_mut().for_each(|talk| assert_eq!(ask(talk, "hello"), "? hello"));
    eventually("it has run out", || {
        herd.log("Alford").contains("raise the limit of open files").then_some(())
    });
    assert_eq!(herd.terminate("Alford").0.code(), Some(0));
}

#[test]
fn a_connection_that_has_reported_a_new_client_keeps_little_memory() {
    let mut herd = RealHerd::start(&["Alford"], &[], &[]);
    let before = herd.resident_bytes("Alford");
    let mut phones: Vec<_> = (0..REPORTERS).map(|_| herd.client("Alford")).collect();
    for (number, phone) in phones.iter_mut().enumerate() {
        let reply = ask(phone, &format!("IAMAT phone-{number} +34.068930-118.445127 1700000000"));
        assert!(reply.starts_with("AT Alford "), "{reply}");
    }
    let each = herd.resident_bytes("Alford").saturating_sub(before) / REPORTERS;
    note(format_args!("resident: {each} bytes for each connection"));
    // A thread never gives back the stack that it has used once: of one frame of 44 KiB all had a share.
    assert!(each < REPORTER_BYTES_MAX, "{each} bytes");
}

#[test]
fn a_connection_that_has_sent_a_batch_keeps_little_memory() {
    let mut herd = RealHerd::start(&["Alford"], &[], &[]);
    let before = herd.resident_bytes("Alford");
    let mut phones: Vec<_> = (0..REPORTERS).map(|_| herd.client("Alford")).collect();
    // Of the same clients, which are not what is measured here.
    let batch = |round: usize| -> String {
        let line = |number| format!("IAMAT phone-{number} +34.068930-118.445127 {}\n", 1_700_000_000 + round);
        (0..BATCH_LINES).map(line).collect()
    };
    for (round, phone) in phones.iter_mut().enumerate() {
        phone.send(batch(round).as_bytes()).unwrap();
        (0..BATCH_LINES).for_each(|_| assert!(line(phone).starts_with("AT Alford ")));
    }
    let each = eventually("room is given back", || {
        let each = herd.resident_bytes("Alford").saturating_sub(before) / REPORTERS;
        (each < BATCH_BYTES_MAX).then_some(each)
    });
    note(format_args!("resident: {each} bytes for each connection after a batch"));
}

#[test]
fn a_file_of_empty_features_takes_no_more_memory_than_its_own_bytes() {
    const FEATURES: usize = 1_000_000;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let features = "{},".repeat(FEATURES);
    let place = r#"{"geometry":{"type":"Point","coordinates":[1,2]},"properties":{"name":"Cafe"}}"#;
    let text = format!(r#"{{"type":"FeatureCollection","features":[{features}{place}]}}"#);
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    let places = format!("file:{}", file.path().display());
    let mut herd = RealHerd::start(&["Alford"], &[], &["--places", &places]);
    let peak_bytes = herd.peak_resident_bytes("Alford");
    // At 184 bytes a feature it would be 175 MiB and more.
    assert!(peak_bytes < 64 << 20, "{peak_bytes} bytes");
}

#[test]
fn a_limit_on_threads_is_said_at_the_start() {
    if !Command::new("prlimit").arg("--version").output().is_ok_and(|it| it.status.success()) {
        note(format_args!("skipped: it takes prlimit"));
        return;
    }
    let mut herd = RealHerd::new(&["Alford"], &[], &[]);
    herd.spawn_in_shell("Alford", "set -- prlimit --nproc=3000: \"$@\";");
    herd.wait_until_ready("Alford");
    let said = herd.complaints("Alford");
    assert!(
        said.contains(" clients will find a thread, not 10000 (--connections-max): the system grants "),
        "{said}"
    );
    assert!(
        said.contains(" threads (raise the limit: ulimit -u, or pids.max of its control group)"),
        "{said}"
    );
}
