//! One request, one answer.

use super::asked::Asked;
use super::guard;
use super::question;
use super::report;
use super::route::{App, Route};
use super::status;
use crate::proto::http::phones::traccar;
use crate::proto::http::request::Request;
use crate::proto::http::response::Response;

/// Answers a request.
pub(super) fn answer(asked: Asked<'_, '_>) -> Response {
    let request = asked.request;
    let (route, method) = (Route::of(request.path()), request.method());
    // How the server is may be asked from anywhere that gets through, because it names no client.
    let is_open = matches!(route, Route::Health);
    if let Some((status, why)) = guard::check(request, asked.remote.from).err().filter(|_| !is_open) {
        return Response::problem(status, why);
    }
    if route == Route::Unknown {
        return Response::problem(404, "there is nothing at this path");
    }
    if !route.allows(method) {
        return Response::problem(405, "this path takes other methods").with("Allow", route.methods());
    }
    let member = asked.shared.member;
    match route {
        Route::Report(app) => reported(&asked, &app),
        Route::Root if is_report(request) => reported(&asked, &App::Any),
        Route::Root if method == b"GET" || method == b"HEAD" => status::root(member),
        Route::Root => Response::problem(400, "there is no body, and no client in the query"),
        Route::Client(name) if method == b"DELETE" => match guard::check_origin(request) {
            Err((status, why)) => Response::problem(status, why),
            Ok(()) => question::forget(member, &name, asked.received, asked.remote),
        },
        Route::Client(name) => question::client(member, request, &name),
        // It may ask a provider that costs money.
        Route::Nearby(name) => match guard::check_site(request) {
            Err((status, why)) => Response::problem(status, why),
            Ok(()) => question::nearby(asked, &name),
        },
        Route::Status => status::status(asked.shared),
        Route::Health => status::health(asked.shared),
        Route::Metrics => status::metrics(asked.shared, request),
        Route::Unknown => Response::problem(404, "there is nothing at this path"),
    }
}

fn reported(asked: &Asked<'_, '_>, app: &App<'_>) -> Response {
    match guard::check_origin(asked.request) {
        Err((status, why)) => Response::problem(status, why),
        Ok(()) => report::take(asked, app),
    }
}

/// Whether a request to the root is a report: it has a body, or parameters of one in its query, even if none of them
/// says of whom, because the app must learn that.
fn is_report(request: &Request<'_>) -> bool {
    let body = request.body;
    request.method() != b"HEAD"
        && (!body.is_empty()
            || request.header("x-limit-u").is_some()
            || traccar::is_report(&request.query_pairs()))
}
