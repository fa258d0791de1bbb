//! The command line: clap arguments, turned into a checked `Config`.
