//! The line protocol, whole: framing, commands, one conversation, and the fast path of canonical lines.

pub mod batch;
pub mod command;
pub(crate) mod fast;
pub mod framing;
pub mod query;
pub mod session;
