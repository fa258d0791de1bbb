//! The answer to a request, as bytes.

use serde_json::json;

use crate::proto::model::calendar::push_http_date;
use crate::proto::model::time::{Moment, push_digits};

const PROBLEM: &str = "application/problem+json";

/// The bytes of most heads.
const HEAD_BYTES: usize = 256;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    content_type: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// How an answer is sent.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    /// The time.
    pub now: Moment,
    /// Whether the connection goes on after it.
    pub keeps_alive: bool,
    /// Whether the request was HEAD, so that the body does not follow.
    pub is_head: bool,
}

impl Response {
    /// A body of a media type.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Response {
        Response { status, content_type, headers: Vec::new(), body: body.into() }
    }

    /// A success with a value.
    pub fn json(value: &serde_json::Value) -> Response {
        Response::new(200, "application/json", value.to_string())
    }

    /// An error with one sentence, as RFC 9457 lays it out.
    pub fn problem(status: u16, why: &str) -> Response {
        let body = json!({ "type": "about:blank", "title": reason(status), "status": status, "detail": why });
        Response::new(status, PROBLEM, body.to_string())
    }

    /// With one more header field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.headers.push((name, value.into()));
        self
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Appends it to what is to be sent.
    pub fn push_to(&self, sending: Sending, out: &mut Vec<u8>) {
        let Sending { now, keeps_alive, is_head } = sending;
        out.reserve(HEAD_BYTES + self.body.len());
        if self.status == 200 {
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\nDate: ");
        } else {
            out.extend_from_slice(b"HTTP/1.1 ");
            push_digits(out, self.status.into(), 3);
            out.push(b' ');
            out.extend_from_slice(reason(self.status).as_bytes());
            out.extend_from_slice(b"\r\nDate: ");
        }
        push_http_date(now, out);
        if self.has_body() {
            if !self.content_type.is_empty() {
                out.extend_from_slice(b"\r\nContent-Type: ");
                out.extend_from_slice(self.content_type.as_bytes());
            }
            out.extend_from_slice(b"\r\nContent-Length: ");
            push_digits(out, self.body.len() as u64, 1);
        }
        if !self.headers.iter().any(|(name, _)| *name == "Cache-Control") {
            out.extend_from_slice(b"\r\nCache-Control: no-store");
        }
        out.extend_from_slice(b"\r\nX-Content-Type-Options: nosniff\r\n");
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            // No value comes from outside as it is, but a line end in one would be a second answer.
            let text = value.split(char::is_control);
            text.for_each(|text| out.extend_from_slice(text.as_bytes()));
            out.extend_from_slice(b"\r\n");
        }
        if !keeps_alive {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if self.has_body() && !is_head {
            out.extend_from_slice(&self.body);
        }
    }

    fn has_body(&self) -> bool {
        !matches!(self.status, 204 | 304)
    }
}

/// The answer to a connection that is not let in, before it has asked for anything.
pub fn refusal(status: u16, why: &str) -> String {
    let body = Response::problem(status, why).body;
    let head = format!("Content-Type: {PROBLEM}\r\nContent-Length: {}\r\nConnection: close", body.len());
    format!("HTTP/1.1 {status} {}\r\n{head}\r\n\r\n{}", reason(status), String::from_utf8_lossy(&body))
}

/// Appends the head of an answer that goes on until one side ends it, such as Server-Sent Events. A proxy must not
/// collect it.
pub fn push_stream_head(now: Moment, media_type: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\nDate: ");
    push_http_date(now, out);
    out.extend_from_slice(b"\r\nContent-Type: ");
    out.extend_from_slice(media_type.as_bytes());
    out.extend_from_slice(
        b"\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Accel-Buffering: no\r\n\
          Connection: close\r\n\r\n",
    );
}

/// What tells a client to send the body that it holds back.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The words of a status.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        304 => "Not Modified",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(response: &Response, keeps_alive: bool, is_head: bool) -> String {
        let mut out = Vec::new();
        response.push_to(Sending { now: Moment::default(), keeps_alive, is_head }, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn answers_say_how_long_they_are() {
        let response = Response::new(200, "text/plain", "hello").with("X", "a\r\nb");
        let head = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/plain\r\n\
                    Content-Length: 5\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX: ab\r\n";
        assert_eq!(sent(&response, true, false), format!("{head}\r\nhello"));
        assert_eq!(sent(&response, false, true), format!("{head}Connection: close\r\n\r\n"));
        assert!(!sent(&Response::new(204, "", ""), true, false).contains("Content-Length"));
    }

    #[test]
    fn errors_are_problems() {
        let problem = Response::problem(404, "no such client");
        let body: serde_json::Value = serde_json::from_slice(problem.body()).unwrap();
        assert_eq!((&body["status"], &body["detail"]), (&json!(404), &json!("no such client")));
        assert!(sent(&problem, true, false).contains("application/problem+json"));
    }
}
