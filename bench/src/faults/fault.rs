//! Every fault: what it does to the herd, how long it lasts, and what is aimed at.

use std::time::Duration;

use super::options::{Asked, Options};
use crate::suite::address::SEED;

/// The number of the server with the most links.
const HUB: usize = 3;

/// The number of the server with only one link, which is to the hub.
const LEAF: usize = 2;

/// One side of the partition; on the other are the hub, the leaf and one more.
const ONE_SIDE: &[usize] = &[0, 4];

/// How soon after healing all servers are to agree.
const AIM: Duration = Duration::from_secs(2);

/// How soon they are to agree while a fifth of the packets is lost.
const AIM_AT_20_PERCENT: Duration = Duration::from_secs(5);

/// One fault.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// What it is called on the command line and in results.
    pub(super) name: &'static str,
    /// What it does, for people.
    pub(super) text: &'static str,
    pub(super) what: What,
    /// How long it lasts under load.
    pub(super) lasts: Duration,
    /// How soon all servers are to agree, if that is aimed at.
    pub(super) aim: Option<Duration>,
    /// How many rounds it gets for one of the others: more where the distribution is asked for.
    pub(super) rounds_factor: u32,
    quick: bool,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Nothing: what the measuring itself shows.
    Nothing,
    /// `kill -9`; started again when the fault ends.
    Kill(usize),
    /// All links of a server are cut, and when the fault ends it is killed, the links are healed, and it is started
    /// again.
    CutAndKill(usize),
    /// SIGSTOP; SIGCONT when the fault ends.
    Freeze(usize),
    /// Packets between servers of different sides are dropped.
    Partition(&'static [usize]),
    /// Packets from the first server to the second are dropped.
    OneWay(usize, usize),
    /// Packets between two servers are dropped.
    HalfOpen(usize, usize),
    /// This number of a hundred packets between servers is dropped, until the servers agree.
    Loss(u32),
    /// Packets between servers are held back, until the servers agree.
    Delay(Duration),
    /// Each link is cut for an equal part of the time, one after another.
    Rolling,
    /// All links are cut one by one, and healed one by one in another order.
    Swizzle,
}

impl What {
    /// Whether the fault goes on after the load, while the servers come to agree.
    pub(super) fn stays(self) -> bool {
        matches!(self, What::Loss(_))
    }
}

const fn fault(name: &'static str, text: &'static str, what: What, seconds: u64) -> Fault {
    let lasts = Duration::from_secs(seconds);
    Fault { name, text, what, lasts, aim: Some(AIM), rounds_factor: 1, quick: false }
}

const fn quick(fault: Fault) -> Fault {
    Fault { quick: true, ..fault }
}

const DELAY: Duration = Duration::from_millis(200);

/// All faults, in the order in which they are tried.
pub(super) const FAULTS: &[Fault] = &[
    quick(fault("nothing", "no fault", What::Nothing, 3)),
    quick(fault("kill-leaf", "kill -9 of a leaf, away for 3 s", What::Kill(LEAF), 3)),
    quick(fault("kill-hub", "kill -9 of the hub, away for 3 s", What::Kill(HUB), 3)),
    fault("cut-kill-leaf", "a leaf cut off for 3 s, then kill -9", What::CutAndKill(LEAF), 3),
    fault("freeze-hub", "SIGSTOP of the hub for 10 s", What::Freeze(HUB), 10),
    quick(fault("partition-5", "two groups cut from each other for 5 s", What::Partition(ONE_SIDE), 5)),
    fault("partition-30", "two groups cut from each other for 30 s", What::Partition(ONE_SIDE), 30),
    quick(fault("half-open", "a leaf's only link silent both ways for 10 s", What::HalfOpen(HUB, LEAF), 10)),
    fault("half-open-in", "the same, only packets to the leaf dropped", What::OneWay(HUB, LEAF), 10),
    fault("half-open-out", "the same, only packets from the leaf dropped", What::OneWay(LEAF, HUB), 10),
    fault("loss-5", "5 % of all packets lost, throughout", What::Loss(5), 10),
    Fault {
        aim: Some(AIM_AT_20_PERCENT),
        ..quick(fault("loss-20", "20 % of all packets lost, throughout", What::Loss(20), 10))
    },
    Fault {
        aim: None,
        rounds_factor: 3,
        ..fault("loss-50", "50 % of all packets lost, throughout", What::Loss(50), 10)
    },
    quick(fault("delay-200", "every packet 200 ms late, for 5 s", What::Delay(DELAY), 5)),
    fault("rolling", "each link cut for 2 s, one after another", What::Rolling, 10),
    fault("swizzle", "links cut one by one, healed in another order", What::Swizzle, 10),
];

/// The faults that a command line asks for.
///
/// # Errors
/// If it names one that does not exist.
pub(super) fn asked(options: &Options) -> Result<Vec<&'static Fault>, String> {
    if let Some(name) = options.only.iter().find(|name| !FAULTS.iter().any(|fault| fault.name == **name)) {
        let names: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
        return Err(format!("there is no fault {name}, only {}", names.join(", ")));
    }
    let wanted = |fault: &&Fault| match options.only.is_empty() {
        true => fault.quick || options.asked == Asked::Full,
        false => options.only.iter().any(|name| name == fault.name),
    };
    Ok(FAULTS.iter().filter(wanted).collect())
}

/// The pairs of servers between which a fault drops every packet, from the first to the second.
pub(super) fn dropped(what: What) -> Vec<(usize, usize)> {
    match what {
        What::OneWay(from, to) => vec![(from, to)],
        What::HalfOpen(a, b) => both_ways(&[(a, b)]),
        What::CutAndKill(at) => dropped_around(&[at]),
        What::Partition(side) => dropped_around(side),
        What::Nothing
        | What::Kill(_)
        | What::Freeze(_)
        | What::Loss(_)
        | What::Delay(_)
        | What::Rolling
        | What::Swizzle => Vec::new(),
    }
}

/// All pairs of a server on one side and one on the other.
fn dropped_around(side: &[usize]) -> Vec<(usize, usize)> {
    let others = || (0..SEED.servers).filter(|at| !side.contains(at));
    let pairs: Vec<_> = side.iter().flat_map(|&here| others().map(move |there| (here, there))).collect();
    both_ways(&pairs)
}

/// What a fault of several steps cuts, step by step: all steps take the same time. Empty for the others.
pub(super) fn steps(what: What, chance: &mut fastrand::Rng) -> Vec<Vec<(usize, usize)>> {
    let mut links = SEED.links.to_vec();
    chance.shuffle(&mut links);
    match what {
        What::Rolling => links.iter().map(|&link| both_ways(&[link])).collect(),
        What::Swizzle => {
            let cut: Vec<_> = (1..=links.len()).map(|count| both_ways(&links[..count])).collect();
            chance.shuffle(&mut links);
            let healed = (1..links.len()).map(|count| both_ways(&links[count..]));
            cut.into_iter().chain(healed).collect()
        }
        What::Nothing
        | What::Kill(_)
        | What::CutAndKill(_)
        | What::Freeze(_)
        | What::Partition(_)
        | What::OneWay(..)
        | What::HalfOpen(..)
        | What::Loss(_)
        | What::Delay(_) => Vec::new(),
    }
}

fn both_ways(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    pairs.iter().flat_map(|&(a, b)| [(a, b), (b, a)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hub_and_leaf_are_what_they_are_called() {
        let links_of = |at: usize| SEED.links.iter().filter(|&&(a, b)| a == at || b == at).count();
        assert_eq!((links_of(HUB), links_of(LEAF)), (3, 1));
        assert!(SEED.links.contains(&(LEAF, HUB)));
    }

    #[test]
    fn a_partition_leaves_no_way_across() {
        let pairs = dropped(What::Partition(ONE_SIDE));
        assert_eq!(pairs.len(), 2 * 2 * 3);
        for (from, to) in both_ways(SEED.links) {
            let crosses = ONE_SIDE.contains(&from) != ONE_SIDE.contains(&to);
            assert_eq!(pairs.contains(&(from, to)), crosses, "{from} to {to}");
        }
        assert_eq!(dropped(What::OneWay(1, 2)), [(1, 2)]);
    }

    #[test]
    fn a_swizzle_cuts_all_links_and_heals_all_but_the_last() {
        let steps = steps(What::Swizzle, &mut fastrand::Rng::with_seed(7));
        let counts: Vec<usize> = steps.iter().map(|step| step.len() / 2).collect();
        assert_eq!(counts, [1, 2, 3, 4, 5, 4, 3, 2, 1]);
        let rolling = super::steps(What::Rolling, &mut fastrand::Rng::with_seed(7));
        let mut cut: Vec<_> = rolling.concat();
        cut.sort_unstable();
        let mut all = both_ways(SEED.links);
        all.sort_unstable();
        assert_eq!(cut, all);
    }
}
