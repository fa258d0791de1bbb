//! What a crowd may cost a server at most, where that has a bound of its own.

use std::collections::BTreeMap;

use super::results::Figures;
use crate::abusive_clients::behaviour::Behaviour;
use crate::abusive_clients::count::Count;

/// What clients with long names may take, and what the server may take besides: connections, and the journal's buffers.
pub(super) const NAMES_MIB: u64 = 64;
const BESIDES_MIB: u64 = 64;

/// The calls that a provider may get: those of a minute by default, because the crowd stays for less.
const PAID_CALLS_MAX: f64 = 60.0;

/// How soon a neighbour must be in.
const NEIGHBOUR_SECONDS_MAX: f64 = 2.0;

/// What the log may grow by: a thousand lines about connections and the warnings of a minute are less, and history is
/// rotated away only by the 512 MiB that the log keeps by default.
const LOG_MIB_MAX: f64 = 1.0;

/// What a connection may keep that has reported once: its thread's stack, and no buffer.
const VANISHED_KIB_MAX: f64 = 32.0;

/// What a subscriber of MQTT may take that reads nothing: its thread, and what is told at once, some 64 places.
const DEAF_KIB_MAX: f64 = 96.0;

/// What half a packet may take: a thread, and the room for what has come.
const HALF_KIB_MAX: f64 = 48.0;

/// What a packet may take whose last byte does not come: a thread, and twice the packet.
const GIANT_KIB_MAX: f64 = 192.0;

/// How soon a fresh phone must be acknowledged beside ten thousand that come back.
const PHONE_SECONDS_MAX: f64 = 1.0;

/// A figure and the most that it may be.
pub(super) struct Bound {
    figure: &'static str,
    most: f64,
    /// What is bounded, with its unit.
    words: &'static str,
}

impl Bound {
    /// Of crowds that behave so.
    pub(super) fn of(behaviour: Behaviour) -> Option<Bound> {
        let (figure, most, words) = match behaviour {
            Behaviour::LongNames => ("grown_mib", (NAMES_MIB + BESIDES_MIB) as f64, "MiB of memory"),
            Behaviour::Vanished => ("kib_per_member", VANISHED_KIB_MAX, "KiB for each"),
            Behaviour::Strangers => ("neighbour_seconds_max", NEIGHBOUR_SECONDS_MAX, "s for a neighbour"),
            Behaviour::Rubbish => ("log_mib", LOG_MIB_MAX, "MiB of log"),
            Behaviour::Paid => ("paid_calls", PAID_CALLS_MAX, "paid calls"),
            Behaviour::MqttDeaf => ("kib_per_member", DEAF_KIB_MAX, "KiB for each"),
            Behaviour::MqttHalf => ("kib_per_member", HALF_KIB_MAX, "KiB for each"),
            Behaviour::MqttGiant => ("kib_per_member", GIANT_KIB_MAX, "KiB for each"),
            Behaviour::MqttStorm => ("fresh_max_seconds", PHONE_SECONDS_MAX, "s for a fresh phone"),
            Behaviour::Drip
            | Behaviour::Endless
            | Behaviour::Deaf
            | Behaviour::Storm
            | Behaviour::Noise
            | Behaviour::Split => return None,
        };
        Some(Bound { figure, most, words })
    }

    /// What is wrong with these figures: the bound is exceeded, or was not measured.
    pub(super) fn exceeded(&self, figures: &Figures) -> Option<String> {
        match figures.get(self.figure) {
            None | Some(0.0) => Some(format!("{} was not measured", self.figure)),
            Some(&figure) if figure > self.most => Some(format!("{} are too many", self.cell(figure))),
            Some(_) => None,
        }
    }

    /// What the table shows, where `median` has the figure.
    pub(super) fn shown(&self, median: impl Fn(&str) -> f64) -> String {
        self.cell(median(self.figure))
    }

    fn cell(&self, figure: f64) -> String {
        let digits = if self.most.fract() == 0.0 && self.most > 10.0 { 0 } else { 3 };
        format!("{figure:.digits$} of {} {}", self.most, self.words)
    }
}

/// What was acknowledged to phones after an outage, and is not known.
pub(super) fn lost(behaviour: Behaviour, count: &Count, counters: &BTreeMap<String, u64>) -> Option<String> {
    // The first answer to each says that it is let in.
    let acknowledged = count.right.saturating_sub(count.connected);
    let known: u64 = ["applied", "outdated"].iter().filter_map(|name| counters.get(*name)).sum();
    (behaviour == Behaviour::MqttStorm && known < acknowledged)
        .then(|| format!("{acknowledged} were acknowledged, and {known} are known"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceeded_and_unmeasured_bounds_are_said() {
        let bound = Bound::of(Behaviour::Rubbish).unwrap();
        let figures = |figure: f64| Figures::from([("log_mib".to_owned(), figure)]);
        assert_eq!(bound.exceeded(&figures(1.0)), None);
        assert_eq!(bound.exceeded(&figures(1.5)).unwrap(), "1.500 of 1 MiB of log are too many");
        for unmeasured in [Figures::new(), figures(0.0)] {
            assert_eq!(bound.exceeded(&unmeasured).unwrap(), "log_mib was not measured");
        }
        let calls = Bound::of(Behaviour::Paid).unwrap();
        assert_eq!(calls.shown(|_| 60.0), "60 of 60 paid calls");
        assert!(Bound::of(Behaviour::Drip).is_none());
    }
}
