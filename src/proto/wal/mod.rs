//! The write-ahead log's rules: what a record means, and what a server believes of its records after a crash.

pub mod ending;
pub mod log_buffer;
pub mod record;
pub mod recovery;
