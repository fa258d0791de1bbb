//! What every provider's answer becomes: the text of a Google Places (legacy) Nearby Search answer.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::place::Place;

/// Google indents its legacy answers by three spaces; an answer made here looks the same.
const INDENT: &[u8] = b"   ";

/// The text of a Nearby Search answer: a JSON object with exactly one `results`, which is an array. Every
/// other member (`html_attributions`, `status`, `error_message`, ...) is as the provider sent or made it.
/// Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer(Arc<str>);

impl Answer {
    /// The answer as it goes to the client, but for the cutting.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes `text` as it is if it has the shape of an answer, else says what is wrong with it. For a provider from
    /// outside this room.
    pub fn parse(text: String) -> Result<Answer, serde_json::Error> {
        Answer::check(text).map(|(answer, _)| answer)
    }

    /// Takes `text` as [`Answer::parse`] does. The second value is its `status`. Nesting is limited to the 128 levels
    /// of serde_json.
    pub(crate) fn check(text: String) -> Result<(Answer, Option<String>), serde_json::Error> {
        let Shape { status } = serde_json::from_str(&text)?;
        Ok((Answer(text.into()), status))
    }

    /// An answer with `places` in the order given; status `OK`, or `ZERO_RESULTS` when there is none. It names
    /// `provider`, if that is asked for.
    pub(crate) fn of<'a>(
        places: impl IntoIterator<Item = &'a Place>,
        html_attributions: &[&str],
        provider: Option<&str>,
    ) -> Answer {
        let results: Vec<Found<'_>> = places.into_iter().map(Found::from).collect();
        let status = if results.is_empty() { "ZERO_RESULTS" } else { "OK" };
        let (info_messages, error_message) = (None, None);
        Answer::lay_out(&Body { html_attributions, info_messages, results, status, error_message, provider })
    }

    /// An answer with `places` in the order given that are not all there should be, which `info` says.
    pub(crate) fn in_part<'a>(
        places: impl IntoIterator<Item = &'a Place>,
        html_attributions: &[&str],
        info: &str,
    ) -> Answer {
        let results = places.into_iter().map(Found::from).collect();
        let (info_messages, error_message, provider) = (Some([info]), None, None);
        let status = "OK";
        Answer::lay_out(&Body { html_attributions, info_messages, results, status, error_message, provider })
    }

    /// An answer without results that says why.
    pub(crate) fn failure(status: &str, message: &str) -> Answer {
        let (html_attributions, results, error_message) = (&[][..], Vec::new(), Some(message));
        let (info_messages, provider) = (None, None);
        Answer::lay_out(&Body { html_attributions, info_messages, results, status, error_message, provider })
    }

    fn lay_out(body: &Body<'_>) -> Answer {
        let mut bytes = Vec::new();
        let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(INDENT));
        body.serialize(&mut serializer).expect("texts and numbers always become JSON in memory");
        Answer(String::from_utf8(bytes).expect("serde_json writes UTF-8").into())
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The members in the order in which they are printed.
#[derive(Serialize)]
struct Body<'a> {
    html_attributions: &'a [&'a str],
    /// Google's word for what there is to say about an answer that is no error.
    #[serde(skip_serializing_if = "Option::is_none")]
    info_messages: Option<[&'a str; 1]>,
    results: Vec<Found<'a>>,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
}

#[derive(Serialize)]
struct Found<'a> {
    geometry: Geometry,
    name: &'a str,
    place_id: &'a str,
    types: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    vicinity: Option<&'a str>,
}

#[derive(Serialize)]
struct Geometry {
    location: Point,
}

#[derive(Serialize)]
struct Point {
    lat: f64,
    lng: f64,
}

impl<'a> From<&'a Place> for Found<'a> {
    fn from(place: &'a Place) -> Found<'a> {
        Found {
            geometry: Geometry { location: Point { lat: place.latitude, lng: place.longitude } },
            name: &place.name,
            place_id: &place.id,
            types: &place.types,
            vicinity: place.vicinity.as_deref(),
        }
    }
}

/// Proof that a text is an object with one array `results`. A derived struct would not do: it takes an
/// array too, and a map would take a second `results`.
struct Shape {
    status: Option<String>,
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_map(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with an array `results`")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Shape, M::Error> {
        let mut results = 0;
        let mut status = None;
        while let Some(key) = map.next_key::<String>()? {
            // Values are read in full, not skipped, because only reading counts how deep they nest.
            if key == "results" {
                map.next_value::<Vec<Value>>()?;
                results += 1;
            } else {
                let value = map.next_value::<Value>()?;
                if key == "status" {
                    status = value.as_str().map(str::to_owned);
                }
            }
        }
        match results {
            1 => Ok(Shape { status }),
            0 => Err(M::Error::custom("no member `results`")),
            _ => Err(M::Error::custom("more than one member `results`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_looks_like_googles() {
        let place = Place {
            id: "x-1".into(),
            name: "Royce \"Hall\"".into(),
            latitude: 34.0729,
            longitude: -118.0,
            types: vec!["university".into()],
            vicinity: Some("Los Angeles".into()),
        };
        let answer = Answer::of([&place], &["(c) someone"], Some("catalogue"));
        let expected = r#"{
   "html_attributions": [
      "(c) someone"
   ],
   "results": [
      {
         "geometry": {
            "location": {
               "lat": 34.0729,
               "lng": -118.0
            }
         },
         "name": "Royce \"Hall\"",
         "place_id": "x-1",
         "types": [
            "university"
         ],
         "vicinity": "Los Angeles"
      }
   ],
   "status": "OK",
   "provider": "catalogue"
}"#;
        assert_eq!(answer.as_str(), expected);
    }

    #[test]
    fn an_answer_without_places_has_zero_results() {
        let answer = Answer::of([], &[], None);
        assert_eq!(
            answer.as_str(),
            "{\n   \"html_attributions\": [],\n   \"results\": [],\n   \"status\": \"ZERO_RESULTS\"\n}"
        );
        let failure = Answer::failure("UNKNOWN_ERROR", "a \"reason\"");
        let value: Value = serde_json::from_str(failure.as_str()).unwrap();
        assert_eq!(value["results"], serde_json::json!([]));
        assert_eq!(value["error_message"], "a \"reason\"");
    }

    #[test]
    fn an_answer_is_an_object_with_one_array_of_results() {
        for good in [
            r#"{"results":[]}"#,
            "\n{ \"status\" : \"OK\", \"x\": {\"results\": 1}, \"results\" : [ {\"a\":1} ] }\n",
        ] {
            let (answer, _) = Answer::check(good.to_owned()).unwrap();
            assert_eq!(answer.as_str(), good, "not a byte may change");
        }
        let deep = format!("{{\"results\":[{}{}]}}", "[".repeat(200), "]".repeat(200));
        for bad in [
            "",
            "null",
            "[]",
            "[[]]",
            "[null,[]]",
            "{}",
            r#"{"results":{}}"#,
            r#"{"results":null}"#,
            r#"{"results":[],"results":[]}"#,
            r#"{"results":[]"#,
            r#"{"results":[]} x"#,
            "<html></html>",
            &deep,
        ] {
            assert!(Answer::parse(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn check_returns_the_status() {
        let status = |text: &str| Answer::check(text.to_owned()).unwrap().1;
        assert_eq!(status(r#"{"status":"OK","results":[]}"#).as_deref(), Some("OK"));
        assert_eq!(status(r#"{"status":3,"results":[]}"#), None);
        assert_eq!(status(r#"{"results":[]}"#), None);
    }
}
