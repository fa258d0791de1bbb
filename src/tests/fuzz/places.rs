//! A provider's bytes: whatever they are, the client gets JSON of the agreed shape, with as many results as it asked
//! for, laid out as promised.

use std::sync::Arc;

use serde_json::Value;

use super::client::{RECEIVED, identity};
use crate::places::{Answer, Choice, PlacesError, answer_in};
use crate::proto::line::batch::Batch;
use crate::proto::line::commands::{ClientCommand, client_command};
use crate::proto::line::framing::Line;
use crate::proto::line::query::{PLACES_MAX, Query};
use crate::proto::node::Node;
use crate::proto::session::Session;

/// More characters than any error needs, the provider's own words included.
const ERROR_CHARS_MAX: usize = 500;

/// The first byte chooses the provider and the HTTP status, the second how many results are asked for; what follows
/// is the body.
pub(crate) fn check(data: &[u8]) {
    let [choice, limit, body @ ..] = data else { return };
    let limit = limit % PLACES_MAX + 1;
    // In the order in which the corpus knows them.
    let choices = ["google", "google-legacy", "overpass", "file:x"];
    let statuses = [200, 200, 400, 401, 403, 404, 406, 429, 500, 503, 504, 302];
    let status = statuses[usize::from(choice / 4) % statuses.len()];
    let name = if *choice >= 240 { "photon" } else { choices[usize::from(choice % 4)] };
    let choice: Choice = name.parse().unwrap();
    let search = search(limit);
    let answer = match answer_in(&choice, search.nearby(), status, body.to_vec()) {
        Ok(answer) => {
            let came = std::str::from_utf8(body).unwrap();
            if name == "google-legacy" && Answer::parse(came.to_owned()).is_ok() {
                assert_eq!(answer.as_str().as_bytes(), body, "the answer was not passed on as it came");
            } else {
                made_here(answer.as_str());
            }
            answer
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.chars().any(char::is_control), "{text:?}");
            assert!(text.chars().count() <= ERROR_CHARS_MAX, "{text}");
            let answer = error.to_answer();
            let value: Value = serde_json::from_str(answer.as_str()).unwrap();
            assert_eq!((&value["error_message"], results(&value).len()), (&text.into(), 0));
            assert!(!matches!(error, PlacesError::Stopped | PlacesError::Busy | PlacesError::Silent(_)));
            answer
        }
    };
    reply(&search, answer.as_str(), limit);
    // A provider from outside this crate is checked by `Answer::parse` alone.
    if let Ok(text) = std::str::from_utf8(body) {
        let parsed = Answer::parse(text.to_owned());
        let mut out = Vec::new();
        search.finish(text, &mut out);
        if parsed.is_ok() {
            reply(&search, text, limit);
        }
    }
}

/// What is said of an answer whose layout is ours.
fn made_here(answer: &str) {
    let value: Value = serde_json::from_str(answer).unwrap();
    let results = results(&value);
    assert!(results.len() <= usize::from(PLACES_MAX));
    assert!(value["html_attributions"].is_array());
    assert_eq!(value["status"], if results.is_empty() { "ZERO_RESULTS" } else { "OK" });
    for result in results {
        let location = &result["geometry"]["location"];
        let within = |key: &str, max: f64| location[key].as_f64().is_some_and(|degrees| degrees.abs() <= max);
        assert!(within("lat", 90.0) && within("lng", 180.0), "{location} is nowhere");
        assert!(result["name"].is_string() && result["place_id"].is_string() && result["types"].is_array());
    }
}

/// The reply is the `AT` line, the answer with at most `limit` results and all else in it, and two line feeds.
fn reply(search: &Query, answer: &str, limit: u8) {
    let mut out = Vec::new();
    search.finish(answer, &mut out);
    let reply = String::from_utf8(out).unwrap();
    let (at, text) = reply.split_once('\n').unwrap();
    assert!(at.starts_with("AT Alford "), "{at}");
    let text = text.strip_suffix("\n\n").expect("two line feeds end a reply");
    assert!(!text.ends_with('\n') && !text.starts_with('\n'), "{text:?}");
    assert!(!text.contains("\n\n") && !text.contains("\r\n"), "{text:?}");
    let mut expected: Value = serde_json::from_str(answer).unwrap();
    if let Some(results) = expected["results"].as_array_mut() {
        results.truncate(usize::from(limit));
    }
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), expected);
}

fn results(value: &Value) -> &[Value] {
    value["results"].as_array().expect("an answer has an array of results")
}

/// A question that the store has answered.
fn search(limit: u8) -> Query {
    let me = identity(None);
    let (mut node, mut session, mut batch) =
        (Node::new(Arc::clone(&me)), Session::client(me), Batch::default());
    let report = b"IAMAT kiwi +34.068930-118.445127 1621464827.959498503";
    session.line(Line::Whole(report), RECEIVED, &mut batch);
    node.apply(&mut batch, None);
    let question = format!("WHATSAT kiwi 50 {limit}");
    let Ok(ClientCommand::WhatsAt(ask)) = client_command(question.as_bytes()) else { unreachable!() };
    Query::of(node.store(), &ask).unwrap()
}
