//! The schedule of a run: a random list of reports, cuts and crashes.

use super::clients::{Clients, Report, name_of};
use super::from_ms;
use super::{Crash, World};

/// How long a report is on its way through the herd, about.
const SOON_MS: u64 = 30;

/// A server that is killed while it recovers everything from its neighbours has begun to do so by then.
const AGAIN_MS: u64 = 500;

/// The longest stall: neighbours dial a stalled server every few seconds, and each of these connections waits for it.
const STALL_MS_MAX: u64 = 600_000;

/// One thing that happens to a herd from outside.
#[derive(Clone, Debug)]
pub enum Act {
    /// A client reports.
    Report(Report),
    /// A link is cut.
    Cut(usize),
    /// A link is healed.
    Heal(usize),
    /// A blackhole on a link: packets are lost, and neither end learns of it.
    Darken(usize),
    /// A blackholed link is restored.
    Lighten(usize),
    /// A server crashes.
    Crash(usize, Crash),
    /// A server will be killed in a commit.
    Doom(usize),
    /// A server starts again.
    Restart(usize),
    /// A server stops running.
    Stall(usize),
    /// A server runs again.
    Resume(usize),
    /// A server forgets the client of this number.
    Forget(usize, usize),
}

/// How much happens.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// How long it goes on, in milliseconds.
    pub span_ms: u64,
    /// The clients.
    pub clients: usize,
    /// How often one of them speaks.
    pub reports: usize,
    /// The links that are cut, and the times that a server crashes; each of them is repaired after a while.
    pub faults: usize,
    /// Whether a random part of the links is cut one by one, and healed in another order.
    pub swizzle: bool,
    /// Whether clients only ever report later than before, each to one server at a time.
    pub is_steady: bool,
}

/// Acts in order of time.
#[derive(Clone, Debug)]
pub struct Plan {
    acts: Vec<(u64, Act)>,
    span_ns: u64,
}

impl Plan {
    /// Acts at random times within the span from `from_ns` on.
    pub fn random(world: &World, from_ns: u64, measure: Measure, rng: &mut fastrand::Rng) -> Plan {
        let graph = world.graph();
        let (servers, links) = (graph.names().len(), graph.links().len());
        let until_ns = from_ns + from_ms(measure.span_ms);
        let mut clients = Clients::new(measure.clients, servers, measure.is_steady, rng);
        let mut times: Vec<u64> = (0..measure.reports).map(|_| rng.u64(from_ns..until_ns)).collect();
        times.sort_unstable();
        let mut acts = Vec::new();
        let mut spoken = Vec::new();
        for at_ns in times {
            let reports = clients.speak(at_ns, rng);
            spoken.extend(reports.first().map(|report| (at_ns, report.server)));
            acts.extend(reports.into_iter().map(|report| (at_ns, Act::Report(report))));
        }
        for _ in 0..measure.faults {
            // Most trouble comes soon after a report, when there is something to lose, and often where it was made.
            let (mut at_ns, mut server) = (rng.u64(from_ns..until_ns), rng.usize(..servers));
            if rng.u8(..4) > 0 && !spoken.is_empty() {
                let (spoken_ns, heard_by) = spoken[rng.usize(..spoken.len())];
                at_ns = spoken_ns + (rng.f64() * rng.f64() * from_ms(SOON_MS) as f64) as u64;
                server = if rng.bool() { heard_by } else { server };
            }
            // Short and long troubles are equally likely.
            let repaired_ns = at_ns + (rng.f64() * rng.f64() * until_ns.saturating_sub(at_ns) as f64) as u64;
            acts.extend(trouble(server, links, at_ns, repaired_ns, rng));
        }
        if measure.swizzle {
            acts.extend(swizzled(links, from_ns, until_ns, rng));
        }
        acts.sort_by_key(|&(at_ns, _)| at_ns);
        Plan { acts, span_ns: until_ns }
    }

    /// The same, and clients are forgotten meanwhile so often.
    #[must_use]
    pub fn with_forgets(
        mut self,
        world: &World,
        measure: Measure,
        forgets: usize,
        rng: &mut fastrand::Rng,
    ) -> Plan {
        let (servers, from_ns) = (world.graph().names().len(), world.now_ns());
        let forget = |_| {
            let at_ns = rng.u64(from_ns..self.span_ns);
            (at_ns, Act::Forget(rng.usize(..servers), rng.usize(..measure.clients)))
        };
        self.acts.extend((0..forgets).map(forget));
        self.acts.sort_by_key(|&(at_ns, _)| at_ns);
        self
    }

    /// Does it all to the world.
    pub fn play(&self, world: &mut World) {
        for (at_ns, act) in &self.acts {
            world.run_until(*at_ns);
            match act {
                Act::Report(report) => drop(world.report(report.server, &report.lines)),
                Act::Cut(link) => world.cut(*link),
                Act::Heal(link) => world.heal(*link),
                Act::Darken(link) => world.darken(*link),
                Act::Lighten(link) => world.lighten(*link),
                Act::Crash(server, crash) => world.crash(*server, *crash),
                Act::Doom(server) => world.doom(*server),
                Act::Restart(server) => world.restart(*server),
                Act::Stall(server) => world.stall(*server),
                Act::Resume(server) => world.resume(*server),
                Act::Forget(server, client) => world.forget(*server, &name_of(*client)),
            }
        }
        world.run_until(self.span_ns);
    }
}

/// One random trouble, and its repair. Who has to learn everything anew may be killed when that has begun.
fn trouble(
    server: usize,
    links: usize,
    at_ns: u64,
    repaired_ns: u64,
    rng: &mut fastrand::Rng,
) -> Vec<(u64, Act)> {
    let (trouble, repair) = match rng.u8(..18) {
        0..=4 if links > 0 => {
            let link = rng.usize(..links);
            (Act::Cut(link), Act::Heal(link))
        }
        5..=7 if links > 0 => {
            let link = rng.usize(..links);
            (Act::Darken(link), Act::Lighten(link))
        }
        8 => {
            let resumed_ns = repaired_ns.min(at_ns + from_ms(STALL_MS_MAX));
            return vec![(at_ns, Act::Stall(server)), (resumed_ns, Act::Resume(server))];
        }
        9..=11 => (Act::Crash(server, Crash::Killed), Act::Restart(server)),
        12..=13 => (Act::Crash(server, Crash::PowerLost), Act::Restart(server)),
        14..=15 => (Act::Doom(server), Act::Restart(server)),
        _ => {
            let mut acts =
                vec![(at_ns, Act::Crash(server, Crash::DiskLost)), (repaired_ns, Act::Restart(server))];
            if rng.bool() {
                let again_ns = repaired_ns + from_ms(AGAIN_MS);
                acts.extend([(repaired_ns, Act::Doom(server)), (again_ns, Act::Restart(server))]);
            }
            return acts;
        }
    };
    vec![(at_ns, trouble), (repaired_ns, repair)]
}

fn swizzled(links: usize, from_ns: u64, until_ns: u64, rng: &mut fastrand::Rng) -> Vec<(u64, Act)> {
    let middle_ns = from_ns.midpoint(until_ns);
    let chosen: Vec<usize> = (0..links).filter(|_| rng.bool()).collect();
    let mut acts = Vec::new();
    for link in chosen {
        acts.push((rng.u64(from_ns..=middle_ns), Act::Cut(link)));
        acts.push((rng.u64(middle_ns..=until_ns), Act::Heal(link)));
    }
    acts
}
