//! Topics: which client is where, and what a filter takes.
//!
//! The client `user/device` is on `owntracks/user/device`, with its card on `owntracks/user/device/info`. A client
//! whose name has no slash is on `owntracks/:/client`, because no user may be named `:`. What was encoded in a client's
//! name because it ends a field of a line stands in the topic as the phone has written it; what no topic may have stays
//! encoded.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::proto::http::form;

/// The most levels of a topic or a filter: OwnTracks uses four.
pub const LEVELS_MAX: usize = 16;

/// The most bytes of a topic or a filter: a client with the longest name that is taken without an option fits. One that
/// is longer when its bytes are escaped is told of in no message.
pub const TOPIC_BYTES_MAX: usize = 16 * 1024;

/// The first level of all topics of OwnTracks.
const FIRST: &str = "owntracks";

/// In the place of a user, where a client's name has no slash.
const NO_USER: &str = ":";

/// What no level of a topic may have.
const NOT_IN_LEVELS: &AsciiSet = &CONTROLS.add(b'+').add(b'#').add(b'/');

/// A topic of OwnTracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic<'a> {
    user: &'a str,
    device: &'a str,
    /// The first level below the one of the client's places, if it is not that.
    below: Option<&'a str>,
}

impl<'a> Topic<'a> {
    /// Reads a topic; `None` if it is none of OwnTracks.
    pub fn parse(topic: &'a str) -> Option<Topic<'a>> {
        let mut levels = topic.split('/');
        let (first, user, device) = (levels.next()?, levels.next()?, levels.next()?);
        let below = levels.next();
        let is_named = !user.trim().is_empty() && !device.trim().is_empty();
        (first == FIRST && is_named).then_some(Topic { user, device, below })
    }

    /// Whether it is the one of the client's places, and none of those below.
    pub fn is_location(&self) -> bool {
        self.below.is_none()
    }

    /// The first level below the one of the client's places.
    pub fn below(&self) -> Option<&'a str> {
        self.below
    }

    /// The name of its client.
    pub fn client(&self) -> String {
        let device = form::name_part(self.device.trim());
        match self.user {
            NO_USER => device,
            user => form::name_part(user.trim()) + "/" + &device,
        }
    }
}

/// The topic of a client's places.
pub fn of_client(client: &str) -> String {
    let named = client.split_once('/').filter(|(user, device)| !user.is_empty() && !device.is_empty());
    let (user, device) = named.unwrap_or((NO_USER, client));
    // A user of that name would be taken for none.
    let user = if named.is_some() && user == NO_USER { Cow::Borrowed("%3A") } else { level(user) };
    format!("{FIRST}/{user}/{}", level(device))
}

/// A part of a client's name as a level of a topic.
fn level(part: &str) -> Cow<'_, str> {
    let decoded = form::decode(part.as_bytes());
    let is_level = !decoded.contains(|c: char| c.is_control() || matches!(c, '/' | '+' | '#'));
    // Only if it leads back to the same client.
    if is_level && form::name_part(decoded.trim()) == part {
        return decoded;
    }
    utf8_percent_encode(part, NOT_IN_LEVELS).into()
}

/// Whether a text is a topic: not empty, without wildcards, and not too long.
pub fn is_topic(text: &str) -> bool {
    is_bounded(text) && !has_wildcards(text)
}

/// Whether a text has what only filters may have.
pub fn has_wildcards(text: &str) -> bool {
    text.contains(['+', '#'])
}

/// Whether a text is a filter: wildcards stand alone in their levels, and `#` in the last one.
pub fn is_filter(text: &str) -> bool {
    let levels = text.split('/').count();
    let is_level = |(at, level): (usize, &str)| match level {
        "+" => true,
        "#" => at + 1 == levels,
        level => !level.contains(['+', '#']),
    };
    is_bounded(text) && text.split('/').enumerate().all(is_level)
}

fn is_bounded(text: &str) -> bool {
    !text.is_empty() && text.len() <= TOPIC_BYTES_MAX && text.split('/').count() <= LEVELS_MAX
}

/// Whether a filter asks for a subscription that several clients share.
pub fn is_shared(filter: &str) -> bool {
    filter.starts_with("$share/")
}

/// Whether a filter takes a topic, with another level below it if one is named.
pub fn matches(filter: &str, topic: &str, below: Option<&str>) -> bool {
    let mut levels = topic.split('/').chain(below);
    for part in filter.split('/') {
        match (part, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (part, Some(level)) if part == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Whether a filter may take the topic of places, or that of the card, of any client at all.
pub fn may_match(filter: &str, below: Option<&str>) -> bool {
    let mut known = [Some(FIRST), None, None].into_iter().chain(below.map(Some));
    for part in filter.split('/') {
        match (part, known.next()) {
            ("#", _) => return true,
            (_, None) => return false,
            ("+", _) | (_, Some(None)) => {}
            (part, Some(Some(level))) if part == level => {}
            _ => return false,
        }
    }
    known.next().is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn topics_and_clients_lead_to_each_other() {
        for (client, topic) in [
            ("jane/phone", "owntracks/jane/phone"),
            ("jane%20x/my%20phone", "owntracks/jane x/my phone"),
            ("kiwi.cs.ucla.edu", "owntracks/:/kiwi.cs.ucla.edu"),
            ("jane/a%2Fb", "owntracks/jane/a%252Fb"),
            ("jane/50%25", "owntracks/jane/50%"),
        ] {
            let parsed = Topic::parse(topic).unwrap();
            assert!(parsed.is_location());
            if client != "jane/a%2Fb" {
                assert_eq!((of_client(client).as_str(), parsed.client().as_str()), (topic, client));
            }
        }
        for (client, topic) in [
            ("jane/a%2Fb", "owntracks/jane/a%2Fb"),
            ("a/b/c", "owntracks/a/b%2Fc"),
            ("/a", "owntracks/:/%2Fa"),
            (":/a", "owntracks/%3A/a"),
            ("a+b/c#", "owntracks/a%2Bb/c%23"),
        ] {
            assert_eq!(of_client(client), topic);
        }
        let below = Topic::parse("owntracks/jane/phone/event").unwrap();
        assert_eq!((below.client().as_str(), below.below()), ("jane/phone", Some("event")));
        for other in
            ["owntracks", "owntracks/jane", "owntracks//x", "owntracks/a/", "/owntracks/a/b", "x/a/b"]
        {
            assert_eq!(Topic::parse(other), None, "{other}");
        }
    }

    #[test]
    fn filters_are_as_the_protocol_says() {
        for filter in ["#", "+", "a/#", "+/+", "/", "a//b", "owntracks/+/+/info", "$SYS/#"] {
            assert!(is_filter(filter), "{filter}");
        }
        for filter in
            ["", "a#", "#/a", "a/b+", "+a", &"/".repeat(LEVELS_MAX), &"a".repeat(TOPIC_BYTES_MAX + 1)]
        {
            assert!(!is_filter(filter), "{filter}");
        }
        let topic = "owntracks/jane/phone";
        for (filter, takes, takes_card) in [
            ("#", true, true),
            ("owntracks/#", true, true),
            ("owntracks/+/+", true, false),
            ("owntracks/jane/#", true, true),
            ("owntracks/jane/phone/#", true, true),
            ("owntracks/jane/phone", true, false),
            ("owntracks/+/+/info", false, true),
            ("+/+/+/+", false, true),
            ("owntracks/joe/+", false, false),
            ("owntracks/+", false, false),
            ("owntracks/jane/phone/", false, false),
        ] {
            let found = (matches(filter, topic, None), matches(filter, topic, Some("info")));
            assert_eq!(found, (takes, takes_card), "{filter}");
        }
        assert!(may_match("owntracks/joe/+", None) && !may_match("owntracks/+/+/event", None));
        assert!(!may_match("x/+/+", None) && may_match("+/+/+/info", Some("info")) && may_match("#", None));
        assert!(!may_match("owntracks/joe/+", Some("info")) && !may_match("owntracks/+", None));
    }

    proptest! {
        #[test]
        fn every_client_has_a_topic_of_its_own(
            one in "[:a%2F5#+/\u{e9}]{1,9}", other in "[:a%2F5#+/\u{e9}]{1,9}"
        ) {
            let topics = [of_client(&one), of_client(&other)];
            prop_assert!(topics.iter().all(|topic| is_topic(topic) && topic.split('/').count() == 3));
            prop_assert!(matches("owntracks/+/+", &topics[0], None));
            prop_assert!(one == other || topics[0] != topics[1], "{:?}", topics);
        }
    }
}
