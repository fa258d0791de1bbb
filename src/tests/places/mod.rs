//! Providers over the real HTTP path, against a server on this machine that behaves as badly as they come.

mod manners;
mod misbehaving;
mod opening;
mod requests;
mod secrets;
mod server;
mod together;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use self::server::LocalServer;
use super::{Answer, Choice, Key, Options, Places, clock, open};
use crate::proto::line::query::NearbyQuery;

const NEAR: NearbyQuery = NearbyQuery { latitude: 34.068_93, longitude: -118.445_127, radius_m: 10_000 };
const ELSEWHERE: NearbyQuery = NearbyQuery { latitude: 51.5, longitude: 0.0, radius_m: 2_000 };

const KEY: &str = "AIza-this-is-secret";

/// Longer than anything here should take, however busy the machine is.
const AT_LAST: Duration = Duration::from_secs(30);

const LEGACY_OK: &str = include_str!("legacy-ok.json");
const GOOGLE_OK: &str = include_str!("google-ok.json");
const OVERPASS_OK: &str = include_str!("overpass-ok.json");

/// All network providers, each with an answer of its own that is fine.
const ALL: [(Choice, &str); 3] =
    [(Choice::Google, GOOGLE_OK), (Choice::GoogleLegacy, LEGACY_OK), (Choice::Overpass, OVERPASS_OK)];

fn options(choice: Choice, url: String) -> Options {
    let google_key = Some(Key::parse(KEY, "the test").unwrap());
    Options { choice, url: Some(url), google_key, ..patient() }
}

/// Deadlines that a busy machine does not miss: a test that is about one sets it.
fn patient() -> Options {
    let (deadline, connect_deadline, read_deadline) = (AT_LAST, AT_LAST, AT_LAST);
    Options { deadline, connect_deadline, read_deadline, ..Options::default() }
}

fn provider(choice: Choice, server: &LocalServer) -> Arc<dyn Places> {
    open(&options(choice, server.url())).unwrap()
}

/// Waits for something that another thread is about to do.
fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = clock::now() + AT_LAST;
    while !happened() {
        assert!(clock::now() < deadline, "waited in vain: {what}");
        thread::yield_now();
    }
}

fn status_of(answer: &Answer) -> String {
    let value: serde_json::Value = serde_json::from_str(answer.as_str()).unwrap();
    value["status"].as_str().unwrap().to_owned()
}
