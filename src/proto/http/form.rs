//! What stands in targets, queries and forms: percent-encoding, and pairs of keys and values.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

/// The most pairs that are read of a query or a form, the first ones: no app sends half of them.
const PAIRS_MAX: usize = 128;

/// What is encoded in a value of attributes.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Undoes percent-encoding. What is no UTF-8 then is read as Latin-1, which has a character for each byte: no two names
/// become one.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    // Most are short, and have nothing that is encoded.
    let decoded = match bytes.contains(&b'%') {
        false => Cow::Borrowed(bytes),
        true => percent_decode(bytes).into(),
    };
    match decoded {
        Cow::Borrowed(bytes) => {
            std::str::from_utf8(bytes).map_or_else(|_| latin_1(bytes).into(), Cow::Borrowed)
        }
        Cow::Owned(bytes) => {
            String::from_utf8(bytes).unwrap_or_else(|error| latin_1(error.as_bytes())).into()
        }
    }
}

fn latin_1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

const NO_DIGIT: u8 = 0xff;

/// The value of each digit of Base64, that of addresses too.
static BASE64_VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 26 {
        values[b'A' as usize + value] = value as u8;
        values[b'a' as usize + value] = value as u8 + 26;
        if value < 10 {
            values[b'0' as usize + value] = value as u8 + 52;
        }
        value += 1;
    }
    (values[b'+' as usize], values[b'-' as usize]) = (62, 62);
    (values[b'/' as usize], values[b'_' as usize]) = (63, 63);
    values
};

/// The bytes of a text in Base64, with or without its padding; `None` if it is none.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes();
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(text.len()), 0_u32, 0);
    for digit in digits {
        let value = BASE64_VALUES[usize::from(digit)];
        if value == NO_DIGIT {
            return None;
        }
        (bits, count) = (bits << 6 | u32::from(value), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

/// Bytes in Base64, with padding.
pub fn to_base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | chunk.get(at).copied().map_or(0, usize::from));
        for digit in 0..4 {
            let is_padding = digit > chunk.len();
            text.push(if is_padding { '=' } else { char::from(DIGITS[bits >> (18 - 6 * digit) & 63]) });
        }
    }
    text
}

/// Bytes in the Base64 that can stand in an address, without padding.
pub fn to_base64_url(bytes: &[u8]) -> String {
    to_base64(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

/// A text as a part of a client's name: encoded is what would end a field of a line, a part of a path or a topic of a
/// broker, and the percent sign itself.
pub fn name_part(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    push_name_part(text, &mut name);
    name
}

/// Appends a text as [`name_part`] has it.
pub fn push_name_part(text: &str, name: &mut String) {
    let is_encoded = |byte: u8| byte.is_ascii_control() || matches!(byte, b' ' | b'/' | b'%' | b'+' | b'#');
    if !text.bytes().any(is_encoded) {
        return name.push_str(text);
    }
    for character in text.chars() {
        if u8::try_from(character).is_ok_and(is_encoded) {
            *name += &format!("%{:02X}", u32::from(character));
        } else {
            name.push(character);
        }
    }
}

/// A text as a value of attributes.
pub fn attribute_value(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, VALUE).into()
}

/// The pairs of a query, or of a body of `application/x-www-form-urlencoded`, in their order.
pub fn pairs(text: &[u8]) -> Vec<(String, String)> {
    if text.is_empty() {
        return Vec::new();
    }
    let parts = text.split(|&byte| byte == b'&').filter(|part| !part.is_empty()).take(PAIRS_MAX);
    let text = |bytes: &[u8]| {
        let spaced: Vec<u8> = bytes.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
        decode(&spaced).into_owned()
    };
    parts
        .map(|part| {
            let end = memchr::memchr(b'=', part).unwrap_or(part.len());
            (text(&part[..end]), text(part.get(end + 1..).unwrap_or_default()))
        })
        .collect()
}

/// The first value that is not blank of one of these keys.
pub fn value<'a>(pairs: &'a [(String, String)], keys: &[&str]) -> Option<&'a String> {
    let is_it = |pair: &&(String, String)| keys.contains(&&*pair.0) && !pair.1.trim().is_empty();
    pairs.iter().find(is_it).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let read = |text: &str| pairs(text.as_bytes());
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            read("id=a%20b+c&lat=%2B1.5&&x"),
            [pair("id", "a b c"), pair("lat", "+1.5"), pair("x", "")]
        );
        assert_eq!(read("a=b=c&%zz=%"), [pair("a", "b=c"), pair("%zz", "%")]);
        assert_eq!(read("a=%FC&b=%F6"), [pair("a", "\u{fc}"), pair("b", "\u{f6}")]);
        assert_eq!(read(""), []);
        assert_eq!(read(&"a=1&".repeat(1_000)).len(), PAIRS_MAX);
    }

    #[test]
    fn base64_is_written_as_it_is_read() {
        for (text, digits) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(to_base64(text.as_bytes()), digits);
            assert_eq!(base64(digits), Some(text.as_bytes().to_vec()));
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(base64(&to_base64(&all)), Some(all));
    }

    #[test]
    fn a_name_is_one_field_and_one_part() {
        assert_eq!(name_part("my phone/1+#%\u{7f}\u{e9}"), "my%20phone%2F1%2B%23%25%7F\u{e9}");
        assert_eq!(attribute_value("a&b=\u{e9}"), "a%26b%3D%C3%A9");
    }
}
