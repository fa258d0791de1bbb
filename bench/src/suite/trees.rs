//! `trees`: five processes with trees over their links, against the same with all links eager, on tokio, and of an
//! earlier commit. What an update costs at a steady pace, how soon the far end knows it, and how long updates take when
//! a server dies that passes them on.

use std::collections::BTreeSet;
use std::io;
use std::thread::{Builder, scope};
use std::time::Duration;

use super::address::{CHAIN, MESH, SEED, STAR, Shape};
use super::bench::{Bench, how};
use super::far_end::beside;
use super::paired_run::take_turns;
use super::per_update::{STATUS_EVERY, paced, paced_load, told};
use super::propagation::{propagate_while, wait_until_linked};
use super::results::{Figures, point};
use super::server::{Servers, Start};
use super::variant::{BEFORE, Variant};
use crate::load::{self, Options, clock};
use crate::table::Column;

/// Updates a second.
const RATES: [f64; 3] = [200.0, 2_000.0, 10_000.0];

/// Reports a second while trees form, and while a server dies.
const BACKGROUND: f64 = 200.0;

/// How long they are left to form, at least and at most: a server makes a link lazy once in a few heartbeats.
const WARM_UP_SECONDS: u32 = 6;
const WARM_UP_SECONDS_MAX: u32 = 40;

/// How long updates are watched while a server dies, and when it does.
const CUT: Duration = Duration::from_secs(3);
const CUT_AFTER: Duration = Duration::from_secs(1);

const COLUMNS: [Column<'_>; 8] = [
    ("links that carry lines", "eager_links", 1.0, 0),
    ("s until so", "formed_seconds", 1.0, 0),
    ("messages at 2,000/s", "paced2000_messages_per_update", 1.0, 2),
    ("us of CPU", "paced2000_cpu_us_per_update", 1.0, 1),
    ("switches", "paced2000_switches_per_update", 1.0, 1),
    ("far end, us", "paced2000_far_p50_us", 1.0, 0),
    ("longest in a cut, ms", "cut_max_ms", 1.0, 1),
    ("usual, ms", "cut_p50_ms", 1.0, 2),
];

/// A link in one direction, by the numbers of its servers.
type Directions = BTreeSet<(usize, usize)>;

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let Some(threads) = bench.variant("threads") else {
        return bench.skip("trees", "the threaded server is not there");
    };
    let mut variants = vec![threads.clone(), threads.with_eager_links().named("eager")];
    variants.extend(bench.variant("tokio").into_iter().chain(bench.variant(BEFORE)));
    for shape in bench.either(vec![MESH], vec![SEED, CHAIN, STAR, MESH]) {
        let (rounds, window) = (bench.rounds(1, 3), bench.window());
        let at = point(&[("graph", &shape.name)]);
        let records =
            take_turns(bench, &at, &how(rounds, window), rounds, &variants, |bench, variant, _| {
                measure(bench, variant, shape).map_err(|error| error.to_string())
            })?;
        bench.show(&records, &COLUMNS)?;
    }
    Ok(())
}

/// Whether it says in its log which links are eager, and what it has sent.
fn tells(variant: &Variant) -> bool {
    ["threads", "eager"].contains(&variant.name.as_str())
}

fn measure(bench: &Bench<'_>, variant: &Variant, shape: Shape) -> io::Result<Figures> {
    let tells = tells(variant);
    let mut extra = Vec::new();
    if tells {
        extra.extend(["--log-level", "info"].iter().chain(&STATUS_EVERY).map(|&word| word.to_owned()));
    }
    let start = Start { shape, extra: &extra, cpu: None };
    let mut servers = bench.start(variant, start).map_err(io::Error::other)?;
    wait_until_linked(&servers, "first")?;
    // Any tree will do where figures are few.
    let least_seconds = bench.either(1, WARM_UP_SECONDS);
    let mut figures = warm_up(&servers, variant, shape, least_seconds)?;
    let mut before = if tells { told(&servers)? } else { (0, 0) };
    for rate in bench.either(vec![RATES[1]], RATES.to_vec()) {
        figures.extend(paced(&servers, variant, bench.window(), rate)?);
        let load = paced_load(&servers, variant, bench.window(), "paced", rate);
        let load = Options { name: format!("paced{rate}_far"), ..load };
        beside(&servers, shape.farthest(), &load, &mut figures)?;
        if !tells {
            continue;
        }
        let after = told(&servers)?;
        let messages = (after.0 - before.0) as f64 / (after.1 - before.1).max(1) as f64;
        figures.insert(format!("paced{rate}_messages_per_update"), messages);
        before = after;
    }
    // Without a circle a server that dies takes the others apart.
    if shape == MESH && tells {
        cut(&mut servers, variant, &mut figures)?;
    }
    servers.stop().map_err(io::Error::other)?;
    Ok(figures)
}

/// Reports until the links that carry lines are as many as they should be: those of a tree, or all.
fn warm_up(servers: &Servers, variant: &Variant, shape: Shape, least_seconds: u32) -> io::Result<Figures> {
    let wanted = if variant.name == "eager" { shape.links.len() } else { shape.servers - 1 };
    let mut formed = None;
    for second in 1..=WARM_UP_SECONDS_MAX {
        let name = format!("warm-up-{second}-");
        load::run(&paced_load(servers, variant, Duration::from_secs(1), &name, BACKGROUND))
            .map_err(io::Error::other)?;
        match eager(servers).len() == 2 * wanted {
            true => formed = formed.or(Some(second)),
            false => formed = None,
        }
        // Trees of other variants form as soon.
        if second >= least_seconds && (formed.is_some() || !tells(variant)) {
            break;
        }
    }
    if !tells(variant) {
        return Ok(Figures::new());
    }
    let mut figures = Figures::from([("eager_links".to_owned(), eager(servers).len() as f64 / 2.0)]);
    figures.extend(formed.map(|seconds| ("formed_seconds".to_owned(), seconds.into())));
    Ok(figures)
}

/// The links that carry lines, as each server's log says of its own.
fn eager(servers: &Servers) -> Directions {
    let members = servers.herd.members();
    let mut eager = Directions::new();
    for (to, member) in members.iter().enumerate() {
        let lines = servers.logged(&format!("status: link to {}: ", member.name));
        eager.extend(
            (0..).zip(&lines).filter(|(_, line)| line.contains(", eager,")).map(|(from, _)| (from, to)),
        );
    }
    eager
}

/// How long updates take from one server to another while one between them dies, and the herd has other reports.
fn cut(servers: &mut Servers, variant: &Variant, figures: &mut Figures) -> io::Result<()> {
    let members = servers.herd.members();
    let (from, to, between) = cut_apart(&eager(servers), members.len()).unwrap_or((0, 2, 1));
    let (from_at, to_at) = (members[from].client.resolve()?, members[to].client.resolve()?);
    let load = paced_load(servers, variant, CUT, "cut", BACKGROUND);
    let load = Options { target: from_at.to_string(), pid: Vec::new(), ..load };
    let (mut longest_ms, mut usual_ms) = (0.0_f64, 0.0);
    scope(|scope| {
        let reporting = Builder::new().spawn_scoped(scope, || load::run(&load))?;
        let killing = Builder::new().spawn_scoped(scope, || {
            std::thread::sleep(CUT_AFTER);
            servers.kill(between)
        })?;
        let end_ns = clock::monotonic_ns() + clock::ns(CUT);
        let times = propagate_while(from_at, to_at, "cut-beside", |_| clock::monotonic_ns() < end_ns)?;
        longest_ms = times.max() as f64 / 1e6;
        usual_ms = times.value_at_quantile(0.5) as f64 / 1e6;
        killing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        reporting
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            .map_err(io::Error::other)?;
        Ok::<(), io::Error>(())
    })?;
    figures.insert("cut_max_ms".to_owned(), longest_ms);
    figures.insert("cut_p50_ms".to_owned(), usual_ms);
    Ok(())
}

/// Two servers, and a third without which no eager links lead from the one to the other; `None` if no server is needed
/// so.
fn cut_apart(eager: &Directions, servers: usize) -> Option<(usize, usize, usize)> {
    let all = || 0..servers;
    let triples =
        all().flat_map(|from| all().flat_map(move |to| all().map(move |between| (from, to, between))));
    triples
        .filter(|(from, to, between)| from != to && from != between && to != between)
        .find(|&(from, to, between)| !reached(eager, from, between).contains(&to))
}

/// The servers that lines from one reach over eager links, if another passes none on.
fn reached(eager: &Directions, from: usize, without: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::from([from]);
    loop {
        let next =
            eager.iter().filter(|(from, to)| reached.contains(from) && *to != without).map(|&(_, to)| to);
        let all: BTreeSet<usize> = next.chain([from]).collect();
        if all.is_subset(&reached) {
            return reached;
        }
        reached.extend(all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both_ways(shape: Shape) -> Directions {
        shape.links.iter().flat_map(|&(a, b)| [(a, b), (b, a)]).collect()
    }

    #[test]
    fn server_between_two_others_is_found_where_one_is_needed() {
        assert_eq!(cut_apart(&both_ways(MESH), 5), None);
        let (from, to, between) = cut_apart(&both_ways(STAR), 5).unwrap();
        assert!(between == 0 && from != to, "{from} {to}");
        assert_eq!(cut_apart(&both_ways(CHAIN), 5), Some((0, 2, 1)));
        assert_eq!(reached(&both_ways(SEED), 0, 3), BTreeSet::from([0, 1, 4]));
    }
}
