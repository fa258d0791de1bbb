//! Where the event-driven variants and the load generator live. See `README.md` in this folder.

pub mod load;
