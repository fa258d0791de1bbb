//! The replies that a server owes for what it was sent: how many, and which of them is which.
//!
//! Relays such as nginx and HAProxy close both directions when one of them ends. So the client ends its own only when
//! nothing is owed any more, and it must find the end of each reply: a line, or, to a question, an `AT` line, JSON, and
//! an empty line.

use std::collections::VecDeque;

use xxhash_rust::xxh3::xxh3_64;

use crate::logging::Escaped;
use crate::proto::line::commands::{whatsat, why_refused};
use crate::proto::line::framing::LINE_BYTES_CEILING;
use crate::proto::line::reason::{REASON_MARK, Reason};

/// The most replies that are waited for at once, at 16 bytes each. A server that owes more does not answer while it
/// reads, and is told the end of the requests when that comes.
const OWED_MAX: usize = 1 << 20;

/// The most bytes of a line that are looked at: no server takes longer ones.
const LINE_BYTES_MAX: usize = LINE_BYTES_CEILING;

/// The bytes that are shown of a line that is no reply.
const FOREIGN_BYTES_SHOWN: usize = 80;

/// What is owed, and where in the requests and in the replies both sides are.
#[derive(Debug, Default)]
pub(super) struct Owed {
    requests: VecDeque<Request>,
    /// The beginning of the request that is being sent, of which [`LINE_BYTES_MAX`] bytes are kept.
    unfinished_request: Vec<u8>,
    /// Whether more was owed than is counted.
    is_lost: bool,
    /// The beginning of the reply line that is being read.
    unfinished_reply: Vec<u8>,
    /// Whether the JSON of a reply is being read.
    json: Json,
    /// Whether an error line has come, or one that is no reply.
    pub(super) has_errors: bool,
    /// Whether a line has come that is no reply.
    has_foreign: bool,
    /// Whether a reply has come, or the beginning of one.
    pub(super) has_begun: bool,
}

/// The JSON in the reply to a question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Json {
    /// It is not being read.
    #[default]
    Outside,
    /// It follows.
    Begins,
    /// It has begun, and ends with an empty line.
    Within,
}

/// A line that was sent.
#[derive(Debug)]
struct Request {
    is_question: bool,
    /// Of the line without its terminator: an error line has a copy of it.
    hash: u64,
}

impl Owed {
    /// Notes bytes that are about to be sent.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            push_bounded(&mut self.unfinished_request, piece);
            if piece.ends_with(b"\n") {
                self.push_request();
            }
        }
    }

    /// Whether a line was begun that is not finished.
    pub(super) fn is_mid_request(&self) -> bool {
        !self.unfinished_request.is_empty()
    }

    /// Whether nothing is owed, as far as that is known.
    pub(super) fn is_settled(&self) -> bool {
        self.requests.is_empty() || self.is_lost
    }

    /// Whether the last line that has come is whole.
    pub(super) fn is_at_line_start(&self) -> bool {
        self.unfinished_reply.is_empty()
    }

    /// Takes bytes that have come, and calls `explain` with the reason of each error line that has one.
    pub(super) fn received(&mut self, bytes: &[u8], mut explain: impl FnMut(&str)) {
        self.has_begun |= !bytes.is_empty();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            push_bounded(&mut self.unfinished_reply, piece);
            if piece.ends_with(b"\n") {
                let mut line = std::mem::take(&mut self.unfinished_reply);
                self.reply_line(without_terminator(&line), &mut explain);
                line.clear();
                self.unfinished_reply = line;
            }
        }
    }

    fn push_request(&mut self) {
        let line = without_terminator(&self.unfinished_request);
        let word = line.split(u8::is_ascii_whitespace).find(|word| !word.is_empty());
        let is_question = word == Some(whatsat::WORD.as_bytes());
        let request = Request { is_question, hash: xxh3_64(line) };
        self.unfinished_request.clear();
        self.is_lost |= self.requests.len() >= OWED_MAX;
        if !self.is_lost {
            self.requests.push_back(request);
        }
    }

    fn reply_line(&mut self, line: &[u8], explain: &mut impl FnMut(&str)) {
        match self.json {
            Json::Within if line.is_empty() => {
                self.json = Json::Outside;
                self.requests.pop_front();
                return;
            }
            Json::Begins if !line.trim_ascii_start().starts_with(b"{") => {
                self.json = Json::Outside;
                self.requests.pop_front();
                self.is_foreign(line, explain);
                if !line.starts_with(b"AT ") && !line.starts_with(b"? ") {
                    return;
                }
            }
            Json::Begins | Json::Within => {
                self.json = Json::Within;
                return;
            }
            Json::Outside => {}
        }
        if let Some(refused) = line.strip_prefix(b"? ") {
            self.has_errors = true;
            let request = self.requests.pop_front();
            if let Some(reason) = request.and_then(|request| request.reason_in(refused)) {
                explain(&reason);
            }
            return;
        }
        if line.is_empty() {
            // It separates replies, for some servers.
        } else if !line.starts_with(b"AT ") {
            self.is_foreign(line, explain);
            self.requests.pop_front();
        } else if self.requests.front().is_some_and(|request| request.is_question) {
            self.json = Json::Begins;
        } else {
            self.requests.pop_front();
        }
    }
}

impl Owed {
    /// A line is none that belongs there. One of them says enough of a page of another protocol.
    fn is_foreign(&mut self, line: &[u8], explain: &mut impl FnMut(&str)) {
        self.has_errors = true;
        if !std::mem::replace(&mut self.has_foreign, true) {
            let begin = Escaped(&line[..line.len().min(FOREIGN_BYTES_SHOWN)]);
            explain(&format!("this is no reply of a server of a herd: {begin}; is the address right?"));
        }
    }
}

impl Request {
    /// The reason in an error line, or what can be known of it from the copy; `None` for a text of the server's own.
    fn reason_in(&self, refused: &[u8]) -> Option<String> {
        if xxh3_64(refused) == self.hash {
            return Some(match why_refused(refused) {
                Some(reason) => reason.to_string(),
                None if self.is_question => Reason::UnknownClient.to_string(),
                None => {
                    "full, clock ahead, or the port is that of neighbours: a server with --explain says which"
                        .to_owned()
                }
            });
        }
        // The line may hold the mark too.
        let mark = REASON_MARK.as_bytes();
        let mut marks = memchr::memmem::find_iter(refused, mark);
        let at = marks.find(|&at| xxh3_64(&refused[..at]) == self.hash)?;
        Some(String::from_utf8_lossy(&refused[at + mark.len()..]).into_owned())
    }
}

fn push_bounded(line: &mut Vec<u8>, piece: &[u8]) {
    let room = LINE_BYTES_MAX.saturating_sub(line.len());
    line.extend_from_slice(&piece[..piece.len().min(room)]);
}

fn without_terminator(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is explained of the replies to some requests, both cut into pieces.
    fn explained(requests: &str, replies: &str, piece_bytes: usize) -> (Vec<String>, bool) {
        let (mut owed, mut reasons) = (Owed::default(), Vec::new());
        requests.as_bytes().chunks(piece_bytes).for_each(|piece| owed.sent(piece));
        for piece in replies.as_bytes().chunks(piece_bytes) {
            owed.received(piece, |reason| reasons.push(reason.to_owned()));
        }
        (reasons, owed.is_settled())
    }

    #[test]
    fn each_request_is_owed_one_reply_whatever_its_form() {
        let requests = "IAMAT a +1+1 1\r\n\nWHATSAT a 1 1\nWHATSAT b 1 1\n  WHATSAT a 1 1\nhello\n";
        let replies = "AT A +1 a +1+1 1\n? \nAT A +1 a +1+1 1\n{\n\"? x\": 1}\n\n? WHATSAT b 1 1\n\
                       AT A +1 a +1+1 1\n{}\n\n? hello\n";
        for piece_bytes in [1, 2, 7, 1_000] {
            let (reasons, is_settled) = explained(requests, replies, piece_bytes);
            assert!(is_settled && reasons.len() == 3, "{reasons:?}");
            let (_, is_settled) = explained(requests, &replies[..replies.len() - 1], piece_bytes);
            assert!(!is_settled);
        }
    }

    #[test]
    fn reason_is_the_servers_or_what_the_copy_says() {
        let cases = [
            ("hello", "hello", Some("wrong word: ")),
            ("WHATSAT a 1 99", "WHATSAT a 1 99", Some("bad limit: ")),
            ("WHATSAT a 1 1", "WHATSAT a 1 1", Some("unknown client: ")),
            ("IAMAT a +1+1 1", "IAMAT a +1+1 1", Some("full, clock ahead")),
            ("IAMAT a +1+1 1", "IAMAT a +1+1 1 # clock ahead: x", Some("clock ahead: x")),
            ("hello # it # is", "hello # it # is # wrong # word", Some("wrong # word")),
            ("hello", "too many connections; try again later", None),
            ("IAMAT a +1+1 1", "cannot be kept now, try again later: IAMAT a +1+1 1", None),
        ];
        for (request, refused, expected) in cases {
            let (reasons, is_settled) = explained(&format!("{request}\n"), &format!("? {refused}\n"), 5);
            assert!(is_settled);
            match expected {
                None => assert_eq!(reasons, [""; 0]),
                Some(expected) => assert!(reasons[0].starts_with(expected), "{reasons:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_reply_is_said_once() {
        let question = "WHATSAT a 1 1\n";
        let cases = [
            (
                "IAMAT a +1+1 1\n",
                "HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n<html>\n",
                "HTTP/1.1 400 Bad Request",
            ),
            (question, "SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-OpenSSH_9.2"),
            (question, "{}\n\n", "{}"),
            (question, "AT A +1 a +1+1 1\nAT A +1 b +1+1 1\n", "AT A +1 b"),
            (question, "AT A +1 a +1+1 1\n<html>\n\n", "<html>"),
            ("IAMAT a +1+1 1\n", "\x1b[2J\n", "\\x1b[2J"),
            ("IAMAT a +1+1 1\n", "AT\n", "AT"),
        ];
        for (request, reply, shown) in cases {
            for piece_bytes in [1, 1_000] {
                let (mut owed, mut reasons) = (Owed::default(), Vec::new());
                owed.sent(request.as_bytes());
                for piece in reply.as_bytes().chunks(piece_bytes) {
                    owed.received(piece, |reason| reasons.push(reason.to_owned()));
                }
                assert_eq!((reasons.len(), owed.has_errors), (1, true), "{reply:?}: {reasons:?}");
                let expected = format!("no reply of a server of a herd: {shown}");
                assert!(reasons[0].contains(&expected), "{reasons:?}");
            }
        }
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut owed = Owed::default();
        owed.sent(&vec![b'x'; 3 * LINE_BYTES_MAX]);
        assert_eq!(owed.unfinished_request.len(), LINE_BYTES_MAX);
        owed.sent(&vec![b'\n'; OWED_MAX]);
        assert!(!owed.is_settled());
        owed.sent(b"\n");
        assert!(owed.is_settled() && owed.requests.len() == OWED_MAX);
    }
}
