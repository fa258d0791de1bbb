//! Opening: which providers can work at all.

use std::io::Write;
use std::time::Duration;

use super::{NEAR, choice, options, status_of};
use crate::config::PlacesArgs;
use crate::places::{Options, open};
use crate::proto::line::query::NearbyQuery;

#[test]
fn a_provider_that_cannot_work_is_refused_in_one_sentence() {
    let refused = |options: Options, expected: &str| {
        let error = open(&options).err().expect("cannot work").to_string();
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    };
    let choose = |name| Options { choice: choice(name), ..Options::default() };
    refused(choose("google"), "google needs a key: set PROXYHERD_GOOGLE_KEY");
    refused(choose("google-legacy"), "google-legacy needs a key");
    refused(choose("file:/nowhere/at/all"), "cannot read /nowhere/at/all");
    refused(options("catalogue", "http://127.0.0.1".into()), "--places-url has no meaning");
    refused(options("google", "http://example.org".into()), "in the clear");
    refused(options("overpass", "example.org".into()), "--places-url: ");
    let ca = |path: &std::path::Path| Options { ca: Some(path.to_owned()), ..choose("overpass") };
    refused(ca("/nowhere/at/all".as_ref()), "cannot read /nowhere/at/all");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    refused(ca(file.path()), "no usable PEM certificate");
    file.write_all(b"-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n").unwrap();
    refused(ca(file.path()), "no usable PEM certificate");
    refused(Options { choice: choice("catalogue"), ..ca(file.path()) }, "--places-ca has no meaning");
    for other in ["catalogue", "overpass"] {
        let named = Options { name_field: Some("title".to_owned()), ..choose(other) };
        refused(named, &format!("--places-name-field is for a file of places, not for --places {other}"));
    }
}

#[test]
fn bounds_of_the_command_line_reach_the_options() {
    let args =
        PlacesArgs { choice: "overpass".to_owned(), calls_max: 7, deadline_s: 9, ..PlacesArgs::default() };
    let options = Options::of(&args).unwrap();
    assert_eq!((options.calls_max, options.deadline), (7, Duration::from_secs(9)));
}

#[test]
fn the_catalogue_needs_no_option_and_never_waits() {
    let places = open(&Options::default()).unwrap();
    assert!(!places.may_wait());
    let answer = places.nearby(&NEAR).unwrap();
    let value: serde_json::Value = serde_json::from_str(answer.as_str()).unwrap();
    assert_eq!((value["status"].as_str(), value["provider"].as_str()), (Some("OK"), Some("catalogue")));
    assert_eq!(value["results"].as_array().unwrap().len(), 20);
    assert_eq!(value["results"][0]["name"], "University of California, Los Angeles");
    let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["html_attributions", "results", "status", "provider"]);
    let desert = NearbyQuery { latitude: 24.0, longitude: 10.0, radius_m: 50_000 };
    assert_eq!(status_of(&places.nearby(&desert).unwrap()), "ZERO_RESULTS");
    places.stop();
}

#[test]
fn a_file_is_read_with_the_property_that_names_come_from() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let text = r#"{"type": "Feature", "properties": {"name": "Usual", "Spot": "Own"},
        "geometry": {"type": "Point", "coordinates": [1, 2]}}"#;
    file.write_all(text.as_bytes()).unwrap();
    let args = PlacesArgs {
        choice: format!("file:{}", file.path().display()),
        name_field: Some("SPOT".to_owned()),
        ..PlacesArgs::default()
    };
    let places = open(&Options::of(&args).unwrap()).unwrap();
    let near = NearbyQuery { latitude: 2.0, longitude: 1.0, radius_m: 1 };
    assert!(places.nearby(&near).unwrap().as_str().contains("\"name\": \"Own\""));
    assert!(places.has_file());
}
