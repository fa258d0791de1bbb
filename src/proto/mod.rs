//! The rules of the herd, with no socket, thread, clock, lock, log or file in them.

pub mod name;
pub mod search;
