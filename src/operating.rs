//! For those who run a herd: the text of `src/OPERATING.md`, and no code.
//!
#![doc = include_str!("OPERATING.md")]
