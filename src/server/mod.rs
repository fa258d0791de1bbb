//! The threaded driver: sockets, threads and locks around the rules of `proto`.
