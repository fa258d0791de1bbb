//! Values in the JSON of phones: numbers keep the digits that were sent, and one that comes as a text counts as well.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// A value that may be missing, null, or of another type than it should.
pub(super) type Raw<'a> = Option<&'a RawValue>;

/// A number or a text, as text; `None` for anything else.
pub(super) fn text(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    let value = raw?.get();
    match value.as_bytes().first()? {
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
