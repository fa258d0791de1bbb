//! Links out: a thread for each neighbour, which dials it and sends it what is due.

pub mod ack_reader;
mod channel;
pub mod dialer;
pub mod legacy;
pub mod link;
pub mod links;
pub mod neighbour;
mod writer;
