//! The values of a JSON text, one after the other out of a stream, so that no file is in memory as a whole.
//!
//! Only the ends of values are looked for here: strings, and how deep brackets nest. What is odd within a value is
//! found by those who read it, and spoils no other one.

use std::fmt;
use std::io::{self, BufRead};

use memchr::{memchr_iter, memchr2, memrchr};

/// Why a stream cannot be read on.
#[derive(Debug)]
pub(super) enum ScanError {
    /// What the system or the decompressor says.
    Io(io::Error),
    /// It ends in the middle of a value.
    Ends(Position),
    /// Another character stands where one of these should be.
    Unexpected { expected: &'static str, at: Position },
    /// It is longer than so many bytes.
    TooLong(u64),
}

/// A place in a text, for people: both numbers begin with 1, and a column is a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    line: u64,
    column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} column {}", self.line, self.column)
    }
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScanError::Io(error) => write!(f, "cannot be read: {error}"),
            ScanError::Ends(Position { line: 1, column: 1 }) => f.write_str("it is empty"),
            ScanError::Ends(at) => write!(f, "it is cut off: it ends in the middle at {at}"),
            ScanError::Unexpected { expected, at } => write!(f, "not GeoJSON: expected {expected} at {at}"),
            ScanError::TooLong(bytes_max) => {
                write!(f, "more than {bytes_max} bytes: split it, or keep fewer places")
            }
        }
    }
}

impl From<ScanError> for String {
    fn from(error: ScanError) -> String {
        error.to_string()
    }
}

/// A stream of JSON values.
pub(super) struct Scanner<R> {
    input: R,
    /// Where the next byte is.
    at: Position,
    bytes: u64,
    /// The most bytes of the whole stream.
    bytes_max: u64,
}

impl<R: BufRead> Scanner<R> {
    pub(super) fn new(input: R, bytes_max: u64) -> Scanner<R> {
        Scanner { input, at: Position { line: 1, column: 1 }, bytes: 0, bytes_max }
    }

    /// The next byte that is no white space, which stays there. `None` is the end of the stream.
    pub(super) fn peek(&mut self) -> Result<Option<u8>, ScanError> {
        loop {
            let chunk = self.input.fill_buf().map_err(ScanError::Io)?;
            let blank = chunk.iter().take_while(|byte| is_white_space(**byte)).count();
            match chunk.get(blank).copied() {
                None if chunk.is_empty() => return Ok(None),
                next => {
                    self.consume(blank)?;
                    if next.is_some() {
                        return Ok(next);
                    }
                }
            }
        }
    }

    /// Passes over `byte`, if it comes next.
    pub(super) fn take(&mut self, byte: u8) -> Result<bool, ScanError> {
        let is_next = self.peek()? == Some(byte);
        if is_next {
            self.consume(1)?;
        }
        Ok(is_next)
    }

    /// Passes over `byte`, which must come next.
    pub(super) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), ScanError> {
        match self.take(byte)? {
            true => Ok(()),
            false => Err(self.unexpected(expected)),
        }
    }

    /// The error that something else comes next.
    pub(super) fn unexpected(&mut self, expected: &'static str) -> ScanError {
        match self.peek() {
            Err(error) => error,
            Ok(None) => ScanError::Ends(self.at),
            Ok(Some(_)) => ScanError::Unexpected { expected, at: self.at },
        }
    }

    /// Puts the next value into `text`, whatever it is. `false`: it has more than `bytes_max` bytes, and is passed
    /// over.
    pub(super) fn value(&mut self, text: &mut Vec<u8>, bytes_max: usize) -> Result<bool, ScanError> {
        text.clear();
        self.peek()?;
        let (mut extent, mut fits) = (Extent::default(), true);
        loop {
            let chunk = self.input.fill_buf().map_err(ScanError::Io)?;
            if chunk.is_empty() {
                let is_whole = extent.is_outside() && !text.is_empty();
                return if is_whole { Ok(fits) } else { Err(ScanError::Ends(self.at)) };
            }
            let (length, ended) = extent.advance(chunk);
            fits = fits && append(text, &chunk[..length], bytes_max);
            self.consume(length)?;
            if ended {
                return Ok(fits);
            }
        }
    }

    /// Puts all up to `end`, or up to the end of the stream, into `text`, and passes over `end`. `false`: these are
    /// more than `bytes_max` bytes.
    pub(super) fn until(&mut self, end: u8, text: &mut Vec<u8>, bytes_max: usize) -> Result<bool, ScanError> {
        text.clear();
        let mut fits = true;
        loop {
            let chunk = self.input.fill_buf().map_err(ScanError::Io)?;
            let found = memchr::memchr(end, chunk);
            let length = found.unwrap_or(chunk.len());
            fits = fits && append(text, &chunk[..length], bytes_max);
            let is_over = found.is_some() || chunk.is_empty();
            self.consume(length + usize::from(found.is_some()))?;
            if is_over {
                return Ok(fits);
            }
        }
    }

    /// Passes over the first `count` bytes of what the input has ready.
    fn consume(&mut self, count: usize) -> Result<(), ScanError> {
        let chunk = &self.input.fill_buf().map_err(ScanError::Io)?[..count];
        match memrchr(b'\n', chunk) {
            None => self.at.column += count as u64,
            Some(last) => {
                self.at.line += memchr_iter(b'\n', chunk).count() as u64;
                self.at.column = (count - last) as u64;
            }
        }
        self.input.consume(count);
        self.bytes += count as u64;
        if self.bytes > self.bytes_max { Err(ScanError::TooLong(self.bytes_max)) } else { Ok(()) }
    }
}

/// Appends what still fits; of what does not, nothing is kept.
fn append(text: &mut Vec<u8>, more: &[u8], bytes_max: usize) -> bool {
    let fits = text.len() + more.len() <= bytes_max;
    if fits {
        text.extend_from_slice(more);
    } else {
        // One byte says that there was something.
        text.truncate(1);
    }
    fits
}

fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// How far a value goes.
#[derive(Default)]
struct Extent {
    depth: u64,
    in_string: bool,
    /// The next byte of a string stands for itself.
    escaped: bool,
}

impl Extent {
    fn is_outside(&self) -> bool {
        self.depth == 0 && !self.in_string
    }

    /// How many of the next bytes belong to the value, and whether it ends there.
    fn advance(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < bytes.len() {
            if self.escaped {
                self.escaped = false;
                at += 1;
            } else if self.in_string {
                let Some(found) = memchr2(b'"', b'\\', &bytes[at..]) else { break };
                at += found + 1;
                if bytes[at - 1] == b'\\' {
                    self.escaped = true;
                } else {
                    self.in_string = false;
                    if self.depth == 0 {
                        return (at, true);
                    }
                }
            } else {
                match bytes[at] {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' if self.depth <= 1 => {
                        let closes = usize::from(self.depth == 1);
                        self.depth = 0;
                        return (at + closes, true);
                    }
                    b'}' | b']' => self.depth -= 1,
                    b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' if self.depth == 0 => return (at, true),
                    _ => {}
                }
                at += 1;
            }
        }
        (bytes.len(), false)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// The values of an array, whatever the reader finds in its buffer at once.
    fn values(text: &str, capacity: usize, bytes_max: usize) -> Result<Vec<String>, String> {
        let mut scanner = Scanner::new(BufReader::with_capacity(capacity, text.as_bytes()), u64::MAX);
        let (mut value, mut values) = (Vec::new(), Vec::new());
        let mut read = || {
            scanner.expect(b'[', "an array")?;
            while !scanner.take(b']')? {
                let fits = scanner.value(&mut value, bytes_max)?;
                values.push(if fits { String::from_utf8_lossy(&value).into_owned() } else { "-".to_owned() });
                if !scanner.take(b',')? && scanner.peek()? != Some(b']') {
                    return Err(scanner.unexpected("a comma"));
                }
            }
            Ok(())
        };
        read().map_err(|error: ScanError| error.to_string())?;
        Ok(values)
    }

    #[test]
    fn values_end_where_they_end_whatever_is_in_them() {
        let text = "[ {\"a\":[1,{\"b\":\"}]\\\"\\\\\"}]} ,3,\n\"x,\\\"]\",null , [[]],-1e5]";
        let expected = ["{\"a\":[1,{\"b\":\"}]\\\"\\\\\"}]}", "3", "\"x,\\\"]\"", "null", "[[]]", "-1e5"];
        for capacity in 1..=text.len() {
            assert_eq!(values(text, capacity, 100).unwrap(), expected);
        }
        let deep = format!("[{}{}]", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(values(&deep, 4_096, 1_000_000).unwrap().len(), 1, "depth costs no stack");
        assert_eq!(values("[\"12345\",1]", 2, 6).unwrap(), ["-", "1"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let wrong = |text: &str| values(text, 3, 100).unwrap_err();
        assert_eq!(wrong("[1,\n {\"a\":"), "it is cut off: it ends in the middle at line 2 column 7");
        assert_eq!(wrong("[1\n2]"), "not GeoJSON: expected a comma at line 2 column 1");
        assert_eq!(wrong(""), "it is empty");
        let mut long = Scanner::new(&b"[1, 2, 3]"[..], 4);
        assert!(long.take(b'[').unwrap());
        let error = long.until(b'x', &mut Vec::new(), 100).unwrap_err();
        assert_eq!(error.to_string(), "more than 4 bytes: split it, or keep fewer places");
    }
}
