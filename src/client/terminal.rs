//! Replies on a terminal: what others have named their clients must not command it.

use std::io::{self, Write};

use crate::logging::is_special;

/// Passes text on to a terminal. Characters that would move its cursor, turn the direction of text or do other things
/// than be seen are escaped as in the log, line feeds and tabs excepted; so are bytes that are not UTF-8.
pub(super) struct Terminal<W> {
    out: W,
    /// The first bytes of a character whose others have not come yet.
    begun: Vec<u8>,
}

impl<W: Write> Terminal<W> {
    pub(super) fn new(out: W) -> Terminal<W> {
        Terminal { out, begun: Vec::new() }
    }
}

impl<W: Write> Write for Terminal<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = std::mem::take(&mut self.begun);
        text.extend_from_slice(bytes);
        let mut safe = Vec::with_capacity(text.len());
        let mut rest = &text[..];
        while !rest.is_empty() {
            let (valid, invalid) = match std::str::from_utf8(rest) {
                Ok(_) => (rest.len(), 0),
                Err(error) => match error.error_len() {
                    Some(length) => (error.valid_up_to(), length),
                    None => {
                        self.begun = rest[error.valid_up_to()..].to_vec();
                        rest = &rest[..error.valid_up_to()];
                        (rest.len(), 0)
                    }
                },
            };
            push_safe(&rest[..valid], &mut safe);
            safe.extend(rest[valid..valid + invalid].escape_ascii());
            rest = &rest[valid + invalid..];
        }
        self.out.write_all(&safe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn push_safe(valid: &[u8], out: &mut Vec<u8>) {
    for c in String::from_utf8_lossy(valid).chars() {
        let mut utf8 = [0; 4];
        let utf8 = c.encode_utf8(&mut utf8).as_bytes();
        if is_special(c) && !matches!(c, '\n' | '\t') {
            out.extend(utf8.escape_ascii());
        } else {
            out.extend_from_slice(utf8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_commanded_by_nothing_however_it_is_cut() {
        let reply = "AT A +1 k\u{1b}[31m\u{9b}2J\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\r\u{7f} +1+1 1\n\
                     {\"a\\\":\t\"é王\"}\n\n";
        let shown = "AT A +1 k\\x1b[31m\\xc2\\x9b2J\\xe2\\x80\\xae\\xe2\\x81\\xa6\\xe2\\x80\\x8f\\xd8\\x9c\
                     \\xe2\\x80\\xa8\\r\\x7f +1+1 1\n{\"a\\\":\t\"é王\"}\n\n";
        for size in 1..reply.len() {
            let mut terminal = Terminal::new(Vec::new());
            for piece in reply.as_bytes().chunks(size) {
                terminal.write_all(piece).unwrap();
            }
            assert_eq!(String::from_utf8(terminal.out).unwrap(), shown, "{size}");
        }
        let mut terminal = Terminal::new(Vec::new());
        terminal.write_all(b"a\xff\x9b\xc3b").unwrap();
        assert_eq!(terminal.out, b"a\\xff\\x9b\\xc3b");
    }
}
