//! The variants as real processes.
