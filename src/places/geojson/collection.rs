//! What the features of a file come to: places, with their shapes, and what is left out.

use super::feature::Feature;
use super::geometry::{self, GeometryError, Located};
use super::left_out::{Cause, LeftOut, Reason};
use super::names::Described;
use super::tags::Tags;
use crate::places::gazetteer::Gazetteer;
use crate::places::place::{Place, made_up_id};
use crate::places::shape::Shape;

/// How much a file may hold.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) bytes: u64,
    /// Bytes of one feature, which is in memory while it is read.
    pub(crate) feature_bytes: usize,
    /// Features, places or not: to read over one takes time, though no memory.
    pub(crate) features: u64,
    pub(crate) places: usize,
    /// Vertices of all shapes.
    pub(crate) vertices: usize,
}

/// The content of a file.
#[derive(Debug, Default)]
pub(crate) struct Collection {
    pub(crate) gazetteer: Gazetteer,
    /// All features, of use or not.
    features: u64,
    vertices: usize,
    left_out: LeftOut,
    /// What the file is, if it has a member that no GeoJSON has.
    pub(super) foreign: Option<String>,
}

impl Collection {
    /// Takes one more feature, or leaves it out. Hands its tags back.
    pub(super) fn take(
        &mut self,
        feature: Feature<'_>,
        bounds: Bounds,
        name_field: Option<&str>,
    ) -> Result<Tags, String> {
        let Feature { id, geometry, properties: Tags(mut tags), .. } = feature;
        let described = Described::new(&mut tags, name_field);
        let vertices_max = bounds.vertices - self.vertices;
        let located = match geometry::located(&geometry, vertices_max) {
            Ok(Located::Point([0.0, 0.0])) if described.is_saved_place() => {
                Err(Reason::new(Cause::NoPosition, "its position is not known to the map, which says 0, 0"))
            }
            Ok(located) => Ok(located),
            Err(GeometryError::LeftOut(reason)) => Err(reason),
            Err(GeometryError::TooManyVertices) => {
                let most = bounds.vertices;
                return Err(format!(
                    "more than {most} vertices: keep fewer areas, or simplify them (ogr2ogr -simplify 0.0001)"
                ));
            }
        };
        let taken = located.and_then(|located| {
            let name = described.name().ok_or_else(|| {
                let why =
                    format!("no name in its properties ({}): give --places-name-field", described.keys());
                Reason::new(Cause::Nameless, why)
            })?;
            Ok((located, name))
        });
        match taken {
            Err(reason) => self.leave_out(described.known_name().as_deref(), reason),
            Ok((located, name)) => self.add(located, name, id, &described),
        }
        Ok(Tags(tags))
    }

    fn add(
        &mut self,
        located: Located,
        name: String,
        id: Option<serde_json::Value>,
        described: &Described<'_>,
    ) {
        let (longitude, latitude, outline) = match located {
            Located::Point([longitude, latitude]) => (longitude, latitude, None),
            Located::Shape(outline) => {
                let [longitude, latitude] = outline.inside().unwrap_or_default();
                (longitude, latitude, Some(outline))
            }
        };
        let known_id = match id {
            Some(serde_json::Value::String(id)) if !id.is_empty() => Some(id),
            Some(serde_json::Value::Number(id)) => Some(id.to_string()),
            Some(_) | None => described.id(),
        };
        if let Some(outline) = outline {
            self.vertices += outline.vertices();
            self.gazetteer.shapes.push((self.gazetteer.places.len() as u32, Shape::from(outline)));
        }
        self.features += 1;
        self.gazetteer.places.push(Place {
            id: known_id.unwrap_or_else(|| made_up_id("file", &name, latitude, longitude)),
            name,
            latitude,
            longitude,
            types: described.types(),
            vicinity: described.vicinity(),
        });
    }

    pub(super) fn leave_out(&mut self, name: Option<&str>, reason: Reason) {
        self.features += 1;
        self.left_out.add(self.features, name, reason);
    }

    pub(super) fn within(&self, bounds: Bounds) -> Result<(), String> {
        let Bounds { features, places, .. } = bounds;
        for (count, most, what) in [
            (self.features, features, "features"),
            (self.gazetteer.places.len() as u64, places as u64, "places"),
        ] {
            if count > most {
                return Err(format!("more than {most} {what}: split it, or keep fewer places"));
            }
        }
        Ok(())
    }

    /// A file with features of which not one is of use is the wrong file.
    pub(super) fn checked(self) -> Result<Collection, String> {
        if self.features == 0 || !self.gazetteer.places.is_empty() {
            return Ok(self);
        }
        let what =
            self.foreign.unwrap_or_else(|| format!("none of its {} features is a place", self.features));
        Err(format!("{what}: {}", self.left_out))
    }

    /// What is left out, in a sentence for each cause.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        self.left_out.warnings()
    }
}
