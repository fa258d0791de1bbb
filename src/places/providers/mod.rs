//! The table of providers.
//!
//! To add a provider, write its file in this folder and name it twice below: as a module, and as an entry. The option
//! `--places`, its help, the errors about it, calling, caching, pausing, and the tests of all providers read the table.

mod catalogue;
mod geojson;
mod google;
mod google_legacy;
mod overpass;
mod photon;

#[cfg(test)]
pub(super) use geojson::FILE_MAX;

use super::provider::Provider;

/// Every provider, in the order of the help. The first is asked unless another is chosen.
pub(super) static PROVIDERS: &[Provider] = &[
    catalogue::PROVIDER,
    geojson::PROVIDER,
    google::PROVIDER,
    google_legacy::PROVIDER,
    overpass::PROVIDER,
    photon::PROVIDER,
];
