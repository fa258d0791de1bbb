//! The head of a request: its method, target and header fields, read by `httparse`, and what they say of the body.
//!
//! Requests that two servers could understand in two ways are refused, because a proxy before us may be the other one:
//! more than one length, a length beside chunks, other transfer codings, folded lines, bare CR or LF. Source: RFC 9112.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::header_name::Name;

/// The most header fields of a request. Real clients send under thirty, behind proxies a few more.
pub const HEADERS_MAX: usize = 64;

/// The most bytes of a head, with its empty line. Real ones have under two thousand.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The most bytes of a head that is kept to compare the next one with it. What phones and programs send has under five
/// hundred, and each connection keeps one.
const KEPT_BYTES_MAX: usize = 1024;

/// Why a request is not understood, and with which status it is answered. The connection is closed after that, because
/// nothing says where the next request begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct BadRequest {
    /// The status of the answer.
    pub status: u16,
    /// A sentence for the author of the client.
    pub why: &'static str,
}

/// The head of a request, as places in the bytes that it was read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    method: Range<usize>,
    target: Range<usize>,
    /// The path and the query of the target.
    pub(super) path: Range<usize>,
    pub(super) query: Range<usize>,
    headers: Vec<Field>,
    /// A bit for the name of each header field that is there: of most names that are asked for, none is.
    present: u32,
    /// A bit for the name of each that is there more than once.
    repeated: u32,
    /// Where in the header fields the first of each name is that is there.
    first: [u8; Name::COUNT],
    /// Its bytes, with the empty line.
    pub(super) bytes: usize,
    /// The same, if the next head may be the same; empty if not.
    kept: Vec<u8>,
    /// Where in them the digits of a length stand; empty if there are none.
    length: Range<usize>,
    /// What follows it.
    pub(super) body: Body,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
    /// Whether the connection may go on after the answer.
    pub(super) keeps_alive: bool,
    /// Whether the client speaks HTTP/1.1, and not 1.0.
    pub(super) is_1_1: bool,
}

/// A header field, as places in the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    known: Option<Name>,
    name: Place,
    value: Place,
}

/// The first byte of a text and the one behind it. A head is short enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place(u16, u16);
const _: () = assert!(HEAD_BYTES_MAX <= u16::MAX as usize);

impl Place {
    fn of(range: &Range<usize>) -> Place {
        Place(range.start as u16, range.end as u16)
    }

    fn range(self) -> Range<usize> {
        usize::from(self.0)..usize::from(self.1)
    }
}

/// What follows a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Body {
    #[default]
    None,
    Length(u64),
    Chunked,
}

impl BadRequest {
    /// With this status and this sentence.
    pub const fn new(status: u16, why: &'static str) -> BadRequest {
        BadRequest { status, why }
    }
}

impl Head {
    /// Reads the head that stands at the start of these bytes if it is whole and right, as most are when their first
    /// bytes have come: then its end need not be looked for. Whether it is.
    pub(super) fn read_at_once(&mut self, bytes: &[u8]) -> Result<bool, BadRequest> {
        if self.is_again(bytes) {
            return Ok(true);
        }
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, &mut headers) {
            Ok(httparse::Status::Complete(end)) if end <= HEAD_BYTES_MAX => {
                let bytes = &bytes[..end];
                let is_right = has_right_line_ends(bytes);
                if is_right { self.take(&request, bytes).map(|()| true) } else { Ok(false) }
            }
            Ok(_) | Err(_) => Ok(false),
        }
    }

    /// Whether the last head stands there again, with another length of as many digits, perhaps, which is taken. So are
    /// nearly all that come on one connection, and of these nothing more need be read.
    fn is_again(&mut self, bytes: &[u8]) -> bool {
        let Range { start, end } = self.length;
        let is_same = bytes.len() >= self.kept.len()
            && !self.kept.is_empty()
            && bytes[..start] == self.kept[..start]
            && bytes[end..self.kept.len()] == self.kept[end..];
        if !is_same || start == end {
            return is_same;
        }
        // What is no length is for the full way, which says so.
        whole_number(&bytes[start..end]).map(|length| self.body = Body::Length(length)).is_some()
    }

    /// Keeps the bytes of the head that has been read.
    fn keep(&mut self, bytes: &[u8]) {
        self.length = match self.body {
            Body::Length(_) => {
                self.headers[usize::from(self.first[Name::ContentLength as usize])].value.range()
            }
            Body::None | Body::Chunked => 0..0,
        };
        // A client that waits is rare, and its wait ends once.
        if bytes.len() <= KEPT_BYTES_MAX && !self.expects_continue {
            self.kept.extend_from_slice(bytes);
        }
    }

    /// Reads a whole head, which ends with an empty line, and all of whose line ends are right. The room that the last
    /// one took is used again.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), BadRequest> {
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, &mut headers) {
            Ok(httparse::Status::Complete(_)) => self.take(&request, bytes),
            Ok(httparse::Status::Partial) => Err(bad("the head is cut off")),
            Err(httparse::Error::TooManyHeaders) => Err(BadRequest::new(431, "more than 64 header fields")),
            Err(httparse::Error::Version) if is_of_other_version(bytes) => {
                Err(BadRequest::new(505, "only HTTP/1.1 and HTTP/1.0 are spoken here"))
            }
            Err(_) => Err(bad("the head is no request of HTTP/1.1")),
        }
    }

    fn take(&mut self, request: &httparse::Request<'_, '_>, bytes: &[u8]) -> Result<(), BadRequest> {
        let is_1_1 = request.version == Some(1);
        let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
        let place = |text: &[u8]| {
            let start = text.as_ptr() as usize - bytes.as_ptr() as usize;
            start..start + text.len()
        };
        self.headers.clear();
        self.kept.clear();
        (self.present, self.repeated, self.first) = (0, 0, [0; Name::COUNT]);
        for field in request.headers.iter() {
            let name = field.name.as_bytes();
            let known = Name::of(name);
            if let Some(known) = known {
                let bit = known.bit();
                if self.present & bit == 0 {
                    self.first[known as usize] = self.headers.len() as u8;
                }
                self.repeated |= self.present & bit;
                self.present |= bit;
            }
            let (name, value) = (place(name), place(field.value.trim_ascii()));
            self.headers.push(Field { known, name: Place::of(&name), value: Place::of(&value) });
        }
        let (path, query) = path_and_query(target.as_bytes());
        (self.method, self.target) = (place(method.as_bytes()), place(target.as_bytes()));
        (self.path, self.query) = (place(path), place(query));
        (self.bytes, self.is_1_1) = (bytes.len(), is_1_1);
        self.check_host(bytes)?;
        self.expects_continue = self.expectation(bytes)? && is_1_1;
        self.body = self.framing(bytes)?;
        self.keeps_alive = self.persistence(bytes);
        self.keep(bytes);
        Ok(())
    }

    pub(super) fn method<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.method.clone()]
    }

    pub(super) fn target<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.target.clone()]
    }

    /// The names of all header fields but those that are known here.
    pub(super) fn other_names<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let others = self.headers.iter().filter(|field| field.known.is_none());
        others.map(|field| &bytes[field.name.range()])
    }

    /// The values of a header field, in their order.
    pub(super) fn values<'a>(&'a self, bytes: &'a [u8], name: Name) -> impl Iterator<Item = &'a [u8]> {
        let first = usize::from(self.first[name as usize]);
        let headers = match name.bit() {
            bit if self.present & bit == 0 => &[][..],
            bit if self.repeated & bit == 0 => &self.headers[first..=first],
            _ => &self.headers[first..],
        };
        let named = headers.iter().filter(move |field| field.known == Some(name));
        named.map(|field| &bytes[field.value.range()])
    }

    fn check_host(&self, bytes: &[u8]) -> Result<(), BadRequest> {
        let hosts = self.values(bytes, Name::Host).count();
        if hosts > 1 || (hosts == 0 && self.is_1_1) {
            return Err(bad("there must be one Host field"));
        }
        Ok(())
    }

    /// Whether the client expects `100 Continue`.
    fn expectation(&self, bytes: &[u8]) -> Result<bool, BadRequest> {
        let mut expected = self.values(bytes, Name::Expect);
        match (expected.next(), expected.next()) {
            (None, _) => Ok(false),
            (Some(what), None) if what.eq_ignore_ascii_case(b"100-continue") => Ok(true),
            _ => Err(BadRequest::new(417, "nothing but 100-continue can be expected")),
        }
    }

    /// How the body comes.
    fn framing(&self, bytes: &[u8]) -> Result<Body, BadRequest> {
        let mut lengths = self.values(bytes, Name::ContentLength);
        let mut codings = self.values(bytes, Name::TransferEncoding);
        let (length, coding) = (lengths.next(), codings.next());
        if lengths.next().is_some() {
            return Err(bad("there is more than one Content-Length"));
        }
        match (length, coding) {
            (None, None) => Ok(Body::None),
            (Some(_), Some(_)) => Err(bad("there is a Content-Length beside a Transfer-Encoding")),
            (Some(length), None) => {
                let length = whole_number(length).filter(|_| !length.is_empty());
                length.map(Body::Length).ok_or_else(|| bad("the Content-Length is not a number"))
            }
            (None, Some(_)) if !self.is_1_1 => Err(bad("HTTP/1.0 has no Transfer-Encoding")),
            (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none() => {
                Ok(Body::Chunked)
            }
            (None, Some(_)) => Err(BadRequest::new(501, "no Transfer-Encoding but chunked is understood")),
        }
    }

    /// Whether the connection may go on. The field is a list, and may be there several times.
    fn persistence(&self, bytes: &[u8]) -> bool {
        let (mut closes, mut goes_on) = (false, false);
        let mut look = |word: &[u8]| {
            closes |= word.eq_ignore_ascii_case(b"close");
            goes_on |= word.eq_ignore_ascii_case(b"keep-alive");
        };
        for value in self.values(bytes, Name::Connection) {
            // Most are one word.
            match value.contains(&b',') {
                false => look(value),
                true => value.split(|&byte| byte == b',').for_each(|word| look(word.trim_ascii())),
            }
        }
        !closes && (self.is_1_1 || goes_on)
    }
}

/// Whether every CR stands before an LF and every LF behind a CR. No byte ends this look, so that many are looked at at
/// once.
fn has_right_line_ends(bytes: &[u8]) -> bool {
    let pairs = bytes.iter().zip(&bytes[1..]);
    pairs.fold(true, |are_right, (first, second)| are_right & ((*first == b'\r') == (*second == b'\n')))
}

/// The path and the query of a target, which may be a whole address, and have a fragment.
fn path_and_query(target: &[u8]) -> (&[u8], &[u8]) {
    let origin_form = match absolute(target) {
        Some(rest) => match memchr::memchr2(b'/', b'?', rest) {
            Some(start) => &rest[start..],
            // The path is a slash then: the one before the server.
            None => &target[target.len() - rest.len() - 1..][..1],
        },
        None => target,
    };
    let origin_form = origin_form.split(|&byte| byte == b'#').next().unwrap_or_default();
    let path_end = memchr::memchr(b'?', origin_form).unwrap_or(origin_form.len());
    // Also where there is none, it is a part of the target.
    (&origin_form[..path_end], &origin_form[origin_form.len().min(path_end + 1)..])
}

/// What follows the scheme of a target that is a whole address.
pub(super) fn absolute(target: &[u8]) -> Option<&[u8]> {
    // Nearly every target is a path.
    if target.starts_with(b"/") {
        return None;
    }
    let scheme = memchr::memmem::find(target, b"://")?;
    let is_scheme = scheme > 0 && target[..scheme].iter().all(u8::is_ascii_alphabetic);
    is_scheme.then(|| &target[scheme + 3..])
}

/// The value of decimal digits, unless it is too large.
fn whole_number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Whether the request line ends with a version that is not spoken here.
fn is_of_other_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let version = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    version.starts_with(b"HTTP/") && !matches!(version, b"HTTP/1.1" | b"HTTP/1.0")
}

/// Where the head ends, behind its empty line; `None` if that has not come. Every line must end with CRLF, and no CR or
/// LF may stand elsewhere: others take such a byte for a line end, or not. That is said before the end is there, too: a
/// client with other line ends would wait for an answer that never comes.
pub(super) fn end_of(bytes: &[u8]) -> Result<Option<usize>, BadRequest> {
    let mut line = 0;
    while let Some(length) = memchr::memchr2(b'\r', b'\n', &bytes[line..]) {
        match &bytes[line + length..] {
            [b'\r', b'\n', ..] if length == 0 => return Ok(Some(line + 2)),
            [b'\r', b'\n', ..] => line += length + 2,
            // Half of a line end, and the other half may come.
            [b'\r'] => break,
            _ => return Err(bad("a line of the head does not end with CR and LF")),
        }
    }
    Ok(None)
}

fn bad(why: &'static str) -> BadRequest {
    BadRequest::new(400, why)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_head_is_the_same_if_it_is_read_at_once(
            lines in prop::collection::vec(
                "(Host|Connection|connection|X-Limit-U|Expect|Content-Length|A): ?(a|close|Keep-Alive|5|, close|x\ny|)",
                0..6,
            ),
            ends in prop::collection::vec(prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\n", "\r"]), 8),
            start in prop::sample::select(vec!["GET / HTTP/1.1", "GET / HTTP/1.0", "GET /", "POST /a?b HTTP/2.0"]),
        ) {
            let mut text = start.to_owned();
            for (line, end) in lines.iter().zip(&ends) {
                text += end;
                text += line;
            }
            text += ends[6];
            text += ends[7];
            text += "body\r\n\r\n";
            let (mut head, mut whole) = (Head::default(), Head::default());
            let at_once = head.read_at_once(text.as_bytes());
            let by_its_end = end_of(text.as_bytes()).and_then(|end| match end {
                Some(end) => whole.read(&text.as_bytes()[..end]).map(|()| true),
                None => Ok(false),
            });
            // What is not read at once is looked at again.
            if at_once != Ok(false) {
                prop_assert_eq!(at_once, by_its_end);
                prop_assert_eq!(head, whole);
            }
        }
    }

    proptest! {
        #[test]
        fn a_head_is_the_same_if_one_like_it_came_before(
            lengths in prop::collection::vec("[0-9]{2}|[0-9]{2}|[0-9]{1,3}| 5|5 |5a|\\+5|[0-9]{22}|", 2..6),
            puts in prop::collection::vec(prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>())), 6),
            framing in prop::sample::select(vec!["Content-Length", "Content-Length", "X", "Transfer-Encoding"]),
        ) {
            let mut head = Head::default();
            for (length, put) in lengths.iter().zip(&puts) {
                let text = format!("POST /a?b HTTP/1.1\r\nHost: a\r\n{framing}: {length}\r\nA: b\r\n\r\nbody");
                let mut text = text.replace("Encoding: 5", "Encoding: chunked").into_bytes();
                if let Some((at, byte)) = put {
                    let at = at.index(text.len());
                    text[at] = *byte;
                }
                let mut alone = Head::default();
                let is_read = alone.read_at_once(&text);
                prop_assert_eq!(head.read_at_once(&text), is_read);
                if is_read == Ok(true) {
                    // The digits that are kept may be older ones.
                    let seen = Head { kept: alone.kept.clone(), ..head.clone() };
                    prop_assert_eq!(&seen, &alone);
                }
            }
        }
    }

    #[test]
    fn a_head_that_comes_again_is_told_from_others() {
        let text = |length: &str, more: &str| {
            format!("GET / HTTP/1.1\r\nHost: a\r\n{more}Content-Length: {length}\r\n\r\n")
        };
        let mut head = Head::default();
        assert!(!head.is_again(b""));
        assert_eq!(head.read_at_once(text("17", "").as_bytes()), Ok(true));
        for (length, more, is_again) in [
            ("17", "", true),
            ("99", "", true),
            ("100", "", false),
            ("1", "", false),
            ("1a", "", false),
            ("-1", "", false),
            ("17", "A: b\r\n", false),
        ] {
            assert_eq!(head.is_again(text(length, more).as_bytes()), is_again, "{length} {more}");
        }
        assert_eq!(head.body, Body::Length(99));
        assert!(!head.is_again(&text("17", "").as_bytes()[..20]));
        // What is long or waits is not kept.
        for more in [format!("A: {}\r\n", "a".repeat(KEPT_BYTES_MAX)), "Expect: 100-continue\r\n".to_owned()]
        {
            assert_eq!(head.read_at_once(text("17", &more).as_bytes()), Ok(true));
            assert!(head.kept.is_empty() && !head.is_again(text("17", &more).as_bytes()), "{more}");
        }
    }

    #[test]
    fn right_heads_are_read_at_once_and_wrong_line_ends_are_not() {
        for (text, is_read) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\nbody\n\r", true),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", false),
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\n", false),
        ] {
            assert_eq!(Head::default().read_at_once(text.as_bytes()), Ok(is_read), "{text:?}");
        }
    }

    #[test]
    fn fields_that_are_repeated_are_found_in_their_order() {
        let text = b"GET / HTTP/1.1\r\nAccept: a\r\nHost: b\r\nX: c\r\naccept: d\r\n\r\n";
        let mut head = Head::default();
        assert_eq!(head.read_at_once(text), Ok(true));
        let values = |name| head.values(text, name).collect::<Vec<_>>();
        assert_eq!(values(Name::Accept), [b"a", b"d"]);
        assert_eq!((values(Name::Host), values(Name::Origin)), (vec![&b"b"[..]], vec![]));
    }

    #[test]
    fn head_ends_with_an_empty_line_and_all_lines_with_both_bytes() {
        for (text, end) in [
            ("GET / HTTP/1.1\r\nA: b\r\n\r\nbody\n", Ok(Some(24))),
            ("GET / HTTP/1.1\r\n\r\n", Ok(Some(18))),
            ("GET / HTTP/1.1\r\nA: b\r\n\r", Ok(None)),
            ("GET / HTTP/1.1\r\nA: b\r", Ok(None)),
            ("GET / HTT", Ok(None)),
            ("GET / HTTP/1.1\n", Err(())),
            ("GET / HTTP/1.1\r\nA: b\rc", Err(())),
            ("GET / HTTP/1.1\r\nA: b\r\r\n\r\n", Err(())),
            ("GET / HTTP/1.1\r\nA: b\n\r\n\r\n", Err(())),
            ("GET / HTTP/1.1\r\nA: b\r\n\n", Err(())),
        ] {
            assert_eq!(end_of(text.as_bytes()).map_err(|_| ()), end, "{text:?}");
        }
    }
}
