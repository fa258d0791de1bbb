//! Servers that are killed at any moment, one by one and all at once, while clients report: nothing acknowledged is
//! lost. `PROXYHERD_KILLS` says how many processes to kill.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use crate::real::{Connection, FIVE, RealHerd, note};
use crate::transcripts::run::Talk;

/// Processes killed by each test unless `PROXYHERD_KILLS` says otherwise.
const KILLS: u32 = 60;

/// Clients that each server has for itself.
const CLIENTS: usize = 20;

/// The most reports that are sent at once, and the most acknowledged ones between a start and the next kill.
const BATCH_MAX: usize = 24;
const REPORTS_UNTIL_KILL_MAX: u64 = 400;

/// The most reports that are acknowledged while a kill is prepared, made good and checked: enough that each comes into
/// the midst of them, few enough that a server that starts is not starved by them.
const REPORTS_MEANWHILE_MAX: u64 = 400;

/// How long reports may take to be acknowledged.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// By client: the time of the last report that was acknowledged.
type Acknowledged = Mutex<BTreeMap<String, u64>>;

struct Reports {
    /// One for the clients of each server.
    acknowledged: [Acknowledged; FIVE.len()],
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Default)]
struct Progress {
    count: u64,
    /// Nothing more is reported when this number has been acknowledged.
    most: u64,
    is_over: bool,
}

impl Reports {
    fn change(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap());
        self.changed.notify_all();
    }

    /// Waits until `more` more have been acknowledged, and some of those that may come after them are on the way.
    fn wait_for(&self, more: u64) {
        let mut progress = self.progress.lock().unwrap();
        let until = progress.count + more;
        progress.most = until + REPORTS_MEANWHILE_MAX;
        self.changed.notify_all();
        let wait = self.changed.wait_timeout_while(progress, WAIT_MAX, |progress| progress.count < until);
        assert!(!wait.unwrap().1.timed_out(), "{more} reports are not acknowledged");
    }

    /// Waits until something may be reported; whether anything may ever be.
    fn may_go_on(&self) -> bool {
        let progress = self.progress.lock().unwrap();
        let is_full = |progress: &mut Progress| progress.count >= progress.most && !progress.is_over;
        !self.changed.wait_while(progress, is_full).unwrap().is_over
    }
}

#[test]
fn what_the_operating_system_was_given_survives_any_kill() {
    kill_again_and_again("os", 1);
}

#[test]
fn what_is_on_disk_survives_any_kill() {
    kill_again_and_again("sync", 2);
}

fn kill_again_and_again(durability: &str, seed: u64) {
    let kills: u32 = std::env::var("PROXYHERD_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut herd = RealHerd::five(&["--durability", durability, "--log-level", "warn"]);
    let reports =
        Reports { acknowledged: Default::default(), progress: Mutex::default(), changed: Condvar::new() };
    let addresses: Vec<SocketAddr> = FIVE.iter().map(|name| herd.address(name)).collect();
    let killed = thread::scope(|scope| {
        for (at, &address) in addresses.iter().enumerate() {
            let (reports, rng) = (&reports, rng.fork());
            scope.spawn(move || report(at, address, reports, rng));
        }
        let _end = OnDrop(|| reports.change(|progress| progress.is_over = true));
        let mut killed = 0;
        while killed < kills {
            reports.wait_for(rng.u64(1..=REPORTS_UNTIL_KILL_MAX));
            let victims: Vec<usize> =
                if rng.bool() { (0..FIVE.len()).collect() } else { vec![rng.usize(..FIVE.len())] };
            let before: Vec<_> =
                victims.iter().map(|&at| reports.acknowledged[at].lock().unwrap().clone()).collect();
            herd.kill_all(&victims.iter().map(|&at| FIVE[at]).collect::<Vec<_>>());
            victims.iter().for_each(|&at| herd.spawn(FIVE[at]));
            for (&at, before) in victims.iter().zip(&before) {
                herd.wait_until_ready(FIVE[at]);
                check(&herd, FIVE[at], before);
            }
            killed += victims.len() as u32;
        }
        killed
    });
    let count = reports.progress.into_inner().unwrap().count;
    note(format_args!("{durability}: {killed} kills among {count} acknowledged reports, none lost"));
    let all: BTreeMap<String, u64> =
        reports.acknowledged.into_iter().flat_map(|some| some.into_inner().unwrap()).collect();
    let clients: Vec<String> = all.keys().cloned().collect();
    herd.wait_until_agreed(&FIVE, &clients, None);
    FIVE.iter().for_each(|name| check(&herd, name, &all));
}

/// Reports to one server until it is over, again and again after each of its ends.
fn report(at: usize, address: SocketAddr, reports: &Reports, mut rng: fastrand::Rng) {
    let mut time = 1_000_000_000;
    while reports.may_go_on() {
        let Ok(mut talk) = Connection::to(address) else {
            thread::yield_now();
            continue;
        };
        while reports.may_go_on() {
            let mut sent = Vec::new();
            let mut lines = String::new();
            for _ in 0..rng.usize(1..=BATCH_MAX) {
                time += 1;
                let client = format!("{}-{}", FIVE[at], rng.usize(..CLIENTS));
                lines.push_str(&format!("IAMAT {client} +34.068930-118.445127 {time}\n"));
                sent.push((client, time));
            }
            if talk.send(lines.as_bytes()).is_err() || !take_replies(&mut talk, at, sent, reports) {
                break;
            }
        }
    }
}

/// Notes what is acknowledged; whether all is.
fn take_replies(talk: &mut Connection, at: usize, sent: Vec<(String, u64)>, reports: &Reports) -> bool {
    for (client, time) in sent {
        let Ok(Some(reply)) = talk.line() else { return false };
        let reply = String::from_utf8(reply).unwrap();
        // The end of a server may cut its last line.
        if !reply.ends_with(&format!(" {client} +34.068930-118.445127 {time}")) {
            return false;
        }
        assert!(reply.starts_with("AT "), "{reply}");
        reports.acknowledged[at].lock().unwrap().insert(client, time);
        reports.change(|progress| progress.count += 1);
    }
    true
}

/// A server knows at least what was acknowledged.
fn check(herd: &RealHerd, name: &str, acknowledged: &BTreeMap<String, u64>) {
    let clients: Vec<String> = acknowledged.keys().cloned().collect();
    for (answer, (client, time)) in herd.answers(name, &clients).iter().zip(acknowledged) {
        let known = answer.rsplit(' ').next().and_then(|time| time.parse::<u64>().ok());
        assert!(
            answer.starts_with("AT ") && known >= Some(*time),
            "{name} has lost that {client} was seen at {time}: {answer}"
        );
    }
}

/// Runs a closure when it goes out of scope, on a panic too.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
