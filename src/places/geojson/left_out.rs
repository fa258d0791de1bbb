//! Features that make no place: how many, why, and which one was the first.

use std::fmt;

use crate::places::error::PlacesError;

/// The examples that an error gives, where nothing of a file is of use.
const EXAMPLES: usize = 3;

/// The most characters of a name that are shown.
const NAME_CHARS_MAX: usize = 60;

/// Why a feature makes no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its text is no JSON, whatever is replaced in it.
    Broken,
    /// It is something else than a feature.
    NoFeature,
    /// Its text is longer than what one feature may have.
    TooLong,
    /// It has no geometry, or an empty one.
    NoPosition,
    /// Its geometry is none, or not on the globe.
    BadGeometry,
    /// Its coordinates are not WGS 84.
    OtherCrs,
    /// It has no name, nor a tag that says what it is.
    Nameless,
}

impl Cause {
    const ALL: [Cause; 7] = [
        Cause::Broken,
        Cause::NoFeature,
        Cause::TooLong,
        Cause::NoPosition,
        Cause::BadGeometry,
        Cause::OtherCrs,
        Cause::Nameless,
    ];

    /// What is said of the features that are left out because of it.
    fn of_many(self) -> &'static str {
        match self {
            Cause::Broken => "cannot be read",
            Cause::NoFeature => "are no features",
            Cause::TooLong => "are too long",
            Cause::NoPosition => "have no position",
            Cause::BadGeometry => "have a geometry that is wrong",
            Cause::OtherCrs => "are not in WGS 84",
            Cause::Nameless => "have neither a name nor a tag that says what they are",
        }
    }
}

/// What one feature is left out for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) cause: Cause,
    /// What is wrong with this one.
    pub(super) why: String,
}

impl Reason {
    pub(super) fn new(cause: Cause, why: impl Into<String>) -> Reason {
        Reason { cause, why: why.into() }
    }
}

/// All features of a file that are left out.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    counts: [u64; Cause::ALL.len()],
    /// The first one of each cause.
    firsts: [Option<String>; Cause::ALL.len()],
    examples: Vec<String>,
}

impl LeftOut {
    /// Counts the feature of this number, which may have a name.
    pub(super) fn add(&mut self, number: u64, name: Option<&str>, reason: Reason) {
        let at = reason.cause as usize;
        self.counts[at] += 1;
        if self.counts[at] > 1 && self.examples.len() >= EXAMPLES {
            return;
        }
        let cut = |name: &str| PlacesError::words(name).chars().take(NAME_CHARS_MAX).collect::<String>();
        let name = name.map_or(String::new(), |name| format!(" ({})", cut(name)));
        let example = format!("feature {number}{name}: {}", PlacesError::words(&reason.why));
        if self.examples.len() < EXAMPLES {
            self.examples.push(example.clone());
        }
        self.firsts[at].get_or_insert(example);
    }

    /// A sentence for each cause.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let causes = Cause::ALL.iter().zip(&self.counts).zip(&self.firsts);
        causes.filter_map(|((cause, count), first)| {
            let first = first.as_deref()?;
            Some(format!("left out {count} that {}, the first is {first}", cause.of_many()))
        })
    }
}

/// The first features and what is wrong with them.
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.examples.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_cause_and_the_first_three_are_named() {
        let mut left_out = LeftOut::default();
        for number in 1..=5 {
            left_out.add(number, Some("A\nb"), Reason::new(Cause::NoPosition, "nowhere"));
        }
        left_out.add(6, None, Reason::new(Cause::Nameless, "x".repeat(5_000)));
        let warnings: Vec<String> = left_out.warnings().collect();
        assert_eq!(warnings[0], "left out 5 that have no position, the first is feature 1 (A b): nowhere");
        assert!(warnings[1].contains("feature 6: xxx") && warnings[1].len() < 500, "{}", warnings[1]);
        assert_eq!(warnings.len(), 2);
        let three: Vec<String> = (1..=3).map(|number| format!("feature {number} (A b): nowhere")).collect();
        assert_eq!(left_out.to_string(), three.join("; "));
    }
}
