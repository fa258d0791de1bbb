//! The properties of a feature, as far as anything is made of them: short texts and numbers, and lists of short
//! texts. Everything else is read over, so that no feature takes more memory than its bounds, however large it is.
//!
//! Exporters nest what others have side by side, and write their keys in any case. Here every key is in lower case,
//! and a member of a member has both keys: `names.primary`. The tags of OpenStreetMap have their own keys, wherever
//! they were.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::hstore;

/// The most tags of a feature that are kept, the first ones: no feature of OpenStreetMap has as many by far.
const TAGS_MAX: usize = 256;

/// The most bytes of a key or a text; of a longer text nothing is kept. OpenStreetMap allows 255 characters of both.
const TEXT_BYTES_MAX: usize = 1_024;

/// The most texts of a list that are kept, the first ones: Google gives a place ten types.
const LIST_MAX: usize = 32;

/// How deep members are looked for in members: Overture has the name of a brand in the third.
const DEPTH_MAX: usize = 3;

/// Members that hold tags of OpenStreetMap: osmtogeojson and PostGIS call them the first, ogr2ogr the second.
const HOLD_TAGS: [&str; 3] = ["tags", "other_tags", "all_tags"];

/// Keys in the spelling that shapefiles (ten characters, no colon) leave of them, and the keys they come from.
const CUT_KEYS: [(&str, &str); 3] =
    [("addr:stree", "addr:street"), ("addr:house", "addr:housenumber"), ("official_n", "official_name")];

/// The tags of a feature.
#[derive(Debug, Default)]
pub(super) struct Tags(pub(super) Map<String, Value>);

/// A value, if it is kept.
#[derive(Debug)]
pub(super) struct Kept(pub(super) Option<Value>);

impl Kept {
    pub(super) fn text(self) -> Option<String> {
        match self.0? {
            Value::String(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl Tags {
    /// Keeps `value`. A tag of the feature itself takes the place of one that had the same key; one that was found
    /// within another does not.
    fn keep(&mut self, within: Within<'_>, value: Value) {
        if within.depth == 0
            || self.0.len() >= TAGS_MAX
            || value.as_str().is_some_and(|text| text.trim().is_empty())
        {
            return;
        }
        if within.depth <= 1 {
            self.0.insert(within.key.to_owned(), value);
        } else {
            self.0.entry(within.key).or_insert(value);
        }
    }

    /// Keeps the members of a text that is itself written as an object, or as a column of type hstore is.
    fn keep_members(&mut self, within: Within<'_>, text: &str) -> bool {
        let text = text.trim();
        if text.starts_with('{') {
            let mut reader = serde_json::Deserializer::from_str(text);
            return MemberSeed { tags: self, within }.deserialize(&mut reader).is_ok();
        }
        if !within.holds_tags() {
            return false;
        }
        let Some(pairs) = hstore::pairs(text) else { return false };
        for (key, value) in pairs {
            if key.len() <= TEXT_BYTES_MAX && value.len() <= TEXT_BYTES_MAX {
                let within = Within { key: &within.of(&key), depth: within.depth + 1 };
                self.keep(within, value.into());
            }
        }
        true
    }
}

/// Keeps what an object has.
impl<'de> DeserializeSeed<'de> for &mut Tags {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        MemberSeed { tags: self, within: Within { key: "", depth: 0 } }.deserialize(deserializer)
    }
}

/// Where a value is.
#[derive(Clone, Copy)]
struct Within<'a> {
    key: &'a str,
    /// In how many objects it is.
    depth: usize,
}

impl Within<'_> {
    fn holds_tags(self) -> bool {
        self.depth <= 2 && HOLD_TAGS.contains(&self.key)
    }

    /// The whole key of a member.
    fn of<'b>(self, member: &'b str) -> Cow<'b, str> {
        let member = plain_key(member);
        match self.depth {
            0 => member,
            _ if self.holds_tags() => member,
            _ => format!("{}.{member}", self.key).into(),
        }
    }
}

/// A key in lower case, and as OpenStreetMap has it, if it is one of its addresses'.
fn plain_key(key: &str) -> Cow<'_, str> {
    let key = key.trim();
    // Most are so already.
    let mut key = match key.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        true => Cow::Borrowed(key),
        false => Cow::Owned(key.to_lowercase()),
    };
    if key.starts_with("addr_") {
        key.to_mut().replace_range(4..5, ":");
    }
    match CUT_KEYS.iter().find(|(cut, _)| *cut == key) {
        Some((_, whole)) => Cow::Borrowed(whole),
        None => key,
    }
}

/// Reads a value at a key, and keeps it, or the members that it has.
struct MemberSeed<'a> {
    tags: &'a mut Tags,
    within: Within<'a>,
}

impl<'de> DeserializeSeed<'de> for MemberSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MemberSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.tags.keep(self.within, number.into());
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.tags.keep(self.within, number.into());
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.tags.keep(self.within, number.into());
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        let MemberSeed { tags, within } = self;
        let may_hold_members = within.holds_tags() || text.starts_with("{\"");
        let is_taken = may_hold_members && within.depth <= DEPTH_MAX && tags.keep_members(within, text);
        if !is_taken && text.len() <= TEXT_BYTES_MAX {
            tags.keep(within, text.into());
        }
        Ok(())
    }

    /// Of a list the texts are kept, and the members of its first value.
    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let MemberSeed { tags, within } = self;
        let mut texts = Vec::new();
        let mut is_first = true;
        while texts.len() < LIST_MAX {
            let members = (is_first && within.depth <= DEPTH_MAX).then_some(&mut *tags);
            match values.next_element_seed(ElementSeed { members, within })? {
                None => break,
                Some(Kept(text)) => texts.extend(text.filter(Value::is_string)),
            }
            is_first = false;
        }
        while values.next_element::<IgnoredAny>()?.is_some() {}
        if !texts.is_empty() {
            tags.keep(within, Value::Array(texts));
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let MemberSeed { tags, within } = self;
        while let Some(key) = entries.next_key::<Cow<'_, str>>()? {
            let is_kept = tags.0.len() < TAGS_MAX && key.len() <= TEXT_BYTES_MAX && within.depth < DEPTH_MAX;
            if is_kept {
                let within = Within { key: &within.of(&key), depth: within.depth + 1 };
                entries.next_value_seed(MemberSeed { tags: &mut *tags, within })?;
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Kept, D::Error> {
        ElementSeed { members: None, within: Within { key: "", depth: DEPTH_MAX } }.deserialize(deserializer)
    }
}

/// Reads a value of a list: a text or a number is handed on, members are kept at the key of the list.
struct ElementSeed<'a> {
    members: Option<&'a mut Tags>,
    within: Within<'a>,
}

impl<'de> DeserializeSeed<'de> for ElementSeed<'_> {
    type Value = Kept;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kept, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ElementSeed<'_> {
    type Value = Kept;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Kept, E> {
        Ok(Kept(None))
    }

    fn visit_unit<E>(self) -> Result<Kept, E> {
        Ok(Kept(None))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Kept, E> {
        Ok(Kept(Some(number.into())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Kept, E> {
        Ok(Kept(Some(number.into())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Kept, E> {
        Ok(Kept(Some(number.into())))
    }

    fn visit_str<E>(self, text: &str) -> Result<Kept, E> {
        Ok(Kept((text.len() <= TEXT_BYTES_MAX).then(|| text.into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Kept, A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Kept(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Kept, A::Error> {
        match self.members {
            Some(tags) => MemberSeed { tags, within: self.within }.visit_map(entries)?,
            None => while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {},
        }
        Ok(Kept(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(text: &str) -> Value {
        let mut tags = Tags::default();
        tags.deserialize(&mut serde_json::Deserializer::from_str(text)).unwrap();
        Value::Object(tags.0)
    }

    #[test]
    fn short_texts_numbers_and_lists_of_texts_are_kept() {
        let text = r#"{"name": "Caf\u00e9", "n": -1, "m": 2, "x": 0.5, "types": ["a", 1, ["b"], {"c": "d"}, "e"],
            "no": null, "yes": true, "nested": [["a"]], "empty": " "}"#;
        let kept = serde_json::json!({
            "name": "Caf\u{e9}", "n": -1, "m": 2, "x": 0.5, "types": ["a", "e"],
        });
        assert_eq!(tags(text), kept);
        assert_eq!(tags("[]"), serde_json::json!({}));
    }

    #[test]
    fn keys_are_in_lower_case_and_members_have_those_of_both() {
        let text = r#"{"NAME": "Old", "Location": {"Address": "Here", "Business Name": "Hut"},
            "names": {"primary": "Hall", "common": {"en": "The Hall", "deep": {"er": 1}}},
            "addresses": [{"freeform": "Way 1", "locality": "Town"}, {"freeform": "Way 2"}], "Name": "New",
            "brand": "{\"names\": {\"primary\": \"Chain\"}}", "ADDR_STREE": "Long Street"}"#;
        let kept = serde_json::json!({
            "name": "New", "location.address": "Here", "location.business name": "Hut", "names.primary": "Hall",
            "names.common.en": "The Hall", "addresses.freeform": "Way 1", "addresses.locality": "Town",
            "brand.names.primary": "Chain", "addr:street": "Long Street",
        });
        assert_eq!(tags(text), kept);
    }

    #[test]
    fn tags_of_openstreetmap_are_found_wherever_they_are() {
        let kept = serde_json::json!({"name": "Own", "amenity": "cafe", "addr:city": "Town"});
        for others in [
            r#""tags": {"amenity": "cafe", "addr:city": "Town", "name": "Other"}"#,
            r#""other_tags": "\"amenity\"=>\"cafe\",\"addr:city\"=>\"Town\",\"name\"=>\"Other\"""#,
            r#""other_tags": "{\"amenity\":\"cafe\",\"addr:city\":\"Town\"}""#,
            r#""Tags": "\"amenity\"=>\"cafe\", \"addr:city\"=>\"Town\", \"x\"=>NULL""#,
        ] {
            assert_eq!(tags(&format!(r#"{{"name": "Own", {others}}}"#)), kept, "{others}");
            assert_eq!(tags(&format!(r#"{{{others}, "name": "Own"}}"#)), kept, "{others}");
        }
        assert_eq!(tags(r#"{"tags": "a, b"}"#), serde_json::json!({"tags": "a, b"}));
    }

    #[test]
    fn what_is_kept_of_a_feature_is_bounded() {
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!(tags(&format!(r#"{{"a": "{long}", "{long}": 1, "b": 2}}"#)), serde_json::json!({"b": 2}));
        let many: Vec<String> = (0..1_000).map(|number| format!(r#""{number}": 0"#)).collect();
        assert_eq!(tags(&format!("{{{}}}", many.join(","))).as_object().unwrap().len(), TAGS_MAX);
        let nested = tags(&format!(r#"{{"a": {{{}}}}}"#, many.join(",")));
        assert_eq!(nested.as_object().unwrap().len(), TAGS_MAX);
        let list = tags(&format!(r#"{{"types": [{}"last"]}}"#, r#""a","#.repeat(100_000)));
        assert_eq!(list["types"].as_array().unwrap().len(), LIST_MAX);
        for (open, close) in [("[", "]"), ("{\"x\":", "}")] {
            let deep = format!(r#"{{"a": {}0{}, "b": 1}}"#, open.repeat(10_000), close.repeat(10_000));
            assert_eq!(tags(&deep)["b"], 1);
        }
    }
}
