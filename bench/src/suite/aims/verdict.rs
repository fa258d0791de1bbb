//! Aims, and whether figures meet them.

use std::fmt;

use super::super::spread::Spread;

/// As much as two figures that ought to be the same may differ: they were divided, not measured.
const SAME: f64 = 1e-9;

/// What a figure ought to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Aim {
    /// Its median, this or more.
    AtLeast(f64),
    /// Its median, this or less.
    AtMost(f64),
    /// Each of its rounds, this.
    Exactly(f64),
    /// Nothing: it is only to be known.
    Stated,
}

/// What was seen of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    /// The figures of all rounds.
    Figure(Spread),
    /// None, and why.
    Nothing(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Met,
    NotMet,
    NotMeasured,
    /// There was nothing to meet.
    Stated,
}

impl Aim {
    /// Whether what was seen is what it ought to be.
    pub(super) fn judge(self, seen: &Seen) -> Verdict {
        let Seen::Figure(Spread { median, min, max }) = *seen else { return Verdict::NotMeasured };
        let is_met = match self {
            Aim::AtLeast(least) => median >= least,
            Aim::AtMost(most) => median <= most,
            Aim::Exactly(exact) => (min - exact).abs() <= SAME && (max - exact).abs() <= SAME,
            Aim::Stated => return Verdict::Stated,
        };
        if is_met { Verdict::Met } else { Verdict::NotMet }
    }
}

impl Verdict {
    /// The verdict on several points together: met only if each is. What was missed is known to be missed, whatever
    /// else has not been measured.
    pub(super) fn on_all(verdicts: &[Verdict]) -> Verdict {
        for worst in [Verdict::NotMet, Verdict::NotMeasured, Verdict::Met] {
            if verdicts.contains(&worst) {
                return worst;
            }
        }
        Verdict::Stated
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Aim::AtLeast(least) => write!(f, "at least {}", Shown(least)),
            Aim::AtMost(most) => write!(f, "at most {}", Shown(most)),
            Aim::Exactly(exact) => write!(f, "exactly {}", Shown(exact)),
            Aim::Stated => write!(f, "-"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Met => "met",
            Verdict::NotMet => "not met",
            Verdict::NotMeasured => "not measured",
            Verdict::Stated => "stated",
        })
    }
}

/// A number with as many digits as say something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown(pub(super) f64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0;
        match number.abs() {
            _ if number.fract().abs() < SAME => write!(f, "{number:.0}"),
            size if size >= 1_000.0 => write!(f, "{number:.0}"),
            size if size >= 10.0 => write!(f, "{number:.1}"),
            size if size >= 0.1 => write!(f, "{number:.2}"),
            _ => write!(f, "{number:.3}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(median: f64, min: f64, max: f64) -> Seen {
        Seen::Figure(Spread { median, min, max })
    }

    #[test]
    fn the_median_decides_and_meets_an_aim_that_it_reaches() {
        let figure = seen(0.95, 0.5, 1.5);
        assert_eq!(Aim::AtLeast(0.95).judge(&figure), Verdict::Met);
        assert_eq!(Aim::AtLeast(0.951).judge(&figure), Verdict::NotMet);
        assert_eq!(Aim::AtMost(0.95).judge(&figure), Verdict::Met);
        assert_eq!(Aim::AtMost(0.949).judge(&figure), Verdict::NotMet);
        assert_eq!(Aim::Stated.judge(&figure), Verdict::Stated);
    }

    #[test]
    fn what_must_be_exact_must_be_so_in_every_round() {
        assert_eq!(Aim::Exactly(6.0).judge(&seen(6.0, 6.0, 6.0)), Verdict::Met);
        assert_eq!(Aim::Exactly(6.0).judge(&seen(6.0, 6.0, 6.005)), Verdict::NotMet);
        assert_eq!(Aim::Exactly(0.0).judge(&seen(0.0, 0.0, 1.0)), Verdict::NotMet);
    }

    #[test]
    fn what_was_not_seen_meets_nothing() {
        let nothing = Seen::Nothing("it is not installed".to_owned());
        for aim in [Aim::AtLeast(0.0), Aim::AtMost(f64::MAX), Aim::Exactly(0.0), Aim::Stated] {
            assert_eq!(aim.judge(&nothing), Verdict::NotMeasured);
        }
    }

    #[test]
    fn one_that_is_missed_spoils_all_and_one_that_is_only_stated_none() {
        use Verdict::{Met, NotMeasured, NotMet, Stated};
        assert_eq!(Verdict::on_all(&[Met, Stated, Met]), Met);
        assert_eq!(Verdict::on_all(&[Met, NotMeasured]), NotMeasured);
        assert_eq!(Verdict::on_all(&[NotMeasured, NotMet, Met]), NotMet);
        assert_eq!(Verdict::on_all(&[Stated]), Stated);
        assert_eq!(Verdict::on_all(&[]), Stated);
    }

    #[test]
    fn numbers_have_as_many_digits_as_say_something() {
        let shown =
            [0.95, 16_000.0, 33.27, 123_456.7, 0.0312, 0.0, 8.0].map(|number| Shown(number).to_string());
        assert_eq!(shown, ["0.95", "16000", "33.3", "123457", "0.031", "0", "8"]);
    }
}
