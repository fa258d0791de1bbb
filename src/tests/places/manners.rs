//! What is kept, what is not asked again, and when a provider is left alone.

use super::server::{LocalServer, reply};
use super::{ALL, ELSEWHERE, NEAR, OVERPASS_OK, provider, status_of};
use crate::places::{Choice, PlacesError};

#[test]
fn overpass_is_left_alone_after_it_has_asked_for_it() {
    let server = LocalServer::http(|_, out| reply(out, 429, &[("Retry-After", "45")], ""));
    let places = provider(Choice::Overpass, &server);
    assert!(matches!(places.nearby(&NEAR), Err(PlacesError::OverLimit(_))));
    for near in [&NEAR, &ELSEWHERE] {
        let error = places.nearby(near).unwrap_err();
        assert!(matches!(error, PlacesError::Silent(31..=45)), "{error:?}");
        assert_eq!(status_of(&error.to_answer()), "OVER_QUERY_LIMIT");
    }
    assert_eq!(server.seen().len(), 1);
    let server = LocalServer::replying(429, "");
    let places = provider(Choice::Overpass, &server);
    assert!(places.nearby(&NEAR).is_err());
    assert!(matches!(places.nearby(&NEAR), Err(PlacesError::Silent(1..=30))));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn answers_are_kept_only_where_the_terms_allow_it() {
    for (choice, fine) in ALL {
        let server = LocalServer::replying(200, fine);
        let places = provider(choice.clone(), &server);
        let first = places.nearby(&NEAR).unwrap();
        assert_eq!(places.nearby(&NEAR).unwrap(), first);
        places.nearby(&ELSEWHERE).unwrap();
        let calls = if choice == Choice::Overpass { 2 } else { 3 };
        assert_eq!(server.seen().len(), calls, "{choice}");
        assert!(places.may_wait());
    }
    // What failed is asked again.
    let server =
        LocalServer::http(|seen, out| reply(out, if seen.number == 0 { 504 } else { 200 }, &[], OVERPASS_OK));
    let places = provider(Choice::Overpass, &server);
    assert!(places.nearby(&NEAR).is_err());
    assert!(places.nearby(&NEAR).is_ok());
}

#[test]
fn a_provider_that_keeps_failing_is_given_a_rest() {
    let server = LocalServer::replying(504, "");
    let places = provider(Choice::Overpass, &server);
    for _ in 0..5 {
        assert!(matches!(places.nearby(&NEAR), Err(PlacesError::Failed(_))));
    }
    assert!(matches!(places.nearby(&NEAR), Err(PlacesError::Resting(1..=10))));
    assert_eq!(server.seen().len(), 5);
}
