//! One place near the point asked about, from whichever provider.

use xxhash_rust::xxh3::xxh3_64;

/// What Google says of every place that is a business or a sight.
pub(crate) const GENERAL_TYPES: [&str; 2] = ["point_of_interest", "establishment"];

/// A place as an answer shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    /// Stable: the same place has the same one in every answer, and after a restart.
    pub(crate) id: String,
    pub(crate) name: String,
    /// Degrees, within 90 and 180.
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    /// Google's words where there is one, most specific first.
    pub(crate) types: Vec<String>,
    /// Street and town, if known.
    pub(crate) vicinity: Option<String>,
}

/// How far beyond a pole or the date line a point may be for the rounding of another program: a tenth of a metre.
const ROUNDING_DEGREES: f64 = 1e-6;

/// The latitude and longitude of a point within 90 and 180 degrees, if there is such a point: a source may send any two
/// numbers. Longitudes up to once around the globe are taken, because some sources count from 0 to 360 degrees, and a
/// map that is dragged on and on counts further.
pub(crate) fn on_the_globe(latitude: f64, longitude: f64) -> Option<(f64, f64)> {
    let is_on_it = latitude.abs() <= 90.0 + ROUNDING_DEGREES && longitude.abs() <= 360.0 + ROUNDING_DEGREES;
    let longitude = match longitude.abs() {
        usual if usual <= 180.0 => longitude,
        rounded if rounded <= 180.0 + ROUNDING_DEGREES => longitude.clamp(-180.0, 180.0),
        _ => longitude - 360.0 * (longitude / 360.0).round(),
    };
    is_on_it.then(|| (latitude.clamp(-90.0, 90.0), longitude))
}

/// An ID for a place whose source gives none. It hangs on the name and the point, so that a source that
/// grows does not change the IDs it had.
pub(crate) fn made_up_id(source: &str, name: &str, latitude: f64, longitude: f64) -> String {
    format!("{source}-{:016x}", xxh3_64(format!("{name}\n{latitude}\n{longitude}").as_bytes()))
}

/// `special` types, each once, and after them those that Google gives every place.
pub(crate) fn all_types<'a>(special: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut types: Vec<String> = Vec::new();
    for word in special.into_iter().chain(GENERAL_TYPES) {
        if !types.iter().any(|known| known == word) {
            types.push(word.to_owned());
        }
    }
    types
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_the_place_alone() {
        let id = made_up_id("file", "Royce Hall", 34.0729, -118.4422);
        assert_eq!(id, made_up_id("file", "Royce Hall", 34.0729, -118.4422));
        assert_ne!(id, made_up_id("file", "Royce Hall", 34.0729, -118.4423));
        assert_ne!(id, made_up_id("file", "Powell Library", 34.0729, -118.4422));
        assert!(id.starts_with("file-") && id.len() == "file-".len() + 16, "{id}");
    }

    #[test]
    fn the_globe_has_poles_and_a_date_line() {
        for (latitude, longitude) in [(90.0, 180.0), (-90.0, -180.0), (0.0, -0.0)] {
            assert_eq!(on_the_globe(latitude, longitude), Some((latitude, longitude)));
        }
        for (longitude, expected) in [
            (241.554_873, -118.445_127),
            (-200.0, 160.0),
            (360.0, 0.0),
            (180.000_000_5, 180.0),
            (-180.000_000_5, -180.0),
        ] {
            let (latitude, longitude) = on_the_globe(90.000_000_5, longitude).unwrap();
            assert!(latitude == 90.0 && (longitude - expected).abs() < 1e-9, "{longitude}");
        }
        for (latitude, longitude) in [(90.1, 0.0), (-91.0, 0.0), (0.0, -379.4), (1e300, 0.0), (f64::NAN, 0.0)]
        {
            assert_eq!(on_the_globe(latitude, longitude), None);
        }
    }

    #[test]
    fn every_type_is_said_once() {
        assert_eq!(all_types(["cafe", "cafe"]), ["cafe", "point_of_interest", "establishment"]);
        assert_eq!(all_types(["establishment"]), ["establishment", "point_of_interest"]);
    }
}
