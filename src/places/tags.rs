//! The properties of a feature, as far as anything is made of them: short texts and numbers, and lists of short texts.
//! Everything else is read over, so that no feature takes more memory than its bounds, however large it is.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// The most tags of a feature that are kept, the first ones: no feature of OpenStreetMap has as many by far.
const TAGS_MAX: usize = 256;

/// The most bytes of a key or a text; of a longer text nothing is kept. OpenStreetMap allows 255 characters of both.
const TEXT_BYTES_MAX: usize = 1_024;

/// The most texts of a list that are kept, the first ones: Google gives a place ten types.
const LIST_MAX: usize = 32;

/// The tags of a feature.
#[derive(Debug, Default)]
pub(super) struct Tags(pub(super) Map<String, Value>);

/// A value, if it is kept.
#[derive(Debug)]
pub(super) struct Kept(pub(super) Option<Value>);

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tags, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Tags;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of properties")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tags, A::Error> {
                let mut tags = Map::new();
                while let Some(key) = entries.next_key::<Cow<'_, str>>()? {
                    if tags.len() >= TAGS_MAX || key.len() > TEXT_BYTES_MAX {
                        entries.next_value::<IgnoredAny>()?;
                    } else if let Kept(Some(value)) = entries.next_value()? {
                        tags.insert(key.into_owned(), value);
                    }
                }
                Ok(Tags(tags))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Kept, D::Error> {
        AnyValue { keeps_lists: true }.deserialize(deserializer)
    }
}

/// Reads a value; of a list in a list nothing is kept.
struct AnyValue {
    keeps_lists: bool,
}

impl<'de> DeserializeSeed<'de> for AnyValue {
    type Value = Kept;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kept, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue {
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
        let mut texts = Vec::new();
        while self.keeps_lists && texts.len() < LIST_MAX {
            match values.next_element_seed(AnyValue { keeps_lists: false })? {
                None => break,
                Some(Kept(text)) => texts.extend(text.filter(Value::is_string)),
            }
        }
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Kept(self.keeps_lists.then_some(Value::Array(texts))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Kept, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Kept(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(text: &str) -> Value {
        let Tags(tags) = serde_json::from_str(text).unwrap();
        Value::Object(tags)
    }

    #[test]
    fn short_texts_numbers_and_lists_of_texts_are_kept() {
        let text = r#"{"name": "Caf\u00e9", "n": -1, "m": 2, "x": 0.5, "types": ["a", 1, ["b"], {"c": "d"}, "e"],
            "no": null, "yes": true, "object": {"a": ["b"]}, "nested": [["a"]]}"#;
        let kept = serde_json::json!({
            "name": "Caf\u{e9}", "n": -1, "m": 2, "x": 0.5, "types": ["a", "e"], "nested": [],
        });
        assert_eq!(tags(text), kept);
        assert!(serde_json::from_str::<Tags>("[]").is_err());
    }

    #[test]
    fn what_is_kept_of_a_feature_is_bounded() {
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!(tags(&format!(r#"{{"a": "{long}", "{long}": 1, "b": 2}}"#)), serde_json::json!({"b": 2}));
        let many: Vec<String> = (0..1_000).map(|number| format!(r#""{number}": 0"#)).collect();
        assert_eq!(tags(&format!("{{{}}}", many.join(","))).as_object().unwrap().len(), TAGS_MAX);
        let list = tags(&format!(r#"{{"types": [{}"last"]}}"#, r#""a","#.repeat(100_000)));
        assert_eq!(list["types"].as_array().unwrap().len(), LIST_MAX);
        let deep = format!(r#"{{"a": {}{}, "b": 1}}"#, "[".repeat(100), "]".repeat(100));
        assert_eq!(tags(&deep)["b"], 1);
    }
}
