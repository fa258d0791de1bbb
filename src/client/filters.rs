//! Which clients are of interest.

use geographiclib_rs::{Geodesic, InverseGeodesic as _};

use crate::proto::http::form;

/// Metres in a degree of latitude, at least: a box of so many degrees around a place has all that is within a radius.
const METRES_PER_DEGREE_MIN: f64 = 110_500.0;

/// Which clients are of interest: all that may be seen, if nothing else is said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters {
    /// Those in a box: west, south, east, north in degrees.
    pub area: Option<String>,
    /// Those near a place: its latitude and longitude in degrees, and the metres within which they are, if not all are
    /// meant.
    pub near: Option<((f64, f64), Option<f64>)>,
    /// Those of these names.
    pub clients: Vec<String>,
    /// Those of the users of a group.
    pub group: Option<String>,
}

impl Filters {
    /// The query of a list of clients, the nearest first where a place is named.
    pub(super) fn list_query(&self, limit: u32) -> String {
        let place = match (&self.near, &self.area) {
            (Some(((latitude, longitude), radius)), _) => {
                let radius = radius.map_or_else(String::new, |metres| format!("&radius={metres}"));
                format!("near={latitude},{longitude}{radius}")
            }
            (None, Some(area)) => format!("box={}", form::attribute_value(area)),
            (None, None) => "box=-180,-90,180,90".to_owned(),
        };
        format!("?{place}&limit={limit}{}", self.group_pair())
    }

    /// The query of a stream of events, which knows boxes alone: see [`Filters::has`].
    pub(super) fn events_query(&self) -> String {
        let area = match (self.near, &self.area) {
            (Some((place, Some(metres))), _) => around(place, metres),
            (_, area) => area.clone(),
        };
        let area = area.map_or_else(String::new, |area| format!("&box={}", form::attribute_value(&area)));
        let names = self.clients.iter().map(|name| format!("&client={}", form::attribute_value(name)));
        format!("?{area}{}{}", names.collect::<String>(), self.group_pair()).replace("?&", "?")
    }

    fn group_pair(&self) -> String {
        let pair = |group: &String| format!("&group={}", form::attribute_value(group));
        self.group.as_ref().map_or_else(String::new, pair)
    }

    /// Whether all that the server sends is of interest.
    pub(super) fn is_exact(&self) -> bool {
        !matches!(self.near, Some((_, Some(_))))
    }

    /// Whether a place is of interest, as far as the server could not say.
    pub(super) fn has(&self, latitude: f64, longitude: f64) -> bool {
        let Some((place, Some(metres))) = self.near else { return true };
        let away: f64 = Geodesic::wgs84().inverse(place.0, place.1, latitude, longitude);
        away <= metres
    }
}

/// A box that has all places within a radius; `None` if that takes every meridian.
fn around((latitude, longitude): (f64, f64), metres: f64) -> Option<String> {
    let height = metres / METRES_PER_DEGREE_MIN;
    let (south, north) = (latitude - height, latitude + height);
    let cosine = south.abs().max(north.abs()).to_radians().cos();
    let width = height / cosine;
    if south <= -89.0 || north >= 89.0 || width >= 180.0 {
        return None;
    }
    let on_globe = |degrees: f64| (degrees + 540.0).rem_euclid(360.0) - 180.0;
    let (west, east) = (on_globe(longitude - width), on_globe(longitude + width));
    Some(format!("{west},{south},{east},{north}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::geo::area::Area;

    #[test]
    fn queries_say_what_is_of_interest() {
        let all = Filters::default();
        assert_eq!(all.list_query(7), "?box=-180,-90,180,90&limit=7");
        assert_eq!(all.events_query(), "?");
        let some = Filters { clients: vec!["a/b c".to_owned(), "&".to_owned()], ..Filters::default() };
        assert_eq!(some.events_query(), "?client=a%2Fb%20c&client=%26");
        let group = Filters { area: Some("1,2,3,4".to_owned()), group: Some("x y".to_owned()), ..all };
        assert_eq!(group.list_query(1), "?box=1%2C2%2C3%2C4&limit=1&group=x%20y");
        assert_eq!(group.events_query(), "?box=1%2C2%2C3%2C4&group=x%20y");
        let near = Filters { near: Some(((34.5, -118.25), Some(500.0))), ..Filters::default() };
        assert_eq!(near.list_query(1), "?near=34.5,-118.25&radius=500&limit=1");
        assert!(near.events_query().starts_with("?box=") && !near.is_exact());
        assert!(near.has(34.5, -118.2499) && !near.has(34.6, -118.25));
    }

    #[test]
    fn box_around_a_place_has_all_that_is_within_the_radius() {
        let mut rng = fastrand::Rng::with_seed(7);
        let geodesic = Geodesic::wgs84();
        for _ in 0..2_000 {
            let place = (rng.f64() * 180.0 - 90.0, rng.f64() * 360.0 - 180.0);
            let metres = 10_f64.powf(rng.f64() * 7.0);
            let Some(area) = around(place, metres) else { continue };
            let area = Area::parse(&area).unwrap();
            let (bearing, away) = (rng.f64() * 360.0, metres * rng.f64());
            let (latitude, longitude, _) =
                geographiclib_rs::DirectGeodesic::direct(&geodesic, place.0, place.1, bearing, away);
            assert!(area.contains(latitude, longitude), "{place:?} {metres} {bearing} {away}");
        }
    }
}
