//! The text of a herd file: a herd that holds what it promises and prints as a file, or one sentence about what is
//! wrong.

use std::collections::BTreeSet;

use crate::config::{Address, ConfigError, Herd};

/// More characters than a sentence needs that quotes a name or two and lists a dozen.
const ERROR_CHARS_MAX: usize = 2_000;

/// Fewer than a sentence has that says what to change.
const ERROR_WORDS_MIN: usize = 4;

/// `data` is the file.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match crate::config::parse(text) {
        Ok(herd) => good(&herd),
        Err(error) => bad(text, &error),
    }
}

fn good(herd: &Herd) {
    let printed = crate::config::to_toml(herd);
    assert_eq!(&crate::config::parse(&printed).unwrap(), herd, "{printed}");
    assert_eq!(crate::config::to_toml(&crate::config::parse(&printed).unwrap()), printed);

    // An IPv4 address in the clothes of an IPv6 one is the same to the kernel, and a dot ends a name or not.
    let all = || herd.members().iter().flat_map(|member| member.addresses()).map(|(_, address)| address);
    let host = |address: &Address| match address.literal() {
        Some(literal) => literal.ip().to_canonical().to_string(),
        None => address.name().unwrap().to_owned(),
    };
    let addresses: BTreeSet<_> = all().map(|address| (host(address), address.port())).collect();
    assert_eq!(addresses.len(), all().count(), "an address has two uses");
    assert!(all().all(|address| address.port() != 0));

    let mut reached = BTreeSet::from([&herd.members()[0].name]);
    let mut to_visit = vec![&herd.members()[0].name];
    while let Some(name) = to_visit.pop() {
        for neighbour in herd.neighbours(name) {
            assert_ne!(&neighbour.name, name);
            assert!(herd.neighbours(&neighbour.name).iter().any(|back| back.name == *name));
            if reached.insert(&neighbour.name) {
                to_visit.push(&neighbour.name);
            }
        }
    }
    assert_eq!(reached.len(), herd.members().len(), "the herd is in parts");
    let drawing = crate::config::draw(herd);
    let is_drawn = |name: &str| drawing.lines().any(|line| line.split(' ').next() == Some(name));
    assert!(herd.members().iter().all(|member| is_drawn(member.name.as_str())), "{drawing}");
}

fn bad(text: &str, error: &ConfigError) {
    let sentence = error.to_string();
    assert!(!sentence.chars().any(char::is_control), "{sentence:?}");
    assert!(sentence.chars().count() <= ERROR_CHARS_MAX, "{sentence}");
    assert!(sentence.split(' ').count() >= ERROR_WORDS_MIN, "{sentence}");
    if let ConfigError::Toml { line, column, .. } = error {
        let lines: Vec<&str> = text.split('\n').collect();
        let pointed_at = lines.get(line - 1).expect("the line is one of the file");
        assert!((1..=pointed_at.chars().count() + 1).contains(column), "{sentence}");
    }
}
