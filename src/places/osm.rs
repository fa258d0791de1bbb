//! OpenStreetMap's tags in Google's words. GeoJSON exports of its data carry the same tags.

use serde_json::{Map, Value};

use super::place::all_types;

/// A tag that says what a thing is.
struct Kind {
    key: &'static str,
    /// The values that a service is asked for; all of them if there is none here. Without them every stretch of a
    /// railway would be a place, and every tree with a name.
    asked: &'static [&'static str],
}

/// The tags that say what a thing is, in the order in which they count.
const KINDS: [Kind; 12] = [
    Kind { key: "amenity", asked: &[] },
    Kind { key: "shop", asked: &[] },
    Kind { key: "tourism", asked: &[] },
    Kind { key: "leisure", asked: &[] },
    Kind { key: "healthcare", asked: &[] },
    Kind { key: "historic", asked: &[] },
    Kind { key: "office", asked: &[] },
    Kind { key: "craft", asked: &[] },
    Kind { key: "railway", asked: &["station", "halt", "tram_stop", "subway_entrance"] },
    Kind { key: "public_transport", asked: &["station", "platform"] },
    Kind { key: "aeroway", asked: &["aerodrome", "heliport", "terminal"] },
    Kind { key: "natural", asked: &["beach", "cave_entrance", "hot_spring", "peak", "spring", "volcano"] },
];

/// What a service that takes the Earth for a sphere calls a metre is up to half a percent more or less on the
/// ellipsoid, for the spheres of Overpass (40,000 km around) and of OpenSearch (6,371 km to the centre).
const SPHERE: f64 = 1.006;

/// Tag values for which Google has another word; all others are used as they are.
const GOOGLES_WORDS: [(&str, &str); 18] = [
    ("fast_food", "restaurant"),
    ("food_court", "restaurant"),
    ("pub", "bar"),
    ("biergarten", "bar"),
    ("nightclub", "night_club"),
    ("cinema", "movie_theater"),
    ("theatre", "performing_arts_theater"),
    ("fuel", "gas_station"),
    ("townhall", "city_hall"),
    ("kindergarten", "school"),
    ("college", "university"),
    ("clinic", "hospital"),
    ("doctors", "doctor"),
    ("hotel", "lodging"),
    ("hostel", "lodging"),
    ("attraction", "tourist_attraction"),
    ("gallery", "art_gallery"),
    ("mall", "shopping_mall"),
];

/// So many tags are few.
const FEW_TAGS: usize = 16;

/// The metres to ask of a service that takes the Earth for a sphere, so that it leaves out nothing within `radius_m`.
pub(super) fn on_sphere_m(radius_m: u32) -> u32 {
    (f64::from(radius_m) * SPHERE).ceil() as u32
}

/// How far all is known if a service that takes the Earth for a sphere has sent all up to a place `metres` away.
pub(super) fn surely_m(metres: f64) -> f64 {
    metres / (SPHERE * SPHERE)
}

/// The tags to ask a service for: keys, each with the only values of it that are asked for, or none for all.
pub(super) fn asked() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    KINDS.iter().map(|Kind { key, asked }| (*key, *asked))
}

/// The text of a tag; numbers count as text, empty ones as absent.
pub(super) fn tag(tags: &Map<String, Value>, key: &str) -> Option<String> {
    match value(tags, key)? {
        Value::String(text) => Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What is at a key. Of few tags, to look at all takes less time than to hash the key, and most keys are asked for in
/// vain.
pub(super) fn value<'a>(tags: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    if tags.len() > FEW_TAGS {
        return tags.get(key);
    }
    tags.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
}

/// What the thing is, as its own tags say it: `fast_food`.
pub(super) fn kind(tags: &Map<String, Value>) -> Option<String> {
    KINDS.iter().find_map(|kind| tag(tags, kind.key).filter(|value| value != "yes" && value != "no"))
}

/// Google-style types from every tag that says what the thing is.
pub(super) fn types(tags: &Map<String, Value>) -> Vec<String> {
    let mut words = Vec::new();
    for Kind { key, .. } in KINDS {
        // One tag can hold several values: `amenity=cafe;library`.
        for value in tag(tags, key).unwrap_or_default().split(';').map(str::trim) {
            if value.is_empty() || value == "no" {
                continue;
            }
            let googles = GOOGLES_WORDS.iter().find(|(ours, _)| *ours == value).map(|(_, theirs)| *theirs);
            words.extend(googles.or((value != "yes").then_some(value)).map(str::to_owned));
            words.extend((key == "shop").then(|| "store".to_owned()));
        }
    }
    all_types(words.iter().map(String::as_str))
}

/// Street and town from the `addr:` tags.
pub(super) fn vicinity(tags: &Map<String, Value>) -> Option<String> {
    if let Some(full) = tag(tags, "addr:full") {
        return Some(full);
    }
    let street = tag(tags, "addr:street").or_else(|| tag(tags, "addr:place"));
    let street = street.map(|street| match tag(tags, "addr:housenumber") {
        Some(number) => format!("{number} {street}"),
        None => street,
    });
    let town =
        ["addr:city", "addr:town", "addr:village", "addr:suburb"].iter().find_map(|key| tag(tags, key));
    let parts: Vec<String> = street.into_iter().chain(town).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tags(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn tags_become_googles_types() {
        let case = |value, expected: &[&str]| {
            let expected = all_types(expected.iter().copied());
            assert_eq!(types(&tags(value)), expected);
        };
        case(json!({"amenity": "cafe"}), &["cafe"]);
        case(json!({"amenity": "fast_food"}), &["restaurant"]);
        case(json!({"amenity": "cafe; library"}), &["cafe", "library"]);
        case(json!({"shop": "bakery", "amenity": "cafe"}), &["cafe", "bakery", "store"]);
        case(json!({"shop": "yes"}), &["store"]);
        case(json!({"amenity": "no", "building": "yes", "tourism": 3}), &["3"]);
        case(json!({}), &[]);
    }

    #[test]
    fn addresses_become_a_vicinity() {
        let case = |value, expected: Option<&str>| assert_eq!(vicinity(&tags(value)).as_deref(), expected);
        case(
            json!({"addr:housenumber": 10, "addr:street": "Main St", "addr:city": "X"}),
            Some("10 Main St, X"),
        );
        case(json!({"addr:street": "Main St"}), Some("Main St"));
        case(json!({"addr:city": "X", "addr:housenumber": "1"}), Some("X"));
        case(json!({"addr:full": "all of it", "addr:city": "X"}), Some("all of it"));
        case(json!({"addr:street": " ", "name": "y"}), None);
    }
}
