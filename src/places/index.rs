//! Places found by distance, right everywhere on the globe.
//!
//! A place is a point on the ellipsoid, in space, so the poles and the date line are ordinary. All places with the
//! same coordinates are a spot, and all spots within some hundred metres are a cell. The tree hands out cells by
//! chord, a heap puts the spots of the nearest cells in order by theirs, and the true distance on the ellipsoid then
//! decides. The tree alone would not do, because it looks at thousands of places that are alike one by one. A place
//! with a shape is in the tree with the bounds of that.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use geographiclib_rs::{Geodesic, InverseGeodesic};
use rstar::{AABB, PointDistance, RTree, RTreeObject};

use super::ellipsoid::{Point, chord_2, metres_at_least, on_the_ellipsoid};
use super::gazetteer::Gazetteer;
use super::place::Place;
use super::shape::{Measurer, Shape};

use crate::proto::line::query::NearbyQuery;

/// The most spots and edges that are measured for one question, at about a microsecond each. Chords say within some
/// millionths which of two spots is nearer, so far fewer have to be, unless thousands are that much alike: places
/// within centimetres of each other, asked about from kilometres away. Then the answer has places that are no more
/// than so much farther than the nearest.
const SPOTS_MEASURED_MAX: usize = 4_096;

/// The side of a cell. Few places are as near to each other.
const CELL_METRES: f64 = 100.0;

/// Places that can be searched by distance. Built once, never changed.
pub(crate) struct Index {
    places: Vec<Place>,
    /// The numbers of the places that are points, those of one spot together, in their order.
    by_spot: Vec<u32>,
    /// The spots, those of one cell together.
    spots: Vec<Spot>,
    /// The numbers of the other places, and their shapes.
    shapes: Vec<(u32, Shape)>,
    tree: RTree<Cell>,
    earth: Geodesic,
}

/// Places with the same coordinates.
struct Spot {
    point: Point,
    /// Where in `by_spot` its places are.
    places: Range<u32>,
}

/// What the tree hands out.
struct Cell {
    bounds: AABB<Point>,
    content: Content,
}

#[derive(Clone)]
enum Content {
    /// These spots, which are near each other.
    Spots(Range<u32>),
    /// The shape of this number.
    Shape(u32),
}

/// The nearest places so far.
struct Nearest {
    /// Metres and the number of the place, the nearest first.
    found: Vec<(f64, u32)>,
    count: usize,
    radius: f64,
}

impl RTreeObject for Cell {
    type Envelope = AABB<Point>;

    fn envelope(&self) -> AABB<Point> {
        self.bounds
    }
}

impl PointDistance for Cell {
    fn distance_2(&self, point: &Point) -> f64 {
        self.bounds.distance_2(point)
    }
}

impl Index {
    /// Takes every place; all coordinates must be within 90 and 180 degrees.
    pub(crate) fn new(gazetteer: impl Into<Gazetteer>) -> Index {
        let Gazetteer { places, shapes } = gazetteer.into();
        let mut shaped = shapes.iter().map(|(number, _)| *number).peekable();
        let points = (0..).zip(&places).filter(|(number, _)| shaped.next_if_eq(number).is_none());
        // Beside each other, because to look at the places again and again would take longer than to sort.
        let mut by_coordinates: Vec<([u64; 2], u32)> = points
            .map(|(number, place)| ([place.latitude.to_bits(), place.longitude.to_bits()], number))
            .collect();
        by_coordinates.sort_unstable();
        let mut spots: Vec<Spot> = ranges(&by_coordinates, |a, b| a.0 == b.0)
            .map(|range| {
                let [latitude, longitude] = by_coordinates[range.start as usize].0.map(f64::from_bits);
                Spot { point: on_the_ellipsoid(latitude, longitude), places: range }
            })
            .collect();
        let by_spot = by_coordinates.into_iter().map(|(_, number)| number).collect();
        let cell = |spot: &Spot| spot.point.map(|side| (side / CELL_METRES).floor() as i32);
        spots.sort_by_cached_key(cell);
        let of_spots = ranges(&spots, |a, b| cell(a) == cell(b)).map(|range| {
            let of_cell = &spots[range.start as usize..range.end as usize];
            let bounds = AABB::from_points(of_cell.iter().map(|spot| &spot.point));
            Cell { bounds, content: Content::Spots(range) }
        });
        let of_shapes = (0..).zip(&shapes).map(|(number, (_, shape))| {
            Cell { bounds: shape.bounds(), content: Content::Shape(number) } //
        });
        let tree = RTree::bulk_load(of_spots.chain(of_shapes).collect());
        Index { places, by_spot, spots, shapes, tree, earth: Geodesic::wgs84() }
    }

    /// The nearest `count` places within the radius (itself included), nearest first; places equally far come in the
    /// order in which they were given. Where more than [`SPOTS_MEASURED_MAX`] spots are nearly equally far, some of
    /// them are left out.
    pub(crate) fn nearest(&self, near: &NearbyQuery, count: usize) -> Vec<&Place> {
        self.measured(near, count).0
    }

    /// The nearest places, and how many spots and edges were measured to find them.
    pub(in crate::places) fn measured(&self, near: &NearbyQuery, count: usize) -> (Vec<&Place>, usize) {
        if !(near.latitude.is_finite() && near.longitude.is_finite()) {
            return (Vec::new(), 0);
        }
        let mut best = Nearest::new(count, f64::from(near.radius_m));
        let here = on_the_ellipsoid(near.latitude, near.longitude);
        let mut measurer = Measurer { earth: &self.earth, near, here, left: SPOTS_MEASURED_MAX };
        let mut cells = self.tree.nearest_neighbor_iter_with_distance_2(here).peekable();
        // Spots by their squared chord, whose bits are in its order because it is not negative.
        let mut opened = BinaryHeap::new();
        while measurer.left > 0 {
            let nearest: Option<f64> = opened.peek().map(|Reverse((bits, _))| f64::from_bits(*bits));
            if let Some((cell, least)) = cells.next_if(|(_, chord_2)| nearest.is_none_or(|it| it >= *chord_2))
            {
                match &cell.content {
                    Content::Spots(range) => opened.extend(range.clone().map(|spot| {
                        Reverse((chord_2(here, self.spots[spot as usize].point).to_bits(), spot)) //
                    })),
                    Content::Shape(number) => {
                        if metres_at_least(least) > best.limit() {
                            break;
                        }
                        let (place, shape) = &self.shapes[*number as usize];
                        if let Some(metres) = shape.metres(&mut measurer, best.limit()) {
                            best.add(metres, &[*place]);
                        }
                    }
                }
                continue;
            }
            let Some(Reverse((bits, spot))) = opened.pop() else { break };
            if metres_at_least(f64::from_bits(bits)) > best.limit() {
                break;
            }
            measurer.left -= 1;
            let Range { start, end } = self.spots[spot as usize].places;
            let numbers = &self.by_spot[start as usize..end as usize];
            best.add(self.metres(near, &self.places[numbers[0] as usize]), numbers);
        }
        let found = best.found.into_iter().map(|(_, number)| &self.places[number as usize]).collect();
        (found, SPOTS_MEASURED_MAX - measurer.left)
    }

    fn metres(&self, near: &NearbyQuery, place: &Place) -> f64 {
        self.earth.inverse(near.latitude, near.longitude, place.latitude, place.longitude)
    }
}

impl Nearest {
    fn new(count: usize, radius: f64) -> Nearest {
        Nearest { found: Vec::with_capacity(count + 1), count, radius }
    }

    /// What is farther than these metres is not among the nearest.
    fn limit(&self) -> f64 {
        if self.found.len() == self.count {
            self.found.last().map_or(self.radius, |far| far.0)
        } else {
            self.radius
        }
    }

    /// Takes places that are all as far as this, in their order.
    fn add(&mut self, metres: f64, numbers: &[u32]) {
        if metres > self.radius {
            return;
        }
        for &number in numbers.iter().take(self.count) {
            let entry = (metres, number);
            let at = self.found.partition_point(|other| *other < entry);
            if at == self.count {
                break;
            }
            self.found.insert(at, entry);
            self.found.truncate(self.count);
        }
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
