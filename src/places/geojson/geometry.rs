//! Where a feature is: a point, or a shape.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::crs;
use super::feature::Geometry;
use super::left_out::{Cause, Reason};
use crate::places::outline::{Outline, TooManyVertices};
use crate::places::place::on_the_globe;

/// How deep collections may be in collections. RFC 7946 advises against any.
const COLLECTIONS_DEPTH_MAX: usize = 8;

/// Longitude and latitude in degrees.
pub(super) type Position = [f64; 2];

/// Where a feature is.
#[derive(Debug)]
pub(super) enum Located {
    Point(Position),
    Shape(Outline),
}

/// Why a geometry cannot be taken.
#[derive(Debug)]
pub(super) enum GeometryError {
    /// This one is left out.
    LeftOut(Reason),
    /// There is no room for its vertices, nor for any other.
    TooManyVertices,
}

impl From<TooManyVertices> for GeometryError {
    fn from(_: TooManyVertices) -> GeometryError {
        GeometryError::TooManyVertices
    }
}

/// Where `geometry` is, or why it cannot be said. A shape may have `vertices_max` vertices.
pub(super) fn located(geometry: &Geometry<'_>, vertices_max: usize) -> Result<Located, GeometryError> {
    if geometry.kind.as_deref() == Some("Point") {
        other_crs(geometry)?;
        let point: RawPosition = coordinates(geometry)?;
        return Ok(Located::Point(normalised(point.known()?)?));
    }
    let mut outline = Outline::new(vertices_max);
    add(geometry, &mut outline, 0)?;
    if outline.is_empty() {
        return Err(nowhere("its geometry is empty"));
    }
    Ok(Located::Shape(outline))
}

/// Adds what a geometry is made of to an outline.
fn add(geometry: &Geometry<'_>, outline: &mut Outline, depth: usize) -> Result<(), GeometryError> {
    other_crs(geometry)?;
    let Some(kind) = geometry.kind.as_deref() else { return Err(nowhere("it has no geometry")) };
    match kind {
        "Point" => {
            for point in path(&[coordinates(geometry)?])? {
                outline.add_point(point)?;
            }
        }
        "MultiPoint" => {
            for point in path(&coordinates::<Vec<RawPosition>>(geometry)?)? {
                outline.add_point(point)?;
            }
        }
        "LineString" => outline.add_line(&path(&coordinates::<Vec<RawPosition>>(geometry)?)?)?,
        "MultiLineString" => {
            for line in coordinates::<Vec<Vec<RawPosition>>>(geometry)? {
                outline.add_line(&path(&line)?)?;
            }
        }
        "Polygon" => outline.add_polygon(&paths(&coordinates::<Vec<Vec<RawPosition>>>(geometry)?)?)?,
        "MultiPolygon" => {
            for polygon in coordinates::<Vec<Vec<Vec<RawPosition>>>>(geometry)? {
                outline.add_polygon(&paths(&polygon)?)?;
            }
        }
        "GeometryCollection" => {
            if depth >= COLLECTIONS_DEPTH_MAX {
                return Err(wrong(format!("collections are nested more than {COLLECTIONS_DEPTH_MAX} deep")));
            }
            let text = geometry.geometries.map_or("null", RawValue::get);
            let parts: Option<Vec<Geometry<'_>>> = serde_json::from_str(text)
                .map_err(|_| wrong("the geometries of a collection are no array"))?;
            for part in parts.unwrap_or_default() {
                match add(&part, outline, depth + 1) {
                    // A part that is nowhere says nothing against the others.
                    Err(GeometryError::LeftOut(Reason { cause: Cause::NoPosition, .. })) | Ok(()) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        other => return Err(wrong(format!("there is no geometry of type \"{other}\""))),
    }
    Ok(())
}

fn other_crs(geometry: &Geometry<'_>) -> Result<(), GeometryError> {
    match geometry.crs.and_then(|crs| crs::other_than_wgs84(crs.get())) {
        Some(name) => Err(GeometryError::LeftOut(Reason::new(Cause::OtherCrs, crs::advice(&name)))),
        None => Ok(()),
    }
}

/// The coordinates of a geometry; absent ones are as good as none.
fn coordinates<'a, T: Deserialize<'a> + Default>(geometry: &Geometry<'a>) -> Result<T, GeometryError> {
    let text = geometry.coordinates.map_or("null", RawValue::get);
    let coordinates: Option<T> = serde_json::from_str(text).map_err(|_| {
        let kind = geometry.kind.as_deref().unwrap_or_default();
        wrong(format!("the coordinates are not those of a {kind}: each is [longitude, latitude]"))
    })?;
    Ok(coordinates.unwrap_or_default())
}

fn path(positions: &[RawPosition]) -> Result<Vec<Position>, GeometryError> {
    positions.iter().filter(|it| !matches!(it, RawPosition::Empty)).map(|it| checked(it.known()?)).collect()
}

fn paths(lines: &[Vec<RawPosition>]) -> Result<Vec<Vec<Position>>, GeometryError> {
    lines.iter().map(|line| path(line)).collect()
}

/// The position on the globe, if it is there. Its longitude stays as it is, because an outline may cross the date line.
fn checked([longitude, latitude]: Position) -> Result<Position, GeometryError> {
    if on_the_globe(latitude, longitude).is_some() {
        return Ok([longitude, latitude.clamp(-90.0, 90.0)]);
    }
    Err(wrong(format!(
        "coordinates [{longitude}, {latitude}] are out of range: longitude comes first, in degrees"
    )))
}

/// The position with a longitude of at most 180 degrees.
fn normalised(position: Position) -> Result<Position, GeometryError> {
    let [longitude, latitude] = checked(position)?;
    Ok(on_the_globe(latitude, longitude).map_or(position, |(latitude, longitude)| [longitude, latitude]))
}

fn nowhere(why: &str) -> GeometryError {
    GeometryError::LeftOut(Reason::new(Cause::NoPosition, why))
}

fn wrong(why: impl Into<String>) -> GeometryError {
    GeometryError::LeftOut(Reason::new(Cause::BadGeometry, why))
}

/// A position as it is written. A height may follow, which is not looked at.
#[derive(Debug, Default)]
enum RawPosition {
    /// Nothing, as PostGIS writes an empty point.
    #[default]
    Empty,
    /// One number only.
    Half,
    Known(Position),
}

impl RawPosition {
    fn known(&self) -> Result<Position, GeometryError> {
        match self {
            RawPosition::Empty => Err(nowhere("its geometry is empty")),
            RawPosition::Half => Err(wrong("a point needs a longitude and a latitude")),
            RawPosition::Known(position) => Ok(*position),
        }
    }
}

impl<'de> Deserialize<'de> for RawPosition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawPosition, D::Error> {
        struct Numbers;
        impl<'de> Visitor<'de> for Numbers {
            type Value = RawPosition;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("numbers")
            }

            fn visit_unit<E>(self) -> Result<RawPosition, E> {
                Ok(RawPosition::Empty)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<RawPosition, A::Error> {
                let Some(longitude) = numbers.next_element()? else { return Ok(RawPosition::Empty) };
                let Some(latitude) = numbers.next_element()? else { return Ok(RawPosition::Half) };
                while numbers.next_element::<IgnoredAny>()?.is_some() {}
                match (longitude, latitude) {
                    (Some(longitude), Some(latitude)) => Ok(RawPosition::Known([longitude, latitude])),
                    (None, None) => Ok(RawPosition::Empty),
                    (Some(_), None) | (None, Some(_)) => Ok(RawPosition::Half),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<RawPosition, A::Error> {
                Err(A::Error::custom("an object"))
            }
        }
        deserializer.deserialize_any(Numbers)
    }
}
