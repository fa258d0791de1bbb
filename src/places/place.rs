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

/// Whether there is such a point: a provider may send any two numbers.
pub(crate) fn is_on_the_globe(latitude: f64, longitude: f64) -> bool {
    latitude.abs() <= 90.0 && longitude.abs() <= 180.0
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
            assert!(is_on_the_globe(latitude, longitude));
        }
        for (latitude, longitude) in [(90.1, 0.0), (-91.0, 0.0), (0.0, -379.4), (1e300, 0.0), (f64::NAN, 0.0)]
        {
            assert!(!is_on_the_globe(latitude, longitude));
        }
    }

    #[test]
    fn every_type_is_said_once() {
        assert_eq!(all_types(["cafe", "cafe"]), ["cafe", "point_of_interest", "establishment"]);
        assert_eq!(all_types(["establishment"]), ["establishment", "point_of_interest"]);
    }
}
