//! The chunked transfer coding, decoded in place as its bytes come in. Source: RFC 9112, 7.1.

use super::head::BadRequest;

/// The most bytes of a line that begins a chunk: the size, and extensions, which no client of ours sends.
const CHUNK_LINE_BYTES_MAX: usize = 256;

/// The most bytes of the trailer fields after the last chunk, all of which are dropped.
const TRAILER_BYTES_MAX: usize = 1_024;

/// The most digits of a size: enough for four gigabytes, which no body here may have.
const SIZE_DIGITS_MAX: usize = 8;

/// The most bytes that chunks may take beside those of the body. A real client sends a few for each kilobyte.
const OVERHEAD_BYTES_MAX: usize = 64 * 1024;

/// How far a chunked body has been decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunked {
    /// Where the next undecoded byte stands.
    read: usize,
    /// Where the next decoded byte goes: what stands before is the body.
    written: usize,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The line that begins a chunk.
    Size,
    /// So many bytes of a chunk, which are to come.
    Data(usize),
    /// The line end after a chunk.
    DataEnd,
    /// Trailer fields, of which so many bytes were dropped.
    Trailers(usize),
    Done,
}

impl Chunked {
    /// A body that begins there.
    pub(super) fn at(start: usize) -> Chunked {
        Chunked { read: start, written: start, state: State::Size }
    }

    /// Decodes what has come. Whether the body is whole.
    ///
    /// # Errors
    /// If it is no chunked body, or has more than `body_bytes_max` bytes.
    pub(super) fn decode(
        &mut self,
        bytes: &mut [u8],
        body_start: usize,
        body_bytes_max: usize,
    ) -> Result<bool, BadRequest> {
        loop {
            if self.read - self.written > OVERHEAD_BYTES_MAX {
                return Err(BadRequest::new(413, "the chunks take more than the body in them"));
            }
            match self.state {
                State::Size => {
                    let Some(line) = self.line(bytes, CHUNK_LINE_BYTES_MAX)? else { return Ok(false) };
                    let size = size(line)?;
                    if size > body_bytes_max.saturating_sub(self.written - body_start) {
                        return Err(BadRequest::new(413, "the body is too long for this path"));
                    }
                    self.read += line.len() + 2;
                    self.state = if size == 0 { State::Trailers(0) } else { State::Data(size) };
                }
                State::Data(left) => {
                    let count = left.min(bytes.len() - self.read);
                    bytes.copy_within(self.read..self.read + count, self.written);
                    self.read += count;
                    self.written += count;
                    if count < left {
                        self.state = State::Data(left - count);
                        return Ok(false);
                    }
                    self.state = State::DataEnd;
                }
                State::DataEnd => match &bytes[self.read..] {
                    [b'\r', b'\n', ..] => {
                        self.read += 2;
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return Ok(false),
                    _ => return Err(bad("a chunk is longer than it says")),
                },
                State::Trailers(dropped) => {
                    let left = TRAILER_BYTES_MAX.saturating_sub(dropped);
                    let Some(line) = self.line(bytes, left)? else { return Ok(false) };
                    let length = line.len() + 2;
                    self.read += length;
                    self.state = if length == 2 { State::Done } else { State::Trailers(dropped + length) };
                }
                State::Done => return Ok(true),
            }
        }
    }

    /// Where the body ends that has been decoded so far.
    pub(super) fn body_end(&self) -> usize {
        self.written
    }

    /// Where what follows the body begins, once it is whole.
    pub(super) fn end(&self) -> usize {
        self.read
    }

    /// The next line without its line end, if it is there.
    fn line<'a>(&self, bytes: &'a [u8], bytes_max: usize) -> Result<Option<&'a [u8]>, BadRequest> {
        let rest = &bytes[self.read..];
        let within = &rest[..rest.len().min(bytes_max)];
        match memchr::memchr2(b'\r', b'\n', within) {
            None if within.len() < bytes_max => Ok(None),
            None => Err(BadRequest::new(431, "a line between chunks is too long")),
            Some(end) => match (rest[end], rest.get(end + 1)) {
                (b'\r', Some(b'\n')) => Ok(Some(&rest[..end])),
                (b'\r', None) => Ok(None),
                _ => Err(bad("a line between chunks does not end with CR and LF")),
            },
        }
    }
}

/// The size at the beginning of a line. After its digits only an extension or a space may follow: what a stricter
/// server takes for another size must not be taken for one here.
fn size(line: &[u8]) -> Result<usize, BadRequest> {
    let count = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at(count);
    let follows = matches!(rest.trim_ascii_start(), [] | [b';', ..]);
    let is_text = rest.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
    let digits = std::str::from_utf8(digits)
        .ok()
        .filter(|digits| digits.len() <= SIZE_DIGITS_MAX && follows && is_text);
    digits.and_then(|digits| usize::from_str_radix(digits, 16).ok()).ok_or_else(|| bad("a chunk has no size"))
}

fn bad(why: &'static str) -> BadRequest {
    BadRequest::new(400, why)
}
