//! The ways to misbehave, each with its pace.

use std::time::Duration;

use clap::ValueEnum;

/// How all members of a crowd behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Habit {
    /// A byte a second of a line that has no end.
    Drip,
    /// A line that has no end, as fast as it is taken; again and again.
    Endless,
    /// Questions whose answers are never read.
    Deaf,
    /// All connect at the same moment, report, and stay until all leave at the same moment.
    Storm,
    /// Random bytes.
    Noise,
    /// Reports that are right, a byte at a time.
    Split,
}

impl Habit {
    /// What people call it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Habit::Drip => "a byte a second",
            Habit::Endless => "endless lines",
            Habit::Deaf => "never read",
            Habit::Storm => "connect storms",
            Habit::Noise => "random bytes",
            Habit::Split => "split at every byte",
        }
    }

    /// How often each member has its turn: to connect if it is not connected, else to say more.
    pub(super) fn turn(self) -> Duration {
        match self {
            Habit::Drip | Habit::Deaf => Duration::from_secs(1),
            // On one turn they come, on the next they go.
            Habit::Storm => Duration::from_secs(2),
            Habit::Endless | Habit::Noise => Duration::from_millis(100),
            Habit::Split => Duration::from_millis(25),
        }
    }

    /// Whether all have it at the same moment, and not one after the other.
    pub(super) fn is_at_once(self) -> bool {
        self == Habit::Storm
    }

    /// Whether its members do nothing wrong, so that each must be answered.
    pub(crate) fn is_honest(self) -> bool {
        matches!(self, Habit::Storm | Habit::Split)
    }
}
