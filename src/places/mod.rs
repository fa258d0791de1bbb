//! Who is near a place: one small trait and one file per provider.
//!
//! Reading order: [`Places`], `answer`, then `catalogue` and `geojson` (memory: `local` over `index`), or
//! `google`, `google_legacy` and `overpass`, which are pure (`request` has what they share) and are carried
//! out by `remote` over `network`. `open` puts them together; `recorded` reads answers without a network or a file.

mod address;
mod answer;
mod breaker;
mod cache;
mod catalogue;
mod choice;
mod clock;
mod error;
mod geojson;
mod google;
mod google_legacy;
mod index;
mod key;
mod local;
mod network;
mod open;
mod osm;
mod overpass;
mod place;
mod recorded;
mod remote;
mod request;
mod single_flight;
mod turnstile;

use crate::proto::line::query::NearbyQuery;

pub use answer::Answer;
pub use choice::{BadChoice, Choice};
pub use error::{OpenError, PlacesError};
pub use key::{KEY_VARIABLE, Key};
pub use open::{Options, open};
pub use recorded::answer_in;

/// A provider of places. Every method may be called from any thread at any time.
pub trait Places: Send + Sync {
    /// Up to `PLACES_MAX` places around a point, nearest first where the provider lets us. A network
    /// provider may take as long as the overall deadline; no lock may be held meanwhile.
    fn nearby(&self, near: &NearbyQuery) -> Result<Answer, PlacesError>;

    /// Whether [`Places::nearby`] may wait for the network. The driver then writes out finished replies
    /// before it asks.
    fn may_wait(&self) -> bool;

    /// Ends the calls under way and makes later ones fail at once.
    fn stop(&self);
}

#[cfg(test)]
#[path = "../tests/places/mod.rs"]
mod over_http;
