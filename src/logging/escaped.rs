//! Text from outside made safe for a log: no byte of it can end a line, and its length is bounded.

use std::fmt::{self, Write};

/// The most bytes of a line's message; bytes beyond are counted and cut. A request fits many times over, a
/// long answer with its places does not and need not.
pub const LOG_LINE_BYTES_MAX: usize = 4096;

/// The most bytes that one [`Escaped`] prints, its mark not included: it leaves room in the line for
/// addresses and words around it.
pub const ESCAPED_BYTES_MAX: usize = LOG_LINE_BYTES_MAX - 512;

/// Any bytes, printed on one line: UTF-8 stays readable, but for control characters (also DEL and C1), the
/// Unicode line separators and the marks that change the direction of text. Those, and bytes that are not
/// UTF-8, become `\n`, `\r`, `\t` or `\xNN` for each byte, and a backslash becomes `\\`, so that the bytes
/// can be read back exactly. After [`ESCAPED_BYTES_MAX`] bytes a mark says how many more there were.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No byte is printed as less than a byte, so none beyond the bound can fit.
        let (begin, beyond) = self.0.split_at(self.0.len().min(ESCAPED_BYTES_MAX));
        let is_special = |c| c == '\\' || is_special(c);
        let mut out = Bounded { out: f, is_special, left: ESCAPED_BYTES_MAX, cut: 0 };
        for chunk in begin.utf8_chunks() {
            out.write_str(chunk.valid())?;
            chunk.invalid().chunks(1).try_for_each(|byte| out.write_escaped(byte))?;
        }
        out.cut += beyond.len();
        out.finish()
    }
}

/// Text that is escaped on its way to `out`, and cut when its printed form is full.
pub(super) struct Bounded<'a, W> {
    out: &'a mut W,
    is_special: fn(char) -> bool,
    left: usize,
    cut: usize,
}

/// The message of one line, to be appended to `text`: escapes what [`Escaped`] escapes but for backslashes,
/// which it could not tell from those of an `Escaped` within, and prints at most [`LOG_LINE_BYTES_MAX`] bytes
/// and a mark.
pub(super) fn message(text: &mut String) -> Bounded<'_, String> {
    Bounded { out: text, is_special, left: LOG_LINE_BYTES_MAX, cut: 0 }
}

impl<W: Write> Bounded<'_, W> {
    /// Marks the end, if anything was cut.
    pub(super) fn finish(self) -> fmt::Result {
        if self.cut > 0 { write!(self.out, "...({} more bytes)", self.cut) } else { Ok(()) }
    }

    fn write_escaped(&mut self, bytes: &[u8]) -> fmt::Result {
        let form = bytes.escape_ascii();
        if self.fits(bytes.len(), form.clone().count()) { write!(self.out, "{form}") } else { Ok(()) }
    }

    /// Takes the room for `bytes` of text, or counts them as cut.
    fn fits(&mut self, bytes: usize, printed: usize) -> bool {
        let fits = self.cut == 0 && printed <= self.left;
        if fits {
            self.left -= printed;
        } else {
            self.cut += bytes;
        }
        fits
    }
}

impl<W: Write> Write for Bounded<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Nearly every text is clean, and a loop over bytes that looks at nothing but their values is fast.
        if self.cut == 0 && text.len() <= self.left && !text.bytes().any(may_begin_special) {
            self.left -= text.len();
            return self.out.write_str(text);
        }
        for (at, c) in text.char_indices() {
            if self.cut > 0 {
                self.cut += text.len() - at;
                break;
            }
            let mut utf8 = [0; 4];
            let utf8 = c.encode_utf8(&mut utf8);
            if (self.is_special)(c) {
                self.write_escaped(utf8.as_bytes())?;
            } else if self.fits(utf8.len(), utf8.len()) {
                self.out.write_str(utf8)?;
            }
        }
        Ok(())
    }
}

/// A message that goes to a terminal and not to the log, on one line and escaped as a message of the log is.
#[derive(Clone, Copy, Debug)]
pub struct OneLine<'a>(pub &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let mut message = message(&mut text);
        message.write_str(self.0)?;
        message.finish()?;
        f.write_str(&text)
    }
}

/// Whether `c` could end a line, command a terminal, or show a line in another order than it has.
pub fn is_special(c: char) -> bool {
    let turns_text =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns_text || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether a special character may begin with this byte: C0, DEL, a backslash, and the first bytes of C1 (0xC2),
/// of the Arabic letter mark (0xD8) and of the other marks and separators (0xE2).
fn may_begin_special(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, 0x7f | b'\\' | 0xc2 | 0xd8 | 0xe2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        let mut out = String::new();
        let mut message = super::message(&mut out);
        message.write_str(text).unwrap();
        message.finish().unwrap();
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
            ("\u{a0}€ Zoë 王 אבג".as_bytes(), "\u{a0}€ Zoë 王 אבג"),
            (
                "\u{61c}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}".as_bytes(),
                r"\xd8\x9c\xe2\x80\x8f\xe2\x80\xaa\xe2\x80\xae\xe2\x81\xa6\xe2\x81\xa9",
            ),
            (b"'quoted' \"twice\"", "'quoted' \"twice\""),
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
        assert_eq!(OneLine("x\n\u{9b}\u{202e}\\").to_string(), r"x\n\xc2\x9b\xe2\x80\xae\");
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_and_counted() {
        let long = "é".repeat(LOG_LINE_BYTES_MAX);
        let kept = "é".repeat(LOG_LINE_BYTES_MAX / 2);
        assert_eq!(message(&long), format!("{kept}...({LOG_LINE_BYTES_MAX} more bytes)"));

        let bytes = vec![b'\n'; ESCAPED_BYTES_MAX];
        let kept = r"\n".repeat(ESCAPED_BYTES_MAX / 2);
        assert_eq!(Escaped(&bytes).to_string(), format!("{kept}...({} more bytes)", ESCAPED_BYTES_MAX / 2));

        let kept = "a".repeat(ESCAPED_BYTES_MAX - 1);
        assert_eq!(Escaped(format!("{kept}éb\n").as_bytes()).to_string(), format!("{kept}...(4 more bytes)"));

        let bytes = [b"a".repeat(ESCAPED_BYTES_MAX - 3), vec![0xff, 0xff]].concat();
        assert!(Escaped(&bytes).to_string().ends_with("aaa...(2 more bytes)"));
        assert_eq!(message(&Escaped(&bytes).to_string()), Escaped(&bytes).to_string(), "its mark survives");
    }

    #[test]
    fn a_text_that_just_fits_is_not_cut() {
        let exact = "a".repeat(LOG_LINE_BYTES_MAX);
        assert_eq!(message(&exact), exact);
        let exact = "b".repeat(ESCAPED_BYTES_MAX);
        assert_eq!(Escaped(exact.as_bytes()).to_string(), exact);
    }
}
