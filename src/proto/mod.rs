//! The rules of the herd, with no socket, thread, clock, lock, log or file in them.

pub mod backoff;
pub mod batch;
pub mod command;
pub mod digest;
pub mod framing;
pub mod link;
pub mod location;
pub mod name;
pub mod node;
pub mod order;
pub mod search;
pub mod session;
pub mod sighting;
pub mod store;
pub mod time;
