//! Places with a shape, found by the distance to it: against measuring many points of each on the ellipsoid.

use geographiclib_rs::{Geodesic, InverseGeodesic};
use proptest::prelude::*;

use super::files::read;
use crate::places::index::Index;
use crate::proto::line::query::NearbyQuery;

/// Longitude and latitude.
type Position = [f64; 2];

fn near(longitude: f64, latitude: f64, radius_m: u32) -> NearbyQuery {
    NearbyQuery { latitude, longitude, radius_m }
}

/// A file of these geometries, named by their numbers.
fn file(geometries: &[String]) -> String {
    let features: Vec<String> = geometries
        .iter()
        .zip(0..)
        .map(|(geometry, number)| {
            format!(r#"{{"type": "Feature", "properties": {{"name": "{number}"}}, "geometry": {geometry}}}"#)
        })
        .collect();
    format!(r#"{{"type": "FeatureCollection", "features": [{}]}}"#, features.join(",\n"))
}

fn index(geometries: &[String]) -> Index {
    Index::new(read(file(geometries)).unwrap_or_else(|error| panic!("{geometries:?}: {error}")).gazetteer)
}

fn found(index: &Index, near: &NearbyQuery) -> Vec<usize> {
    index.nearest(near, 20).iter().map(|place| place.name.parse().unwrap()).collect()
}

fn polygon(rings: &[&[Position]]) -> String {
    format!(r#"{{"type": "Polygon", "coordinates": {rings:?}}}"#)
}

fn square([west, south]: Position, [east, north]: Position) -> Vec<Position> {
    vec![[west, south], [east, south], [east, north], [west, north], [west, south]]
}

/// Whether the only geometry is within so many metres of the point.
fn is_within(geometry: &str, longitude: f64, latitude: f64, radius_m: u32) -> bool {
    !found(&index(&[geometry.to_owned()]), &near(longitude, latitude, radius_m)).is_empty()
}

#[test]
fn a_park_around_me_is_nearer_than_a_cafe_at_the_corner() {
    let park = polygon(&[&square([11.0, 48.0], [11.1, 48.1])]);
    let cafe = r#"{"type": "Point", "coordinates": [11.011, 48.01]}"#.to_owned();
    let index = index(&[cafe, park]);
    assert_eq!(found(&index, &near(11.01, 48.01, 1_000)), [1, 0]);
    assert_eq!(found(&index, &near(11.01, 48.01, 1)), [1], "it is at 0 m");
    // To the south of the park: one degree of latitude is about 111,200 m there.
    assert_eq!(found(&index, &near(11.05, 47.999, 112)), [1]);
    assert!(found(&index, &near(11.05, 47.999, 110)).is_empty());
}

#[test]
fn holes_are_outside_and_islands_in_them_inside() {
    let ring = polygon(&[&square([0.0, 0.0], [0.3, 0.3]), &square([0.1, 0.1], [0.2, 0.2])]);
    assert!(is_within(&ring, 0.05, 0.15, 1));
    assert!(!is_within(&ring, 0.15, 0.15, 5_000) && is_within(&ring, 0.15, 0.15, 6_000));
    let island = format!(
        r#"{{"type": "MultiPolygon", "coordinates": [{:?}, {:?}]}}"#,
        [square([0.0, 0.0], [0.3, 0.3]), square([0.1, 0.1], [0.2, 0.2])],
        [square([0.14, 0.14], [0.16, 0.16])]
    );
    assert!(is_within(&island, 0.15, 0.15, 1) && !is_within(&island, 0.12, 0.12, 1));
    let overlapping = format!(
        r#"{{"type": "GeometryCollection", "geometries": [{}, {}]}}"#,
        polygon(&[&square([0.0, 0.0], [0.2, 0.2])]),
        polygon(&[&square([0.1, 0.1], [0.3, 0.3])])
    );
    assert!(is_within(&overlapping, 0.15, 0.15, 1) && is_within(&overlapping, 0.25, 0.25, 1));
}

#[test]
fn lines_and_points_that_belong_together_are_near_where_they_are_nearest() {
    let line = r#"{"type": "LineString", "coordinates": [[0, 0], [2, 0]]}"#;
    assert!(is_within(line, 1.0, 0.01, 1_106) && !is_within(line, 1.0, 0.01, 1_105));
    assert!(!is_within(line, 2.02, 0.0, 2_226) && is_within(line, 2.02, 0.0, 2_227));
    let lines = r#"{"type": "MultiLineString", "coordinates": [[[5, 5], [6, 6]], [[0, 0], [2, 0]]]}"#;
    assert!(is_within(lines, 1.0, 0.01, 1_106) && is_within(lines, 6.0, 6.0, 1));
    let points = r#"{"type": "MultiPoint", "coordinates": [[0, 0], [10, 10, 5], [-10, 10]]}"#;
    assert!(is_within(points, 10.0, 10.0, 1) && !is_within(points, 5.0, 5.0, 50_000));
    let mixed = format!(r#"{{"type": "GeometryCollection", "geometries": [{points}, {line}]}}"#);
    assert!(is_within(&mixed, 1.0, 0.0, 1) && is_within(&mixed, 10.0, 10.0, 1));
}

#[test]
fn the_date_line_cuts_no_shape_whichever_way_it_is_written() {
    let cut = format!(
        r#"{{"type": "MultiPolygon", "coordinates": [{:?}, {:?}]}}"#,
        [square([179.0, 0.0], [180.0, 1.0])],
        [square([-180.0, 0.0], [-179.0, 1.0])]
    );
    for shape in [
        cut,
        polygon(&[&square([179.0, 0.0], [181.0, 1.0])]),
        polygon(&[&square([-181.0, 0.0], [-179.0, 1.0])]),
        polygon(&[&[[179.0, 0.0], [-179.0, 0.0], [-179.0, 1.0], [179.0, 1.0], [179.0, 0.0]]]),
        polygon(&[&[
            [179.0, 0.0],
            [180.0, 0.0],
            [-180.0, 0.0],
            [-179.0, 0.0],
            [-179.0, 1.0],
            [179.0, 1.0],
            [179.0, 0.0],
        ]]),
    ] {
        for inside in [179.5, 180.0, -180.0, -179.5] {
            assert!(is_within(&shape, inside, 0.5, 1), "{shape}: {inside}");
        }
        for (outside, latitude) in [(178.9, 0.5), (-178.9, 0.5), (0.0, 0.5), (179.5, 1.1)] {
            assert!(!is_within(&shape, outside, latitude, 11_000), "{shape}: {outside}");
        }
        assert!(is_within(&shape, -178.9, 0.5, 11_200) && is_within(&shape, 178.9, 0.5, 11_200), "{shape}");
        let read = read(file(std::slice::from_ref(&shape))).unwrap();
        let place = &read.gazetteer.places[0];
        assert!(place.longitude.abs() > 179.0 && place.longitude.abs() <= 180.0, "{shape}: {place:?}");
    }
}

#[test]
fn shapes_around_a_pole_and_around_the_globe_are_what_they_look_like() {
    let ice: Vec<Position> = (0..=36).map(|tens| [f64::from(tens) * 10.0 - 180.0, -70.0]).collect();
    let around = polygon(&[&[&ice[..36], &ice[..1]].concat()]);
    let mut cut = ice.clone();
    cut.extend([[180.0, -90.0], [-180.0, -90.0], [-180.0, -70.0]]);
    for antarctica in [around, polygon(&[&cut])] {
        for (longitude, latitude) in [(0.0, -90.0), (179.9, -80.0), (-180.0, -89.0), (33.0, -71.0)] {
            assert!(is_within(&antarctica, longitude, latitude, 1), "{antarctica}: {longitude} {latitude}");
        }
        assert!(!is_within(&antarctica, 5.0, -69.9, 11_000) && is_within(&antarctica, 5.0, -69.9, 11_200));
        assert!(!is_within(&antarctica, 0.0, 90.0, 50_000));
    }
    let tropics = polygon(&[&square([-180.0, -23.0], [180.0, 23.0])]);
    for longitude in [-180.0, -179.9, 0.0, 100.0, 180.0] {
        assert!(is_within(&tropics, longitude, 0.0, 1), "{longitude}");
        assert!(!is_within(&tropics, longitude, 24.0, 50_000), "{longitude}");
    }
}

#[test]
fn a_long_edge_is_straight_in_degrees() {
    // The shortest way would pass 3.6 degrees to the north of it.
    let border = r#"{"type": "LineString", "coordinates": [[-123, 49], [-95, 49]]}"#;
    assert!(is_within(border, -109.0, 49.0, 1) && !is_within(border, -109.0, 50.0, 50_000));
}

#[test]
fn what_is_shown_of_a_shape_is_in_it() {
    let case = |geometry: &str, expected: Position| {
        let read = read(file(&[geometry.to_owned()])).unwrap();
        let place = &read.gazetteer.places[0];
        let is_there =
            (place.longitude - expected[0]).abs() < 1e-9 && (place.latitude - expected[1]).abs() < 1e-9;
        assert!(is_there, "{geometry}: {place:?}");
    };
    case(&polygon(&[&square([1.0, 2.0], [3.0, 4.0])]), [2.0, 3.0]);
    // A horseshoe: its centre is outside of it.
    let horseshoe =
        [[0.0, 0.0], [9.0, 0.0], [9.0, 9.0], [6.0, 9.0], [6.0, 3.0], [1.0, 3.0], [1.0, 9.0], [0.0, 9.0]];
    case(&polygon(&[&horseshoe]), [7.5, 4.5]);
    case(&polygon(&[&square([0.0, 0.0], [9.0, 2.0]), &square([1.0, 0.5], [6.0, 1.5])]), [7.5, 1.0]);
    case(r#"{"type": "MultiPoint", "coordinates": [[5, 6], [7, 8]]}"#, [5.0, 6.0]);
    case(r#"{"type": "LineString", "coordinates": [[1, 1], [1.01, 1], [1.02, 1]]}"#, [1.01, 1.0]);
    case(r#"{"type": "Polygon", "coordinates": [[[4, 4], [4, 4], [4, 4]]]}"#, [4.0, 4.0]);
}

#[test]
fn a_large_shape_costs_a_question_little_and_hides_nothing() {
    const VERTICES: usize = 200_000;
    let coast: Vec<Position> = (0..=VERTICES)
        .map(|step| {
            let angle = step as f64 / VERTICES as f64 * std::f64::consts::TAU;
            let reach = 0.2 + 0.001 * (angle * 5_000.0).sin();
            [10.0 + reach * angle.cos(), 50.0 + reach * angle.sin()]
        })
        .collect();
    let mut geometries = vec![polygon(&[&coast])];
    geometries.extend((0..30).map(|number| {
        format!(r#"{{"type": "Point", "coordinates": [{}, 50]}}"#, 10.0 + f64::from(number) * 0.001)
    }));
    let index = index(&geometries);
    let (places, measured) = index.measured(&near(10.0, 50.0, 50_000), 20);
    assert_eq!(places.len(), 20);
    assert_eq!(
        (places[0].name.as_str(), places[1].name.as_str()),
        ("0", "1"),
        "the area, then what is in it"
    );
    assert!(measured < 100, "{measured} were measured");
    let (places, measured) = index.measured(&near(10.5, 50.0, 50_000), 20);
    assert_eq!(places[0].name, "0", "its coast is nearer than what is in it");
    assert!(measured < 200, "{measured} were measured");
}

/// The distance to a path, as the shortest of those to many points on it.
fn metres_by_force(near: &NearbyQuery, path: &[Position]) -> f64 {
    let earth = Geodesic::wgs84();
    let metres = |[longitude, latitude]: Position| -> f64 {
        earth.inverse(near.latitude, near.longitude, latitude, longitude)
    };
    let mut best = f64::INFINITY;
    for edge in path.windows(2) {
        let at = |share: f64| {
            [edge[0][0] + share * (edge[1][0] - edge[0][0]), edge[0][1] + share * (edge[1][1] - edge[0][1])]
        };
        // Finer and finer around the nearest of some.
        let (mut from, mut to) = (0.0, 1.0);
        for _ in 0..8 {
            let shares = (0..=20).map(|step| from + (to - from) * f64::from(step) / 20.0);
            let nearest = shares.min_by(|a, b| metres(at(*a)).total_cmp(&metres(at(*b)))).unwrap();
            let width = (to - from) / 20.0;
            (from, to) = ((nearest - width).max(0.0), (nearest + width).min(1.0));
        }
        best = best.min(metres(at((from + to) / 2.0)));
    }
    best
}

/// A point near which shapes are scattered: the poles and the date line as often as anywhere.
fn centre() -> impl Strategy<Value = Position> {
    let latitude = prop_oneof![-89.0..=89.0, Just(89.9), Just(-89.9), 89.0..=89.8, -89.8..=-89.0];
    let longitude = prop_oneof![-180.0..=180.0, Just(180.0), Just(-180.0), 179.7..=180.0, -180.0..=-179.7];
    (longitude, latitude).prop_map(|(longitude, latitude)| [longitude, latitude])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })]

    /// Triangles around many points, whose longitudes may go beyond 180 degrees, and a question among them.
    #[test]
    fn the_nearest_shapes_are_those_that_measuring_finds(
        [longitude, latitude] in centre(),
        radius_km in 1u32..=50,
        centres in prop::collection::vec((-0.6f64..0.6, -0.6f64..0.6), 1..12),
        corners in prop::collection::vec((-0.3f64..0.3, -0.3f64..0.3), 3),
    ) {
        let question = near(longitude, latitude, radius_km * 1_000);
        let stretch = (1.0 / latitude.to_radians().cos()).min(100.0);
        let triangles: Vec<Vec<Position>> = centres
            .iter()
            .map(|(east, north)| {
                let corner = |(x, y): &(f64, f64)| {
                    [longitude + (east + x) * stretch, (latitude + north + y).clamp(-90.0, 90.0)]
                };
                let mut ring: Vec<Position> = corners.iter().map(corner).collect();
                ring.push(ring[0]);
                ring
            })
            .collect();
        let geometries: Vec<String> = triangles.iter().map(|ring| polygon(&[ring])).collect();
        let index = index(&geometries);
        let found = found(&index, &question);
        let metres: Vec<f64> = triangles
            .iter()
            .map(|ring| if contains(ring, [longitude, latitude]) { 0.0 } else { metres_by_force(&question, ring) })
            .collect();
        for (number, metres) in metres.iter().enumerate() {
            // Within half a metre of the radius both are right.
            if (metres - f64::from(question.radius_m)).abs() > 0.5 {
                let is_near = *metres <= f64::from(question.radius_m);
                prop_assert_eq!(found.contains(&number), is_near, "{} at {} m of {:?}", number, metres, question);
            }
        }
        for pair in found.windows(2) {
            prop_assert!(metres[pair[0]] <= metres[pair[1]] + 0.5, "{:?} {:?}", found, metres);
        }
    }
}

/// Whether a point is in a triangle, by the sides of its edges.
fn contains(ring: &[Position], [x, y]: Position) -> bool {
    let side = |edge: &[Position]| {
        (edge[1][0] - edge[0][0]) * (y - edge[0][1]) - (edge[1][1] - edge[0][1]) * (x - edge[0][0])
    };
    let sides: Vec<f64> = ring.windows(2).map(side).collect();
    sides.iter().all(|side| *side >= 0.0) || sides.iter().all(|side| *side <= 0.0)
}
