//! Places held in memory: the catalogue built in, or a file.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;

use super::answer::Answer;
use super::error::{OpenError, PlacesError};
use super::gazetteer::Gazetteer;
use super::index::Index;
use super::provider::{Load, PlacesProvider};
use crate::proto::line::query::{NearbyQuery, PLACES_MAX};

/// Answers from an index; never fails and never waits.
pub(super) struct Local {
    /// Replaced as a whole when the file is read again. A question holds the lock only to see which one it is.
    index: RwLock<Arc<Index>>,
    /// What the places were read from, if that may change.
    file: Option<SourceFile>,
    provider: &'static str,
}

/// A file of places, and how it is read.
pub(super) struct SourceFile {
    pub(super) load: Load,
    pub(super) path: PathBuf,
    pub(super) name_field: Option<String>,
}

impl SourceFile {
    pub(super) fn read(&self) -> Result<Gazetteer, OpenError> {
        (self.load)(&self.path, self.name_field.as_deref())
    }
}

impl Local {
    /// `provider` is the word that answers carry.
    pub(super) fn new(places: Gazetteer, provider: &'static str) -> Local {
        Local { index: RwLock::new(Arc::new(Index::new(places))), file: None, provider }
    }

    /// Places that were read from `file`, which may change.
    pub(super) fn of_file(file: SourceFile, provider: &'static str) -> Result<Local, OpenError> {
        let places = file.read()?;
        Ok(Local { file: Some(file), ..Local::new(places, provider) })
    }
}

impl PlacesProvider for Local {
    fn nearby(&self, near: &NearbyQuery) -> Result<Answer, PlacesError> {
        let index = Arc::clone(&self.index.read());
        let found = index.nearest(near, usize::from(PLACES_MAX));
        Ok(Answer::of(found, &[], Some(self.provider)))
    }

    fn may_wait(&self) -> bool {
        false
    }

    fn has_file(&self) -> bool {
        self.file.is_some()
    }

    fn reload(&self) {
        let Some(file) = &self.file else { return };
        match file.read() {
            Ok(places) => {
                // What was there before is dropped after the lock: that takes its time.
                let index = Arc::new(Index::new(places));
                let _before = std::mem::replace(&mut *self.index.write(), index);
            }
            Err(error) => log::warn!("{error}; the places read before stay in use"),
        }
    }

    fn stop(&self) {}
}
