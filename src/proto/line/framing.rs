//! Bytes in, bounded lines out.
//!
//! In this order, for each turn:
//! 1. [`Framing::space`] is where to read into; it is never empty.
//! 2. [`Framing::filled`] says how many bytes came; 0 means the end of the stream.
//! 3. `Framing::skip_telnet`, before each line of a client, who may use telnet.
//! 4. [`Framing::next_line`] yields every complete line, until it returns `None`.

use std::ops::Range;

use crate::proto::line::telnet::Start;
use crate::proto::model::attributes::ATTRIBUTES_BYTES_MAX;

/// The most bytes of a client's line if nothing else is asked for, its terminator not counted. Real reports have
/// under 120 bytes; more leaves room for long client names, and keeps the memory small that one connection can
/// make the server hold.
pub const LINE_BYTES_MAX: usize = 4096;

/// The fewest bytes that a client's line may be bounded to: a report of a real client must fit.
pub const LINE_BYTES_FLOOR: usize = 256;

/// The most bytes that a client's line may be bounded to.
pub const LINE_BYTES_CEILING: usize = 64 * 1024;

/// The most bytes of a neighbour's line: the longest `AT` line that a client's line can become, which adds
/// the era, attributes, the server's name, the skew and some spaces. Whatever a server's own clients may send, its
/// neighbours may let theirs send the most that is possible, and the herd must agree.
pub const PEER_LINE_BYTES_MAX: usize = LINE_BYTES_CEILING + 160 + ATTRIBUTES_BYTES_MAX + 8;

/// The most bytes of a line on the peer port before a neighbour has authenticated: every line up to that fits, and a
/// connection that has proved nothing gets no larger buffer filled.
pub const UNAUTHENTICATED_LINE_BYTES_MAX: usize = 1024;

/// The most bytes of a message of the handshake between servers. Ours have 56; the bound leaves room for what a later
/// version may add.
pub const MESSAGE_BYTES_MAX: usize = 512;

/// The bytes that such a message begins with: the length of the rest, the higher byte first.
pub const MESSAGE_LENGTH_BYTES: usize = 2;

/// The bytes that a buffer begins with, some five reports: most connections never have more on the way. It doubles each
/// time that it has been filled.
pub const FIRST_READ_BYTES: usize = 512;

/// The most bytes read at once from a client: about a hundred pipelined reports.
pub const CLIENT_READ_BYTES: usize = 8 * 1024;

/// The most bytes read at once from a neighbour, who sends in bulk.
pub const PEER_READ_BYTES: usize = 64 * 1024;

/// The bytes that can be looked at behind what has been read, so that a parser need not ask of each byte whether it has
/// come.
pub(crate) const LOOKAHEAD_BYTES: usize = 128;

/// A line that was cut out of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line without its terminator.
    Whole(&'a [u8]),
    /// The beginning of a line that is longer than allowed. Nothing comes after it.
    TooLong(&'a [u8]),
}

/// What stands where a message of a handshake should.
enum Message {
    Whole(Range<usize>),
    Part,
    Line,
}

/// Cuts a stream of bytes into lines that end in LF, CRLF or the end of the stream.
#[derive(Debug)]
pub struct Framing {
    buffer: Vec<u8>,
    /// The bytes that the buffer may grow to.
    buffer_bytes_max: usize,
    /// Whether the last read has filled it.
    is_filled: bool,
    /// The bytes that have been read and not yet been given out.
    unread: Range<usize>,
    /// How much of `unread` is known to hold no line feed.
    searched: usize,
    line_bytes_max: usize,
    /// Whether the end of the stream ends a line.
    end_ends_line: bool,
    ended: bool,
    /// Whether part of a telnet sequence has come, whose end is to be waited for.
    is_mid_telnet: bool,
    /// Whether a message of a handshake comes next.
    expects_message: bool,
}

impl Framing {
    /// For a client's lines: the end of its stream ends its last line.
    pub fn for_client() -> Framing {
        Framing::new(LINE_BYTES_MAX, CLIENT_READ_BYTES)
    }

    /// For the peer port until a neighbour has authenticated; [`Framing::authenticated`] makes it one for that.
    pub fn for_unauthenticated() -> Framing {
        Framing { line_bytes_max: UNAUTHENTICATED_LINE_BYTES_MAX, ..Framing::for_peer() }
    }

    /// The other side has proved to be a neighbour: its further lines may be as long as those of one.
    pub fn authenticated(&mut self) {
        self.line_bytes_max = PEER_LINE_BYTES_MAX;
    }

    /// A message of a handshake comes next: [`Framing::next_line`] gives it without its length. A line that complains
    /// may come in its place: in the place of the length it has a number that no message has.
    pub fn expect_message(&mut self) {
        self.expects_message = true;
    }

    /// For the lines that a neighbour sends us.
    pub fn for_peer() -> Framing {
        Framing::new(PEER_LINE_BYTES_MAX, PEER_READ_BYTES).whole_lines_only()
    }

    /// For the answers of a neighbour to the lines that we send it.
    pub fn for_peer_replies() -> Framing {
        Framing::new(PEER_LINE_BYTES_MAX, PEER_LINE_BYTES_MAX).whole_lines_only()
    }

    /// For lines of at most `line_bytes_max` bytes, reading up to `read_bytes` at once (more if a line needs it).
    pub fn new(line_bytes_max: usize, read_bytes: usize) -> Framing {
        // A whole line with CRLF must fit, with a byte to spare so that `space` is never empty.
        let room = read_bytes.max(line_bytes_max + 3);
        Framing {
            buffer: first_buffer(room + LOOKAHEAD_BYTES),
            buffer_bytes_max: room + LOOKAHEAD_BYTES,
            is_filled: false,
            unread: 0..0,
            searched: 0,
            line_bytes_max,
            end_ends_line: true,
            ended: false,
            is_mid_telnet: false,
            expects_message: false,
        }
    }

    /// Lets the end of the stream end no line. A neighbour that is killed while it writes leaves half of a line, which
    /// may well parse: as a sighting at an earlier time, which no client ever made.
    #[must_use]
    pub fn whole_lines_only(self) -> Framing {
        Framing { end_ends_line: false, ..self }
    }

    /// Gives it all the room that it may have from the beginning.
    #[must_use]
    pub fn roomy(mut self) -> Framing {
        self.buffer.resize(self.buffer_bytes_max, 0);
        self
    }

    /// Whether it has more room than it began with.
    pub fn has_grown(&self) -> bool {
        self.buffer.len() > FIRST_READ_BYTES + LOOKAHEAD_BYTES
    }

    /// Whether the last read has filled the room that it began with, so that there may be much more to read.
    pub fn wants_room(&self) -> bool {
        self.is_filled && !self.has_grown()
    }

    /// Takes all the room that it may have at once: this buffer, if [`Framing::shrink`] has given it back.
    pub fn grow_into(&mut self, spare: Option<Vec<u8>>) {
        let fits = |buffer: &Vec<u8>| buffer.len() == self.buffer_bytes_max;
        let mut buffer = spare.filter(fits).unwrap_or_else(|| vec![0; self.buffer_bytes_max]);
        buffer[..self.unread.len()].copy_from_slice(&self.buffer[self.unread.clone()]);
        self.unread = 0..self.unread.len();
        self.is_filled = false;
        self.buffer = buffer;
    }

    /// Gives back the buffer that it has grown into. No part of a line may be there.
    pub fn shrink(&mut self) -> Vec<u8> {
        debug_assert!(!self.is_mid_line(), "a part of a line would be lost");
        self.unread = 0..0;
        (self.searched, self.is_filled) = (0, false);
        std::mem::replace(&mut self.buffer, first_buffer(self.buffer_bytes_max))
    }

    /// Where to read into.
    pub fn space(&mut self) -> &mut [u8] {
        if self.unread.start > 0 {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        if self.is_filled {
            self.grow();
        }
        let end = self.buffer.len() - LOOKAHEAD_BYTES;
        &mut self.buffer[self.unread.end..end]
    }

    /// Notes that `count` bytes were read into [`Framing::space`]; 0 is the end of the stream.
    pub fn filled(&mut self, count: usize) {
        self.ended |= count == 0;
        self.unread.end += count;
        self.is_filled = self.unread.end + LOOKAHEAD_BYTES == self.buffer.len();
    }

    /// Drops telnet's sequences from the beginning of the next line, and says how many of them want a timing mark.
    #[inline]
    pub(crate) fn skip_telnet(&mut self) -> usize {
        let mut timing_marks = 0;
        loop {
            let start = Start::of(&self.buffer[self.unread.clone()]);
            self.is_mid_telnet = start == Start::Part;
            let Start::Sequence { bytes, asks_for_timing_mark } = start else { return timing_marks };
            timing_marks += usize::from(asks_for_timing_mark);
            self.consume(bytes);
        }
    }

    /// The next complete line, or a line that is too long, or `None` if more must be read first.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        if self.unread.is_empty() || (self.is_mid_telnet && !self.ended) {
            return None;
        }
        if self.expects_message {
            match self.message() {
                Message::Whole(message) => return Some(Line::Whole(&self.buffer[message])),
                Message::Part => return None,
                Message::Line => {}
            }
        }
        let unread = &self.buffer[self.unread.clone()];
        let (text, used) = match memchr::memchr(b'\n', &unread[self.searched..]) {
            Some(at) => {
                let end = self.searched + at;
                (unread[..end].strip_suffix(b"\r").unwrap_or(&unread[..end]), end + 1)
            }
            None if self.ended && self.end_ends_line => (unread, unread.len()),
            // A carriage return at the limit may be half of a terminator.
            None if unread.len() > self.line_bytes_max + 1 => (unread, unread.len()),
            None => {
                self.searched = unread.len();
                return None;
            }
        };
        self.searched = 0;
        if text.len() > self.line_bytes_max {
            let cut = self.unread.start..self.unread.start + self.line_bytes_max;
            self.unread = 0..0;
            self.ended = true;
            return Some(Line::TooLong(&self.buffer[cut]));
        }
        let start = self.unread.start;
        let end = start + text.len();
        self.unread.start += used;
        Some(Line::Whole(&self.buffer[start..end]))
    }

    /// At most `bytes_max` of the bytes that have been read and not been given out, and [`LOOKAHEAD_BYTES`] more that
    /// may be anything. `None` if lines must be shorter than `line_bytes`.
    pub(crate) fn peek(&self, bytes_max: usize, line_bytes: usize) -> Option<&[u8]> {
        let end = self.unread.start + self.unread.len().min(bytes_max) + LOOKAHEAD_BYTES;
        (self.line_bytes_max >= line_bytes).then(|| &self.buffer[self.unread.start..end])
    }

    /// This many bytes have been taken, at the end of which a line begins.
    pub(crate) fn consume(&mut self, bytes: usize) {
        if bytes > 0 {
            self.unread.start += bytes;
            self.searched = 0;
        }
    }

    /// Whether part of a line has come whose end has not.
    pub fn is_mid_line(&self) -> bool {
        !self.unread.is_empty()
    }

    /// The part of a line that has come whose end has not. Once all complete lines were taken, that is.
    pub fn partial(&self) -> &[u8] {
        &self.buffer[self.unread.clone()]
    }

    /// The message at the front, which is taken.
    #[cold]
    fn message(&mut self) -> Message {
        let Some(length) = self.buffer[self.unread.clone()].first_chunk::<MESSAGE_LENGTH_BYTES>() else {
            return Message::Part;
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > MESSAGE_BYTES_MAX {
            return Message::Line;
        }
        let begins = self.unread.start + MESSAGE_LENGTH_BYTES;
        if begins + length > self.unread.end {
            return Message::Part;
        }
        self.consume(MESSAGE_LENGTH_BYTES + length);
        self.expects_message = false;
        Message::Whole(begins..begins + length)
    }

    #[cold]
    fn grow(&mut self) {
        self.is_filled = false;
        let bytes = (self.buffer.len() * 2).min(self.buffer_bytes_max);
        self.buffer.resize(bytes, 0);
    }
}

/// The buffer to begin with, where the bytes to look ahead at must be, too.
fn first_buffer(bytes_max: usize) -> Vec<u8> {
    vec![0; bytes_max.min(FIRST_READ_BYTES + LOOKAHEAD_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All lines of `stream`, fed in pieces that end at `cuts`; a line that is too long is marked.
    fn lines(stream: &[u8], cuts: &[usize], line_bytes_max: usize) -> Vec<(Vec<u8>, bool)> {
        let mut framing = Framing::new(line_bytes_max, 1);
        let mut lines = Vec::new();
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
        ends.sort_unstable();
        ends.push(stream.len());
        let mut fed = 0;
        loop {
            while let Some(line) = framing.next_line() {
                match line {
                    Line::Whole(text) => lines.push((text.to_vec(), false)),
                    Line::TooLong(text) => {
                        lines.push((text.to_vec(), true));
                        return lines;
                    }
                }
            }
            if framing.ended {
                return lines;
            }
            let end = ends.iter().copied().find(|&end| end > fed).unwrap_or(fed);
            let space = framing.space();
            let count = space.len().min(end - fed);
            space[..count].copy_from_slice(&stream[fed..fed + count]);
            framing.filled(count);
            fed += count;
        }
    }

    #[test]
    fn borrowed_room_takes_what_has_been_read_and_is_given_back_when_that_is_over() {
        let mut framing = Framing::new(LINE_BYTES_MAX, CLIENT_READ_BYTES);
        let first_bytes = framing.space().len();
        assert_eq!(first_bytes, FIRST_READ_BYTES);
        framing.space().fill(b'x');
        framing.filled(first_bytes - 1);
        assert!(!framing.wants_room());
        framing.filled(1);
        assert!(framing.wants_room() && !framing.has_grown());
        framing.grow_into(Some(vec![b'y'; 10]));
        assert!(framing.has_grown() && framing.space().len() == CLIENT_READ_BYTES - first_bytes);
        framing.space()[0] = b'\n';
        framing.filled(1);
        assert_eq!(framing.next_line(), Some(Line::Whole(&[b'x'; FIRST_READ_BYTES])));
        assert_eq!(framing.next_line(), None);
        let room = framing.shrink();
        assert!(room.len() == CLIENT_READ_BYTES + LOOKAHEAD_BYTES && !framing.has_grown());
        framing.space()[..2].copy_from_slice(b"a\n");
        framing.filled(2);
        framing.grow_into(Some(room));
        assert_eq!(framing.next_line(), Some(Line::Whole(b"a")));
    }

    /// All lines of a client's stream fed in pieces of `piece_bytes`, and how often it has asked for a timing mark.
    fn telnet_lines(stream: &[u8], piece_bytes: usize) -> (Vec<Vec<u8>>, usize) {
        let mut framing = Framing::for_client();
        let (mut lines, mut timing_marks) = (Vec::new(), 0);
        for piece in stream.chunks(piece_bytes).chain([&b""[..]]) {
            framing.space()[..piece.len()].copy_from_slice(piece);
            framing.filled(piece.len());
            loop {
                timing_marks += framing.skip_telnet();
                let Some(Line::Whole(text)) = framing.next_line() else { break };
                lines.push(text.to_vec());
            }
        }
        assert!(!framing.is_mid_line());
        (lines, timing_marks)
    }

    fn whole(texts: &[&str]) -> Vec<(Vec<u8>, bool)> {
        texts.iter().map(|text| (text.as_bytes().to_vec(), false)).collect()
    }

    #[test]
    fn line_ends_in_lf_crlf_or_the_end_of_the_stream() {
        assert_eq!(lines(b"a\nb\r\n\r\n\n c ", &[], 9), whole(&["a", "b", "", "", " c "]));
        assert_eq!(lines(b"a\rb\r\r\nc\r", &[], 9), whole(&["a\rb\r", "c\r"]));
        assert_eq!(lines(b"", &[], 9), whole(&[]));
        assert_eq!(lines(b"a\n", &[], 9), whole(&["a"]));
    }

    #[test]
    fn half_a_line_of_a_neighbour_that_is_cut_off_is_no_line() {
        let mut framing = Framing::new(99, 1).whole_lines_only();
        let stream = b"AT A +1 c +1+1 15\nAT A +1 c +1+1 1";
        framing.space()[..stream.len()].copy_from_slice(stream);
        framing.filled(stream.len());
        framing.filled(0);
        assert_eq!(framing.next_line(), Some(Line::Whole(b"AT A +1 c +1+1 15")));
        assert_eq!(framing.next_line(), None);
        assert!(framing.is_mid_line());
    }

    #[test]
    fn line_limit_rises_when_a_neighbour_has_authenticated() {
        let long = vec![b'x'; UNAUTHENTICATED_LINE_BYTES_MAX + 1];
        let stream = [b"HELLO\n", &*long, b"\n"].concat();
        let framing = || {
            let mut framing = Framing::for_unauthenticated().roomy();
            framing.space()[..stream.len()].copy_from_slice(&stream);
            framing.filled(stream.len());
            assert_eq!(framing.next_line(), Some(Line::Whole(b"HELLO")));
            framing
        };
        assert_eq!(framing().next_line(), Some(Line::TooLong(&long[1..])));
        let mut trusted = framing();
        trusted.authenticated();
        assert_eq!(trusted.next_line(), Some(Line::Whole(&long)));
        assert!(trusted.space().len() > PEER_LINE_BYTES_MAX);
    }

    #[test]
    fn buffer_doubles_when_filled_and_has_a_bound() {
        let mut framing = Framing::new(LINE_BYTES_MAX, CLIENT_READ_BYTES);
        let mut rooms = Vec::new();
        for _ in 0..7 {
            let space = framing.space();
            rooms.push(space.len());
            space.fill(b'\n');
            let count = space.len();
            framing.filled(count);
            while framing.next_line().is_some() {}
        }
        assert_eq!(rooms[0], FIRST_READ_BYTES);
        assert!(rooms.windows(2).all(|pair| pair[1] <= 2 * pair[0] + LOOKAHEAD_BYTES), "{rooms:?}");
        assert_eq!(rooms[5..], [CLIENT_READ_BYTES; 2]);
        // A read that does not fill the buffer leaves it as it is.
        framing.space()[..100].fill(b'x');
        framing.filled(100);
        assert_eq!(framing.space().len(), CLIENT_READ_BYTES - 100);
    }

    #[test]
    fn line_may_be_as_long_as_the_limit_and_not_longer() {
        assert_eq!(lines(b"1234\n1234\r\n1234", &[], 4), whole(&["1234", "1234", "1234"]));
        let cut = vec![(b"1234".to_vec(), true)];
        for stream in ["12345\nx\n", "12345\r\n", "12345", "123456789", "1234\r\r\n"] {
            assert_eq!(lines(stream.as_bytes(), &[], 4), cut, "{stream:?}");
        }
    }

    #[test]
    fn telnet_is_dropped_where_a_line_begins() {
        let ctrl_c = b"\xff\xf4\xff\xfd\x06";
        let stream =
            [ctrl_c, &b"one\n"[..], ctrl_c, ctrl_c, b"\ntwo", ctrl_c, b"\n\xff\xfa\x18\n\xff\xf0\xff"]
                .concat();
        let lines = [&b"one"[..], b"", b"two\xff\xf4\xff\xfd\x06", b"\xff"].map(<[u8]>::to_vec).to_vec();
        for piece_bytes in 1..stream.len() {
            assert_eq!(telnet_lines(&stream, piece_bytes), (lines.clone(), 3), "pieces of {piece_bytes}");
        }
    }

    proptest! {
        // A failing case is printed; keeping it in a file would put one into the root of the repository.
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_chunking_of_telnet_gives_the_same_lines(
            stream in proptest::collection::vec(
                prop_oneof![4 => Just(0xff_u8), 3 => 0xec_u8..=0xfe, 1 => Just(b'\n'), 1 => Just(6), 1 => any::<u8>()],
                0..200,
            ),
            piece_bytes in 1_usize..9,
        ) {
            prop_assert_eq!(telnet_lines(&stream, piece_bytes), telnet_lines(&stream, 500));
        }

        #[test]
        fn any_chunking_gives_the_same_lines(
            stream in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), any::<u8>()], 0..60),
            cuts in proptest::collection::vec(any::<usize>(), 0..20),
            every_byte in any::<bool>(),
        ) {
            let cuts = if every_byte { (0..=stream.len()).collect() } else { cuts };
            prop_assert_eq!(lines(&stream, &cuts, 12), lines(&stream, &[], 12));
        }
    }
}
