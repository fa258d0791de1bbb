//! A client as a server tells of it, in words for people.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::logging::Escaped;

/// The most characters of a name that are shown in a table; all of it is in JSON.
const NAME_CHARS_MAX: usize = 48;

/// What is shown of a client, with the digits that were reported.
#[derive(Deserialize)]
pub(super) struct Seen<'a> {
    pub(super) client: String,
    #[serde(borrow)]
    pub(super) latitude: &'a RawValue,
    #[serde(borrow)]
    pub(super) longitude: &'a RawValue,
    pub(super) time: String,
    pub(super) time_utc: String,
    pub(super) server: String,
    #[serde(borrow)]
    accuracy_m: Option<&'a RawValue>,
    #[serde(borrow)]
    battery_percent: Option<&'a RawValue>,
    pub(super) distance_m: Option<f64>,
}

impl Seen<'_> {
    /// Where it is, in degrees.
    pub(super) fn place(&self) -> Option<(f64, f64)> {
        Some((self.latitude.get().parse().ok()?, self.longitude.get().parse().ok()?))
    }

    /// How long ago it was there, by its own clock.
    pub(super) fn age(&self, now: Duration) -> String {
        let whole = self.time.split('.').next().unwrap_or_default();
        match whole.parse::<u64>() {
            Ok(seconds) if seconds <= now.as_secs() => short(now.as_secs() - seconds),
            Ok(seconds) => format!("in {}", short(seconds - now.as_secs())),
            Err(_) => "?".to_owned(),
        }
    }

    pub(super) fn accuracy(&self) -> String {
        self.accuracy_m.map_or_else(String::new, |metres| format!("{} m", metres.get()))
    }

    pub(super) fn battery(&self) -> String {
        self.battery_percent.map_or_else(String::new, |percent| format!("{} %", percent.get()))
    }
}

/// A name that commands nothing, and is not too long.
pub(super) fn name(text: &str) -> String {
    let escaped = Escaped(text.as_bytes()).to_string();
    match escaped.char_indices().nth(NAME_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &escaped[..end]),
        None => escaped,
    }
}

/// A time in its two largest units.
fn short(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (1.., ..) => format!("{days}d {}h", hours % 24),
        (0, 1.., _) => format!("{hours}h {}m", minutes % 60),
        (0, 0, 1..) => format!("{minutes}m {}s", seconds % 60),
        (0, 0, 0) => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short_and_names_command_nothing() {
        for (seconds, text) in [(0, "0s"), (61, "1m 1s"), (7_260, "2h 1m"), (90_000, "1d 1h")] {
            assert_eq!(short(seconds), text);
        }
        assert_eq!(name("a\u{1b}[2J\u{202e}"), "a\\x1b[2J\\xe2\\x80\\xae");
        assert_eq!(name(&"k".repeat(50)), format!("{}...", "k".repeat(48)));
        let text = "{\"client\":\"k\",\"latitude\":34.0600,\"longitude\":-1,\"time\":\"100.5\",\
                    \"time_utc\":\"x\",\"server\":\"A\",\"skew\":\"+1\"}";
        let seen: Seen<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(seen.latitude.get(), "34.0600");
        assert_eq!(
            (seen.age(Duration::from_secs(101)), seen.age(Duration::from_secs(99))),
            ("1s".into(), "in 1s".into())
        );
    }
}
