//! What the database has of a client: one text that compares byte by byte exactly as the herd orders what is stored of
//! one client, so that "newer wins" needs nothing but a comparison there. Pure. `FORMAT.md` says it for others.
//!
//! `<era> <time> <line>`, and behind a line feed the attributes, if there are any:
//! - The era has ten digits.
//! - The time has eighteen digits of seconds, a point, and the digits of the fraction without zeros at its end. The
//!   space behind it sorts below all digits, so that 1.5 is before 1.51. A tombstone has `-` there, before all times.
//! - The line is the stored one without its attributes, because those decide last, and none are before some.

use crate::proto::model::stored_line::{StoredLine, WITH, parts};
use crate::proto::model::time::push_digits;
use crate::proto::store::update::trimmed;

/// The digits of the seconds.
const SECONDS_DIGITS: usize = 18;

/// What a value has more than its line, at most for usual ones.
const TIME_BYTES: usize = 48;

/// The value of a stored line, which may have its line feed; `None` if it is none.
pub(super) fn value_of(stored: &[u8]) -> Option<Vec<u8>> {
    let line = trimmed(stored);
    Some(value_of_parsed(&StoredLine::parse(line).ok()?, line))
}

/// The value of a stored line without its line feed, which was parsed before.
pub(super) fn value_of_parsed(parsed: &StoredLine<'_>, line: &[u8]) -> Vec<u8> {
    let (life, at, attributes) = parts(line);
    let mut value = Vec::with_capacity(line.len() + TIME_BYTES);
    push_digits(&mut value, u64::from(parsed.era().0), 10);
    match parsed {
        StoredLine::Tombstone(_) => value.extend_from_slice(b" - "),
        StoredLine::Sighting(.., sighting) => {
            let text = sighting.time.text();
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            value.push(b' ');
            value.resize(value.len() + SECONDS_DIGITS.saturating_sub(whole.len()), b'0');
            for part in [whole, ".", fraction.trim_end_matches('0'), " "] {
                value.extend_from_slice(part.as_bytes());
            }
        }
    }
    value.extend_from_slice(life);
    value.extend_from_slice(at);
    if let Some(attributes) = attributes {
        value.push(b'\n');
        value.extend_from_slice(attributes);
    }
    value
}

/// The stored line of a value, with its line feed; `None` if no server of ours has written it.
pub(super) fn stored_of(value: &[u8]) -> Option<Vec<u8>> {
    let mut halves = value.splitn(2, |&byte| byte == b'\n');
    let (head, attributes) = (halves.next()?, halves.next());
    let line = head.splitn(3, |&byte| byte == b' ').nth(2)?;
    let (life, at, _) = parts(line);
    let mut stored = life.to_vec();
    if let Some(attributes) = attributes {
        for part in [WITH.as_bytes(), b" ", attributes, b" "] {
            stored.extend_from_slice(part);
        }
    }
    stored.extend_from_slice(at);
    stored.push(b'\n');
    let mut printed = Vec::new();
    StoredLine::parse(trimmed(&stored)).ok()?.push_to(&mut printed);
    (printed == stored && value_of(&stored)? == value).then_some(stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::store::update::{MergeRule, Source, Update};
    use std::cmp::Ordering;

    fn update(line: &str) -> Update<'_> {
        Update::from_stored(line.as_bytes(), Source::NONE).unwrap()
    }

    /// As the herd orders them.
    fn order(a: &str, b: &str) -> Ordering {
        let stored = update(b);
        let a = Update { rule: MergeRule::GreaterSighting, ..update(a) };
        a.cmp_stored(stored.era, stored.meta.moment, b.as_bytes())
    }

    /// Lines of one client that differ in little, so that each rule of the order decides some of the time.
    fn line(rng: &mut fastrand::Rng) -> String {
        let mut pick = |choices: &[&str]| choices[rng.usize(..choices.len())].to_owned();
        let era = pick(&[
            "",
            "",
            "ERA 7 #0000000000000001 ",
            "ERA 7 #0000000000000002 ",
            "ERA 1700000000 #0000000000000001 ",
        ]);
        if !era.is_empty() && pick(&["", "", "F"]) == "F" {
            let number = pick(&["7", "1700000000", "4294967295"]);
            return format!("FORGET {number} k #000000000000000{}\n", pick(&["1", "2", "f"]));
        }
        let with = pick(&["", "", "WITH a=1 ", "WITH a=10 ", "WITH a ", "WITH ~ "]);
        let origin = pick(&["A", "AB", "A-", "B"]);
        let skew = pick(&["+1", "+1.5", "-1", "+10"]);
        let place = pick(&["+1+1", "+1-1", "+1.0+1", "+10+1"]);
        let whole = pick(&["5", "05", "6", "10", "999999999999999999", "000000000000000005", "1700000000"]);
        let fraction = pick(&[
            "",
            ".0",
            ".5",
            ".50",
            ".51",
            ".05",
            ".000000001",
            ".0000000001",
            ".0000000002",
            ".49999999999999999999",
        ]);
        format!("{era}{with}AT {origin} {skew} k {place} {whole}{fraction}\n")
    }

    #[test]
    fn values_compare_as_the_herd_orders_what_is_stored() {
        let mut rng = fastrand::Rng::with_seed(22);
        let mut counts = [0; 3];
        for _ in 0..200_000 {
            let (a, b) = (line(&mut rng), line(&mut rng));
            let values = [&a, &b].map(|line| value_of(line.as_bytes()).unwrap());
            assert_eq!(values[0].cmp(&values[1]), order(&a, &b), "{a}{b}");
            counts[(order(&a, &b) as i8 + 1) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| count > 100), "{counts:?}");
    }

    #[test]
    fn stored_lines_come_back_as_they_went_and_nothing_else_does() {
        let mut rng = fastrand::Rng::with_seed(23);
        for _ in 0..20_000 {
            let line = line(&mut rng);
            assert_eq!(stored_of(&value_of(line.as_bytes()).unwrap()), Some(line.into_bytes()));
        }
        let good = String::from_utf8(value_of(b"WITH a=1 AT A +1 k +1+1 5\n").unwrap()).unwrap();
        assert_eq!(good, "0000000000 000000000000000005. AT A +1 k +1+1 5\na=1");
        for bad in
            ["", "x", "0000000000 x AT A +1 k +1+1 5", "0000000000 000000000000000005. AT A +1 k +1+1 5\n"]
        {
            assert_eq!(stored_of(bad.as_bytes()), None, "{bad:?}");
        }
        for (from, to) in [
            ("5.", "6."),
            ("00000 ", "00001 "),
            ("a=1", "a 1"),
            ("AT A", "AT  A"),
            ("+1+1", "+x"),
            ("a=1", "a=1\nb"),
        ] {
            assert_eq!(stored_of(good.replacen(from, to, 1).as_bytes()), None, "{from} {to}");
        }
    }
}
