//! Who is near a place: one trait, and one file and one entry in a table per provider.
//!
//! Reading order: `provider` (the trait, and the shape of an entry), `providers` (the table and every provider),
//! `answer`. A provider in memory is served by `local` over `index`; one on the network by `remote`, which goes through
//! `cache`, `single_flight`, `call_permits`, `breaker` and `budget` to `network`, and asks for one of `circles` after
//! another. What comes back is `found`, element by element, or `said` in place of an answer. `open` puts them
//! together, as `choice` says.

mod address;
mod answer;
mod breaker;
mod budget;
mod cache;
mod call_permits;
mod choice;
mod circles;
mod clock;
mod ellipsoid;
mod error;
mod file;
mod found;
mod gazetteer;
mod geojson;
mod index;
mod key;
mod local;
mod network;
mod open;
mod osm;
mod outline;
mod place;
mod provider;
mod providers;
mod remote;
mod request;
mod said;
mod shape;
mod single_flight;

pub use answer::Answer;
pub use budget::Window;
pub use choice::{BadChoice, Choice, Which};
pub use error::{OpenError, PlacesError};
pub use key::{KEY_VARIABLE, Key};
pub use open::{Options, answer_in, open};
pub use provider::PlacesProvider;

#[cfg(test)]
#[path = "../tests/places/mod.rs"]
mod over_http;
