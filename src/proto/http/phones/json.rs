//! Values in the JSON of phones: numbers keep the digits that were sent, one that comes as a text counts as well, and
//! one of another type than it should be is as good as missing.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::proto::model::digits::each;

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
    fn place(&mut self, key: ShortKey) -> Option<&mut Raw<'a>>;
}

/// A key of at most seven bytes as one number, its first byte lowest: it is compared at once. All longer ones are zero,
/// as is the empty one: none of them is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShortKey(u64);

impl ShortKey {
    /// The most bytes of a key that is told from others.
    const BYTES_MAX: usize = 7;

    /// This key.
    pub(super) const fn of(key: &str) -> ShortKey {
        let bytes = key.as_bytes();
        let mut word = 0;
        let mut at = if bytes.len() > ShortKey::BYTES_MAX { 0 } else { bytes.len() };
        while at > 0 {
            at -= 1;
            // A zero byte at the end would not be seen.
            if bytes[at] == 0 {
                return ShortKey(0);
            }
            word = word << 8 | bytes[at] as u64;
        }
        ShortKey(word)
    }
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
    let (bytes, text) = (text, std::str::from_utf8(text).ok()?);
    if bytes.first() != Some(&b'{') {
        return None;
    }
    let (mut object, mut at) = (T::default(), 1);
    loop {
        let (key, value) = plain_key(bytes, at)?;
        let rest = bytes.get(value..)?;
        let (first, behind) = rest.split_first()?;
        let end = value
            + match first {
                b'"' => text_bytes(behind)? + 2,
                b'-' => plain_number_bytes(behind)? + 1,
                b'0'..=b'9' => plain_number_bytes(rest)?,
                _ => word_bytes(rest)?,
            };
        if let Some(place) = object.place(key) {
            *place = (*first != b'n').then_some(Value(text.get(value..end)?));
        }
        match bytes.get(end)? {
            b',' => at = end + 1,
            b'}' if end + 1 == bytes.len() => return Some(object),
            _ => return None,
        }
    }
}

/// The key that begins here, and where its value does.
#[inline(always)]
fn plain_key(bytes: &[u8], at: usize) -> Option<(ShortKey, usize)> {
    let rest = bytes.get(at..)?;
    let word = rest.first_chunk().map_or_else(|| last_bytes(rest), |word| u64::from_le_bytes(*word));
    if word as u8 != b'"' {
        return None;
    }
    let word = word >> 8;
    let is_mark = word ^ each(b'"');
    // Marks in the highest bit the byte that is one. A borrow goes upwards, so the lowest mark is right.
    let bits = (is_mark.wrapping_sub(each(1)) & !is_mark & each(0x80)).trailing_zeros() & !7;
    // Of a word without one it is the first bytes.
    if word.wrapping_shr(bits) as u16 == u16::from_le_bytes(*b"\":") {
        return Some((ShortKey(word & !u64::MAX.wrapping_shl(bits)), at + 3 + bits as usize / 8));
    }
    let end = at + 1 + text_bytes(&rest[1..])?;
    let key = ShortKey::of(str::from_utf8(&bytes[at + 1..end]).ok()?);
    (bytes.get(end + 1) == Some(&b':')).then_some((key, end + 2))
}

/// What is left, with zeros behind it.
#[cold]
fn last_bytes(rest: &[u8]) -> u64 {
    rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// The bytes before the first quotation mark, which ends a text.
#[inline(always)]
fn text_bytes(text: &[u8]) -> Option<usize> {
    text.iter().position(|&byte| byte == b'"')
}

/// The bytes of the number with which a text begins, if nothing is wrong with it up to an exponent.
#[inline(always)]
fn plain_number_bytes(text: &[u8]) -> Option<usize> {
    let whole = digits_bytes(text);
    if whole == 0 || whole > 1 && text[0] == b'0' {
        return None;
    }
    match text.get(whole..)? {
        [b'.', fraction @ ..] => {
            let fraction = digits_bytes(fraction);
            (fraction > 0).then_some(whole + 1 + fraction)
        }
        _ => Some(whole),
    }
}

/// The bytes of the digits with which a text begins.
#[inline(always)]
fn digits_bytes(text: &[u8]) -> usize {
    text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len())
}

/// The bytes of the word with which a text begins.
#[inline(never)]
fn word_bytes(text: &[u8]) -> Option<usize> {
    ["true", "false", "null"].into_iter().find(|word| text.starts_with(word.as_bytes())).map(str::len)
}

/// Reads a value as an object.
pub(super) fn object_in<'a, T: Deserialize<'a>>(raw: Raw<'a>) -> Option<T> {
    object(raw?.0.as_bytes())
}

/// A number or a text, as text; `None` for anything else.
#[inline(always)]
pub(super) fn text(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    let Value(value) = raw?;
    match value.as_bytes().first()? {
        b'"' => text_inside(value),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(value)),
        _ => None,
    }
}

fn text_inside(value: &str) -> Option<Cow<'_, str>> {
    // Most have no escapes.
    match value.bytes().any(|byte| byte == b'\\') {
        false => value.get(1..value.len() - 1).map(Cow::Borrowed),
        true => serde_json::from_str(value).ok(),
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
            match self.0.place(ShortKey::of(&key)) {
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
    use proptest::prelude::*;

    use super::*;

    /// All values of some keys.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Some3<'a>([Raw<'a>; 3]);

    impl<'a> Members<'a> for Some3<'a> {
        fn place(&mut self, key: ShortKey) -> Option<&mut Raw<'a>> {
            let at = ["a", "lat", "_type"].iter().position(|name| ShortKey::of(name) == key)?;
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
    fn keys_are_told_from_all_others() {
        let is_read = |key: &str| {
            let text = serde_json::to_vec(&std::collections::BTreeMap::from([(key, 7)])).unwrap();
            let [plain, by_serde] = [plain_object(&text), by_serde(&text)];
            assert!(plain.is_none() || plain == by_serde, "{key:?}");
            by_serde.unwrap().0.iter().any(Option::is_some)
        };
        assert!(["a", "lat", "_type"].into_iter().all(is_read));
        for key in
            ["", "A", "lat\0", "\0lat", "la", "latt", "_typelong", "lat\0\0\0\0lat", "\u{e4}", "\u{1}a"]
        {
            assert!(!is_read(key), "{key:?}");
        }
    }

    /// Values as apps write them and as they do not.
    fn any_value() -> impl Strategy<Value = String> {
        let text = prop_oneof!["[ -~\u{e4}\u{7f}]{0,20}", "[a-z/]{0,9}"]
            .prop_map(|text| serde_json::Value::from(text).to_string());
        let odd = prop::sample::select(vec![
            "[1,2]",
            "{\"lat\":1}",
            "[]",
            "1e5",
            "-0",
            "00",
            "-",
            "1.",
            ".5",
            "nul",
            "True",
            "\"\\u00e4\"",
            "",
            "\"\\\"\"",
            "1E-3",
            "\"a",
            "+1",
        ]);
        prop_oneof![
            4 => text,
            4 => "-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,18})?",
            1 => prop::sample::select(vec!["true", "false", "null"]).prop_map(str::to_owned),
            1 => odd.prop_map(str::to_owned),
        ]
    }

    proptest! {
        #[test]
        fn any_object_is_read_as_serde_json_reads_it(
            members in prop::collection::vec(("a|lat|_type|x|lon|created_at|[ -~]{0,9}", any_value()), 0..9),
            space in prop::sample::select(vec!["", "", "", " ", "\n"]),
        ) {
            let members = members.iter().map(|(key, value)| format!("{}:{value}", serde_json::Value::from(&**key)));
            let text = format!("{{{}}}", members.collect::<Vec<_>>().join(&format!(",{space}")));
            let by_serde = by_serde(text.as_bytes());
            if let Some(object) = plain_object::<Some3<'_>>(text.as_bytes()) {
                prop_assert_eq!(Some(&object), by_serde.as_ref(), "{}", text);
            }
            prop_assert_eq!(object_of::<Some3<'_>>(text.as_bytes()), by_serde, "{}", text);
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
