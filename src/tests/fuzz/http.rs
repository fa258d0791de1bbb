//! Requests of HTTP from any bytes: read the same whole and in pieces, bounded, and points that are of use become lines
//! that are read back.

use crate::proto::http::form;
use crate::proto::http::head::BadRequest;
use crate::proto::http::phones::encrypted::{Key, NONCE_BYTES};
use crate::proto::http::phones::owntracks::{self, Whose};
use crate::proto::http::phones::{Taken, gpslogger, overland, traccar};
use crate::proto::http::reports::{Reports, Taking};
use crate::proto::http::request::{Progress, Reader, Request};
use crate::proto::model::calendar::posix_time;
use crate::proto::model::name::ServerName;
use crate::proto::model::time::Moment;
use crate::proto::store::update::{Source, Update, Updates};

const BODY_BYTES_MAX: usize = 4 * 1024;
const NOW: Moment = Moment { seconds: 1_700_000_000, nanos: 0 };

/// Bytes as a stream of requests, and as bodies and parameters of every app.
pub(crate) fn check(data: &[u8]) {
    let whole = read(data, usize::MAX);
    for piece in [1, 3] {
        assert_eq!(read(data, piece), whole, "in pieces of {piece}");
    }
    let mut bodies: Vec<&[u8]> = whole.0.iter().map(|(_, body)| &**body).collect();
    bodies.push(data);
    for body in bodies {
        points(body);
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(seconds) = posix_time(text)
    {
        assert!(seconds.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'), "{seconds}");
    }
}

/// A request's target and body.
type Read = (Vec<u8>, Vec<u8>);

/// The targets and bodies of all requests, and why there is no further one.
fn read(stream: &[u8], piece: usize) -> (Vec<Read>, Option<BadRequest>) {
    let mut requests = Vec::new();
    let (error, _) = read_in_pieces(stream, piece, BODY_BYTES_MAX, |request| {
        assert!(request.body.len() <= BODY_BYTES_MAX);
        let target = [request.path(), b"?", request.query()].concat();
        requests.push((target, request.body.to_vec()));
    });
    (requests, error)
}

/// Reads a stream that comes in pieces of so many bytes. Returns why there is no further request, if that is an error,
/// and how often the client was to be told to go on.
pub(crate) fn read_in_pieces(
    stream: &[u8],
    piece: usize,
    body_bytes_max: usize,
    mut take: impl FnMut(Request<'_>),
) -> (Option<BadRequest>, usize) {
    let (sparing, mut continues) = (piece.is_multiple_of(2), 0);
    let mut reader = if sparing { Reader::sparing() } else { Reader::default() };
    for mut bytes in stream.chunks(piece) {
        while !bytes.is_empty() {
            let space = reader.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            reader.filled(count);
            bytes = &bytes[count..];
            loop {
                match reader.progress() {
                    Err(error) => return (Some(error), continues),
                    Ok(Progress::More) => break,
                    Ok(Progress::Continue) => continues += 1,
                    Ok(Progress::Head) => {
                        if let Err(error) = reader.bound_body(body_bytes_max) {
                            return (Some(error), continues);
                        }
                    }
                    Ok(Progress::Whole) => {
                        take(reader.request().expect("it is whole"));
                        reader.done();
                    }
                }
            }
        }
    }
    (None, continues)
}

/// Whatever an app's file takes is stored, or of no use.
fn points(body: &[u8]) {
    let key = Key::of("secret").expect("it is short");
    if let Ok(text) = std::str::from_utf8(body) {
        assert!(key.open(text).is_err(), "nothing is encrypted by chance");
    }
    let sealed = key.seal([7; NONCE_BYTES], body);
    let taken = owntracks::read(&sealed, &Whose::default()).expect("it is a message");
    assert_eq!(key.open(&taken.sealed.expect("it is encrypted")).as_deref(), Ok(body));
    let pairs = form::pairs(body);
    let whose = Whose { user: Some("a".into()), device: None };
    let all = [
        owntracks::read(body, &whose),
        traccar::read_json(body, &[], NOW),
        traccar::read_pairs(&pairs, &[], NOW),
        overland::read(body, Some("a")),
        gpslogger::read(&pairs, None, NOW),
    ];
    let server = ServerName::parse("Alford").expect("it follows the rule");
    let latest = Moment { seconds: u64::MAX, nanos: 0 };
    let taking = Taking { server: &server, received: NOW, latest, client_name_bytes_max: 1_024 };
    for Taken { points, .. } in all.into_iter().flatten() {
        let mut reports = Reports::new(taking);
        let taken = points.iter().filter(|point| reports.push(point).is_ok()).count();
        for i in 0..taken {
            let update = reports.get(i).expect("as many as were taken");
            let read = Update::from_stored(update.line, Source::CLIENT).expect("a line is read back");
            assert_eq!(read.meta, update.meta);
        }
        assert!(reports.get(taken).is_none());
    }
}
