//! `file:PATH`: a file of GeoJSON (RFC 7946), as exports of OpenStreetMap and of map programs are.

use std::path::Path;

use crate::config::given_file;
use crate::places::error::{OpenError, PlacesError};
use crate::places::gazetteer::Gazetteer;
use crate::places::geojson::{self, Bounds};
use crate::places::provider::{PlacesInMemory, Provider, Source};

pub(super) const PROVIDER: Provider = Provider {
    name: "file",
    argument: Some("PATH"),
    about: Some("GeoJSON"),
    source: Source::Memory(PlacesInMemory {
        load,
        parse: |bytes| {
            let read = geojson::read(bytes, FILE_MAX, None).map(|collection| collection.gazetteer);
            read.map_err(|why| PlacesError::words(&why))
        },
    }),
};

/// What a file may hold. A million places with their tags take about as many bytes as it may have, unpacked. It is read
/// feature by feature, so that only the places are in memory, at some 500 bytes each, long texts not counted, and the
/// vertices of shapes, at some 22 bytes each.
pub(in crate::places) const FILE_MAX: Bounds = Bounds {
    bytes: 512 * 1024 * 1024,
    feature_bytes: 64 * 1024 * 1024,
    features: 10_000_000,
    places: 1_000_000,
    vertices: 10_000_000,
};

/// Reads the file at `path`, or says in one sentence what is wrong with it, and where. Logs what it leaves out.
fn load(path: &Path, name_field: Option<&str>) -> Result<Gazetteer, OpenError> {
    let file =
        given_file::open(path).map_err(|error| OpenError::Unreadable(path.to_owned(), error.to_string()))?;
    let name_field = name_field.map(str::to_lowercase);
    let collection = geojson::read(file, FILE_MAX, name_field.as_deref())
        .map_err(|why| OpenError::BadFile(path.to_owned(), why))?;
    log::info!("places: {} from {}", collection.gazetteer.places.len(), path.display());
    for warning in collection.warnings() {
        log::warn!("places: {warning}");
    }
    Ok(collection.gazetteer)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::Value;

    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = load(Path::new("/nowhere/at/all"), None).unwrap_err().to_string();
        assert!(error.starts_with("places: cannot read /nowhere/at/all: "), "{error}");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"{\"a\": \"\xff\"}").unwrap();
        let error = load(file.path(), None).unwrap_err().to_string();
        assert!(
            error.ends_with(": none of its 1 features is a place: feature 1: it has no geometry"),
            "{error}"
        );
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
