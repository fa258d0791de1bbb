//! What must hold for any bytes at all, a file for each way in. The fuzzer of `bench/fuzz` looks for bytes for which
//! it does not, and the test here replays what it has found interesting, so that both ask the same.
//!
//! This folder is compiled into two crates. It names rooms as `crate::proto`, and the other crate imports them under
//! the same names.

pub(crate) mod access;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod forget;
pub(crate) mod framing;
pub(crate) mod grammar;
pub(crate) mod handshake;
pub(crate) mod http;
pub(crate) mod journal;
mod model;
pub(crate) mod mqtt;
mod naive;
pub(crate) mod peer;
pub(crate) mod places;
pub(crate) mod proxy;

#[cfg(test)]
mod replay;
