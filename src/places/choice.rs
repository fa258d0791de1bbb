//! Which provider: the word after `--places`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A provider of places, as chosen on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// `catalogue`: the places built in; no key, no network.
    #[default]
    Catalogue,
    /// `file:PATH`: a GeoJSON FeatureCollection of points.
    File(PathBuf),
    /// `google`: Google Places API (New).
    Google,
    /// `google-legacy`: the Nearby Search of the older Google Places API.
    GoogleLegacy,
    /// `overpass`: OpenStreetMap through an Overpass server.
    Overpass,
}

/// Why a word chooses no provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("places come from catalogue, file:PATH, google, google-legacy or overpass")]
pub struct BadChoice;

impl FromStr for Choice {
    type Err = BadChoice;

    fn from_str(text: &str) -> Result<Choice, BadChoice> {
        match text {
            "catalogue" => Ok(Choice::Catalogue),
            "google" => Ok(Choice::Google),
            "google-legacy" => Ok(Choice::GoogleLegacy),
            "overpass" => Ok(Choice::Overpass),
            other => match other.strip_prefix("file:") {
                Some(path) if !path.is_empty() => Ok(Choice::File(path.into())),
                Some(_) | None => Err(BadChoice),
            },
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Catalogue => f.write_str("catalogue"),
            Choice::File(path) => write!(f, "file:{}", path.display()),
            Choice::Google => f.write_str("google"),
            Choice::GoogleLegacy => f.write_str("google-legacy"),
            Choice::Overpass => f.write_str("overpass"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_print_as_they_are_written() {
        for text in ["catalogue", "file:/tmp/a b.geojson", "file:x", "google", "google-legacy", "overpass"] {
            assert_eq!(text.parse::<Choice>().unwrap().to_string(), text);
        }
        for text in ["", "file", "file:", "Google", "osm", " catalogue"] {
            assert_eq!(text.parse::<Choice>(), Err(BadChoice), "{text:?}");
        }
    }
}
