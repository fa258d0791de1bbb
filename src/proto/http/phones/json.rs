//! Values in the JSON of phones: numbers keep the digits that were sent, one that comes as a text counts as well, and
//! one of another type than it should be is as good as missing.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The most elements of an array: more points than any app sends at once.
const ELEMENTS_MAX: usize = 10_000;

/// A value that may be missing, null, or of another type than it should.
pub(super) type Raw<'a> = Option<Value<'a>>;

/// A value, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value<'a>(pub &'a str);

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value<'a>, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|raw| Value(raw.get()))
    }
}

/// A key, borrowed unless it has escapes.
#[derive(Deserialize)]
pub(super) struct Key<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Lets an object be read with the fields that are looked at. Of a key that is there twice the last value counts, as
/// the parsers of phones and of most servers have it: what serde derives would refuse the object, and a phone would
/// lose its point.
macro_rules! last_value_counts {
    ($name:ident { $($key:literal => $field:ident,)+ }) => {
        impl<'de: 'a, 'a> serde::Deserialize<'de> for $name<'a> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name<'a>, D::Error> {
                struct Fields<'a>(std::marker::PhantomData<&'a ()>);
                impl<'de: 'a, 'a> serde::de::Visitor<'de> for Fields<'a> {
                    type Value = $name<'a>;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut values: A,
                    ) -> Result<$name<'a>, A::Error> {
                        let mut object = $name::default();
                        while let Some(key) = values.next_key::<crate::proto::http::phones::json::Key<'de>>()? {
                            match &*key.0 {
                                $($key => object.$field = values.next_value()?,)+
                                _ => {
                                    values.next_value::<serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(object)
                    }
                }
                deserializer.deserialize_map(Fields(std::marker::PhantomData))
            }
        }
    };
}
pub(super) use last_value_counts;

/// Elements that are not read yet, [`ELEMENTS_MAX`] at most. Each takes more memory than its text may.
pub(super) struct Elements<'a>(pub Vec<Value<'a>>);

/// Reads an object; `None` for anything else. Without a look at its beginning an array would be read as one whose
/// members have their places.
pub(super) fn object<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Option<T> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii();
    if !text.starts_with(b"{") {
        return None;
    }
    match std::str::from_utf8(text) {
        // The texts in it need not be checked one by one.
        Ok(text) => serde_json::from_str(text).ok(),
        // A value that is not asked for may be in another encoding.
        Err(_) => serde_json::from_slice(text).ok(),
    }
}

/// An object of which single values are looked at.
pub(super) trait Members<'a>: Default {
    /// Where the value of this key belongs; `None` if it is not read.
    fn place(&mut self, key: &str) -> Option<&mut Raw<'a>>;
}

/// Reads an object by its members; `None` for anything else. Of a key that is there twice the last value counts.
pub(super) fn object_of<'a, T: Members<'a>>(text: &'a [u8]) -> Option<T> {
    plain_object(text).or_else(|| object(text).map(|ByMembers(object, _)| object))
}

/// Reads an object as apps write it: without white space, and its values texts without escapes, numbers without an
/// exponent, or words. Every other text, be it good or bad, is left to `serde_json`, which reads this one alike and
/// takes many times as long.
fn plain_object<'a, T: Members<'a>>(text: &'a [u8]) -> Option<T> {
    // Without these a quotation mark is the end of a text. No byte ends this look, so that many are looked at at once.
    let is_special = |byte: u8| byte < b' ' || byte == b'\\';
    if text.iter().fold(false, |found, &byte| found | is_special(byte)) {
        return None;
    }
    let mut rest = std::str::from_utf8(text).ok()?.strip_prefix('{')?;
    let mut object = T::default();
    loop {
        let (key, behind) = plain_text(rest)?;
        let behind = behind.strip_prefix(':')?;
        let end = match behind.as_bytes().first()? {
            b'"' => plain_text(behind)?.0.len() + 2,
            b'-' | b'0'..=b'9' => plain_number_end(behind.as_bytes())?,
            _ => ["true", "false", "null"].into_iter().find(|word| behind.starts_with(word))?.len(),
        };
        let (value, behind) = behind.split_at(end);
        if let Some(place) = object.place(key) {
            *place = (value != "null").then_some(Value(value));
        }
        rest = match behind.as_bytes() {
            b"}" => return Some(object),
            [b',', ..] => &behind[1..],
            _ => return None,
        };
    }
}

/// What is between the quotation marks with which a text begins, and what is behind them.
#[inline(always)]
fn plain_text(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('"')?;
    let end = inside.bytes().position(|byte| byte == b'"')?;
    Some((&inside[..end], &inside[end + 1..]))
}

/// Where the number ends with which a text begins, if nothing is wrong with it up to an exponent.
#[inline(always)]
fn plain_number_end(bytes: &[u8]) -> Option<usize> {
    let digits_end = |from: usize| {
        let digits = bytes[from..].iter().position(|byte| !byte.is_ascii_digit());
        digits.map_or(bytes.len(), |digits| from + digits)
    };
    let whole = usize::from(bytes[0] == b'-');
    let end = digits_end(whole);
    if end == whole || end > whole + 1 && bytes[whole] == b'0' {
        return None;
    }
    if bytes.get(end) != Some(&b'.') {
        return Some(end);
    }
    let fraction_end = digits_end(end + 1);
    (fraction_end > end + 1).then_some(fraction_end)
}

/// Reads a value as an object.
pub(super) fn object_in<'a, T: Deserialize<'a>>(raw: Raw<'a>) -> Option<T> {
    object(raw?.0.as_bytes())
}

/// A number or a text, as text; `None` for anything else.
pub(super) fn text(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    let Value(value) = raw?;
    match value.as_bytes().first()? {
        // Most have no escapes.
        b'"' if !value.bytes().any(|byte| byte == b'\\') => value.get(1..value.len() - 1).map(Cow::Borrowed),
        b'"' => serde_json::from_str(value).ok(),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(value)),
        _ => None,
    }
}

/// Whether a value is true.
pub(super) fn is_true(raw: Raw<'_>) -> Option<bool> {
    match raw?.0 {
        "true" | "1" | "\"true\"" => Some(true),
        "false" | "0" | "\"false\"" => Some(false),
        _ => None,
    }
}

/// An object that `serde_json` reads by its members.
struct ByMembers<'a, T>(T, PhantomData<&'a ()>);

impl<'de: 'a, 'a, T: Members<'a>> Deserialize<'de> for ByMembers<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ByMembers<'a, T>, D::Error> {
        deserializer.deserialize_map(ByMembers(T::default(), PhantomData))
    }
}

impl<'de: 'a, 'a, T: Members<'a>> Visitor<'de> for ByMembers<'a, T> {
    type Value = ByMembers<'a, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<ByMembers<'a, T>, A::Error> {
        while let Some(Key(key)) = members.next_key::<Key<'de>>()? {
            match self.0.place(&key) {
                Some(place) => *place = members.next_value()?,
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(self)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Elements<'a>, D::Error> {
        struct Bounded<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Bounded<'a> {
            type Value = Elements<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Elements<'a>, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = values.next_element()? {
                    if elements.len() == ELEMENTS_MAX {
                        return Err(A::Error::custom("too many elements"));
                    }
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(Bounded(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All values of some keys.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Some3<'a>([Raw<'a>; 3]);

    impl<'a> Members<'a> for Some3<'a> {
        fn place(&mut self, key: &str) -> Option<&mut Raw<'a>> {
            let at = ["a", "lat", "_type"].iter().position(|name| *name == key)?;
            Some(&mut self.0[at])
        }
    }

    fn by_serde(text: &[u8]) -> Option<Some3<'_>> {
        object(text).map(|ByMembers(object, _)| object)
    }

    #[test]
    fn plain_objects_are_read_as_serde_json_reads_them() {
        let plain = [
            r#"{"_type":"location","lat":-12.50,"b":true,"a":null,"x":"\u{e4}\u{7f}"}"#,
            r#"{"a":0,"a":0.5,"lat":10,"_type":false,"":""}"#,
            r#"{"a":1,"a":null}"#,
        ];
        let plain = plain.map(|text| text.replace("\\u{e4}\\u{7f}", "\u{e4}\u{7f}"));
        for text in &plain {
            assert!(plain_object::<Some3<'_>>(text.as_bytes()).is_some(), "{text}");
            // Every one of these is one byte away from something else.
            for at in 0..text.len() {
                for byte in *b"\"\\{}[],:-+.01eE tfn\n\0\x80\xff" {
                    let mut put = text.clone().into_bytes();
                    put[at] = byte;
                    let mut more = text.clone().into_bytes();
                    more.insert(at, byte);
                    let less = [&text.as_bytes()[..at], &text.as_bytes()[at + 1..]].concat();
                    for text in [put, more, less] {
                        if let Some(object) = plain_object::<Some3<'_>>(&text) {
                            let shown = String::from_utf8_lossy(&text);
                            assert_eq!(Some(object), by_serde(&text), "{shown}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn other_objects_are_left_to_serde_json() {
        for (text, is_one) in [
            ("{}", true),
            (" {\"a\":1}", true),
            ("{\"a\": 1}", true),
            ("{\"a\":1e5}", true),
            ("{\"a\":\"\\u00e4\"}", true),
            ("{\"a\":[1]}", true),
            ("{\"a\":{}}", true),
            ("{\"a\":01}", false),
            ("{\"a\":1.}", false),
            ("{\"a\":-}", false),
            ("{\"a\":\"\n\"}", false),
            ("{\"a\":1,}", false),
            ("{\"a\":nul}", false),
            ("{\"a\":1}}", false),
            ("[1]", false),
        ] {
            assert_eq!(plain_object::<Some3<'_>>(text.as_bytes()), None, "{text}");
            assert_eq!(object_of::<Some3<'_>>(text.as_bytes()).is_some(), is_one, "{text}");
        }
    }
}
