//! Times as they are printed in a herd file.

use std::time::Duration;

use humantime::format_duration;

/// Units in which a time may be printed as one number, the greatest first, with the number from which one is used: a
/// day is better known as 24 hours.
const UNITS: [(u64, u64, &str); 3] = [(24 * 60 * 60, 2, "d"), (60 * 60, 1, "h"), (60, 1, "m")];

/// The shortest form, such as `30d` or `24h`, that is read back as the same time.
pub(super) fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    let fits = |&(unit, least, _): &(u64, u64, &str)| seconds.is_multiple_of(unit) && seconds >= least * unit;
    match UNITS.into_iter().find(fits) {
        Some((unit, _, name)) if time.subsec_nanos() == 0 => format!("{}{name}", seconds / unit),
        _ => format_duration(time).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortest_form_is_read_back() {
        for (seconds, expected) in [
            (30 * 86_400, "30d"),
            (2 * 86_400, "2d"),
            (86_400, "24h"),
            (26 * 3_600, "26h"),
            (90 * 60, "90m"),
            (61, "1m 1s"),
            (1, "1s"),
            (0, "0s"),
        ] {
            let time = Duration::from_secs(seconds);
            assert_eq!(shown(time), expected);
            assert_eq!(humantime::parse_duration(expected).unwrap(), time);
        }
        assert_eq!(shown(Duration::from_millis(3_600_001)), "1h 1ms");
    }
}
