//! The values: names, times, places on earth, secrets, and the `AT` line. They know no other room.

pub mod attributes;
pub mod calendar;
pub(crate) mod digits;
pub mod epoch;
pub mod era;
pub mod fields;
pub mod location;
pub mod name;
pub mod secret;
pub mod sighting;
pub mod stored_line;
pub mod time;
