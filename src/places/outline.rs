//! What a geometry is made of, before it becomes a shape: paths, with vertices near enough to each other, on one side
//! of the date line or beyond it.

/// The longest edge, in degrees of longitude or latitude. An edge that is straight in degrees bends away from the
/// shortest way by 15 m at most then, which makes centimetres of the distance to it.
const EDGE_DEGREES_MAX: f64 = 0.25;

/// As far as this from the date line is on it.
const ON_THE_DATE_LINE_DEGREES: f64 = 1e-6;

/// Positions are longitude and latitude in degrees.
type Vertex = [f64; 2];

/// The paths of a shape.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    pub(super) vertices: Vec<Vertex>,
    pub(super) paths: Vec<Path>,
    polygons: u32,
    /// The most vertices that may still be added.
    vertices_left: usize,
}

/// Vertices that follow each other, or a single one.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) first: u32,
    pub(super) last: u32,
    /// Which polygon it bounds, from outside or around a hole, if it does.
    pub(super) polygon: Option<u32>,
}

/// There are more vertices than may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyVertices;

impl Outline {
    /// An outline of at most so many vertices, those included that are added to long edges.
    pub(crate) fn new(vertices_max: usize) -> Outline {
        Outline { vertices_left: vertices_max, ..Outline::default() }
    }

    /// The vertices that it has, those included that were added to long edges.
    pub(crate) fn vertices(&self) -> usize {
        self.vertices.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Takes a point that belongs to the shape.
    pub(crate) fn add_point(&mut self, point: Vertex) -> Result<(), TooManyVertices> {
        self.add_path(&[point], None)
    }

    /// Takes a line.
    pub(crate) fn add_line(&mut self, line: &[Vertex]) -> Result<(), TooManyVertices> {
        self.add_path(&unwrapped(line), None)
    }

    /// Takes a polygon, which is what an odd number of its rings is around. A ring that is not closed is closed here.
    pub(crate) fn add_polygon(&mut self, rings: &[Vec<Vertex>]) -> Result<(), TooManyVertices> {
        for ring in rings {
            let mut closed = ring.clone();
            closed.extend(ring.first().filter(|first| ring.last() != Some(*first)));
            self.add_path(&around_the_pole(unwrapped(&closed)), Some(self.polygons))?;
        }
        self.polygons += 1;
        Ok(())
    }

    fn add_path(&mut self, path: &[Vertex], polygon: Option<u32>) -> Result<(), TooManyVertices> {
        let Some(start) = path.first() else { return Ok(()) };
        let west = path.iter().map(|vertex| vertex[0]).fold(f64::INFINITY, f64::min);
        // It begins in the usual range of longitudes, and may go on beyond.
        let turn = -360.0 * ((west + 180.0) / 360.0).floor();
        let first = self.vertices.len() as u32;
        self.add_vertex([start[0] + turn, start[1]])?;
        for edge in path.windows(2) {
            let [from, to] = [edge[0], edge[1]];
            let degrees = (to[0] - from[0]).abs().max((to[1] - from[1]).abs());
            let steps = (degrees / EDGE_DEGREES_MAX).ceil().max(1.0);
            for step in 1..steps as u32 {
                let share = f64::from(step) / steps;
                let between = |side: usize| from[side] + share * (to[side] - from[side]);
                self.add_vertex([between(0) + turn, between(1)])?;
            }
            self.add_vertex([to[0] + turn, to[1]])?;
        }
        self.paths.push(Path { first, last: self.vertices.len() as u32 - 1, polygon });
        Ok(())
    }

    fn add_vertex(&mut self, vertex: Vertex) -> Result<(), TooManyVertices> {
        self.vertices_left = self.vertices_left.checked_sub(1).ok_or(TooManyVertices)?;
        self.vertices.push(vertex);
        Ok(())
    }

    /// A position to show the shape at: in the widest part of its largest polygon, else in the middle of its longest
    /// line, else its first point. `None`: there is nothing.
    pub(crate) fn inside(&self) -> Option<Vertex> {
        let longest = self.paths.iter().rev().max_by_key(|path| path.last - path.first)?;
        let largest = self
            .paths
            .iter()
            .filter(|path| path.polygon.is_some())
            .max_by(|a, b| self.extent(a).total_cmp(&self.extent(b)));
        let [longitude, latitude] = largest
            .and_then(|path| self.inside_polygon(path))
            .unwrap_or_else(|| self.vertices[((longest.first + longest.last) / 2) as usize]);
        let longitude = longitude - 360.0 * ((longitude + 180.0) / 360.0).floor();
        Some([longitude, latitude.clamp(-90.0, 90.0)])
    }

    /// In the middle of the widest part on the parallel half-way up.
    fn inside_polygon(&self, outer: &Path) -> Option<Vertex> {
        let [south, north] = self.sides(outer, 1);
        let latitude = (south + north) / 2.0;
        let rings = self.paths.iter().filter(|path| path.polygon == outer.polygon);
        let mut crossings: Vec<f64> = rings
            .flat_map(|path| self.vertices[path.first as usize..=path.last as usize].windows(2))
            .filter(|edge| (edge[0][1] > latitude) != (edge[1][1] > latitude))
            .map(|edge| {
                let share = (latitude - edge[0][1]) / (edge[1][1] - edge[0][1]);
                edge[0][0] + share * (edge[1][0] - edge[0][0])
            })
            .collect();
        crossings.sort_unstable_by(f64::total_cmp);
        let parts = crossings.chunks_exact(2);
        let widest = parts.max_by(|a, b| (a[1] - a[0]).total_cmp(&(b[1] - b[0])))?;
        Some([(widest[0] + widest[1]) / 2.0, latitude])
    }

    /// How large what holds a path is, as a map shows it.
    fn extent(&self, path: &Path) -> f64 {
        let ([west, east], [south, north]) = (self.sides(path, 0), self.sides(path, 1));
        (east - west) * (north - south)
    }

    /// The lowest and the highest longitude or latitude of a path.
    pub(super) fn sides(&self, path: &Path, side: usize) -> [f64; 2] {
        let vertices = &self.vertices[path.first as usize..=path.last as usize];
        vertices.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], vertex| {
            [low.min(vertex[side]), high.max(vertex[side])]
        })
    }
}

/// The path without jumps from one side of the date line to the other, as programs write them that know nothing of
/// it: an edge over more than half of the globe is meant to go the other way. From one side of the map exactly to the
/// other it goes all around, unless the path has other jumps.
fn unwrapped(path: &[Vertex]) -> Vec<Vertex> {
    let jumps = |edge: &[Vertex]| (edge[1][0] - edge[0][0]).abs() > 180.0;
    let is_on_the_line = |vertex: &Vertex| (vertex[0].abs() - 180.0).abs() <= ON_THE_DATE_LINE_DEGREES;
    let goes_around = |edge: &[Vertex]| edge.iter().all(is_on_the_line);
    if !path.windows(2).any(|edge| jumps(edge) && !goes_around(edge)) {
        return path.to_vec();
    }
    let mut turn = 0.0;
    let mut before = path[0][0];
    let mut unwrapped = Vec::with_capacity(path.len());
    for &[longitude, latitude] in path {
        turn -= 360.0 * ((longitude - before) / 360.0).round();
        before = longitude;
        unwrapped.push([longitude + turn, latitude]);
    }
    unwrapped
}

/// A ring that ends once around the globe from where it began is around a pole, and is closed along it: around the
/// nearer one.
fn around_the_pole(mut ring: Vec<Vertex>) -> Vec<Vertex> {
    if let (Some(first), Some(last)) = (ring.first().copied(), ring.last().copied())
        && (last[0] - first[0]).abs() > 180.0
    {
        let is_north = ring.iter().map(|vertex| vertex[1]).sum::<f64>() > 0.0;
        let pole = if is_north { 90.0 } else { -90.0 };
        ring.extend([[last[0], pole], [first[0], pole], first]);
    }
    ring
}
