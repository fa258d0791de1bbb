//! Bytes in, bounded requests out.
//!
//! In this order, for each turn:
//! 1. [`Reader::space`] is where to read into; [`Reader::filled`] says how many bytes came.
//! 2. [`Reader::progress`] says what there is, until it wants more bytes: a head, with which the driver chooses how
//!    long the body may be; a client that waits for `100 Continue`; a whole request.
//! 3. [`Reader::request`] is that request, and [`Reader::done`] makes room for the next one.

use super::chunked::Chunked;
use super::form;
use super::head::{BadRequest, Body, HEAD_BYTES_MAX, Head, absolute, end_of};

pub use super::header_name::Name;

/// The bytes that are read at once.
const READ_BYTES: usize = 4 * 1024;

/// The bytes that are read at first by a reader that is sparing: the half of a phone's report.
const SPARING_BYTES: usize = 512;

/// The most bytes of a request line.
const REQUEST_LINE_BYTES_MAX: usize = 8 * 1024;

/// The most empty lines before a request. Some clients of old sent one behind a body.
const EMPTY_LINES_MAX: usize = 4;

/// Reads the requests of one connection.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
    /// How many of them have come; behind them is space.
    len: usize,
    /// Says something unless the state is [`State::Unread`].
    head: Head,
    state: State,
    /// Whether the end of the head has been looked for, and had not come.
    is_cut: bool,
    is_sparing: bool,
}

#[derive(Debug, Default)]
enum State {
    /// No end of the head was found.
    #[default]
    Unread,
    /// The head is there. The driver has not said how long the body may be.
    Unbounded,
    Length(usize),
    Chunked(Chunked, usize),
    /// All of the body has come.
    Whole {
        body_end: usize,
        end: usize,
    },
}

/// What there is of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Too little: read on.
    More,
    /// A head: call [`Reader::bound_body`].
    Head,
    /// A head whose client waits for `100 Continue`, and read on.
    Continue,
    /// A request.
    Whole,
}

/// A whole request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    head: &'a Head,
    bytes: &'a [u8],
    /// The bytes of its path that are not looked at.
    base_bytes: usize,
    /// The body, with its transfer coding undone.
    pub body: &'a [u8],
}

impl Reader {
    /// One that takes little room between requests. What it reads from must keep what does not fit at first, as TLS
    /// does: a socket would be asked twice.
    pub fn sparing() -> Reader {
        Reader { is_sparing: true, ..Reader::default() }
    }

    /// Where to read into.
    pub fn space(&mut self) -> &mut [u8] {
        let more = if self.len == 0 { self.idle_bytes() } else { READ_BYTES };
        if self.bytes.len() < self.len + more {
            self.bytes.resize(self.len + more, 0);
        }
        &mut self.bytes[self.len..]
    }

    fn idle_bytes(&self) -> usize {
        if self.is_sparing { SPARING_BYTES } else { READ_BYTES }
    }

    /// So many bytes have come.
    pub fn filled(&mut self, count: usize) {
        self.len += count;
    }

    /// Whether a part of a request has come.
    pub fn is_mid_request(&self) -> bool {
        self.len > 0
    }

    /// What there is of the next request.
    ///
    /// # Errors
    /// If it is none, or too long. The connection must be closed after the answer.
    pub fn progress(&mut self) -> Result<Progress, BadRequest> {
        let bytes = &mut self.bytes[..self.len];
        let start = self.head.bytes;
        let ends = match &mut self.state {
            State::Unread => {
                let Some(start) = first_line(bytes)? else { return Ok(Progress::More) };
                if start > 0 {
                    self.bytes.copy_within(start..self.len, 0);
                    self.len -= start;
                }
                return self.head();
            }
            State::Unbounded => return Ok(Progress::Head),
            State::Length(length) => {
                let end = start + *length;
                (bytes.len() >= end).then_some((end, end))
            }
            State::Chunked(chunked, most) => {
                chunked.decode(bytes, start, *most)?.then(|| (chunked.body_end(), chunked.end()))
            }
            State::Whole { .. } => return Ok(Progress::Whole),
        };
        let Some((body_end, end)) = ends else {
            let waits = std::mem::take(&mut self.head.expects_continue) && bytes.len() == start;
            return Ok(if waits { Progress::Continue } else { Progress::More });
        };
        self.state = State::Whole { body_end, end };
        Ok(Progress::Whole)
    }

    /// Says how many bytes the body may have of the request whose head is there.
    ///
    /// # Errors
    /// If it says that it has more.
    pub fn bound_body(&mut self, body_bytes_max: usize) -> Result<(), BadRequest> {
        if let State::Unbounded = self.state {
            self.state = match self.head.body {
                Body::None => State::Length(0),
                Body::Length(length) => match usize::try_from(length) {
                    Ok(length) if length <= body_bytes_max => State::Length(length),
                    _ => return Err(BadRequest::new(413, "the body is too long for this path")),
                },
                Body::Chunked => State::Chunked(Chunked::at(self.head.bytes), body_bytes_max),
            };
        }
        Ok(())
    }

    /// How many bytes are held of what has come.
    pub fn held_bytes(&self) -> usize {
        self.len
    }

    /// The request whose head or whole is there.
    pub fn request(&self) -> Option<Request<'_>> {
        let head = &self.head;
        let body_end = match self.state {
            State::Unread => return None,
            State::Whole { body_end, .. } => body_end,
            State::Unbounded | State::Length(_) | State::Chunked(..) => head.bytes,
        };
        let (bytes, body) = self.bytes[..body_end].split_at(head.bytes);
        Some(Request { head, bytes, base_bytes: 0, body })
    }

    /// Drops the request, which has been answered. What a large one took is given back.
    pub fn done(&mut self) {
        if let State::Whole { end, .. } = self.state {
            self.bytes.copy_within(end..self.len, 0);
            self.len -= end;
            // Room that is there need not be cleared again.
            self.bytes.truncate(self.len.max(self.idle_bytes()));
            self.bytes.shrink_to(self.idle_bytes());
            (self.state, self.is_cut) = (State::Unread, false);
        }
    }

    fn head(&mut self) -> Result<Progress, BadRequest> {
        let bytes = &self.bytes[..self.len];
        let longest = bytes.get(..=REQUEST_LINE_BYTES_MAX);
        if longest.is_some_and(|line| memchr::memchr(b'\n', line).is_none()) {
            return Err(BadRequest::new(414, "the target is too long"));
        }
        if !self.is_cut && self.head.read_at_once(bytes)? {
            self.state = State::Unbounded;
            return Ok(Progress::Head);
        }
        match end_of(bytes)? {
            Some(end) if end <= HEAD_BYTES_MAX => {
                self.head.read(&bytes[..end])?;
                self.state = State::Unbounded;
                Ok(Progress::Head)
            }
            None if bytes.len() < HEAD_BYTES_MAX => {
                self.is_cut = true;
                Ok(Progress::More)
            }
            Some(_) | None => Err(BadRequest::new(431, "the head has more than 16 KiB")),
        }
    }
}

/// Where the request line begins. Empty lines before it are allowed, and a byte that begins none is known at once: what
/// begins a TLS hello has no line end to wait for.
fn first_line(bytes: &[u8]) -> Result<Option<usize>, BadRequest> {
    let mut start = 0;
    while bytes[start..].starts_with(b"\r\n") {
        start += 2;
    }
    if start > 2 * EMPTY_LINES_MAX {
        return Err(BadRequest::new(400, "too many empty lines before the request"));
    }
    match &bytes[start..] {
        [] | [b'\r'] => Ok(None),
        [0x16, ..] => {
            Err(BadRequest::new(400, "this port speaks HTTP without TLS: write http:// and not https://"))
        }
        [first, ..] if !first.is_ascii_graphic() => {
            Err(BadRequest::new(400, "the head is no request of HTTP/1.1"))
        }
        _ => Ok(Some(start)),
    }
}

impl<'a> Request<'a> {
    /// The method, in capitals as a rule.
    pub fn method(&self) -> &'a [u8] {
        self.head.method(self.bytes)
    }

    /// The request with what follows a base path for its path; `None` if its path is elsewhere.
    pub fn below(self, base: &str) -> Option<Request<'a>> {
        let rest = self.path().strip_prefix(base.as_bytes())?;
        let is_below = base.is_empty() || matches!(rest, [] | [b'/', ..]);
        is_below.then_some(Request { base_bytes: self.base_bytes + base.len(), ..self })
    }

    /// The path, as it came: percent-encoding is not undone.
    pub fn path(&self) -> &'a [u8] {
        match &self.whole_path()[self.base_bytes..] {
            [] if self.base_bytes > 0 => b"/",
            path => path,
        }
    }

    /// The path with the base path before it, as it came.
    pub fn whole_path(&self) -> &'a [u8] {
        &self.bytes[self.head.path.clone()]
    }

    /// The query, as it came; empty if there is none.
    pub fn query(&self) -> &'a [u8] {
        &self.bytes[self.head.query.clone()]
    }

    /// The only value of a header field; `None` if there is none or more than one.
    pub fn header(&self, name: Name) -> Option<&'a [u8]> {
        let mut values = self.headers(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// The names of all header fields that are none of [`Name`], as they came.
    pub fn other_header_names(&self) -> impl Iterator<Item = &'a [u8]> {
        self.head.other_names(self.bytes)
    }

    /// The server that the target names, of a client that takes us for a proxy.
    pub fn authority(&self) -> Option<&'a [u8]> {
        let rest = absolute(self.head.target(self.bytes))?;
        rest.split(|byte| matches!(byte, b'/' | b'?' | b'#')).next()
    }

    /// All values of a header field.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = &'a [u8]> {
        self.head.values(self.bytes, name)
    }

    /// Whether an answer of this media type is asked for by its name. `q=0` says that it is not.
    pub fn accepts(&self, media_type: &str) -> bool {
        let mut ranges = self.headers(Name::Accept).flat_map(|value| value.split(|&byte| byte == b','));
        ranges.any(|range| {
            let mut parts = range.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let is_it = parts.next().is_some_and(|it| it.eq_ignore_ascii_case(media_type.as_bytes()));
            let is_refused = |part: &[u8]| {
                let weight = part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q="));
                let weight = weight.and_then(|weight| std::str::from_utf8(weight).ok()?.parse::<f64>().ok());
                weight.is_some_and(|weight| weight <= 0.0)
            };
            is_it && !parts.any(is_refused)
        })
    }

    /// Whether an answer must say that the connection goes on, because in HTTP/1.0 it would not.
    pub fn must_say_keep_alive(&self) -> bool {
        self.head.keeps_alive && !self.head.is_1_1
    }

    /// Whether the connection may go on after the answer.
    pub fn keeps_alive(&self) -> bool {
        self.head.keeps_alive
    }

    /// The media type of the body without its parameters, in lower case.
    pub fn media_type(&self) -> String {
        let value = self.header(Name::ContentType).unwrap_or_default();
        let media_type = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        String::from_utf8_lossy(media_type).to_ascii_lowercase()
    }

    /// The pairs of the query.
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        form::pairs(self.query())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_between_requests_is_little() {
        for (mut reader, bytes_max) in [(Reader::sparing(), SPARING_BYTES), (Reader::default(), READ_BYTES)] {
            for body_bytes in [0, 100, 600, 10_000] {
                let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {body_bytes}\r\n\r\n");
                let request = [request.as_bytes(), &vec![b'x'; body_bytes]].concat();
                let mut rest = &request[..];
                while !rest.is_empty() {
                    let space = reader.space();
                    let count = space.len().min(rest.len());
                    space[..count].copy_from_slice(&rest[..count]);
                    reader.filled(count);
                    rest = &rest[count..];
                    if reader.progress().unwrap() == Progress::Head {
                        reader.bound_body(20_000).unwrap();
                    }
                }
                assert_eq!(reader.progress(), Ok(Progress::Whole));
                assert_eq!(reader.request().unwrap().body.len(), body_bytes);
                reader.done();
                assert_eq!(reader.space().len(), bytes_max);
                assert_eq!(reader.bytes.capacity(), bytes_max);
            }
        }
    }
}
