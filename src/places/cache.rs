//! What is known of places around points, kept for a while, where the provider's terms allow it. No clock in it.
//!
//! An entry is a circle of which every place is known, so it answers questions about other points within it too.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;
use std::time::{Duration, Instant};

use geographiclib_rs::{Geodesic, InverseGeodesic};

use super::circles::Circle;
use super::place::Place;
use crate::proto::line::query::NearbyQuery;

/// The most circles kept: all of them are looked at for a question, at less than a microsecond each.
const CIRCLES_MAX: usize = 256;

/// The most bytes of all places together.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// A degree of latitude is never shorter.
const METRES_PER_DEGREE_MIN: f64 = 110_500.0;

/// The latest circles, each for the same lifetime, shared by all threads.
pub(crate) struct Cache {
    lifetime: Duration,
    /// The oldest in front.
    areas: VecDeque<Arc<Area>>,
    bytes: usize,
    earth: Geodesic,
}

/// A circle of which every place is known.
pub(crate) struct Area {
    latitude: f64,
    longitude: f64,
    radius_m: f64,
    places: Vec<Place>,
    bytes: usize,
    since: Instant,
}

impl Cache {
    /// Keeps every circle for `lifetime`.
    pub(crate) fn new(lifetime: Duration) -> Cache {
        Cache { lifetime, areas: VecDeque::new(), bytes: 0, earth: Geodesic::wgs84() }
    }

    /// The area that knows most of the places around a point.
    pub(crate) fn find(&self, near: &NearbyQuery, now: Instant) -> Option<Arc<Area>> {
        let fresh =
            self.areas.iter().filter(|area| now.saturating_duration_since(area.since) < self.lifetime);
        let known = fresh.filter_map(|area| Some((area.known_m(near, &self.earth)?, area)));
        known.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, area)| Arc::clone(area))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.areas.len()
    }

    /// Keeps the circle around the point of `near`, in place of the oldest if there is too much.
    pub(crate) fn put(&mut self, near: &NearbyQuery, circle: Circle, now: Instant) {
        let Circle { radius_m, places } = circle;
        let places: Vec<Place> = places.into_iter().map(|(_, place)| place).collect();
        let bytes = size_of::<Area>() + places.iter().map(bytes).sum::<usize>();
        if bytes > BYTES_MAX {
            return;
        }
        // What knows less of the same point is of no more use.
        let is_older = |area: &Area| {
            area.latitude == near.latitude && area.longitude == near.longitude && area.radius_m <= radius_m
        };
        self.areas.retain(|area| !is_older(area));
        let NearbyQuery { latitude, longitude, .. } = *near;
        self.areas.push_back(Arc::new(Area { latitude, longitude, radius_m, places, bytes, since: now }));
        self.bytes = self.areas.iter().map(|area| area.bytes).sum();
        while self.areas.len() > CIRCLES_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.areas.pop_front() else { break };
            self.bytes -= oldest.bytes;
        }
    }
}

impl Area {
    /// What it knows around another point within it.
    pub(crate) fn around(&self, near: &NearbyQuery) -> Circle {
        let radius_m = self.known_m(near, &Geodesic::wgs84()).unwrap_or_default();
        Circle::around(near, radius_m, self.places.clone()).trimmed()
    }

    /// Up to which distance from a point it knows every place; `None` if the point is not within it.
    fn known_m(&self, near: &NearbyQuery, earth: &Geodesic) -> Option<f64> {
        if (near.latitude - self.latitude).abs() * METRES_PER_DEGREE_MIN > self.radius_m {
            return None;
        }
        let metres: f64 = earth.inverse(self.latitude, self.longitude, near.latitude, near.longitude);
        Some(self.radius_m - metres).filter(|known_m| *known_m > 0.0)
    }
}

/// What a place takes.
fn bytes(place: &Place) -> usize {
    let Place { id, name, types, vicinity, latitude: _, longitude: _ } = place;
    let types: usize = types.iter().map(|word| word.len() + size_of::<String>()).sum();
    size_of::<Place>() + id.len() + name.len() + types + vicinity.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::clock;

    const LIFETIME: Duration = Duration::from_secs(60);

    fn near(latitude: f64, longitude: f64) -> NearbyQuery {
        NearbyQuery { latitude, longitude, radius_m: 1_000 }
    }

    fn circle(radius_m: f64, names: &[&str]) -> Circle {
        let place = |name: &&str| Place {
            id: String::new(),
            name: (*name).to_owned(),
            latitude: 10.0,
            longitude: 20.0,
            types: Vec::new(),
            vicinity: None,
        };
        Circle { radius_m, places: names.iter().map(|name| (0.0, place(name))).collect() }
    }

    #[test]
    fn circle_expires_after_its_lifetime() {
        let (mut cache, now) = (Cache::new(LIFETIME), clock::now());
        cache.put(&near(10.0, 20.0), circle(500.0, &["a"]), now);
        assert!(cache.find(&near(10.0, 20.0), now + LIFETIME - Duration::from_secs(1)).is_some());
        assert!(cache.find(&near(10.0, 20.0), now + LIFETIME).is_none());
    }

    #[test]
    fn point_within_a_circle_is_known_up_to_its_edge() {
        let (mut cache, now) = (Cache::new(LIFETIME), clock::now());
        cache.put(&near(10.0, 20.0), circle(500.0, &["a"]), now);
        // 0.001 degrees of latitude are 110.6 m.
        let known = |near: &NearbyQuery| cache.find(near, now).map(|area| area.around(near));
        let there = known(&near(10.001, 20.0)).unwrap();
        assert!((there.radius_m - 389.4).abs() < 0.1, "{}", there.radius_m);
        assert!((there.places[0].0 - 110.6).abs() < 0.1);
        // The place itself is beyond the edge of what is known from here.
        assert!(known(&near(10.004, 20.0)).unwrap().places.is_empty());
        assert!(known(&near(10.0046, 20.0)).is_none() && known(&near(10.0, 20.1)).is_none());
        assert!(known(&near(-80.0, 20.0)).is_none());
    }

    #[test]
    fn largest_circle_counts_and_a_smaller_one_of_the_point_goes() {
        let (mut cache, now) = (Cache::new(LIFETIME), clock::now());
        cache.put(&near(10.0, 20.0), circle(500.0, &["small"]), now);
        cache.put(&near(10.002, 20.0), circle(5_000.0, &["large"]), now);
        assert_eq!(cache.find(&near(10.0, 20.0), now).unwrap().places[0].name, "large");
        cache.put(&near(10.0, 20.0), circle(6_000.0, &["newer"]), now);
        assert_eq!(cache.areas.len(), 2);
        assert_eq!(cache.find(&near(10.0, 20.0), now).unwrap().places[0].name, "newer");
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_goes_first() {
        let (mut cache, now) = (Cache::new(LIFETIME), clock::now());
        for number in 0..=CIRCLES_MAX {
            cache.put(&near(0.1 * number as f64, 0.0), circle(500.0, &["a"]), now);
        }
        assert_eq!(cache.areas.len(), CIRCLES_MAX);
        assert!(cache.find(&near(0.0, 0.0), now).is_none() && cache.find(&near(0.1, 0.0), now).is_some());
        let long = "x".repeat(BYTES_MAX / 3);
        for number in 0..3 {
            cache.put(&near(-0.1 * f64::from(number), 0.0), circle(500.0, &[&long]), now);
        }
        assert_eq!((cache.areas.len(), cache.bytes <= BYTES_MAX), (2, true));
        cache.put(&near(50.0, 0.0), circle(500.0, &[&long, &long, &long, &long]), now);
        assert!(cache.find(&near(50.0, 0.0), now).is_none() && cache.areas.len() == 2);
    }
}
