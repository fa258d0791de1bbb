//! The beginning of a server's replies to reports: `AT`, its name, and the skew, which alone differs.

use crate::proto::model::name::{SERVER_NAME_BYTES_MAX, ServerName};
use crate::proto::model::time::{SHORT_SKEW_BYTES, Skew};

/// The longest beginning of a reply to a canonical report: `AT`, the longest name, a skew of less than ten seconds, and
/// three spaces.
pub(crate) const REPLY_PREFIX_BYTES_MAX: usize = "AT   ".len() + SERVER_NAME_BYTES_MAX + SHORT_SKEW_BYTES;

/// The bytes that are copied for every reply, because a fixed number costs less than as many as there are: those of a
/// name of 30 bytes.
const SHORT_BYTES_MAX: usize = 48;

/// The beginning of a server's replies.
#[derive(Clone, Debug)]
pub(crate) struct ReplyPrefix {
    /// With nothing where the skew will be, and behind it.
    text: [u8; SHORT_BYTES_MAX],
    /// The rest, of a server with a long name.
    more: Vec<u8>,
    /// Where the skew begins.
    skew: usize,
}

impl ReplyPrefix {
    /// The beginning of the replies of the server with this name.
    pub(crate) fn of(name: &ServerName) -> ReplyPrefix {
        let name = name.as_str().as_bytes();
        let skew = "AT  ".len() + name.len();
        let mut all = [b' '; REPLY_PREFIX_BYTES_MAX];
        all[..2].copy_from_slice(b"AT");
        all[3..3 + name.len()].copy_from_slice(name);
        let mut text = [b' '; SHORT_BYTES_MAX];
        text.copy_from_slice(&all[..SHORT_BYTES_MAX]);
        let more = all[SHORT_BYTES_MAX..(skew + SHORT_SKEW_BYTES + 1).max(SHORT_BYTES_MAX)].to_vec();
        ReplyPrefix { text, more, skew }
    }

    /// Appends the beginning of a reply, up to where the client's name follows.
    #[inline(always)]
    pub(crate) fn push_to(&self, skew: Skew, out: &mut Vec<u8>) {
        let at = out.len() + self.skew;
        out.extend_from_slice(&self.text);
        if !self.more.is_empty() {
            out.extend_from_slice(&self.more);
        }
        match skew.short_text() {
            Some(text) => {
                out[at..at + SHORT_SKEW_BYTES].copy_from_slice(&text);
                out.truncate(at + SHORT_SKEW_BYTES + 1);
            }
            None => push_long(skew, at, out),
        }
    }
}

#[cold]
fn push_long(skew: Skew, at: usize, out: &mut Vec<u8>) {
    out.truncate(at);
    skew.push_to(out);
    out.push(b' ');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::model::time::Moment;

    #[test]
    fn reply_begins_with_name_and_skew() {
        for name in ["A", "Alford", &"x".repeat(30), &"x".repeat(31), &"x".repeat(SERVER_NAME_BYTES_MAX)] {
            let prefix = ReplyPrefix::of(&ServerName::parse(name).unwrap());
            for (seconds, text) in [(0, "-0.000000009"), (9, "-9.000000009"), (10, "-10.000000009")] {
                let mut out = b"before\n".to_vec();
                let sent = Moment { seconds, nanos: 9 };
                prefix.push_to(Skew::between(Moment::default(), sent), &mut out);
                assert_eq!(String::from_utf8(out).unwrap(), format!("before\nAT {name} {text} "));
            }
        }
    }
}
