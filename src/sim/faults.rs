//! The schedule of a run: a random list of reports and faults.

use super::clients::{Clients, Report, name_of};
use super::disk::Crash;
use super::timeline::{EPOCH_NS, from_ms};
use super::world::World;
use crate::proto::http::phones::Point;
use crate::proto::http::phones::point::Said;

/// How long a report is on its way through the herd, about.
const SOON_MS: u64 = 30;

/// A server that is killed while it recovers everything from its neighbours has begun to do so by then.
const AGAIN_MS: u64 = 500;

/// The longest stall: neighbours dial a stalled server every few seconds, and each of these connections waits for it.
const STALL_MS_MAX: u64 = 600_000;

/// One thing that happens to a herd from outside.
#[derive(Clone, Debug)]
pub enum Operation {
    /// A client reports.
    Report(Report),
    /// A link is cut.
    Cut(usize),
    /// A link is healed.
    Heal(usize),
    /// A blackhole on a link: packets are lost, and neither end learns of it.
    Blackhole(usize),
    /// A blackholed link is restored.
    Restore(usize),
    /// A server crashes.
    Crash(usize, Crash),
    /// A server will be killed in a commit.
    CrashInCommit(usize),
    /// A server starts again.
    Restart(usize),
    /// A server stops running.
    Stall(usize),
    /// A server runs again.
    Resume(usize),
    /// A server forgets the client of this number.
    Forget(usize, usize),
    /// A phone reports to a server, with attributes.
    Point(usize, Point),
}

/// How much happens.
#[derive(Clone, Copy, Debug)]
pub struct FaultMix {
    /// How long it goes on, in milliseconds.
    pub span_ms: u64,
    /// The clients.
    pub clients: usize,
    /// How often one of them speaks.
    pub reports: usize,
    /// The links that are cut, and the times that a server crashes; each of them is repaired after a while.
    pub faults: usize,
    /// How often a server forgets a client.
    pub forgets: usize,
    /// How often one of them reports with attributes, as phones do.
    pub points: usize,
    /// Whether a random part of the links is cut one by one, and healed in another order.
    pub swizzle: bool,
    /// Whether clients only ever report later than before, each to one server at a time.
    pub is_steady: bool,
}

/// Operations in order of time.
#[derive(Clone, Debug)]
pub struct Schedule {
    operations: Vec<(u64, Operation)>,
    until_ns: u64,
}

impl Schedule {
    /// Operations at random times from now on.
    pub fn random(world: &World, mix: FaultMix, rng: &mut fastrand::Rng) -> Schedule {
        let (servers, links) = (world.graph().names().len(), world.graph().links().len());
        let from_ns = world.now_ns();
        let until_ns = from_ns + from_ms(mix.span_ms);
        let mut clients = Clients::new(mix.clients, servers, mix.is_steady, rng);
        let mut times: Vec<u64> = (0..mix.reports).map(|_| rng.u64(from_ns..until_ns)).collect();
        times.sort_unstable();
        let mut operations = Vec::new();
        let mut spoken = Vec::new();
        for at_ns in times {
            let reports = clients.speak(at_ns, rng);
            spoken.extend(reports.first().map(|report| (at_ns, report.server)));
            operations.extend(reports.into_iter().map(|report| (at_ns, Operation::Report(report))));
        }
        for _ in 0..mix.faults {
            // Most faults come soon after a report, when there is something to lose, and often where it was made.
            let (mut at_ns, mut server) = (rng.u64(from_ns..until_ns), rng.usize(..servers));
            if rng.u8(..4) > 0 && !spoken.is_empty() {
                let (spoken_ns, heard_by) = spoken[rng.usize(..spoken.len())];
                at_ns = spoken_ns + (rng.f64() * rng.f64() * from_ms(SOON_MS) as f64) as u64;
                server = if rng.bool() { heard_by } else { server };
            }
            // Short and long faults are equally likely.
            let repaired_ns = at_ns + (rng.f64() * rng.f64() * until_ns.saturating_sub(at_ns) as f64) as u64;
            operations.extend(fault(server, links, at_ns, repaired_ns, rng));
        }
        if mix.swizzle {
            operations.extend(swizzled(links, from_ns, until_ns, rng));
        }
        for _ in 0..mix.forgets {
            let (at_ns, server) = (rng.u64(from_ns..until_ns), rng.usize(..servers));
            operations.push((at_ns, Operation::Forget(server, rng.usize(..mix.clients))));
        }
        for _ in 0..mix.points {
            let (at_ns, server) = (rng.u64(from_ns..until_ns), rng.usize(..servers));
            operations.push((at_ns, Operation::Point(server, point(rng.usize(..mix.clients), at_ns, rng))));
        }
        operations.sort_by_key(|&(at_ns, _)| at_ns);
        Schedule { operations, until_ns }
    }

    /// Does it all to the world.
    pub fn play(&self, world: &mut World) {
        for (at_ns, operation) in &self.operations {
            world.run_until(*at_ns);
            match operation {
                Operation::Report(report) => drop(world.report(report.server, &report.lines)),
                Operation::Cut(link) => world.cut(*link),
                Operation::Heal(link) => world.heal(*link),
                Operation::Blackhole(link) => world.blackhole(*link),
                Operation::Restore(link) => world.restore(*link),
                Operation::Crash(server, crash) => world.crash(*server, *crash),
                Operation::CrashInCommit(server) => world.crash_in_commit(*server),
                Operation::Restart(server) => world.restart(*server),
                Operation::Stall(server) => world.stall(*server),
                Operation::Resume(server) => world.resume(*server),
                Operation::Forget(server, client) => world.forget(*server, &name_of(*client)),
                Operation::Point(server, point) => world.report_point(*server, point),
            }
        }
        world.run_until(self.until_ns);
    }
}

/// A point of a phone. Few times and few attributes, so that many differ in one of them alone.
fn point(client: usize, at_ns: u64, rng: &mut fastrand::Rng) -> Point {
    let time_s = (EPOCH_NS + at_ns) / 1_000_000_000 - rng.u64(..3);
    let (accuracy_m, tracker_id) =
        [(None, None), (Some("5"), None), (Some("6"), None), (Some("5"), Some("JP"))][rng.usize(..4)];
    let said = Said { accuracy_m, tracker_id, ..Said::default() };
    let latitude = rng.u8(..2).to_string();
    let place = Some((latitude.as_str(), "-118.445127"));
    Point::new(name_of(client), place, &time_s.to_string(), &said)
        .expect("it is on the globe, and after 1970")
}

/// One random fault, and its repair. A server that has lost its disk may be killed when it has begun to learn
/// everything again.
fn fault(
    server: usize,
    links: usize,
    at_ns: u64,
    mut repaired_ns: u64,
    rng: &mut fastrand::Rng,
) -> Vec<(u64, Operation)> {
    let (fault, repair) = match rng.u8(..18) {
        kind @ 0..=7 if links > 0 => match rng.usize(..links) {
            link if kind < 5 => (Operation::Cut(link), Operation::Heal(link)),
            link => (Operation::Blackhole(link), Operation::Restore(link)),
        },
        8 => {
            repaired_ns = repaired_ns.min(at_ns + from_ms(STALL_MS_MAX));
            (Operation::Stall(server), Operation::Resume(server))
        }
        9..=11 => (Operation::Crash(server, Crash::Killed), Operation::Restart(server)),
        12..=13 => (Operation::Crash(server, Crash::PowerLost), Operation::Restart(server)),
        14..=15 => (Operation::CrashInCommit(server), Operation::Restart(server)),
        _ => (Operation::Crash(server, Crash::DiskLost), Operation::Restart(server)),
    };
    let is_again = matches!(fault, Operation::Crash(_, Crash::DiskLost)) && rng.bool();
    let mut operations = vec![(at_ns, fault), (repaired_ns, repair)];
    if is_again {
        let again_ns = repaired_ns + from_ms(AGAIN_MS);
        operations.push((repaired_ns, Operation::CrashInCommit(server)));
        operations.push((again_ns, Operation::Restart(server)));
    }
    operations
}

fn swizzled(links: usize, from_ns: u64, until_ns: u64, rng: &mut fastrand::Rng) -> Vec<(u64, Operation)> {
    let middle_ns = from_ns.midpoint(until_ns);
    let chosen: Vec<usize> = (0..links).filter(|_| rng.bool()).collect();
    let mut operations = Vec::new();
    for link in chosen {
        operations.push((rng.u64(from_ns..=middle_ns), Operation::Cut(link)));
        operations.push((rng.u64(middle_ns..=until_ns), Operation::Heal(link)));
    }
    operations
}
