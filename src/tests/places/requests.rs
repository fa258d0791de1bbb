//! What the providers are sent, as a server on this machine sees it.

use super::server::LocalServer;
use super::{GOOGLE_OK, KEY, LEGACY_OK, NEAR, OVERPASS_OK, all, open, options, provider, status_of};

#[test]
fn google_new_is_sent_what_it_documents() {
    let server = LocalServer::replying(200, GOOGLE_OK);
    let answer = provider("google", &server).nearby(&NEAR).unwrap();
    assert_eq!(status_of(&answer), "OK");
    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v1/places:searchNearby"));
    assert_eq!(seen.headers["x-goog-api-key"], KEY);
    assert_eq!(
        seen.headers["x-goog-fieldmask"],
        "places.id,places.displayName,places.formattedAddress,places.location,places.types"
    );
    assert_eq!(seen.headers["content-type"], "application/json");
    assert_eq!(
        seen.body,
        concat!(
            r#"{"maxResultCount":20,"rankPreference":"DISTANCE","locationRestriction":{"circle":{"center":"#,
            r#"{"latitude":34.06893,"longitude":-118.445127},"radius":10000.0}}}"#
        )
    );
}

#[test]
fn google_legacy_is_sent_what_it_documents_and_its_answer_is_untouched() {
    let server = LocalServer::replying(200, LEGACY_OK);
    let answer = provider("google-legacy", &server).nearby(&NEAR).unwrap();
    assert_eq!(answer.as_str(), LEGACY_OK);
    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!(seen.method, "GET");
    assert_eq!(
        seen.target,
        format!("/maps/api/place/nearbysearch/json?location=34.06893,-118.445127&radius=10000&key={KEY}")
    );
}

#[test]
fn overpass_is_sent_what_it_documents() {
    let server = LocalServer::replying(200, OVERPASS_OK);
    let answer = provider("overpass", &server).nearby(&NEAR).unwrap();
    assert_eq!(status_of(&answer), "OK");
    let seen = server.seen();
    assert_eq!(seen.len(), 3, "three places are not enough until all is known");
    for (seen, metres) in seen.iter().zip([503, 2_012, 11_066]) {
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/api/interpreter"));
        let around = format!("(around:{metres},34.06893,-118.445127)");
        assert!(
            seen.body.contains(&format!("nwr{around}[amenity][name];nwr{around}[shop][name];")),
            "{seen:?}"
        );
    }
}

#[test]
fn every_request_names_its_sender_and_a_base_address_may_have_a_path() {
    for (name, _, fine) in all() {
        let server = LocalServer::replying(200, fine);
        let options = options(name, format!("{}/behind/a/proxy/", server.url()));
        open(&options).unwrap().nearby(&NEAR).unwrap();
        let seen = &server.seen()[0];
        assert!(seen.headers["user-agent"].starts_with("proxyherd/"), "{seen:?}");
        assert_eq!(seen.headers["accept-encoding"], "identity");
        assert!(seen.target.starts_with("/behind/a/proxy/"), "{seen:?}");
        assert_eq!(seen.headers["host"], server.url().trim_start_matches("http://"));
    }
}
