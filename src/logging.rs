//! `<server>.log`: every line prefixed with the server's name, written off the hot path.
