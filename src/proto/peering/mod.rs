//! The protocol between servers: its grammar, who is believed, what a link owes its neighbour, and anti-entropy.

pub(crate) mod anti_entropy;
pub mod auth;
pub mod backoff;
pub mod grammar;
pub mod legacy;
pub mod link;
pub(crate) mod link_error;
