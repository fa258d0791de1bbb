//! Why a client's line was refused, in words for the one who wrote it. The reply is a copy of the line and nothing
//! else. What the grammar says of it can be found from that copy; the rest only the server knows, which appends the
//! reason if it is told to (`--explain`).

use std::fmt;

use crate::proto::model::fields::ParseError;

/// What stands between the copy of a refused line and the reason. A line may hold it too.
pub const REASON_MARK: &str = " # ";

/// Why a line was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is no command, or one of its fields is wrong.
    Parse(ParseError),
    /// It begins a conversation of another protocol.
    OtherProtocol,
    /// The name has more bytes than this.
    NameTooLong(usize),
    /// The line has more bytes than this.
    LineTooLong(usize),
    /// The end of the line did not come in time.
    LineTooSlow,
    /// No server of the herd has told of the client.
    UnknownClient,
    /// The time is further ahead of the server's clock than it allows.
    ClockAhead,
    /// The client is new, and the server knows as many as it may.
    Full,
    /// The report cannot be made durable now.
    NotDurable,
}

impl From<ParseError> for Reason {
    fn from(error: ParseError) -> Reason {
        Reason::Parse(error)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Parse(ParseError::UnknownWord) => {
                f.write_str("wrong word: a line begins with IAMAT or WHATSAT, in capitals")
            }
            Reason::Parse(ParseError::FieldCount) => f.write_str(
                "wrong number of fields: it is IAMAT CLIENT LOCATION TIME or WHATSAT CLIENT RADIUS LIMIT",
            ),
            Reason::Parse(error) => error.fmt(f),
            Reason::OtherProtocol => f.write_str("HTTP with a body and TLS are not spoken here"),
            Reason::NameTooLong(most) => write!(f, "name too long: it has at most {most} bytes here"),
            Reason::LineTooLong(most) => write!(f, "line too long: it has at most {most} bytes here"),
            Reason::LineTooSlow => f.write_str("too slow: the end of the line did not come in time"),
            Reason::UnknownClient => f.write_str("unknown client: no server has told of it"),
            Reason::ClockAhead => f.write_str("clock ahead: the time is further in the future than is taken"),
            Reason::Full => f.write_str("full: no new clients are taken"),
            Reason::NotDurable => f.write_str("not durable now: try again later"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::line::commands::why_refused;

    #[test]
    fn every_line_has_its_reason() {
        let report = |location: &str, time: &str| format!("IAMAT kiwi {location} {time}");
        let not_seconds = "bad time: not POSIX seconds such as 1621464827.959";
        let cases = [
            (String::new(), "the line is blank"),
            (" \t".to_owned(), "the line is blank"),
            ("hello".to_owned(), "wrong word: a line begins with IAMAT or WHATSAT, in capitals"),
            ("iamat kiwi +1+1 5".to_owned(), "wrong word"),
            ("? IAMAT".to_owned(), "wrong word"),
            ("IAMAT".to_owned(), "wrong number of fields: it is IAMAT CLIENT LOCATION TIME or "),
            ("IAMAT a b c d".to_owned(), "wrong number of fields"),
            ("WHATSAT kiwi 10".to_owned(), "wrong number of fields"),
            (report("34-118", "1"), "bad location: the latitude does not begin with + or -"),
            (report("+x-118", "1"), "bad location: the latitude is not a decimal number"),
            (report("+34.-118", "1"), "bad location: the latitude is not a decimal number"),
            (report("+90.1-118", "1"), "bad location: the latitude is beyond 90 degrees"),
            (report("+34", "1"), "bad location: behind the latitude there is no longitude with + or -"),
            (report("+34,118", "1"), "bad location: behind the latitude there is no longitude with + or -"),
            (report("+34-x", "1"), "bad location: the longitude is not a decimal number"),
            (report("+34-118.", "1"), "bad location: the longitude is not a decimal number"),
            (report("+34-180.1", "1"), "bad location: the longitude is beyond 180 degrees"),
            (report("+34-118+5", "1"), "bad location: there is more behind the longitude"),
            (report("+34-118", "now"), not_seconds),
            (report("+34-118", "-1"), not_seconds),
            (report("+34-118", "1."), not_seconds),
            (report("+34-118", "1.x"), not_seconds),
            (report("+34-118", "1234567890123456789"), "bad time: more than 18 digits of seconds"),
            (report("+34-118", "0.0"), "bad time: not more than zero"),
            ("WHATSAT kiwi 51 5".to_owned(), "bad radius: not an integer from 1 to 50"),
            ("WHATSAT kiwi 10 0".to_owned(), "bad limit: not an integer from 1 to 20"),
        ];
        for (line, expected) in cases {
            let reason = why_refused(line.as_bytes()).map(|reason| reason.to_string());
            assert!(reason.as_ref().is_some_and(|it| it.starts_with(expected)), "{line:?}: {reason:?}");
        }
        assert_eq!(why_refused(b"\x80"), Some(Reason::Parse(ParseError::NotUtf8)));
        for line in ["IAMAT kiwi +1+1 5", "WHATSAT kiwi 10 5"] {
            assert_eq!(why_refused(line.as_bytes()), None);
        }
    }

    #[test]
    fn what_only_a_server_knows_has_words_too() {
        let cases = [
            (Reason::OtherProtocol, "HTTP"),
            (Reason::NameTooLong(1024), "name too long: it has at most 1024 bytes"),
            (Reason::LineTooLong(4096), "line too long: it has at most 4096 bytes"),
            (Reason::LineTooSlow, "too slow"),
            (Reason::UnknownClient, "unknown client"),
            (Reason::ClockAhead, "clock ahead"),
            (Reason::Full, "full"),
            (Reason::NotDurable, "not durable now"),
        ];
        for (reason, beginning) in cases {
            let text = reason.to_string();
            assert!(
                text.starts_with(beginning) && !text.contains('\n') && !text.contains(REASON_MARK),
                "{text}"
            );
        }
    }
}
