//! Other protocols on the client port, as their first line shows them. What follows a request of HTTP may be chosen by
//! a web page: its browser would speak here for it, so nothing of that is taken.
//!
//! `GET` and `HEAD` have no body, and browsers let no page write their headers: they get error lines, as others do.

/// The first bytes of a TLS hello: a record of a handshake, of any version.
const TLS_HELLO: [u8; 2] = [0x16, 0x03];

/// Methods with which a page may send a body, or ask whether it may; and the preface of HTTP/2.
const METHODS: [&str; 6] = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PRI"];

/// Methods that are answered as any line is.
const HARMLESS_METHODS: [&str; 2] = ["GET", "HEAD"];

/// What ends a request line.
const VERSION: &str = "HTTP/";

/// Whether the first line of a client begins a conversation of another protocol: a TLS hello; one of [`METHODS`] and a
/// target; or any other method, a target and a version of HTTP, because a page may make up methods. A browser writes
/// methods in capitals, but not all.
pub(crate) fn is_foreign(line: &[u8]) -> bool {
    if is_tls_hello(line) {
        return true;
    }
    let is_separator = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'\x0b';
    let mut words = line.split(is_separator).filter(|word| !word.is_empty());
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return false };
    let is_one_of =
        |methods: &[&str]| methods.iter().any(|name| method.eq_ignore_ascii_case(name.as_bytes()));
    let last = words.next_back().unwrap_or(target);
    let has_version = last.len() > VERSION.len()
        && last[..VERSION.len()].eq_ignore_ascii_case(VERSION.as_bytes())
        && last[VERSION.len()].is_ascii_digit();
    is_one_of(&METHODS) || (has_version && !is_one_of(&HARMLESS_METHODS))
}

/// Whether this is the beginning of a TLS hello, which has no line end to wait for.
pub(crate) fn is_tls_hello(bytes: &[u8]) -> bool {
    bytes.starts_with(&TLS_HELLO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_with_a_body_and_tls_hello_are_foreign() {
        for line in [
            "POST / HTTP/1.1",
            "POST /",
            "POST x",
            "POST  x y z",
            "  POST / HTTP/1.1",
            "PUT /a HTTP/1.0\r",
            "patch /a HTTP/1.1",
            "DELETE /a HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "PRI * HTTP/2.0",
            "CONNECT alford:12550 HTTP/1.1",
            "TRACE / HTTP/1.1",
            "IAMAT / HTTP/1.1",
            "QUERY / http/1.1",
            "M-SEARCH\t*\tHTTP/1.1",
            "\x16\x03",
            "\x16\x03\x01\x02\x00\x01\x00\x01\x0b\x03\x03",
        ] {
            assert!(is_foreign(line.as_bytes()), "{line:?}");
        }
    }

    #[test]
    fn everything_else_is_a_line() {
        for line in [
            "",
            " ",
            "GET / HTTP/1.1",
            "GET /",
            "HEAD / HTTP/1.1",
            "POST",
            "POST ",
            "POSTER kiwi",
            "XPOST /",
            "HTTP/1.1 200 OK",
            "hello",
            "IAMAT kiwi +1+1 5",
            "IAMAT POST +1+1 5",
            "WHATSAT HTTP/1.1 10 5",
            "WHATSAT kiwi 10 HTTP/x",
            "\x16",
            "\x16\x02\x01",
            "x\x16\x03",
        ] {
            assert!(!is_foreign(line.as_bytes()), "{line:?}");
        }
    }
}
