//! Texts that are JSON but for a little, as real exporters write them.

/// The text with what no reader of JSON takes replaced: bytes that are not UTF-8 and halves of surrogate pairs by a
/// replacement character, raw control characters in strings by a space, and by `null` what stands for a number and is
/// none (`NaN`, `Infinity`) or is too large. What is wrong in another way stays as it is.
pub(super) fn mended(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut mended = String::with_capacity(text.len());
    let mut rest = text.trim_start_matches('\u{feff}');
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string(rest, &mut mended),
            c if is_of_a_word(c) => word(rest, &mut mended),
            c => {
                mended.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    mended
}

fn is_of_a_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.')
}

/// Appends the number or the name that `text` begins with, and says how long it is.
fn word(text: &str, mended: &mut String) -> usize {
    let word = text.find(|c| !is_of_a_word(c)).map_or(text, |end| &text[..end]);
    // Rust takes the same words for what is no number, and reads what is too large as infinite.
    let is_no_number = word.parse::<f64>().is_ok_and(|number| !number.is_finite());
    mended.push_str(if is_no_number { "null" } else { word });
    word.len()
}

/// Appends the string that `text` begins with, and says how long it is.
fn string(text: &str, mended: &mut String) -> usize {
    mended.push('"');
    let mut at = 1;
    while let Some(c) = text[at..].chars().next() {
        let length = match c {
            '"' => {
                mended.push('"');
                return at + 1;
            }
            '\\' => escape(&text[at..], mended),
            c => {
                mended.push(if c < ' ' { ' ' } else { c });
                c.len_utf8()
            }
        };
        at += length;
    }
    at
}

/// Appends the escape that `text` begins with, and says how long it is.
fn escape(text: &str, mended: &mut String) -> usize {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let length = match (unit(0), unit(6)) {
        (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => 12,
        (Some(0xd800..0xe000), _) => {
            mended.push(char::REPLACEMENT_CHARACTER);
            return 6;
        }
        (Some(_), _) => 6,
        (None, _) => 1 + text[1..].chars().next().map_or(0, char::len_utf8),
    };
    mended.push_str(&text[..length]);
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fine_stays_as_it_is() {
        let fine = r#"{"a\"\\": [1, -2.5e3, true, null, "\ud83d\ude00 é \u00e9 \n"], "NaN": "Infinity \\"}"#;
        assert_eq!(mended(fine.as_bytes()), fine);
        for broken in ["", "\"", "\"\\", "\"\\u12", "{\"a\":", "\"\\é\"", "]]"] {
            assert_eq!(mended(broken.as_bytes()), broken);
        }
    }

    #[test]
    fn what_no_reader_takes_is_replaced() {
        let case = |text: &[u8], expected: &str| {
            assert_eq!(mended(text), expected);
            serde_json::from_str::<serde_json::Value>(expected).unwrap();
        };
        case(br#"["\ud800", "a\udc00b", "\ud83d\ud83d\ude00"]"#, r#"["�", "a�b", "�\ud83d\ude00"]"#);
        case(b"\"Caf\xe9\"", "\"Caf\u{fffd}\"");
        case(b"\"a\tb\nc\"", "\"a b c\"");
        case(b"[NaN, -Infinity, nan, 1e999, 1E308]", "[null, null, null, null, 1E308]");
        case(format!("[-{}]", "9".repeat(400)).as_bytes(), "[null]");
        case("\u{feff}[]".as_bytes(), "[]");
    }
}
