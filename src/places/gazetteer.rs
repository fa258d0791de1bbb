//! What a provider in memory has: places, and the shapes of those that are more than a point.

use super::place::Place;
use super::shape::Shape;

/// Places with their shapes.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Gazetteer {
    pub(crate) places: Vec<Place>,
    /// The number of a place, and its shape; in the order of the numbers.
    pub(crate) shapes: Vec<(u32, Shape)>,
}

impl From<Vec<Place>> for Gazetteer {
    fn from(places: Vec<Place>) -> Gazetteer {
        Gazetteer { places, shapes: Vec::new() }
    }
}
