//! Where the event-driven variants and the load generator live. See `README.md` in this folder.
//!
//! | module | what lives there |
//! |---|---|
//! | [`load`] | the load generator, as the `load` program and the suites use it |
//! | [`suite`] | what is measured: one file for each suite, the variants, the file of results |
//! | [`plot`] | figures of any file of results |

pub mod load;
pub mod plot;
pub mod suite;
