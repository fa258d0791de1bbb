//! The names of the header fields that are asked for. Each of a request is told from all others at once.

use crate::proto::model::digits::each;

/// The header fields that are asked for. Each name is looked at once, when the head is read.
#[expect(missing_docs, reason = "they are called as they are written")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Accept,
    AcceptEncoding,
    Authorization,
    Connection,
    ContentLength,
    ContentType,
    Expect,
    Host,
    IfNoneMatch,
    LastEventId,
    Origin,
    Referer,
    SecFetchSite,
    TransferEncoding,
    UserAgent,
    XLimitD,
    XLimitU,
}

impl Name {
    /// How many there are.
    pub(super) const COUNT: usize = Name::XLimitU as usize + 1;

    /// The name that this is, without regard to case.
    pub(super) fn of(name: &[u8]) -> Option<Name> {
        let known: &[Known] = match name.len() {
            4 => const { &[Known::new("host", Name::Host)] },
            6 => {
                const {
                    &[
                        Known::new("accept", Name::Accept),
                        Known::new("expect", Name::Expect),
                        Known::new("origin", Name::Origin),
                    ]
                }
            }
            7 => const { &[Known::new("referer", Name::Referer)] },
            9 => const { &[Known::new("x-limit-d", Name::XLimitD), Known::new("x-limit-u", Name::XLimitU)] },
            10 => {
                const { &[Known::new("connection", Name::Connection), Known::new("user-agent", Name::UserAgent)] }
            }
            12 => const { &[Known::new("content-type", Name::ContentType)] },
            13 => {
                const {
                    &[
                        Known::new("authorization", Name::Authorization),
                        Known::new("if-none-match", Name::IfNoneMatch),
                        Known::new("last-event-id", Name::LastEventId),
                    ]
                }
            }
            14 => {
                const {
                    &[
                        Known::new("content-length", Name::ContentLength),
                        Known::new("sec-fetch-site", Name::SecFetchSite),
                    ]
                }
            }
            15 => const { &[Known::new("accept-encoding", Name::AcceptEncoding)] },
            // It has more bytes than both ends.
            17 => return name.eq_ignore_ascii_case(b"transfer-encoding").then_some(Name::TransferEncoding),
            _ => return None,
        };
        let ends = lower_ends(name);
        known.iter().find(|known| known.ends == ends).map(|known| known.name)
    }

    pub(super) fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A name of as many bytes as both ends have, sixteen at most.
struct Known {
    ends: [u64; 2],
    name: Name,
}

impl Known {
    const fn new(lower: &str, name: Name) -> Known {
        Known { ends: lower_ends(lower.as_bytes()), name }
    }
}

/// The first and the last eight bytes of a name, or four of a shorter one, in lower case: so it is compared at once.
#[inline(always)]
const fn lower_ends(name: &[u8]) -> [u64; 2] {
    let [first, last] = match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => [u64::from_le_bytes(*first), u64::from_le_bytes(*last)],
        _ => match (name.first_chunk(), name.last_chunk()) {
            (Some(first), Some(last)) => {
                [u32::from_le_bytes(*first) as u64, u32::from_le_bytes(*last) as u64]
            }
            _ => [0; 2],
        },
    };
    // Capitals have this bit, and hyphens have not.
    [first | (first & each(0x40)) >> 1, last | (last & each(0x40)) >> 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case() {
        for (text, name) in [
            ("Host", Name::Host),
            ("content-LENGTH", Name::ContentLength),
            ("Transfer-Encoding", Name::TransferEncoding),
            ("X-Limit-U", Name::XLimitU),
            ("x-limit-d", Name::XLimitD),
            ("ACCEPT", Name::Accept),
            ("Accept-Encoding", Name::AcceptEncoding),
            ("authorization", Name::Authorization),
            ("Connection", Name::Connection),
            ("Content-Type", Name::ContentType),
            ("Expect", Name::Expect),
            ("If-None-Match", Name::IfNoneMatch),
            ("Last-Event-ID", Name::LastEventId),
            ("Origin", Name::Origin),
            ("Referer", Name::Referer),
            ("Sec-Fetch-Site", Name::SecFetchSite),
            ("User-Agent", Name::UserAgent),
        ] {
            assert_eq!(Name::of(text.as_bytes()), Some(name), "{text}");
        }
        for text in ["", "Hos", "Hosts", "X_Limit_U", "X\rLimit\rU", "X-Limit-E", "Transfer-Encodings"] {
            assert_eq!(Name::of(text.as_bytes()), None, "{text}");
        }
        // Every one of these is one byte away from a name.
        for name in ["host", "origin", "referer", "x-limit-u", "content-length", "transfer-encoding"] {
            for at in 0..name.len() {
                for byte in 0..=255_u8 {
                    let mut text = name.as_bytes().to_vec();
                    text[at] = byte;
                    let is_name = byte.eq_ignore_ascii_case(&name.as_bytes()[at]);
                    assert_eq!(Name::of(&text) == Name::of(name.as_bytes()), is_name, "{text:?}");
                }
            }
        }
    }
}
