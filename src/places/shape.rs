//! The shape of a place that is more than a point: areas with their holes, lines, and points that belong together.
//!
//! A line between two positions is straight in degrees, as RFC 7946 has it. Vertices are added where it is so long
//! that this makes a difference, and then every edge is short enough to be measured on the ellipsoid to a few
//! centimetres. The edges are in blocks of some that follow each other, whose bounds say which ones need not be
//! looked at.

use std::ops::Range;

use geographiclib_rs::{Geodesic, InverseGeodesic};
use rstar::AABB;

use super::ellipsoid::{
    Point, bend, chord_2_to_line, chord_at_least, corners, metres_at_least, on_the_ellipsoid,
};
use super::outline::{Outline, Path};

use crate::proto::line::query::NearbyQuery;

/// The most edges of a block.
const BLOCK_EDGES: usize = 16;

/// An edge that is nearer by less than this is not looked for: there are thousands where a coast is a circle around
/// here.
const NEARER_METRES_MIN: f64 = 0.01;

/// A shape that can be measured. Never changed.
#[derive(Debug, PartialEq)]
pub(crate) struct Shape {
    /// Longitude and latitude, one path after the other.
    vertices: Vec<[f64; 2]>,
    /// Those of one path in their order.
    blocks: Vec<Block>,
    /// The corners of what holds it all, in space.
    lower: Point,
    upper: Point,
}

/// Some edges that follow each other, or a single point.
#[derive(Debug, PartialEq)]
struct Block {
    /// The first and the last vertex.
    first: u32,
    last: u32,
    /// Which polygon its path bounds, if it does.
    polygon: Option<u32>,
    /// The corners of what holds its edges in space.
    lower: Point,
    upper: Point,
    /// The lowest longitude and latitude, and the highest.
    west_south: [f64; 2],
    east_north: [f64; 2],
}

/// A question, and what it costs.
pub(crate) struct Measurer<'a> {
    pub(crate) earth: &'a Geodesic,
    pub(crate) near: &'a NearbyQuery,
    /// The point of the question, in space.
    pub(crate) here: Point,
    /// Edges and blocks that may still be measured. When it is used up, a distance is that to the nearest edge so
    /// far.
    pub(crate) left: usize,
}

/// The nearest edge so far.
struct NearestEdge {
    /// The most metres that are of use.
    limit: f64,
    best: Option<f64>,
}

impl From<Outline> for Shape {
    fn from(outline: Outline) -> Shape {
        let rings = outline.paths.iter().filter(|path| path.polygon.is_some());
        let boxes: Vec<_> = rings.map(|ring| (outline.sides(ring, 0), outline.sides(ring, 1))).collect();
        let Outline { vertices, paths, .. } = outline;
        let blocks: Vec<Block> = paths
            .iter()
            .flat_map(|path| {
                let Path { first, last, polygon } = *path;
                let starts = (first..last.max(first + 1)).step_by(BLOCK_EDGES);
                starts.map(move |start| (start, (start + BLOCK_EDGES as u32).min(last), polygon))
            })
            .map(|(first, last, polygon)| Block::new(&vertices, first, last, polygon))
            .collect();
        let (mut lower, mut upper) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for block in &blocks {
            widen(&mut lower, &mut upper, &block.lower);
            widen(&mut lower, &mut upper, &block.upper);
        }
        for (longitudes, latitudes) in boxes {
            let (lowest, highest) = corners(longitudes, latitudes);
            widen(&mut lower, &mut upper, &lowest);
            widen(&mut lower, &mut upper, &highest);
        }
        Shape { vertices, blocks, lower, upper }
    }
}

impl Shape {
    /// What holds it in space.
    pub(crate) fn bounds(&self) -> AABB<Point> {
        AABB::from_corners(self.lower, self.upper)
    }

    /// The metres from the point of the question to the nearest point of the shape: 0 inside. `None`: they are more
    /// than `limit`.
    pub(crate) fn metres(&self, question: &mut Measurer<'_>, limit: f64) -> Option<f64> {
        if self.contains(question.near.latitude, question.near.longitude) {
            return Some(0.0);
        }
        // The block that may be the nearest comes first, because most others then need not be opened.
        let here = question.here;
        let chord_2 = |block: &Block| block.bounds().distance_2(&here);
        let (first, _) =
            self.blocks.iter().enumerate().min_by(|a, b| chord_2(a.1).total_cmp(&chord_2(b.1)))?;
        let mut nearest = NearestEdge { limit, best: None };
        self.measure(&self.blocks[first], question, &mut nearest);
        for (number, block) in self.blocks.iter().enumerate() {
            if nearest.may_be(chord_2(block)) && question.left > 0 && number != first {
                self.measure(block, question, &mut nearest);
            }
        }
        nearest.best
    }

    /// Looks for the nearest edge among those of a block.
    fn measure(&self, block: &Block, question: &mut Measurer<'_>, nearest: &mut NearestEdge) {
        question.left = question.left.saturating_sub(1);
        let mut by_chord: Vec<(f64, [f64; 2], [f64; 2])> = block
            .edges(&self.vertices)
            .map(|(a, b)| {
                let chord = chord_2_to_line(question.here, in_space(a), in_space(b)).sqrt();
                ((chord - bend(radians(a, b))).max(0.0), a, b)
            })
            .collect();
        by_chord.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        for (chord, a, b) in by_chord {
            // The first one is measured whatever was measured before, so that there is a distance.
            if !nearest.may_be(chord * chord) || nearest.best.is_some() && question.left == 0 {
                break;
            }
            question.left = question.left.saturating_sub(1);
            nearest.add(question.metres_to_edge(a, b));
        }
    }

    /// Whether it is an area that the point is in: a line to the east then crosses one of its polygons an odd number
    /// of times, holes included.
    fn contains(&self, latitude: f64, longitude: f64) -> bool {
        let (mut polygon, mut is_inside) = (None, false);
        for block in self.blocks.iter().filter(|block| block.polygon.is_some()) {
            if block.polygon != polygon {
                if is_inside {
                    return true;
                }
                (polygon, is_inside) = (block.polygon, false);
            }
            // A path begins in the usual range, and may go on beyond the date line.
            for east in [longitude, longitude + 360.0] {
                is_inside ^= block.is_crossed(&self.vertices, latitude, east);
            }
        }
        is_inside
    }
}

impl Block {
    fn new(vertices: &[[f64; 2]], first: u32, last: u32, polygon: Option<u32>) -> Block {
        let (mut lower, mut upper) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        let (mut west_south, mut east_north) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        for vertex in &vertices[first as usize..=last as usize] {
            widen(&mut lower, &mut upper, &in_space(*vertex));
            widen(&mut west_south, &mut east_north, vertex);
        }
        let mut block = Block { first, last, polygon, lower, upper, west_south, east_north };
        let bend = block.edges(vertices).map(|(a, b)| bend(radians(a, b))).fold(0.0, f64::max);
        block.lower = block.lower.map(|side| side - bend);
        block.upper = block.upper.map(|side| side + bend);
        block
    }

    fn bounds(&self) -> AABB<Point> {
        AABB::from_corners(self.lower, self.upper)
    }

    /// Its edges; a single point is an edge without a length.
    fn edges(&self, vertices: &[[f64; 2]]) -> impl Iterator<Item = ([f64; 2], [f64; 2])> {
        let Range { start, end } = self.first as usize..self.last.max(self.first + 1) as usize;
        (start..end).map(move |at| (vertices[at], vertices[(at + 1).min(self.last as usize)]))
    }

    /// Whether a line from the point to the east crosses it an odd number of times.
    fn is_crossed(&self, vertices: &[[f64; 2]], latitude: f64, longitude: f64) -> bool {
        let ([west, south], [east, north]) = (self.west_south, self.east_north);
        if latitude < south || latitude > north || longitude > east {
            return false;
        }
        if longitude < west {
            // All of it is to the east, so only its ends matter.
            let is_above = |vertex: u32| vertices[vertex as usize][1] > latitude;
            return is_above(self.first) != is_above(self.last);
        }
        let crosses = |(a, b): &([f64; 2], [f64; 2])| {
            (a[1] > latitude) != (b[1] > latitude)
                && longitude < a[0] + (latitude - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
        };
        self.edges(vertices).filter(crosses).count() % 2 == 1
    }
}

impl NearestEdge {
    /// Whether what is no nearer in space than this is of any use.
    fn may_be(&self, chord_2: f64) -> bool {
        match self.best {
            None => metres_at_least(chord_2) <= self.limit,
            Some(best) => chord_2.sqrt() < chord_at_least(best) - NEARER_METRES_MIN,
        }
    }

    fn add(&mut self, metres: f64) {
        if metres <= self.best.unwrap_or(self.limit) {
            self.best = Some(metres);
        }
    }
}

impl Measurer<'_> {
    /// The metres to the nearest point between two positions that are near each other.
    fn metres_to_edge(&self, a: [f64; 2], b: [f64; 2]) -> f64 {
        let (metres_a, at_a) = self.towards(a);
        if a == b {
            return metres_a;
        }
        let (metres_b, at_b) = self.towards(b);
        // On a plane around the point of the question, where the edge is all but straight, its nearest point is
        // there.
        let along = [at_b[0] - at_a[0], at_b[1] - at_a[1]];
        let share = -(at_a[0] * along[0] + at_a[1] * along[1]) / (along[0] * along[0] + along[1] * along[1]);
        let between = if share > 0.0 && share < 1.0 {
            self.towards([a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])]).0
        } else {
            f64::INFINITY
        };
        between.min(metres_a).min(metres_b)
    }

    /// How far a position is, and where: metres to the east and to the north.
    fn towards(&self, [longitude, latitude]: [f64; 2]) -> (f64, [f64; 2]) {
        let (metres, azimuth, _, _): (f64, f64, f64, f64) =
            self.earth.inverse(self.near.latitude, self.near.longitude, latitude, longitude);
        let (sin, cos) = azimuth.to_radians().sin_cos();
        (metres, [metres * sin, metres * cos])
    }
}

fn in_space([longitude, latitude]: [f64; 2]) -> Point {
    on_the_ellipsoid(latitude, longitude)
}

/// The degrees of longitude and latitude from `a` to `b`, together, in radians.
fn radians(a: [f64; 2], b: [f64; 2]) -> f64 {
    ((b[0] - a[0]).abs() + (b[1] - a[1]).abs()).to_radians()
}

fn widen<const SIDES: usize>(lower: &mut [f64; SIDES], upper: &mut [f64; SIDES], point: &[f64; SIDES]) {
    for side in 0..SIDES {
        lower[side] = lower[side].min(point[side]);
        upper[side] = upper[side].max(point[side]);
    }
}
