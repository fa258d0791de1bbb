//! Manners: which answers are cached, what is not asked again, and when a provider is not called.

use super::server::{LocalServer, reply};
use super::{ELSEWHERE, NEAR, OVERPASS_OK, all, provider, status_of};
use crate::places::PlacesError;

#[test]
fn overpass_is_not_called_during_the_pause_it_asked_for() {
    let server = LocalServer::http(|_, out| reply(out, 429, &[("Retry-After", "45")], ""));
    let places = provider("overpass", &server);
    assert!(matches!(places.nearby(&NEAR), Err(PlacesError::OverLimit(_))));
    for near in [&NEAR, &ELSEWHERE] {
        let error = places.nearby(near).unwrap_err();
        assert!(matches!(error, PlacesError::Silent(31..=45)), "{error:?}");
        assert_eq!(status_of(&error.to_answer()), "OVER_QUERY_LIMIT");
    }
    assert_eq!(server.seen().len(), 1);
    let server = LocalServer::replying(429, "");
    let places = provider("overpass", &server);
    assert!(places.nearby(&NEAR).is_err());
    assert!(matches!(places.nearby(&NEAR), Err(PlacesError::Silent(1..=30))));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn answers_are_cached_only_where_the_terms_allow_it() {
    for (name, api, fine) in all() {
        let server = LocalServer::replying(200, fine);
        let places = provider(name, &server);
        let first = places.nearby(&NEAR).unwrap();
        let calls = server.seen().len();
        assert_eq!(places.nearby(&NEAR).unwrap(), first);
        assert_eq!(server.seen().len() == calls, api.policy.may_cache, "{name}");
        let calls = server.seen().len();
        places.nearby(&ELSEWHERE).unwrap();
        assert!(server.seen().len() > calls, "{name}");
        assert!(places.may_wait());
    }
    // What failed is asked again.
    let server =
        LocalServer::http(|seen, out| reply(out, if seen.number == 0 { 504 } else { 200 }, &[], OVERPASS_OK));
    let places = provider("overpass", &server);
    assert!(places.nearby(&NEAR).is_err());
    assert!(places.nearby(&NEAR).is_ok());
}

#[test]
fn repeated_failures_open_the_breaker() {
    let server = LocalServer::replying(504, "");
    let places = provider("overpass", &server);
    for _ in 0..5 {
        assert!(matches!(places.nearby(&NEAR), Err(PlacesError::Failed(_))));
    }
    assert!(matches!(places.nearby(&NEAR), Err(PlacesError::Open(1..=10))));
    assert_eq!(server.seen().len(), 5);
}
