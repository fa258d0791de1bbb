//! Points on the unit sphere, which say quickly and surely how far two places are apart at least.

/// The smallest radius of curvature of the Earth (WGS 84: along a meridian at the equator), a little
/// less for rounding: one radian between two points on the unit sphere is never fewer metres than this.
pub const METRES_PER_RADIAN_MIN: f64 = 6_335_430.0;

/// What rounding can add to the distance between two points on the unit sphere, and far more: at a pole,
/// places on the same spot differ by a billionth of a metre.
const ROUNDING_METRES: f64 = 0.001;

/// The point on the unit sphere of a place in degrees.
pub fn on_unit_sphere(latitude: f64, longitude: f64) -> [f64; 3] {
    let (sin_lat, cos_lat) = latitude.to_radians().sin_cos();
    let (sin_lon, cos_lon) = longitude.to_radians().sin_cos();
    [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat]
}

/// The squared chord between two points.
pub fn chord_2(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The angle between two points with this squared chord, in radians.
pub fn radians(chord_2: f64) -> f64 {
    2.0 * (chord_2.sqrt() / 2.0).min(1.0).asin()
}

/// A distance on the ground that two points with this squared chord between them cannot fall below.
pub fn metres_at_least(chord_2: f64) -> f64 {
    radians(chord_2) * METRES_PER_RADIAN_MIN - ROUNDING_METRES
}
