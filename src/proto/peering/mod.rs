//! The protocol between servers: grammar, handshake, frames, a neighbour in, links out, anti-entropy.

pub(crate) mod anti_entropy;
pub mod backoff;
pub mod frames;
pub mod grammar;
pub mod legacy;
pub mod link;
pub(crate) mod link_error;
pub mod live;
pub mod noise;
pub mod offers;
pub mod pace;
pub mod session;
