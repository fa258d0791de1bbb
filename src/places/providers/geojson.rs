//! `file:PATH`: a GeoJSON FeatureCollection of points (RFC 7946), as exports of OpenStreetMap are.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::places::error::{OpenError, PlacesError};
use crate::places::file::read_up_to;
use crate::places::osm::{self, tag};
use crate::places::place::{Place, all_types, is_on_the_globe, made_up_id};
use crate::places::provider::{PlacesInMemory, Provider, Source};
use crate::places::tags::{Kept, Tags};

pub(super) const PROVIDER: Provider = Provider {
    name: "file",
    argument: Some("PATH"),
    about: Some("GeoJSON points"),
    source: Source::Memory(PlacesInMemory {
        load,
        parse: |bytes| from_bytes(bytes).map(|collection| collection.places),
    }),
};

/// The most bytes of a file of places; a million places with their tags take about this much. While it is read it is in
/// memory as it is, and besides that only the places are.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// How much a file may hold.
#[derive(Clone, Copy)]
struct Bounds {
    /// Places, at some 500 bytes each in memory, long texts not counted.
    places: usize,
    /// Features, places or not: to read over one takes time, though no memory.
    features: usize,
}

const FILE_MAX: Bounds = Bounds { places: 1_000_000, features: 10_000_000 };

/// The content of a file.
#[derive(Debug, Default, PartialEq)]
struct Collection {
    places: Vec<Place>,
    /// Features that are not points: lines, areas, features without a geometry.
    not_points: usize,
    /// Points with neither a name nor a tag that says what they are.
    nameless: usize,
}

/// Reads the file at `path`, or says in one sentence what is wrong with it, and where. Logs what it leaves out.
fn load(path: &Path) -> Result<Vec<Place>, OpenError> {
    let bad = |why: String| OpenError::BadFile(path.to_owned(), why);
    let bytes = read_up_to(path, FILE_BYTES_MAX + 1)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(bad(format!("more than {FILE_BYTES_MAX} bytes: split it, or keep fewer places")));
    }
    let Collection { places, not_points, nameless } = from_bytes(&bytes).map_err(bad)?;
    log::info!("places: {} from {}", places.len(), path.display());
    if not_points + nameless > 0 {
        log::warn!("places: left out {not_points} features that are no points, {nameless} without a name");
    }
    Ok(places)
}

/// Reads the bytes of a file.
fn from_bytes(bytes: &[u8]) -> Result<Collection, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| format!("not UTF-8 after byte {}: GeoJSON must be", e.valid_up_to()))?;
    read(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Reads the text of a FeatureCollection.
fn read(text: &str) -> Result<Collection, String> {
    read_within(FILE_MAX, text)
}

fn read_within(bounds: Bounds, text: &str) -> Result<Collection, String> {
    let mut wrong = None;
    let mut reader = serde_json::Deserializer::from_str(text);
    let all = FeaturesSeed { bounds, wrong: &mut wrong }.deserialize(&mut reader).and_then(|all| {
        reader.end()?;
        Ok(all)
    });
    // What is wrong with a feature says more than where its text ends.
    let (kind, collection) = all.map_err(|error| wrong.unwrap_or_else(|| not_geojson(&error)))?;
    if kind.as_deref() != Some("FeatureCollection") {
        return Err("not a GeoJSON FeatureCollection: its \"type\" says otherwise".to_owned());
    }
    collection.ok_or_else(|| "a FeatureCollection without \"features\"".to_owned())
}

/// The library quotes what it did not expect, all of it. The place stands behind that and is kept whole.
fn not_geojson(error: &serde_json::Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let words = error.to_string();
    let what = words.strip_suffix(&place).unwrap_or(&words);
    format!("not GeoJSON: {}{place}", PlacesError::words(what))
}

/// Reads the outermost object: its type, and what its features come to.
struct FeaturesSeed<'a> {
    bounds: Bounds,
    wrong: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for FeaturesSeed<'_> {
    type Value = (Option<String>, Option<Collection>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FeaturesSeed<'_> {
    type Value = (Option<String>, Option<Collection>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a FeatureCollection")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut kind, mut collection) = (None, None);
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            match &*key {
                "type" => kind = map.next_value()?,
                "features" => {
                    let seed = CollectionSeed { bounds: self.bounds, wrong: &mut *self.wrong };
                    collection = map.next_value_seed(seed)?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok((kind, collection))
    }
}

/// Reads features one after the other, and keeps of each its place alone.
struct CollectionSeed<'a> {
    bounds: Bounds,
    wrong: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for CollectionSeed<'_> {
    type Value = Option<Collection>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CollectionSeed<'_> {
    type Value = Option<Collection>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of features")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut features: A) -> Result<Self::Value, A::Error> {
        let (mut collection, mut number) = (Collection::default(), 0);
        while let Some(feature) = features.next_element::<Feature<'_>>()? {
            number += 1;
            let taken = collection.take(number, feature).and_then(|()| {
                let Bounds { places, features } = self.bounds;
                for (count, most, what) in
                    [(number, features, "features"), (collection.places.len(), places, "places")]
                {
                    if count > most {
                        return Err(format!("more than {most} {what}: split it, or keep fewer places"));
                    }
                }
                Ok(())
            });
            taken.map_err(|why| {
                *self.wrong = Some(why);
                de::Error::custom("a feature is wrong")
            })?;
        }
        Ok(Some(collection))
    }
}

impl Collection {
    /// Takes the feature of this number.
    fn take(&mut self, number: usize, feature: Feature<'_>) -> Result<(), String> {
        let Tags(tags) = feature.properties.unwrap_or_default();
        let Some([longitude, latitude]) = point(feature.geometry.as_ref()).map_err(|why| {
            let name =
                tag(&tags, "name").map_or(String::new(), |name| format!(" ({})", PlacesError::words(&name)));
            format!("feature {number}{name}: {why}")
        })?
        else {
            self.not_points += 1;
            return Ok(());
        };
        match place(feature.id.and_then(|id| id.0).as_ref(), &tags, latitude, longitude) {
            None => self.nameless += 1,
            Some(place) => self.places.push(place),
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Feature<'a> {
    id: Option<Kept>,
    #[serde(borrow)]
    geometry: Option<Geometry<'a>>,
    properties: Option<Tags>,
}

/// Coordinates are kept as text until it is known that there are two of them: those of an area may be many.
#[derive(Deserialize)]
struct Geometry<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(borrow)]
    coordinates: Option<&'a RawValue>,
}

/// Longitude and latitude of a point (in GeoJSON longitude comes first, and a height may follow); `None` for
/// another geometry.
fn point(geometry: Option<&Geometry<'_>>) -> Result<Option<[f64; 2]>, String> {
    let Some(geometry) = geometry.filter(|g| g.kind.as_deref() == Some("Point")) else { return Ok(None) };
    let text = geometry.coordinates.map_or("null", RawValue::get);
    let Position(position) = serde_json::from_str(text)
        .map_err(|_| "the coordinates of a point are [longitude, latitude]".to_owned())?;
    let [longitude, latitude] = position.ok_or("a point needs a longitude and a latitude")?;
    if !is_on_the_globe(latitude, longitude) {
        return Err(format!(
            "coordinates [{longitude}, {latitude}] are out of range: longitude comes first, in degrees"
        ));
    }
    Ok(Some([longitude, latitude]))
}

fn place(id: Option<&Value>, tags: &Map<String, Value>, latitude: f64, longitude: f64) -> Option<Place> {
    let kind = osm::kind(tags).map(|kind| kind.replace('_', " "));
    let name = ["name", "name:en", "brand", "operator"].iter().find_map(|key| tag(tags, key)).or(kind)?;
    let known_id = match id {
        Some(Value::String(id)) if !id.is_empty() => Some(id.clone()),
        Some(Value::Number(id)) => Some(id.to_string()),
        Some(_) | None => ["place_id", "@id", "id"].iter().find_map(|key| tag(tags, key)),
    };
    Some(Place {
        id: known_id.unwrap_or_else(|| made_up_id("file", &name, latitude, longitude)),
        name,
        latitude,
        longitude,
        types: types(tags),
        vicinity: ["vicinity", "address"]
            .iter()
            .find_map(|key| tag(tags, key))
            .or_else(|| osm::vicinity(tags)),
    })
}

/// A file may say its types itself, as an array or as a text with commas or semicolons.
fn types(tags: &Map<String, Value>) -> Vec<String> {
    match tags.get("types") {
        Some(Value::Array(words)) => all_types(words.iter().filter_map(Value::as_str)),
        Some(Value::String(words)) => {
            all_types(words.split([',', ';']).map(str::trim).filter(|word| !word.is_empty()))
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => osm::types(tags),
    }
}

/// The first two of some numbers, if there are as many.
struct Position(Option<[f64; 2]>);

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Position, D::Error> {
        struct Numbers;
        impl<'de> Visitor<'de> for Numbers {
            type Value = Position;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("numbers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Position, A::Error> {
                let first = numbers.next_element()?.zip(numbers.next_element()?);
                while numbers.next_element::<f64>()?.is_some() {}
                Ok(Position(first.map(|(longitude, latitude)| [longitude, latitude])))
            }
        }
        deserializer.deserialize_seq(Numbers)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const SMALL: &str = include_str!("../../tests/places/export.geojson");

    #[test]
    fn an_export_of_openstreetmap_is_read() {
        let Collection { places, not_points, nameless } = read(SMALL).unwrap();
        assert_eq!((not_points, nameless), (3, 1));
        let cafe = &places[0];
        assert_eq!((cafe.id.as_str(), cafe.name.as_str()), ("node/1001", "Café Zoë"));
        assert_eq!((cafe.latitude, cafe.longitude), (34.0601, -118.4456));
        assert_eq!(cafe.types, ["cafe", "point_of_interest", "establishment"]);
        assert_eq!(cafe.vicinity.as_deref(), Some("10 Broxton Avenue, Los Angeles"));
        let fountain = &places[1];
        assert_eq!(fountain.name, "drinking water", "what it is stands in for a name");
        assert!(fountain.id.starts_with("file-"), "{}", fountain.id);
        let own = &places[2];
        assert_eq!(own.types, ["library", "point_of_interest", "establishment"]);
        assert_eq!((own.id.as_str(), own.vicinity.as_deref()), ("7", Some("Hilgard Avenue")));
        assert_eq!(places.len(), 3);
    }

    #[test]
    fn errors_name_the_place_in_the_file() {
        let wrong = |text: &str, expected: &str| {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        };
        let with_point = |coordinates: &str| {
            format!(
                r#"{{"type":"FeatureCollection","features":[{{"type":"Feature","geometry":null}},
                {{"type":"Feature","properties":{{"name":"Here"}},
                "geometry":{{"type":"Point","coordinates":{coordinates}}}}}]}}"#
            )
        };
        assert_eq!(read(&with_point("[180, -90, 12.5]")).unwrap().places.len(), 1);
        wrong(
            &with_point("[34.07, -118.44]"),
            "feature 2 (Here): coordinates [34.07, -118.44] are out of range",
        );
        wrong(&with_point("[181, 0]"), "out of range");
        wrong(&with_point("[1]"), "feature 2 (Here): a point needs");
        wrong(&with_point("null"), "feature 2 (Here): the coordinates of a point");
        wrong(&with_point("[1e999, 0]"), "feature 2");
        wrong(&with_point("[\"1\", 0]"), "feature 2");
        let named = |name: &str| with_point("[1]").replace("Here", name);
        wrong(&named("a\\n\\u001bb"), "feature 2 (a  b): a point needs");
        assert!(read(&named(&"x".repeat(5_000))).unwrap_err().len() < 500);
        let quoted = read(&format!("\n \"{}\"", "x".repeat(5_000))).unwrap_err();
        assert!(quoted.ends_with("at line 2 column 5003") && quoted.len() < 500, "{quoted}");
        wrong("", "not GeoJSON: EOF while parsing a value at line 1 column 0");
        wrong("{\n\"type\": }", "line 2 column 9");
        wrong(r#"{"type":"Feature"}"#, "not a GeoJSON FeatureCollection");
        wrong(r#"{"type":"FeatureCollection"}"#, "without \"features\"");
        wrong(r#"{"type":"FeatureCollection","features":[3]}"#, "not GeoJSON");
    }

    #[test]
    fn a_file_may_hold_only_so_much() {
        let bounds = Bounds { places: 2, features: 5 };
        let cafe = r#"{"geometry":{"type":"Point","coordinates":[1,2]},"properties":{"name":"Cafe"}}"#;
        let file = |features: &[&str]| {
            let text = format!(r#"{{"features":[{}],"type":"FeatureCollection"}}"#, features.join(","));
            read_within(bounds, &text).map(|collection| (collection.places.len(), collection.not_points))
        };
        assert_eq!(file(&[cafe, "{}", "{}", "{}", cafe]), Ok((2, 3)), "the type may come last");
        let refused = file(&[cafe, cafe, cafe]).unwrap_err();
        assert_eq!(refused, "more than 2 places: split it, or keep fewer places");
        assert!(file(&["{}"; 6]).unwrap_err().starts_with("more than 5 features: "));
        // Much that nothing is made of.
        let large = format!(
            r#"{{"properties":{{"name":"Cafe","a":[{0}0],"b":{{"c":[{0}0]}}}},
            "geometry":{{"type":"Point","coordinates":[1,2,{0}0]}},"other":[{0}0]}}"#,
            "0,".repeat(10_000)
        );
        assert_eq!(file(&[&large]), Ok((1, 0)));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = load(Path::new("/nowhere/at/all")).unwrap_err().to_string();
        assert!(error.starts_with("places: cannot read /nowhere/at/all: "), "{error}");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"{\"a\": \"\xff\"}").unwrap();
        let error = load(file.path()).unwrap_err().to_string();
        assert!(error.contains("not UTF-8 after byte 7"), "{error}");
    }

    /// How long loading takes is not asserted here; the bound that holds is that all of it is read.
    #[test]
    fn a_large_file_is_read_whole_and_can_be_searched() {
        use crate::places::{Choice, Options, open};
        use crate::proto::line::query::NearbyQuery;

        const COUNT: usize = 100_000;
        let mut file = std::io::BufWriter::new(tempfile::NamedTempFile::new().unwrap());
        write!(file, r#"{{"type":"FeatureCollection","features":["#).unwrap();
        for number in 0..COUNT {
            let comma = if number == 0 { "" } else { "," };
            let (longitude, latitude) = ((number % 3_600) as f64 / 10.0 - 180.0, (number / 3_600) as f64);
            writeln!(
                file,
                r#"{comma}{{"type":"Feature","id":"node/{number}","properties":{{"amenity":"cafe",
                "name":"Cafe {number}","addr:street":"Street {number}","addr:city":"Town"}},
                "geometry":{{"type":"Point","coordinates":[{longitude},{latitude}]}}}}"#
            )
            .unwrap();
        }
        write!(file, "]}}").unwrap();
        let file = file.into_inner().unwrap();
        let started = crate::places::clock::now();
        let choice: Choice = format!("file:{}", file.path().display()).parse().unwrap();
        let options = Options { choice, ..Options::default() };
        let places = open(&options).unwrap();
        let took = started.elapsed();
        let near = NearbyQuery { latitude: 1.0, longitude: 0.1, radius_m: 50_000 };
        let answer = places.nearby(&near).unwrap();
        let value: Value = serde_json::from_str(answer.as_str()).unwrap();
        assert_eq!(value["results"][0]["place_id"], "node/5401");
        assert_eq!(value["results"].as_array().unwrap().len(), 9, "{answer}");
        assert_eq!(value["provider"], "file");
        assert!(took.as_secs() < 60, "loading {COUNT} places took {took:?}");
        // Shown with --nocapture; a release build is what the two seconds are about.
        let _ = writeln!(std::io::stderr(), "{COUNT} places loaded in {took:?}");
    }
}
