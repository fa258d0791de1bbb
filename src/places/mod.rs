//! Who is near a place: one small trait and one file per provider.

mod answer;
mod catalogue;
mod choice;
mod clock;
mod error;
mod geojson;
mod index;
mod key;
mod local;
mod osm;
mod place;

use std::path::PathBuf;
use std::sync::Arc;

use crate::proto::search::Nearby;

pub use answer::Answer;
pub use choice::{BadChoice, Choice};
pub use error::{OpenError, PlacesError};
pub use key::{KEY_VARIABLE, Key};

/// A provider of places. Every method may be called from any thread at any time.
pub trait Places: Send + Sync {
    /// Up to `PLACES_MAX` places around a point, nearest first where the provider lets us. A network
    /// provider may take as long as the overall deadline; no lock may be held meanwhile.
    fn nearby(&self, near: &Nearby) -> Result<Answer, PlacesError>;

    /// Whether [`Places::nearby`] may wait for the network. The driver then writes out finished replies
    /// before it asks.
    fn may_wait(&self) -> bool;

    /// Ends the calls under way and makes later ones fail at once.
    fn stop(&self);
}

/// Which provider, and how it is reached.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The provider.
    pub choice: Choice,
    /// Another base address for a network provider.
    pub url: Option<String>,
    /// A PEM file of the certificates to trust.
    pub ca: Option<PathBuf>,
    /// The key for Google's providers.
    pub google_key: Option<Key>,
}

/// Opens the provider that `options` choose.
pub fn open(options: &Options) -> Result<Arc<dyn Places>, OpenError> {
    match &options.choice {
        Choice::Catalogue => Ok(Arc::new(local::Local::new(catalogue::places(), "catalogue"))),
        Choice::File(path) => {
            let geojson::Collection { places, not_points, nameless } = geojson::load(path)?;
            log::info!("places: {} from {}", places.len(), path.display());
            if not_points + nameless > 0 {
                log::warn!(
                    "places: {not_points} features are no points and {nameless} have no name: left out"
                );
            }
            Ok(Arc::new(local::Local::new(places, "file")))
        }
        Choice::Google | Choice::GoogleLegacy | Choice::Overpass => Err(OpenError::NoKey("it")),
    }
}
