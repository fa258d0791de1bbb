//! The door of MQTT with real programs: mosquitto_pub and mosquitto_sub in all versions, and a server that is killed
//! while places are published.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::free_address::free_address;
use crate::programs::{Running, program};
use crate::real::{RealHerd, ask, eventually};

const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv5"];

/// Two linked servers with ports for MQTT, which have not been started.
fn herd() -> (RealHerd, [SocketAddr; 2]) {
    let herd = RealHerd::new(&["Alford", "Bolden"], &[("Alford", "Bolden")], &[]);
    let mqtt = [free_address(), free_address()];
    let file = herd.path("herd.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    for (server, mqtt) in ["Alford", "Bolden"].into_iter().zip(mqtt) {
        let table = format!("[servers.{server}]\n");
        text = text.replace(&table, &format!("{table}mqtt = \"{mqtt}\"\n"));
    }
    fs::write(&file, text).unwrap();
    (herd, mqtt)
}

fn location(time: u64) -> String {
    format!("{{\"_type\":\"location\",\"lat\":1.5,\"lon\":2,\"tst\":{time},\"tid\":\"ph\"}}")
}

/// mosquitto_sub that shows whether a message is retained, its topic and what it says.
fn subscribed(version: &str, at: SocketAddr, qos: &str) -> (Running, BufReader<ChildStdout>) {
    let mut command = Command::new("mosquitto_sub");
    let (host, port) = (at.ip().to_string(), at.port().to_string());
    command.args([
        "-V",
        version,
        "-h",
        &host,
        "-p",
        &port,
        "-q",
        qos,
        "-t",
        "owntracks/+/+",
        "-F",
        "%r %t %p",
    ]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    (Running(child), lines)
}

fn line(lines: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    assert!(lines.read_line(&mut line).unwrap() > 0, "mosquitto_sub has ended");
    line.trim_end().to_owned()
}

#[test]
fn mosquitto_publishes_at_one_server_and_is_told_at_the_other() {
    let Some(publish) = program("mosquitto_pub", "mosquitto-clients") else { return };
    let (mut herd, mqtt) = herd();
    herd.start_one("Alford");
    herd.start_one("Bolden");
    let (host, port) = (mqtt[0].ip().to_string(), mqtt[0].port().to_string());
    let published = |version: &str, topic: &str, qos: &str, payload: &str| {
        let mut command = Command::new(&publish);
        let words = ["-V", version, "-h", &host, "-p", &port, "-t", topic, "-q", qos, "-r", "-m", payload];
        assert!(command.args(words).status().unwrap().success(), "{version} {topic}");
    };
    for (at, version) in VERSIONS.into_iter().enumerate() {
        for qos in ["0", "1", "2"] {
            let client = format!("{version}/q{qos}");
            published(version, &format!("owntracks/{client}"), qos, &location(1_700_000_000 + at as u64));
            let mut far = herd.client("Bolden");
            eventually("the other server knows it", || {
                ask(&mut far, &format!("WHATSAT {client} 1 1")).starts_with("AT Alford").then_some(())
            });
        }
    }
    for (at, version) in VERSIONS.into_iter().enumerate() {
        let (_running, mut lines) = subscribed(version, mqtt[1], if at == 1 { "0" } else { "2" });
        let mut told: Vec<String> = (0..9 - at).map(|_| line(&mut lines)).collect();
        told.sort();
        assert!(told.iter().all(|line| line.starts_with("1 owntracks/mqttv")), "{told:?}");
        told.dedup_by_key(|line| line.split(' ').nth(1).map(str::to_owned));
        assert_eq!(told.len(), 9 - at);
        published(version, "owntracks/mqttv5/q2", "1", &location(1_700_000_100 + at as u64));
        let change = line(&mut lines);
        assert!(change.starts_with("0 owntracks/mqttv5/q2 {\"_type\":\"location\","), "{change}");
        assert!(change.contains(&(1_700_000_100 + at).to_string()), "{change}");
        // There are no users, so a program of this machine may forget a client, which takes it off phones.
        published(version, &format!("owntracks/{version}/q0"), "1", "");
        assert_eq!(line(&mut lines), format!("1 owntracks/{version}/q0"));
    }
}

/// A client of 3.1.1 that publishes at QoS 1.
struct Phone(TcpStream);

impl Phone {
    fn at(address: SocketAddr, id: u8) -> Option<Phone> {
        let mut socket = TcpStream::connect(address).ok()?;
        socket.set_read_timeout(Some(crate::real::WAIT)).ok()?;
        socket.write_all(b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01").ok()?;
        socket.write_all(&[id]).ok()?;
        let mut answer = [0; 4];
        socket.read_exact(&mut answer).ok()?;
        (answer == [0x20, 2, 0, 0]).then_some(Phone(socket))
    }

    /// Publishes so many places at once, and says how many were acknowledged.
    fn publish(&mut self, from: u64, count: u64) -> u64 {
        let mut bytes = Vec::new();
        for at in from..from + count {
            let topic = format!("owntracks/p/{at}");
            let mut body = vec![0, topic.len() as u8];
            body.extend_from_slice(topic.as_bytes());
            body.extend([0, 1]);
            body.extend(location(1_700_000_000).into_bytes());
            bytes.extend([0x32, body.len() as u8]);
            bytes.extend(body);
        }
        if self.0.write_all(&bytes).is_err() {
            return 0;
        }
        let mut answer = [0; 4];
        (0..count).take_while(|_| self.0.read_exact(&mut answer).is_ok() && answer == [0x40, 2, 0, 1]).count()
            as u64
    }
}

#[test]
fn what_is_acknowledged_survives_a_server_that_is_killed() {
    let (mut herd, mqtt) = herd();
    let (mut next, mut acknowledged) = (0, Vec::new());
    for _ in 0..5 {
        herd.start_one("Alford");
        std::thread::scope(|scope| {
            let publishes = scope.spawn(|| {
                let mut phone = Phone::at(mqtt[0], b'p').unwrap();
                let mut taken = Vec::new();
                loop {
                    let count = phone.publish(next, 20);
                    taken.extend(next..next + count);
                    next += 20;
                    if count < 20 {
                        return taken;
                    }
                }
            });
            let mut near = herd.client("Alford");
            let last = acknowledged.len() + 400;
            eventually("some are known", || {
                ask(&mut near, &format!("WHATSAT p/{last} 1 1")).starts_with("AT ").then_some(())
            });
            herd.kill_one("Alford");
            acknowledged.extend(publishes.join().unwrap());
        });
    }
    herd.start_one("Alford");
    let mut near = herd.client("Alford");
    for at in &acknowledged {
        let reply = ask(&mut near, &format!("WHATSAT p/{at} 1 1"));
        assert!(reply.starts_with("AT "), "p/{at} was acknowledged: {reply}");
        while !crate::real::line(&mut near).is_empty() {}
    }
    assert!(acknowledged.len() >= 400);
}

/// How many places must be acknowledged; more if this variable says so.
const ACKNOWLEDGED: u64 = 2_000;
const ACKNOWLEDGED_VARIABLE: &str = "PROXYHERD_MQTT_ACKNOWLEDGED";

/// How often a server is killed, at least.
const KILLS_MIN: usize = 4;

/// The places that a phone publishes at once.
const AT_ONCE: u64 = 20;

/// Ends the phones when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Publishes until the test is over, at the other server whenever one is gone. What was not
/// acknowledged is published again.
fn publishes(
    number: u8,
    mqtt: [SocketAddr; 2],
    next: &AtomicU64,
    acknowledged: &AtomicU64,
    is_over: &AtomicBool,
) {
    let (mut phone, mut at) = (None, usize::from(number) % 2);
    while !is_over.load(Ordering::SeqCst) {
        let (from, mut done) = (next.fetch_add(AT_ONCE, Ordering::SeqCst), 0);
        while done < AT_ONCE {
            let Some(mut connected) = phone.take().or_else(|| Phone::at(mqtt[at], b'a' + number)) else {
                at = 1 - at;
                std::thread::yield_now();
                continue;
            };
            let count = connected.publish(from + done, AT_ONCE - done);
            done += count;
            acknowledged.fetch_add(count, Ordering::SeqCst);
            match done == AT_ONCE {
                true => phone = Some(connected),
                false => at = 1 - at,
            }
        }
    }
}

#[test]
fn phones_fail_over_to_another_server_and_nothing_acknowledged_is_lost() {
    let most = std::env::var(ACKNOWLEDGED_VARIABLE).ok().and_then(|text| text.parse().ok());
    let most: u64 = most.unwrap_or(ACKNOWLEDGED);
    let (mut herd, mqtt) = herd();
    let names = ["Alford", "Bolden"];
    names.iter().for_each(|name| herd.start_one(name));
    let (next, acknowledged, is_over) = (&AtomicU64::new(0), &AtomicU64::new(0), &AtomicBool::new(false));
    let mut kills = 0;
    std::thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || publishes(number, mqtt, next, acknowledged, is_over));
        }
        // Whatever fails here, the phones come to their end.
        let _over = Over(is_over);
        let count = || acknowledged.load(Ordering::SeqCst);
        let more = || {
            let goal = count() + most / 20;
            eventually("more are acknowledged", || (count() >= goal).then_some(()));
        };
        while kills < KILLS_MIN || count() < most {
            let name = names[kills % 2];
            more();
            herd.kill_one(name);
            kills += 1;
            // The other one takes all of them.
            more();
            herd.start_one(name);
        }
    });
    let mut talks = names.map(|name| herd.client(name));
    // Every batch that was begun was acknowledged in the end.
    for at in 0..next.load(Ordering::SeqCst) {
        let near = &mut talks[at as usize % 2];
        eventually("what was acknowledged is known", || {
            let is_known = ask(near, &format!("WHATSAT p/{at} 1 1")).starts_with("AT ");
            while is_known && !crate::real::line(near).is_empty() {}
            is_known.then_some(())
        });
    }
    crate::real::note(format_args!("{} acknowledged, {kills} kills", acknowledged.load(Ordering::SeqCst)));
}
