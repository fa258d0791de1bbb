//! The values: names, times, places on earth, and the `AT` line that holds one of each. They know no other room.

pub(crate) mod digits;
pub mod epoch;
pub mod fields;
pub mod location;
pub mod name;
pub mod secret;
pub mod sighting;
pub mod time;
