//! The reader of requests against what clients, proxies and attackers send: whole, byte by byte, one after the other.

use crate::proto::http::head::BadRequest;
use crate::proto::http::request::{Progress, Reader};
use crate::tests::fuzz;

const BODY_BYTES_MAX: usize = 1_000;

/// A request as a test compares it: method, path, query, body, and whether the connection goes on.
type Read = (String, String, String, String, bool);

/// Reads all requests of a stream that comes in pieces of so many bytes; the error, if the stream is not understood.
fn read_in_pieces(stream: &[u8], piece: usize) -> (Vec<Read>, Option<BadRequest>, usize) {
    let mut requests = Vec::new();
    let (error, continues) = fuzz::http::read_in_pieces(stream, piece, BODY_BYTES_MAX, |request| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let [method, path, query, body] =
            [request.method(), request.path(), request.query(), request.body].map(text);
        requests.push((method, path, query, body, request.keeps_alive()));
    });
    (requests, error, continues)
}

/// Reads it whole and in pieces, which must come to the same.
fn read(stream: &[u8]) -> (Vec<Read>, Option<u16>) {
    let whole = read_in_pieces(stream, usize::MAX);
    for piece in [1, 7] {
        let (requests, error, _) = read_in_pieces(stream, piece);
        assert_eq!((&requests, &error), (&whole.0, &whole.1), "{}", String::from_utf8_lossy(stream));
    }
    (whole.0, whole.1.map(|error| error.status))
}

fn one(method: &str, path: &str, query: &str, body: &str, keeps_alive: bool) -> Read {
    (method.to_owned(), path.to_owned(), query.to_owned(), body.to_owned(), keeps_alive)
}

#[test]
fn requests_are_read_whole_and_in_pieces() {
    for (stream, expected) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", vec![one("GET", "/", "", "", true)]),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n", vec![one("GET", "/", "", "", true)]),
        ("GET /a?b=c?d HTTP/1.0\r\n\r\n", vec![one("GET", "/a", "b=c?d", "", false)]),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", vec![one("GET", "/", "", "", true)]),
        ("GET / HTTP/1.1\r\nHost:\r\nConnection: te, Close\r\n\r\n", vec![one("GET", "/", "", "", false)]),
        (
            "POST /pub HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
            vec![one("POST", "/pub", "", "hello", true), one("GET", "/2", "", "", true)],
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n\
             5\r\nhello\r\nb;x=\"y\"\r\n, and more.\r\n0\r\nX: y\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
            vec![one("POST", "/", "", "hello, and more.", true), one("GET", "/2", "", "", true)],
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
             POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nand\
             POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n\
             POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nmore, again",
            ["hello", "and", "", "more, again"].map(|body| one("POST", "/", "", body, true)).to_vec(),
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", vec![one("POST", "/", "", "", true)]),
        ("GET http://a.example:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n", vec![one("GET", "/x", "y", "", true)]),
        ("GET /{a}|b?c=%LAT HTTP/1.1\r\nHost: a\r\n\r\n", vec![one("GET", "/{a}|b", "c=%LAT", "", true)]),
        (
            "GET /u?url=http://b/c HTTP/1.1\r\nHost: a\r\n\r\n",
            vec![one("GET", "/u", "url=http://b/c", "", true)],
        ),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", vec![one("OPTIONS", "*", "", "", true)]),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
            vec![one("GET", "/", "", "", true)],
        ),
    ] {
        assert_eq!(read(stream.as_bytes()), (expected, None), "{stream}");
    }
}

#[test]
fn what_two_servers_could_read_in_two_ways_is_refused() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\n";
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    for (stream, status) in [
        (format!("{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("{head}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"), 400),
        (format!("{head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), 400),
        (format!("{head}Content-Length: 5, 5\r\n\r\nhello"), 400),
        (format!("{head}Content-Length: +5\r\n\r\nhello"), 400),
        (format!("{head}Content-Length: -5\r\n\r\nhello"), 400),
        (format!("{head}Content-Length: 0x5\r\n\r\nhello"), 400),
        (format!("{head}Content-Length: 5 5\r\n\r\nhello"), 400),
        (format!("{head}Content-Length:\r\n\r\nhello"), 400),
        (format!("{head}Content-Length: 99999999999999999999999\r\n\r\n"), 400),
        (format!("{head}Content-Length : 5\r\n\r\nhello"), 400),
        (format!("{head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501),
        (format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"), 501),
        (format!("{head}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 501),
        (format!("{head}Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n"), 400),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), 400),
        (format!("{head}X: a\r\n b\r\n\r\n"), 400),
        (format!("{head}X: a\rb\r\n\r\n"), 400),
        (format!("{head}X: a\0b\r\n\r\n"), 400),
        (format!("{head}X: a\nContent-Length: 5\r\n\r\n"), 400),
        (format!("{head} X: a\r\n\r\n"), 400),
        (format!("{head}: a\r\n\r\n"), 400),
        (format!("{head}X\r\n\r\n"), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (format!("{chunked}0x5\r\nhello\r\n0\r\n\r\n"), 400),
        (format!("{chunked}+5\r\nhello\r\n0\r\n\r\n"), 400),
        (format!("{chunked}-1\r\nhello\r\n0\r\n\r\n"), 400),
        (format!("{chunked} 5\r\nhello\r\n0\r\n\r\n"), 400),
        (format!("{chunked}\r\nhello\r\n0\r\n\r\n"), 400),
        (format!("{chunked}g\r\nhello\r\n0\r\n\r\n"), 400),
        (format!("{chunked}5\nhello\r\n0\r\n\r\n"), 400),
        (format!("{chunked}5\rhello\r\n0\r\n\r\n"), 400),
        (format!("{chunked}5;a\u{1}b\r\nhello\r\n0\r\n\r\n"), 400),
        (format!("{chunked}5\r\nhello!\r\n0\r\n\r\n"), 400),
        (format!("{chunked}000000005\r\nhello\r\n0\r\n\r\n"), 400),
        (format!("{chunked}fffffffff\r\nhello"), 400),
        (format!("{chunked}ffffffff\r\nhello"), 413),
        (format!("{chunked}3e8\r\n{}\r\n1\r\n", "x".repeat(1_000)), 413),
        (format!("{chunked}5;{}\r\n", "x".repeat(300)), 431),
        (format!("{chunked}0\r\n{}", "X: y\r\n".repeat(300)), 431),
        (format!("{head}Content-Length: 1001\r\n\r\n"), 413),
        (format!("{head}Expect: tea\r\n\r\n"), 417),
        (format!("{head}{}\r\n", "X: y\r\n".repeat(70)), 431),
        (format!("{head}X: {}\r\n\r\n", "y".repeat(20_000)), 431),
        (format!("GET /{} HTTP/1.1\r\n", "x".repeat(20_000)), 414),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n".to_owned(), 505),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET /\r\n\r\n".to_owned(), 400),
        ("IAMAT kiwi +1+1 5\n\r\n\r\n".to_owned(), 400),
        ("\u{16}\u{3}\u{1}".to_owned(), 400),
        ("\u{1}".to_owned(), 400),
        ("GET / HTTP/1.1\nHost: a\n\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\n".to_owned(), 400),
        ("\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("\r\n".repeat(5), 400),
        (format!("{chunked}5 x\r\nhello\r\n0\r\n\r\n"), 400),
        (format!("{chunked}{}", format!("1;{}\r\na\r\n", "x".repeat(250)).repeat(300)), 413),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9_000)), 414),
    ] {
        let (requests, error) = read(stream.as_bytes());
        let shown = stream.get(..stream.len().min(120)).unwrap_or_default();
        assert_eq!(error, Some(status), "{shown:?}: {requests:?}");
        assert!(requests.is_empty(), "{shown:?}");
        // A head like it that was right changes nothing.
        let (requests, error) = read(format!("{head}Content-Length: 5\r\n\r\nhello{stream}").as_bytes());
        assert_eq!((requests.len(), error), (1, Some(status)), "{shown:?}");
    }
}

#[test]
fn client_that_waits_for_it_is_told_to_go_on_once_and_only_if_its_body_is_not_there() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let (requests, error, continues) = read_in_pieces(format!("{head}hello").as_bytes(), usize::MAX);
    assert_eq!((requests.len(), error, continues), (1, None, 0));
    let (requests, error, continues) = read_in_pieces(format!("{head}hello").as_bytes(), head.len());
    assert_eq!((requests.len(), error, continues), (1, None, 1));
    let (requests, _, continues) = read_in_pieces(format!("{head}hello{head}hello").as_bytes(), 1);
    assert_eq!((requests.len(), continues), (2, 2));
    let old = head.replace("1.1", "1.0");
    assert_eq!(read_in_pieces(old.as_bytes(), usize::MAX).2, 0);
}

#[test]
fn large_body_gives_its_memory_back() {
    let mut reader = Reader::default();
    let mut stream = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n".to_vec();
    stream.resize(stream.len() + 1_000_000, b'x');
    for piece in stream.chunks(4_096) {
        reader.space()[..piece.len()].copy_from_slice(piece);
        reader.filled(piece.len());
        if reader.progress() == Ok(Progress::Head) {
            reader.bound_body(1_000_000).unwrap();
        }
    }
    assert_eq!(reader.progress(), Ok(Progress::Whole));
    assert_eq!(reader.request().unwrap().body.len(), 1_000_000);
    reader.done();
    assert!(!reader.is_mid_request());
    assert!(reader.space().len() <= 8_192);
}
