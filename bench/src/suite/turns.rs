//! Variants measured in turn, each by a measurement that starts and stops what it needs itself.

use std::io;

use super::bench::{Bench, label};
use super::results::{Figures, Point, Record};
use super::spread::Spread;
use super::variant::Variant;

/// Measures `rounds` times each of `variants` at a point, in turn, unless its results are there already, and
/// keeps them. Ratios are of `per_second`, to the first variant.
pub(super) fn take_turns(
    bench: &mut Bench<'_>,
    point: &Point,
    options: &Point,
    rounds: u32,
    variants: &[Variant],
    mut measure: impl FnMut(&mut Bench<'_>, &Variant) -> Result<Figures, String>,
) -> io::Result<Vec<Record>> {
    let done = bench.done(point, options);
    if variants.iter().all(|variant| done.iter().any(|record| record.variant == variant.name)) {
        bench.say(&format!("{}: done before", label(point)))?;
        return Ok(done);
    }
    let mut shown: Vec<(Vec<Figures>, Option<String>)> = vec![(Vec::new(), None); variants.len()];
    for round in 0..rounds as usize {
        for at in 0..variants.len() {
            let at = (at + round) % variants.len();
            if shown[at].1.is_some() {
                continue;
            }
            match measure(bench, &variants[at]) {
                Ok(figures) => shown[at].0.push(figures),
                Err(why) => shown[at].1 = Some(why),
            }
        }
    }
    let rates = |rounds: &[Figures]| -> Vec<f64> {
        rounds.iter().map(|round| round.get("per_second").copied().unwrap_or(f64::NAN)).collect()
    };
    let base = shown.first().map_or(Vec::new(), |(rounds, _)| rates(rounds));
    let mut records = Vec::new();
    for (variant, (rounds, failed)) in variants.iter().zip(shown) {
        if let Some(why) = &failed {
            bench.fail(&format!("{} at {}", variant.name, label(point)), why)?;
        }
        let ratio = Spread::of_ratios(&rates(&rounds), &base);
        let (point, options) = (point.clone(), options.clone());
        let record = Record {
            point,
            variant: variant.name.clone(),
            options,
            rounds,
            ratio,
            failed,
            ..Record::default()
        };
        bench.keep(record.clone())?;
        records.push(record);
    }
    Ok(records)
}
