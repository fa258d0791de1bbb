//! Points on the ellipsoid of WGS 84 in space, where the poles and the date line are ordinary.
//!
//! The straight line between two of them, the chord, is never longer than the way on the ground, and for tens of
//! kilometres it is shorter by some millionths only: it says which of two points is nearer, and takes far less time
//! to compute.

/// The radius at the equator, in metres, and the square of the eccentricity.
const EQUATOR_METRES: f64 = 6_378_137.0;
const ECCENTRICITY_2: f64 = 0.006_694_379_990_141_316;

/// The smallest and the largest radius by which a line along the ground is bent, the largest a little more for
/// rounding.
const BEND_RADIUS_MIN: f64 = 6_335_439.0;
const BEND_RADIUS_MAX: f64 = 6_500_000.0;

/// What rounding can add to a chord, and far more: at a pole, places on the same spot differ by a millionth of a
/// metre.
const ROUNDING_METRES: f64 = 0.001;

/// Metres from the centre of the Earth.
pub(super) type Point = [f64; 3];

pub(super) fn on_the_ellipsoid(latitude: f64, longitude: f64) -> Point {
    let (sin_lat, cos_lat) = latitude.to_radians().sin_cos();
    let (sin_lon, cos_lon) = longitude.to_radians().sin_cos();
    let across = EQUATOR_METRES / (1.0 - ECCENTRICITY_2 * sin_lat * sin_lat).sqrt();
    [across * cos_lat * cos_lon, across * cos_lat * sin_lon, across * (1.0 - ECCENTRICITY_2) * sin_lat]
}

/// The corners of what holds all points between these longitudes and latitudes. The ground bulges, so that it is more
/// than what holds their edge.
pub(super) fn corners([west, east]: [f64; 2], [south, north]: [f64; 2]) -> (Point, Point) {
    let across = |latitude: f64| on_the_ellipsoid(latitude, 0.0)[0];
    let nearest_to_the_equator = 0.0_f64.clamp(south, north);
    let across = [across(south).min(across(north)).max(0.0), across(nearest_to_the_equator)];
    let has = |longitude: f64| {
        let turns = ((west - longitude) / 360.0).ceil();
        longitude + turns * 360.0 <= east
    };
    let side = |at_ends: [f64; 2], top: f64, bottom: f64| {
        let low = if has(bottom) { -1.0 } else { at_ends[0].min(at_ends[1]) };
        let high = if has(top) { 1.0 } else { at_ends[0].max(at_ends[1]) };
        let products = [low * across[0], low * across[1], high * across[0], high * across[1]];
        (
            products.into_iter().fold(f64::INFINITY, f64::min),
            products.into_iter().fold(f64::NEG_INFINITY, f64::max),
        )
    };
    let (low_x, high_x) = side([west, east].map(|it| it.to_radians().cos()), 0.0, 180.0);
    let (low_y, high_y) = side([west, east].map(|it| it.to_radians().sin()), 90.0, -90.0);
    let z = |latitude: f64| on_the_ellipsoid(latitude, 0.0)[2];
    ([low_x, low_y, z(south)], [high_x, high_y, z(north)])
}

/// The square of the chord from `a` to `b`.
pub(super) fn chord_2(a: Point, b: Point) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The square of the straight line from `here` to the nearest point of the chord from `a` to `b`.
pub(super) fn chord_2_to_line(here: Point, a: Point, b: Point) -> f64 {
    let dot = |a: Point, b: Point| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let less = |a: Point, b: Point| [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    let along = less(b, a);
    let length_2 = dot(along, along);
    let share = if length_2 > 0.0 { (dot(less(here, a), along) / length_2).clamp(0.0, 1.0) } else { 0.0 };
    let nearest = [a[0] + share * along[0], a[1] + share * along[1], a[2] + share * along[2]];
    chord_2(here, nearest)
}

/// The metres on the ground that two points with this squared chord between them cannot fall below.
pub(super) fn metres_at_least(chord_2: f64) -> f64 {
    chord_2.sqrt() - ROUNDING_METRES
}

/// A chord that the points of a line along the ground of these metres are never nearer to each other than.
pub(super) fn chord_at_least(metres: f64) -> f64 {
    2.0 * BEND_RADIUS_MIN * (metres / (2.0 * BEND_RADIUS_MIN)).sin() - ROUNDING_METRES
}

/// How far a line over so many radians of latitude and longitude together, straight in degrees, can be from its
/// chord.
pub(super) fn bend(radians: f64) -> f64 {
    radians * radians / 8.0 * BEND_RADIUS_MAX
}

#[cfg(test)]
mod tests {
    use geographiclib_rs::{Geodesic, InverseGeodesic};

    use super::*;

    #[test]
    fn corners_hold_all_that_is_between_them() {
        for [west, east] in
            [[-10.0, 20.0], [170.0, 200.0], [-180.0, 180.0], [80.0, 100.0], [-95.0, -85.0], [5.0, 5.0]]
        {
            for [south, north] in [[-90.0, -80.0], [-10.0, 20.0], [45.0, 46.0], [89.0, 90.0], [-90.0, 90.0]] {
                let (lower, upper) = corners([west, east], [south, north]);
                for step in 0..=400 {
                    let share = |steps: i32| f64::from(steps) / 20.0;
                    let latitude = south + (north - south) * share(step / 20);
                    let longitude = west + (east - west) * share(step % 20);
                    let point = on_the_ellipsoid(latitude, longitude);
                    for side in 0..3 {
                        let is_held = lower[side] - 1e-6 <= point[side] && point[side] <= upper[side] + 1e-6;
                        assert!(is_held, "{latitude} {longitude}: {lower:?} {point:?} {upper:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_chord_is_a_little_shorter_than_the_way_on_the_ground() {
        let earth = Geodesic::wgs84();
        for latitude in [-90.0, -45.0, -0.1, 0.0, 33.3, 89.9] {
            for (north, east) in [(0.1, 0.0), (0.0, 0.1), (0.3, 0.3), (-0.4, 0.0), (0.0, 0.0)] {
                let (other, longitude) = (f64::clamp(latitude + north, -90.0, 90.0), 179.9 + east);
                let metres: f64 = earth.inverse(latitude, 179.9, other, longitude);
                let chord_2 = chord_2(on_the_ellipsoid(latitude, 179.9), on_the_ellipsoid(other, longitude));
                assert!(metres_at_least(chord_2) <= metres, "{latitude} {north} {east}");
                assert!(chord_2.sqrt() >= chord_at_least(metres), "{latitude} {north} {east}");
                assert!(metres - chord_2.sqrt() <= 0.2, "{latitude} {north} {east}");
            }
        }
    }
}
