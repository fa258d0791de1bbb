//! The protocol between servers: grammar, authentication, a neighbour in, links out, anti-entropy.

pub(crate) mod anti_entropy;
pub mod auth;
pub mod backoff;
pub mod grammar;
pub mod legacy;
pub mod link;
pub(crate) mod link_error;
pub mod session;
