//! Figures of any file of results, as SVG.
//!
//! The background is transparent and all colours are of middle brightness, so that a figure can be read on a
//! white page and on a dark one.

mod axis;
mod bars;
mod colour;
mod figures;
mod lines;

pub use figures::draw;

/// Why a figure cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// A file or folder.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// Nothing to draw.
    #[error("{0} has no results; run a suite first")]
    Empty(String),
    /// The library's own trouble.
    #[error("cannot draw {path}: {why}")]
    Drawing {
        /// The figure.
        path: String,
        /// What it said.
        why: String,
    },
}
