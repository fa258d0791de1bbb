//! The paths of the door, and what they answer.

use std::borrow::Cow;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use proxyherd::config::CLOCK_LEAD_SUGGESTED;
use proxyherd::member::conversation::Remote;
use proxyherd::os::clock;
use proxyherd::proto::http::form;
use proxyherd::proto::http::phones::NotUnderstood;
use proxyherd::proto::http::phones::owntracks::{self, Whose};
use proxyherd::proto::http::reports::{Reports, Taking};
use proxyherd::proto::http::response::Response as Problem;
use proxyherd_bench::driver::Driver;

/// The most bytes of a report, as at the threaded door.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// The door of a member.
pub(crate) fn new(driver: &'static Driver) -> Router {
    Router::new()
        .route("/pub", post(owntracks))
        .layer(DefaultBodyLimit::max(BATCH_BYTES_MAX))
        .with_state(driver)
}

/// Takes a report of OwnTracks. A commit is awaited before the answer, as everywhere; the variants keep nothing, so it
/// holds up no others.
async fn owntracks(
    State(driver): State<&'static Driver>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match take(driver, from, query.as_deref().unwrap_or_default(), &headers, &body) {
        Ok(()) => answer(StatusCode::OK, "application/json", Bytes::from_static(b"[]")),
        Err((status, why)) => {
            let problem = Problem::problem(status.as_u16(), &why);
            answer(status, "application/problem+json", Bytes::copy_from_slice(problem.body()))
        }
    }
}

fn take(
    driver: &Driver,
    from: SocketAddr,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), (StatusCode, String)> {
    let member = &driver.member;
    member.metrics.http_requests.add(1);
    let received = clock::now();
    let taken = owntracks::read(body, &whose(query, headers))
        .map_err(|NotUnderstood(why)| (StatusCode::BAD_REQUEST, why.to_owned()))?;
    let mut reports = Reports::new(Taking {
        server: &member.me.name,
        received,
        latest: received.after(member.me.clock_lead_max.unwrap_or(CLOCK_LEAD_SUGGESTED)),
        client_name_bytes_max: member.me.client_name_bytes_max,
    });
    let useless = taken.points.iter().filter(|point| reports.push(point).is_err()).count();
    member.metrics.points_left_out.add((taken.left_out + useless) as u64);
    if !reports.is_empty() {
        let unavailable = |why: String| (StatusCode::SERVICE_UNAVAILABLE, why);
        let remote = Remote { door: "http", from, is_proxied: false };
        member.report(&mut reports, remote).map_err(|why| unavailable(format!("reports {why}")))?;
        if reports.rejected.is_some() {
            return Err(unavailable("no more clients are taken at the moment".to_owned()));
        }
    }
    Ok(())
}

/// The user and the device of the header fields, or else of the query, or else the user of the login.
fn whose(query: &str, headers: &HeaderMap) -> Whose<'static> {
    let pairs = form::pairs(query.as_bytes());
    let value = |name: &str, key: &str| {
        let field = headers.get(name).map(|value| form::decode(value.as_bytes()).into_owned());
        field.or_else(|| pairs.iter().find(|pair| pair.0 == key).map(|pair| pair.1.clone()))
    };
    let sender = value("x-limit-u", "u").or_else(|| user(headers));
    Whose { user: sender.map(Cow::Owned), device: value("x-limit-d", "d").map(Cow::Owned) }
}

fn user(headers: &HeaderMap) -> Option<String> {
    let login = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let decoded = form::base64(login.strip_prefix("Basic ")?.trim())?;
    let user = decoded.split(|&byte| byte == b':').next()?;
    std::str::from_utf8(user).ok().filter(|user| !user.is_empty()).map(str::to_owned)
}

fn answer(status: StatusCode, media_type: &'static str, body: Bytes) -> Response {
    let fields = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, fields, body).into_response()
}
