//! One request, one answer.

use super::access::Asker;
use super::asked::Asked;
use super::backup::{self, Export};
use super::drain;
use super::events::{self, EventStream};
use super::guard;
use super::herd;
use super::list;
use super::question;
use super::report;
use super::route::{App, Route};
use super::shares;
use super::status;
use super::track;
use crate::frontend::page::Pages;
use crate::proto::http::phones::traccar;
use crate::proto::http::request::{Name, Request};
use crate::proto::http::response::Response;

const FOR_ADMINS: &str = "this is for users with `admin = true`";

/// What a request is answered with.
pub(super) enum Answer<'a> {
    /// An answer that is whole.
    Whole(Response),
    /// Events, from now on.
    Events(Box<EventStream<'a>>),
    /// All that is stored.
    Export(Export<'a>),
}

/// Answers a request.
pub(super) fn answer<'a>(asked: Asked<'a, '_>) -> Answer<'a> {
    let route = Route::of(asked.request.path());
    if matches!(route, Route::Events) && route.allows(asked.request.method()) {
        return events::begin(&asked).map_or_else(Answer::Whole, Answer::Events);
    }
    if matches!(route, Route::Export) && route.allows(asked.request.method()) {
        return exported(&asked).map_or_else(Answer::Whole, Answer::Export);
    }
    Answer::Whole(whole(asked, route))
}

fn exported<'a>(asked: &Asked<'a, '_>) -> Result<Export<'a>, Response> {
    let asker = Asker::of(asked.shared, asked.request, asked.remote)?;
    if !asker.is_admin() {
        return Err(Response::problem(403, FOR_ADMINS));
    }
    guard::check_site(asked.request).map_err(|(status, why)| Response::problem(status, why))?;
    Ok(Export::begin(asked, &asker))
}

fn whole(asked: Asked<'_, '_>, route: Route<'_>) -> Response {
    let request = asked.request;
    let method = request.method();
    // How the server is may be asked from anywhere that gets through, because it names no client.
    if matches!(route, Route::Health) && route.allows(method) {
        return status::health(asked.shared);
    }
    // Files hold no data, so they are for everybody, too: the page is what asks for a token.
    if let Some(file) = file(asked.shared.pages, &route, request) {
        return file;
    }
    let asker = match asked.last_login.asker(asked.shared, request, asked.remote) {
        Ok(asker) => asker,
        Err(refused) => return refused,
    };
    if matches!(route, Route::Unknown) {
        return Response::problem(404, "there is nothing at this path");
    }
    if !route.allows(method) {
        return Response::problem(405, "this path takes other methods").with("Allow", route.methods());
    }
    let member = asked.shared.member;
    // A guest may look at one client, and do nothing else.
    if asker.share().is_some() && !matches!(route, Route::Client(_)) {
        return Response::problem(403, "a share link is for one client alone");
    }
    if is_for_admins(&route, method) && !asker.is_admin() {
        return Response::problem(403, FOR_ADMINS);
    }
    match route {
        Route::Report(app) => reported(&asked, &asker, &app),
        Route::Root if is_report(request) => reported(&asked, &asker, &App::Any),
        Route::Root => Response::problem(400, "there is no body, and no client in the query"),
        Route::Clients => list::clients(&asked, &asker),
        Route::Client(name) if method == b"DELETE" => match guard::check_origin(request) {
            Err((status, why)) => Response::problem(status, why),
            Ok(()) => question::forget(member, &name, asked.received, &asker.at(asked.remote)),
        },
        // That there is such a client is not for everybody to know, either.
        Route::Client(name) | Route::Nearby(name) | Route::Track(name) if !asker.may_see(&name) => {
            question::unknown_client()
        }
        Route::Client(name) => question::client(member, request, &name),
        // It may ask a provider that costs money.
        Route::Nearby(name) => match guard::check_site(request) {
            Err((status, why)) => Response::problem(status, why),
            Ok(()) => question::nearby(asked, &name),
        },
        Route::Track(name) => track::track(&asked, &name),
        Route::Shares => match guard::check_origin(request) {
            Err((status, why)) => Response::problem(status, why),
            Ok(()) => shares::make(&asked, &asker),
        },
        Route::Herd => herd::herd(asked.shared),
        Route::Status => status::status(asked.shared),
        Route::Import | Route::Drain => match guard::check_origin(request) {
            Err((status, why)) => Response::problem(status, why),
            Ok(()) if route == Route::Import => backup::import(&asked, &asker),
            Ok(()) => drain::drain(&asked, &asker),
        },
        // They are long, so they are begun above.
        Route::Events | Route::Export => Response::problem(405, "this path takes other methods"),
        Route::Health => status::health(asked.shared),
        Route::Metrics => status::metrics(asked.shared, request),
        Route::File(_) | Route::Unknown => Response::problem(404, "there is nothing at this path"),
    }
}

/// A file of the page, if that is what is asked for.
fn file(pages: &Pages, route: &Route<'_>, request: &Request<'_>) -> Option<Response> {
    if !matches!(request.method(), b"GET" | b"HEAD") {
        return None;
    }
    if let Route::File(name) = route {
        return Some(pages.file(name, request));
    }
    (*route == Route::Root && !is_report(request)).then(|| pages.index(request))
}

fn reported(asked: &Asked<'_, '_>, asker: &Asker, app: &App<'_>) -> Response {
    match guard::check_origin(asked.request) {
        Err((status, why)) => Response::problem(status, why),
        Ok(()) => report::take(asked, asker, app),
    }
}

/// Whether a request is about the server or all of its clients.
fn is_for_admins(route: &Route<'_>, method: &[u8]) -> bool {
    match route {
        Route::Herd | Route::Status | Route::Metrics | Route::Export | Route::Import | Route::Drain => true,
        Route::Client(_) => method == b"DELETE",
        Route::Root
        | Route::Report(_)
        | Route::Clients
        | Route::Nearby(_)
        | Route::Track(_)
        | Route::Events
        | Route::Shares
        | Route::Health
        | Route::File(_)
        | Route::Unknown => false,
    }
}

/// Whether a request to the root is a report: it has a body, or parameters of one in its query, even if none of them
/// says of whom, because the app must learn that.
fn is_report(request: &Request<'_>) -> bool {
    let body = request.body;
    request.method() != b"HEAD"
        && (!body.is_empty()
            || request.header(Name::XLimitU).is_some()
            || traccar::is_report(&request.query_pairs()))
}
