//! Every network provider over the real HTTP path, against a server on this machine that behaves as badly as they come.

mod answers;
mod exporters;
mod fake_overpass;
mod files;
mod manners;
mod misbehaving;
mod nearest;
mod opening;
mod requests;
mod secrets;
mod server;
mod shapes;
mod together;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use self::server::LocalServer;
use super::open::open_remote;
use super::provider::{ProviderApi, Source, UsagePolicy};
use super::providers::PROVIDERS;
use super::remote::Remote;
use super::request::{Reading, Reply, Request};
use super::{Answer, Choice, Key, Options, PlacesProvider, clock, open};
use crate::proto::line::query::NearbyQuery;

/// The point that most questions are about.
pub(in crate::places) const NEAR: NearbyQuery =
    NearbyQuery { latitude: 34.068_93, longitude: -118.445_127, radius_m: 10_000 };
const ELSEWHERE: NearbyQuery = NearbyQuery { latitude: 51.5, longitude: 0.0, radius_m: 2_000 };

const KEY: &str = "AIza-this-is-secret";

/// Longer than anything here should take, however busy the machine is.
const AT_LAST: Duration = Duration::from_secs(30);

const LEGACY_OK: &str = include_str!("legacy-ok.json");
const GOOGLE_OK: &str = include_str!("google-ok.json");
const OVERPASS_OK: &str = include_str!("overpass-ok.json");
const PHOTON_OK: &str = include_str!("photon-ok.json");

/// Every network provider of the table, with an answer of its own that is fine.
fn all() -> Vec<(&'static str, &'static ProviderApi, &'static str)> {
    let network = PROVIDERS.iter().filter_map(|provider| match &provider.source {
        Source::Memory(_) => None,
        Source::Network(api) => Some((provider.name, api, api.recorded)),
    });
    let all: Vec<_> = network.collect();
    assert!(all.len() >= 3, "the table has lost a provider");
    all
}

/// The interface of a network provider.
pub(in crate::places) fn api(name: &str) -> &'static ProviderApi {
    all().into_iter().find(|(other, ..)| *other == name).unwrap().1
}

/// What a network provider allows, in a line.
pub(in crate::places) fn terms(name: &str) -> String {
    let UsagePolicy {
        needs_key,
        calls_max,
        waiting_max,
        retries,
        may_cache,
        pause_min,
        calls_per_minute,
        calls_per_day,
        attributions,
    } = api(name).policy;
    let [a_minute, a_day] = [calls_per_minute, calls_per_day].map(Option::unwrap_or_default);
    format!(
        "key {needs_key}, at once {calls_max:?}, waiting {waiting_max}, retries {retries}, cached {may_cache}, \
         pause {pause_min:?}, {a_minute} a minute, {a_day} a day, {attributions:?}"
    )
}

/// What a reply of a provider means.
pub(in crate::places) fn read(name: &str, status: u16, text: &str) -> Reading<Answer> {
    read_after(name, status, None, text)
}

/// What a reply of a provider with a `Retry-After` means.
pub(in crate::places) fn read_after(
    name: &str,
    status: u16,
    retry_after: Option<Duration>,
    text: &str,
) -> Reading<Answer> {
    api(name).answer(&NEAR, &Reply { status, retry_after, text: text.to_owned(), ..Reply::default() })
}

/// The request of a provider to its own server.
pub(in crate::places) fn request(name: &str, key: &str, near: &NearbyQuery) -> Request {
    let ProviderApi { base, path, request, .. } = api(name);
    request(&format!("{base}{path}"), key, near)
}

fn choice(text: &str) -> Choice {
    text.parse().unwrap()
}

fn options(name: &str, url: String) -> Options {
    let google_key = Some(Key::parse(KEY, "the test").unwrap());
    Options { choice: choice(name), url: Some(url), google_key, ..patient() }
}

/// Deadlines that a busy machine does not miss: a test that is about one sets it.
fn patient() -> Options {
    let (deadline, connect_deadline, read_deadline) = (AT_LAST, AT_LAST, AT_LAST);
    Options { deadline, connect_deadline, read_deadline, ..Options::default() }
}

fn provider(name: &str, server: &LocalServer) -> Arc<dyn PlacesProvider> {
    open(&options(name, server.url())).unwrap()
}

/// A network provider whose inside can be seen.
fn remote(options: &Options) -> Remote {
    let name = options.choice.provider.name;
    open_remote(options, name, api(name)).unwrap()
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
