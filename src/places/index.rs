//! Places found by distance, right everywhere on the globe.
//!
//! A place is a point on the unit sphere, so the poles and the date line are ordinary. All places with the same
//! coordinates are a spot, and all spots within some hundred metres are a cell. The tree hands out cells by chord, a
//! heap puts the spots of the nearest cells in order by theirs, and the true distance on the ellipsoid then decides.
//! The tree alone would not do, because it looks at thousands of places that are alike one by one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use geographiclib_rs::{Geodesic, InverseGeodesic};
use rstar::{AABB, PointDistance, RTree, RTreeObject};

use super::place::Place;
use crate::proto::line::query::NearbyQuery;

/// The smallest radius of curvature of the Earth (WGS 84: along a meridian at the equator), a little
/// less for rounding: one radian between two points on the unit sphere is never fewer metres than this.
const METRES_PER_RADIAN_MIN: f64 = 6_335_430.0;

/// What rounding can add to the distance between two points on the unit sphere, and far more: at a pole,
/// places on the same spot differ by a billionth of a metre.
const ROUNDING_METRES: f64 = 0.001;

/// The most spots that are measured for one question, at about a microsecond each. Chords say within 0.7 % which of two
/// spots is nearer, so far fewer have to be, unless thousands are that much alike: places within metres of each other,
/// asked about from kilometres away. Then the answer has places that are no more than so much farther than the nearest.
const SPOTS_MEASURED_MAX: usize = 4_096;

/// Cells have this size on the unit sphere: some hundred metres. Few places are as near to each other.
const CELLS_PER_RADIUS: f64 = 65_536.0;

/// Places that can be searched by distance. Built once, never changed.
pub(crate) struct Index {
    places: Vec<Place>,
    /// The numbers of the places, those of one spot together, in their order.
    by_spot: Vec<u32>,
    /// The spots, those of one cell together.
    spots: Vec<Spot>,
    tree: RTree<Cell>,
    earth: Geodesic,
}

/// Places with the same coordinates.
struct Spot {
    point: [f64; 3],
    /// Where in `by_spot` its places are.
    places: Range<u32>,
}

/// Spots that are near each other.
struct Cell {
    bounds: AABB<[f64; 3]>,
    /// Which spots these are.
    spots: Range<u32>,
}

impl RTreeObject for Cell {
    type Envelope = AABB<[f64; 3]>;

    fn envelope(&self) -> AABB<[f64; 3]> {
        self.bounds
    }
}

impl PointDistance for Cell {
    fn distance_2(&self, point: &[f64; 3]) -> f64 {
        self.bounds.distance_2(point)
    }
}

impl Index {
    /// Takes every place; all coordinates must be within 90 and 180 degrees.
    pub(crate) fn new(places: Vec<Place>) -> Index {
        let coordinates = |number: &u32| {
            let Place { latitude, longitude, .. } = places[*number as usize];
            (latitude.to_bits(), longitude.to_bits())
        };
        let mut by_spot: Vec<u32> = (0..places.len() as u32).collect();
        by_spot.sort_by_key(coordinates);
        let mut spots: Vec<Spot> = ranges(&by_spot, |a, b| coordinates(a) == coordinates(b))
            .map(|range| {
                let Place { latitude, longitude, .. } = places[by_spot[range.start as usize] as usize];
                Spot { point: on_unit_sphere(latitude, longitude), places: range }
            })
            .collect();
        let cell = |spot: &Spot| spot.point.map(|side| (side * CELLS_PER_RADIUS).floor() as i32);
        spots.sort_by_key(cell);
        let cells = ranges(&spots, |a, b| cell(a) == cell(b)).map(|range| {
            let of_cell = &spots[range.start as usize..range.end as usize];
            Cell { bounds: AABB::from_points(of_cell.iter().map(|spot| &spot.point)), spots: range }
        });
        let tree = RTree::bulk_load(cells.collect());
        Index { places, by_spot, spots, tree, earth: Geodesic::wgs84() }
    }

    /// The nearest `count` places within the radius (itself included), nearest first; places equally far
    /// come in the order in which they were given. Where more than [`SPOTS_MEASURED_MAX`] spots are nearly equally far,
    /// some of them are left out.
    pub(crate) fn nearest(&self, near: &NearbyQuery, count: usize) -> Vec<&Place> {
        self.measured(near, count).0
    }

    /// The nearest places, and how many spots were measured to find them.
    fn measured(&self, near: &NearbyQuery, count: usize) -> (Vec<&Place>, usize) {
        if !(near.latitude.is_finite() && near.longitude.is_finite()) {
            return (Vec::new(), 0);
        }
        let radius = f64::from(near.radius_m);
        let mut best: Vec<(f64, u32)> = Vec::with_capacity(count + 1);
        let here = on_unit_sphere(near.latitude, near.longitude);
        let mut cells = self.tree.nearest_neighbor_iter_with_distance_2(here).peekable();
        // Spots by their squared chord, whose bits are in its order because it is not negative.
        let mut opened = BinaryHeap::new();
        let mut measured = 0;
        while measured < SPOTS_MEASURED_MAX {
            let limit = if best.len() == count { best.last().map_or(radius, |far| far.0) } else { radius };
            let nearest: Option<f64> = opened.peek().map(|Reverse((bits, _))| f64::from_bits(*bits));
            if let Some((cell, _)) = cells.next_if(|(_, chord_2)| nearest.is_none_or(|it| it >= *chord_2)) {
                let of_cell = cell.spots.clone().map(|spot| {
                    Reverse((chord_2(here, self.spots[spot as usize].point).to_bits(), spot)) //
                });
                opened.extend(of_cell);
                continue;
            }
            let Some(Reverse((bits, spot))) = opened.pop() else { break };
            if metres_at_least(f64::from_bits(bits)) > limit {
                break;
            }
            measured += 1;
            let Range { start, end } = self.spots[spot as usize].places;
            let numbers = &self.by_spot[start as usize..end as usize];
            let metres = self.metres(near, &self.places[numbers[0] as usize]);
            if metres > radius {
                continue;
            }
            for &number in numbers.iter().take(count) {
                let entry = (metres, number);
                let at = best.partition_point(|other| *other < entry);
                if at == count {
                    break;
                }
                best.insert(at, entry);
                best.truncate(count);
            }
        }
        (best.into_iter().map(|(_, number)| &self.places[number as usize]).collect(), measured)
    }

    fn metres(&self, near: &NearbyQuery, place: &Place) -> f64 {
        self.earth.inverse(near.latitude, near.longitude, place.latitude, place.longitude)
    }
}

/// The ranges of neighbouring items that are of one kind.
fn ranges<T>(items: &[T], is_same: impl Fn(&T, &T) -> bool) -> impl Iterator<Item = Range<u32>> {
    items.chunk_by(is_same).scan(0, |end, items| {
        let start = *end;
        *end += items.len() as u32;
        Some(start..*end)
    })
}

fn chord_2(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn on_unit_sphere(latitude: f64, longitude: f64) -> [f64; 3] {
    let (sin_lat, cos_lat) = latitude.to_radians().sin_cos();
    let (sin_lon, cos_lon) = longitude.to_radians().sin_cos();
    [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat]
}

/// A distance on the ground that two points with this squared chord between them cannot fall below.
fn metres_at_least(chord_2: f64) -> f64 {
    let half_chord = (chord_2.sqrt() / 2.0).min(1.0);
    2.0 * half_chord.asin() * METRES_PER_RADIAN_MIN - ROUNDING_METRES
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn places(points: &[(f64, f64)]) -> Vec<Place> {
        let place = |(number, &(latitude, longitude)): (usize, &(f64, f64))| Place {
            id: number.to_string(),
            name: number.to_string(),
            latitude,
            longitude,
            types: Vec::new(),
            vicinity: None,
        };
        points.iter().enumerate().map(place).collect()
    }

    fn found(points: &[(f64, f64)], near: &NearbyQuery, count: usize) -> Vec<usize> {
        let index = Index::new(places(points));
        index.nearest(near, count).iter().map(|place| place.id.parse().unwrap()).collect()
    }

    /// The same question answered by measuring every place.
    fn by_force(points: &[(f64, f64)], near: &NearbyQuery, count: usize) -> Vec<usize> {
        let earth = Geodesic::wgs84();
        let mut all: Vec<(f64, usize)> = points
            .iter()
            .enumerate()
            .map(|(n, p)| (earth.inverse(near.latitude, near.longitude, p.0, p.1), n))
            .filter(|(metres, _)| *metres <= f64::from(near.radius_m))
            .collect();
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        all.into_iter().take(count).map(|(_, n)| n).collect()
    }

    #[test]
    fn the_date_line_is_no_wall() {
        let points = [(0.0, 179.99), (0.0, -179.99), (0.0, 179.0), (0.0, 0.0)];
        let near = NearbyQuery { latitude: 0.0, longitude: -180.0, radius_m: 50_000 };
        assert_eq!(found(&points, &near, 20), [0, 1]);
        let near = NearbyQuery { longitude: 179.995, ..near };
        assert_eq!(found(&points, &near, 20), [0, 1]);
    }

    #[test]
    fn the_poles_are_ordinary_places() {
        let points = [(89.9, 0.0), (89.8, 180.0), (89.7, -90.0), (-90.0, 0.0), (89.0, 0.0)];
        let near = NearbyQuery { latitude: 90.0, longitude: 123.0, radius_m: 50_000 };
        assert_eq!(found(&points, &near, 20), [0, 1, 2]);
        let near = NearbyQuery { latitude: -90.0, longitude: 0.0, radius_m: 1_000 };
        assert_eq!(found(&points, &near, 20), [3]);
    }

    #[test]
    fn the_radius_is_inclusive_and_exact() {
        // One degree of longitude on the equator is 111,319.49 m; this is 10,000.0 m and a hair.
        let degrees = 10_000.0 / 111_319.490_793_273_57;
        let points = [(0.0, degrees * (1.0 - 1e-9)), (0.0, degrees * (1.0 + 1e-9))];
        let near = NearbyQuery { latitude: 0.0, longitude: 0.0, radius_m: 10_000 };
        assert_eq!(found(&points, &near, 20), [0]);
        // Along a meridian a degree is shorter by 0.7 %, which a sphere would not know.
        let points = [(10_000.0 / 110_574.4, 0.0), (10_000.0 / 110_574.0, 0.0)];
        assert_eq!(found(&points, &near, 20), [0]);
    }

    #[test]
    fn equally_far_places_keep_their_order_and_the_count_holds() {
        let points = vec![(10.0, 10.0); 50];
        let near = NearbyQuery { latitude: 10.0, longitude: 10.0, radius_m: 1_000 };
        assert_eq!(found(&points, &near, 20), (0..20).collect::<Vec<_>>());
        assert_eq!(found(&[], &near, 20), Vec::<usize>::new());
    }

    #[test]
    fn work_of_a_question_is_bounded_however_many_places_are_alike() {
        let near = |latitude| NearbyQuery { latitude, longitude: 10.0, radius_m: 50_000 };
        let one_spot = Index::new(places(&vec![(10.0, 10.0); 100_000]));
        let (found, measured) = one_spot.measured(&near(10.3), 20);
        assert_eq!(measured, 1);
        let numbers: Vec<usize> = found.iter().map(|place| place.id.parse().unwrap()).collect();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
        // Within a millimetre, so that no chord tells them apart.
        let alike: Vec<_> = (0..100_000).map(|number| (10.0, 10.0 + f64::from(number) * 1e-13)).collect();
        let alike = Index::new(places(&alike));
        for latitude in [10.0, 10.3] {
            let (found, measured) = alike.measured(&near(latitude), 20);
            assert_eq!((found.len(), measured <= SPOTS_MEASURED_MAX), (20, true));
        }
    }

    #[test]
    fn a_question_about_nowhere_finds_nothing() {
        for nowhere in [f64::NAN, f64::INFINITY] {
            let near = NearbyQuery { latitude: nowhere, longitude: 0.0, radius_m: 50_000 };
            assert_eq!(found(&[(0.0, 0.0)], &near, 20), Vec::<usize>::new());
        }
    }

    /// A point near which others are scattered: the poles and the date line as often as anywhere.
    fn centre() -> impl Strategy<Value = (f64, f64)> {
        let latitude = prop_oneof![-90.0..=90.0, Just(90.0), Just(-90.0), 89.5..=90.0, -90.0..=-89.5];
        let longitude =
            prop_oneof![-180.0..=180.0, Just(180.0), Just(-180.0), 179.7..=180.0, -180.0..=-179.7];
        (latitude, longitude)
    }

    fn folded((latitude, longitude): (f64, f64)) -> (f64, f64) {
        let longitude = (longitude + 540.0).rem_euclid(360.0) - 180.0;
        (latitude.clamp(-90.0, 90.0), longitude)
    }

    proptest! {
        // A failing case is printed; keeping it in a file would put one into the root of the repository.
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_index_agrees_with_measuring_every_place(
            (latitude, longitude) in centre(),
            radius_km in 1u32..=50,
            count in 1usize..=20,
            around in prop::collection::vec((-0.6f64..0.6, -0.6f64..0.6), 0..80),
            anywhere in prop::collection::vec((-90.0f64..=90.0, -180.0f64..=180.0), 0..40),
        ) {
            let scattered = around.iter().map(|(a, b)| folded((latitude + a, longitude + b)));
            let points: Vec<_> = scattered.chain(anywhere.iter().copied()).collect();
            let near = NearbyQuery { latitude, longitude, radius_m: radius_km * 1_000 };
            prop_assert_eq!(found(&points, &near, count), by_force(&points, &near, count));
        }
    }
}
