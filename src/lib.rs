//! A herd of peer servers that knows where every mobile client was last seen.

pub mod cli;
pub mod client;
pub mod config;
pub mod logging;
pub mod places;
pub mod proto;
pub mod server;
pub mod sim;

#[cfg(test)]
mod tests;
