//! `catalogue`: the places built in, so that everything works with no key and no network. Their source is
//! `catalogue.tsv` beside this file, written from common knowledge.

use crate::places::place::{Place, all_types, made_up_id};
use crate::places::provider::{PlacesInMemory, Provider, Source};

pub(super) const PROVIDER: Provider = Provider {
    name: "catalogue",
    argument: None,
    about: Some("built in, no network"),
    source: Source::Memory(PlacesInMemory {
        load: |_, _| Ok(places().into()),
        parse: |_| Ok(places().into()),
    }),
};

/// One place a line: name, latitude, longitude, types, vicinity, parted by tabs; `#` begins a comment.
const CATALOGUE: &str = include_str!("catalogue.tsv");

/// Every place of the catalogue, in the order of the file.
fn places() -> Vec<Place> {
    let lines = CATALOGUE.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| place(line).expect("the catalogue is part of the program; a test reads it all"))
        .collect()
}

fn place(line: &str) -> Option<Place> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [name, latitude, longitude, types, vicinity] = fields[..] else { return None };
    let (latitude, longitude) = (latitude.parse().ok()?, longitude.parse().ok()?);
    Some(Place {
        id: made_up_id("catalogue", name, latitude, longitude),
        name: name.to_owned(),
        latitude,
        longitude,
        types: all_types(types.split(',')),
        vicinity: Some(vicinity.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::places::index::Index;
    use crate::proto::line::query::NearbyQuery;

    const UCLA: NearbyQuery = NearbyQuery { latitude: 34.068_930, longitude: -118.445_127, radius_m: 10_000 };

    #[test]
    fn every_line_is_a_place_in_range_with_a_name_of_its_own() {
        let places = places();
        let mut names = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for place in &places {
            assert!(!place.name.trim().is_empty() && names.insert(&place.name), "{}", place.name);
            assert!(ids.insert(&place.id), "{}", place.id);
            assert!(place.latitude.abs() <= 90.0 && place.longitude.abs() <= 180.0, "{}", place.name);
            assert!(place.types.iter().all(|t| t.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())));
            assert!(place.types.len() >= 2 && place.vicinity.as_ref().is_some_and(|v| !v.is_empty()));
        }
    }

    #[test]
    fn the_catalogue_has_forty_places_around_ucla_and_a_hundred_in_forty_other_cities() {
        let index = Index::new(places());
        let here: BTreeSet<String> = index.nearest(&UCLA, 1_000).iter().map(|p| p.id.clone()).collect();
        assert!(here.len() >= 40, "{} around UCLA", here.len());
        let elsewhere: Vec<Place> = places().into_iter().filter(|p| !here.contains(&p.id)).collect();
        assert!(elsewhere.len() >= 100, "{} elsewhere", elsewhere.len());
        let cities: BTreeSet<&str> = elsewhere.iter().map(city).collect();
        assert!(cities.len() >= 40, "{} cities", cities.len());
    }

    #[test]
    fn every_inhabited_continent_has_its_cities() {
        let mut continents: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let mut continent = "";
        for line in CATALOGUE.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                continent = heading;
            } else if !line.starts_with('#') {
                continents.entry(continent).or_default().insert(city(&place(line).unwrap()).to_owned());
            }
        }
        let names: Vec<&str> = continents.keys().copied().collect();
        assert_eq!(names, ["Africa", "Asia", "Europe", "North America", "Oceania", "South America"]);
        assert!(continents.values().all(|cities| cities.len() >= 5), "{continents:?}");
    }

    /// Places said to be in one city lie together: this finds a digit that was mistyped.
    #[test]
    fn no_place_strays_from_its_city() {
        let places = places();
        for place in &places {
            let near = NearbyQuery { latitude: place.latitude, longitude: place.longitude, radius_m: 50_000 };
            let index = Index::new(
                places.iter().filter(|other| city(other) == city(place)).cloned().collect::<Vec<_>>(),
            );
            let others = places.iter().filter(|other| city(other) == city(place)).count();
            assert_eq!(index.nearest(&near, 1_000).len(), others, "{}", place.name);
        }
    }

    fn city(place: &Place) -> &str {
        place.vicinity.as_deref().and_then(|v| v.rsplit(", ").next()).unwrap_or_default()
    }
}
