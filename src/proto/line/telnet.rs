//! Telnet's sequences (RFC 854, 855, 860), which its program mixes into the lines of the user: Ctrl-C sends "interrupt
//! process" and asks for a timing mark, and shows no output before that is answered.

/// Interpret as command: what every sequence begins with.
const IAC: u8 = 0xff;
/// Commands that stand alone: end of file, suspend and abort (RFC 1184), end of record (RFC 885), and those from
/// "end of subnegotiation" to "go ahead".
const COMMANDS: std::ops::RangeInclusive<u8> = 0xec..=0xf9;
/// The end of a subnegotiation, behind another [`IAC`].
const SE: u8 = 0xf0;
/// The beginning of a subnegotiation.
const SB: u8 = 0xfa;
/// WILL, WONT, DO and DONT, which an option follows.
const NEGOTIATIONS: std::ops::RangeInclusive<u8> = 0xfb..=0xfe;
const DO: u8 = 0xfd;
const TIMING_MARK: u8 = 6;

/// The answer to the request for a timing mark: IAC WONT TIMING-MARK. It marks the time as well as WILL would, and says
/// that nothing was thrown away.
pub(crate) const NO_TIMING_MARK: [u8; 3] = [IAC, 0xfc, TIMING_MARK];

/// The most bytes of a subnegotiation between its option and its end. They answer questions that are never asked here:
/// a terminal's type, size and speed have under 50. Fewer than the shortest bound of a line, so that a buffer always
/// has room for it.
const SUBNEGOTIATION_BYTES_MAX: usize = 128;
/// IAC SE, which ends it.
const END_BYTES: usize = 2;

/// What stands at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// No sequence: the bytes of a line.
    Line,
    /// Part of what may become one.
    Part,
    /// A whole one of so many bytes.
    Sequence {
        /// With the first.
        bytes: usize,
        /// Whether it wants [`NO_TIMING_MARK`] as its answer.
        asks_for_timing_mark: bool,
    },
}

impl Start {
    /// Looks at bytes that stand at the beginning of a line.
    #[inline]
    pub(crate) fn of(bytes: &[u8]) -> Start {
        if bytes.first() == Some(&IAC) { Start::of_command(&bytes[1..]) } else { Start::Line }
    }

    /// Looks at what follows an IAC.
    #[cold]
    fn of_command(bytes: &[u8]) -> Start {
        let sequence = |bytes| Start::Sequence { bytes, asks_for_timing_mark: false };
        match *bytes {
            [] => Start::Part,
            // Two of them are a byte of data, which no line begins with.
            [IAC, ..] => sequence(2),
            [command, ..] if COMMANDS.contains(&command) => sequence(2),
            [DO, TIMING_MARK, ..] => Start::Sequence { bytes: 3, asks_for_timing_mark: true },
            [command, option, ..] if NEGOTIATIONS.contains(&command) => {
                if is_option(option) {
                    sequence(3)
                } else {
                    Start::Line
                }
            }
            [SB, option, ref rest @ ..] => match subnegotiation_end(rest) {
                _ if !is_option(option) => Start::Line,
                Some(end) => sequence(3 + end),
                None if rest.len() >= SUBNEGOTIATION_BYTES_MAX + END_BYTES => Start::Line,
                None => Start::Part,
            },
            [command] if command == SB || NEGOTIATIONS.contains(&command) => Start::Part,
            [..] => Start::Line,
        }
    }
}

/// Whether an option has this number (by IANA's list). A line feed ends a line whatever comes before it, so the option
/// of its number, which nothing uses, is none here.
fn is_option(byte: u8) -> bool {
    byte != b'\n' && matches!(byte, 0..=49 | 138..=140 | 255)
}

/// Where a subnegotiation ends whose bytes these are, if that is near enough. A doubled IAC is a byte of it.
fn subnegotiation_end(bytes: &[u8]) -> Option<usize> {
    let bytes = &bytes[..bytes.len().min(SUBNEGOTIATION_BYTES_MAX + END_BYTES)];
    let mut at = 0;
    loop {
        at += memchr::memchr(IAC, &bytes[at..])? + 2;
        if *bytes.get(at - 1)? == SE {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sequence_has_its_length() {
        let cases: [(&[u8], usize); 10] = [
            (b"\xff\xf4", 2),
            (b"\xff\xf4\xff\xfd\x06", 2),
            (b"\xff\xed", 2),
            (b"\xff\xff", 2),
            (b"\xff\xfb\x18IAMAT", 3),
            (b"\xff\xfd\x03", 3),
            (b"\xff\xfe\xff", 3),
            (b"\xff\xfa\x18\x00xterm\xff\xf0WHATSAT", 11),
            (b"\xff\xfa\x1f\x00\xff\xff\n\xff\xf0", 9),
            (b"\xff\xfa\x18\xff\xf0", 5),
        ];
        for (bytes, length) in cases {
            let expected = Start::Sequence { bytes: length, asks_for_timing_mark: false };
            assert_eq!(Start::of(bytes), expected, "{}", bytes.escape_ascii());
            for cut in 1..length {
                assert_eq!(Start::of(&bytes[..cut]), Start::Part, "{}", bytes[..cut].escape_ascii());
            }
        }
        let mark = Start::Sequence { bytes: 3, asks_for_timing_mark: true };
        assert_eq!(Start::of(b"\xff\xfd\x06x"), mark);
    }

    #[test]
    fn subnegotiation_has_a_bound() {
        for bytes in [0, 1, 126, 127, 128, 129, 130] {
            let whole = [b"\xff\xfa\x18".as_slice(), &vec![b'x'; bytes], b"\xff\xf0"].concat();
            let sequence = Start::Sequence { bytes: whole.len(), asks_for_timing_mark: false };
            let is_short = bytes <= SUBNEGOTIATION_BYTES_MAX;
            assert_eq!(Start::of(&whole), if is_short { sequence } else { Start::Line }, "{bytes}");
            for cut in (1..whole.len()).filter(|_| is_short) {
                assert_eq!(Start::of(&whole[..cut]), Start::Part, "{cut} of {bytes}");
            }
        }
    }

    #[test]
    fn what_is_no_sequence_is_a_line() {
        let endless = [b"\xff\xfa\x18".as_slice(), &[b'x'; SUBNEGOTIATION_BYTES_MAX + END_BYTES]].concat();
        let late = [&endless[..], b"\xff\xf0"].concat();
        let lines: [&[u8]; 9] =
            [b"", b"I", b"I\xff\xf4", b"\xffx", b"\xff\n", b"\xff\xfb\n", b"\xff\xfeI", &endless, &late];
        for bytes in lines {
            assert_eq!(Start::of(bytes), Start::Line, "{}", bytes.escape_ascii());
        }
        assert_eq!(Start::of(&endless[..endless.len() - 1]), Start::Part);
    }
}
