//! The command-line client: lines from a terminal or a pipe to a server, and its replies back.
