//! Places held in memory: the catalogue built in, or a file.

use super::answer::Answer;
use super::error::PlacesError;
use super::index::Index;
use super::place::Place;
use super::provider::PlacesProvider;
use crate::proto::line::query::{NearbyQuery, PLACES_MAX};

/// Answers from an index; never fails and never waits.
pub(super) struct Local {
    index: Index,
    provider: &'static str,
}

impl Local {
    /// `provider` is the word that answers carry.
    pub(super) fn new(places: Vec<Place>, provider: &'static str) -> Local {
        Local { index: Index::new(places), provider }
    }
}

impl PlacesProvider for Local {
    fn nearby(&self, near: &NearbyQuery) -> Result<Answer, PlacesError> {
        let found = self.index.nearest(near, usize::from(PLACES_MAX));
        Ok(Answer::of(found, &[], Some(self.provider)))
    }

    fn may_wait(&self) -> bool {
        false
    }

    fn stop(&self) {}
}
