//! GeoJSON as programs really write it, read feature by feature: one odd feature never spoils the rest.
//!
//! Reading order: `reader` (the forms of a file), `scan` (its values, out of a stream), `feature`, `geometry`,
//! `tags`, `names`, `collection`. `mend`, `crs`, `hstore` and `foreign` know what programs do that RFC 7946 does not.

mod collection;
mod crs;
mod feature;
mod foreign;
mod geometry;
mod hstore;
mod input;
mod left_out;
mod mend;
mod names;
mod reader;
mod scan;
mod tags;

pub(super) use collection::Bounds;
#[cfg(test)]
pub(super) use collection::Collection;
pub(super) use input::read;
