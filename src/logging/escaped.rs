//! Text from outside made safe for a log: no byte of it can end a line, and its length is bounded.

use std::fmt;

/// The most bytes of a line's message; what is beyond is counted and cut. A request fits many times over, a
/// long answer with its places does not and need not.
pub const LOG_LINE_BYTES_MAX: usize = 4096;

/// The most bytes that one [`Escaped`] prints, its mark not included: it leaves room in the line for
/// addresses and words around it.
pub const ESCAPED_BYTES_MAX: usize = LOG_LINE_BYTES_MAX - 512;

/// Any bytes, printed on one line: control characters (also DEL, C1 and the Unicode line separators) and
/// bytes that are not UTF-8 as `\n`, `\r`, `\t` or `\xNN` for each byte, a backslash as `\\`, so that the
/// bytes can be read back exactly. After [`ESCAPED_BYTES_MAX`] bytes a mark says how many more there were.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = ESCAPED_BYTES_MAX;
        let mut done = 0;
        for chunk in self.0.utf8_chunks() {
            let text = chunk.valid();
            let taken = write_escaped(f, text, is_special_or_backslash, &mut left)?;
            done += taken;
            if taken < text.len() {
                return write_mark(f, self.0.len() - done);
            }
            for byte in chunk.invalid() {
                let form = Form::of_byte(*byte);
                if form.len > left {
                    return write_mark(f, self.0.len() - done);
                }
                f.write_str(form.as_str())?;
                left -= form.len;
                done += 1;
            }
        }
        Ok(())
    }
}

/// The message of one line while it is formatted into `text`: escapes what [`Escaped`] escapes but for
/// backslashes, which it could not tell from those of an `Escaped` within, and never grows beyond
/// [`LOG_LINE_BYTES_MAX`] and a mark.
pub(super) struct Message<'a> {
    text: &'a mut String,
    left: usize,
    cut: usize,
}

impl Message<'_> {
    /// A message to be appended to `text`.
    pub(super) fn new(text: &mut String) -> Message<'_> {
        Message { text, left: LOG_LINE_BYTES_MAX, cut: 0 }
    }

    /// Marks the end, if anything was cut.
    pub(super) fn finish(self) {
        if self.cut > 0 {
            let _ = write_mark(self.text, self.cut);
        }
    }
}

impl fmt::Write for Message<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let taken =
            if self.cut == 0 { write_escaped(self.text, text, is_special, &mut self.left)? } else { 0 };
        self.cut += text.len() - taken;
        Ok(())
    }
}

/// Writes the beginning of `text` whose escaped form has at most `left` bytes, and returns its length.
fn write_escaped(
    out: &mut impl fmt::Write,
    text: &str,
    special: fn(char) -> bool,
    left: &mut usize,
) -> Result<usize, fmt::Error> {
    // Nearly every text is clean, and a loop over bytes that looks at nothing but their values is fast.
    if text.len() <= *left && !text.bytes().any(may_begin_special) {
        out.write_str(text)?;
        *left -= text.len();
        return Ok(text.len());
    }
    for (at, c) in text.char_indices() {
        let form = if special(c) { Form::escaped(c) } else { Form::plain(c) };
        if form.len > *left {
            return Ok(at);
        }
        out.write_str(form.as_str())?;
        *left -= form.len;
    }
    Ok(text.len())
}

fn write_mark(out: &mut impl fmt::Write, bytes: usize) -> fmt::Result {
    write!(out, "...({bytes} more bytes)")
}

fn is_special(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

fn is_special_or_backslash(c: char) -> bool {
    c == '\\' || is_special(c)
}

/// Whether a special character may begin with this byte: C0, DEL, a backslash, and the first bytes of the
/// C1 controls (0xC2) and of the Unicode line separators (0xE2).
fn may_begin_special(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, 0x7f | b'\\' | 0xc2 | 0xe2)
}

/// How one character or byte is printed, without an allocation: at most three bytes as `\xNN`.
struct Form {
    bytes: [u8; 12],
    len: usize,
}

impl Form {
    fn plain(c: char) -> Form {
        let mut bytes = [0; 12];
        let len = c.encode_utf8(&mut bytes).len();
        Form { bytes, len }
    }

    fn escaped(c: char) -> Form {
        let short = match c {
            '\n' => Some('n'),
            '\r' => Some('r'),
            '\t' => Some('t'),
            '\\' => Some('\\'),
            _ => None,
        };
        let mut form = Form { bytes: [0; 12], len: 0 };
        match short {
            Some(letter) => form.push(&[b'\\', letter as u8]),
            None => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| form.push_hex(byte)),
        }
        form
    }

    fn of_byte(byte: u8) -> Form {
        let mut form = Form { bytes: [0; 12], len: 0 };
        form.push_hex(byte);
        form
    }

    fn push_hex(&mut self, byte: u8) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.push(&[b'\\', b'x', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).expect("one character, or ASCII written above")
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn message(text: &str) -> String {
        let mut out = String::new();
        let mut message = Message::new(&mut out);
        message.write_str(text).unwrap();
        message.finish();
        out
    }

    #[test]
    fn bytes_are_printed_so_that_they_can_be_read_back() {
        for (bytes, printed) in [
            (&b"IAMAT kiwi +1-2 3"[..], "IAMAT kiwi +1-2 3"),
            (b"a\nb\rc\td\0", r"a\nb\rc\td\x00"),
            (b"\\n is not a line end", r"\\n is not a line end"),
            (b"\xff\xfe caf\xc3\xa9 \xc3", r"\xff\xfe café \xc3"),
            (
                "\u{7f}\u{85}\u{9b}\u{2028}\u{2029}".as_bytes(),
                r"\x7f\xc2\x85\xc2\x9b\xe2\x80\xa8\xe2\x80\xa9",
            ),
            ("\u{a0}€".as_bytes(), "\u{a0}€"),
            (b"", ""),
        ] {
            assert_eq!(Escaped(bytes).to_string(), printed, "{bytes:?}");
        }
    }

    #[test]
    fn a_message_cannot_end_its_line() {
        assert_eq!(
            message("x\n[Alford] forged\u{2028}\u{85}\r"),
            r"x\n[Alford] forged\xe2\x80\xa8\xc2\x85\r"
        );
        assert_eq!(message(&Escaped(b"a\n\\").to_string()), r"a\n\\", "escaped once, not twice");
    }

    #[test]
    fn what_is_too_long_is_cut_and_counted() {
        let long = "é".repeat(LOG_LINE_BYTES_MAX);
        let kept = "é".repeat(LOG_LINE_BYTES_MAX / 2);
        assert_eq!(message(&long), format!("{kept}...({LOG_LINE_BYTES_MAX} more bytes)"));

        let bytes = vec![b'\n'; ESCAPED_BYTES_MAX];
        let kept = r"\n".repeat(ESCAPED_BYTES_MAX / 2);
        assert_eq!(Escaped(&bytes).to_string(), format!("{kept}...({} more bytes)", ESCAPED_BYTES_MAX / 2));

        let bytes = [b"a".repeat(ESCAPED_BYTES_MAX - 3), vec![0xff, 0xff]].concat();
        assert!(Escaped(&bytes).to_string().ends_with("aaa...(2 more bytes)"));
        assert_eq!(message(&Escaped(&bytes).to_string()), Escaped(&bytes).to_string(), "its mark survives");
    }

    #[test]
    fn what_just_fits_is_not_cut() {
        let exact = "a".repeat(LOG_LINE_BYTES_MAX);
        assert_eq!(message(&exact), exact);
        let exact = "b".repeat(ESCAPED_BYTES_MAX);
        assert_eq!(Escaped(exact.as_bytes()).to_string(), exact);
    }
}
