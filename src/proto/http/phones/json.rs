//! Values in the JSON of phones: numbers keep the digits that were sent, one that comes as a text counts as well, and
//! one of another type than it should be is as good as missing.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The most elements of an array: more points than any app sends at once.
const ELEMENTS_MAX: usize = 10_000;

/// A value that may be missing, null, or of another type than it should.
pub(super) type Raw<'a> = Option<&'a RawValue>;

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
pub(super) struct Elements<'a>(pub Vec<&'a RawValue>);

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
        // What nobody asks for may be in another encoding.
        Err(_) => serde_json::from_slice(text).ok(),
    }
}

/// Reads a value as an object.
pub(super) fn object_in<'a, T: Deserialize<'a>>(raw: Raw<'a>) -> Option<T> {
    object(raw?.get().as_bytes())
}

/// A number or a text, as text; `None` for anything else.
pub(super) fn text(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    let value = raw?.get();
    match value.as_bytes().first()? {
        // Most have no escapes.
        b'"' if memchr::memchr(b'\\', value.as_bytes()).is_none() => {
            value.get(1..value.len() - 1).map(Cow::Borrowed)
        }
        b'"' => serde_json::from_str(value).ok(),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(value)),
        _ => None,
    }
}

/// Whether a value is true.
pub(super) fn is_true(raw: Raw<'_>) -> Option<bool> {
    match raw?.get() {
        "true" | "1" | "\"true\"" => Some(true),
        "false" | "0" | "\"false\"" => Some(false),
        _ => None,
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
                while let Some(element) = values.next_element::<&'de RawValue>()? {
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
