//! The line protocol, whole: framing, commands, one conversation, and the fast path of canonical lines.

pub mod batch;
pub mod commands;
pub(crate) mod fast;
pub(crate) mod foreign;
pub mod framing;
pub mod query;
pub mod reason;
pub(crate) mod reply_prefix;
pub mod session;
pub(crate) mod telnet;
pub mod turn;
