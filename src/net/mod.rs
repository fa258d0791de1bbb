//! Connections in, for any protocol: listening, accepting, admission control, a thread for each, TLS, deadlines,
//! stopping.
//!
//! This room knows no protocol, no member and no rules of the herd. A door gives it a tag for its connections, a class
//! of limits, and the closure that serves one; what must be counted or warned of goes out through [`gate::Gate`].

pub mod accept;
pub mod admission;
pub mod bodies;
pub mod certificate;
pub mod deadlines;
pub mod fair_queue;
pub mod gate;
pub mod handshake;
pub mod idle_threads;
pub mod listen;
pub mod lookup;
pub mod proxied;
pub mod proxy_header;
pub mod read_buffers;
pub mod refuse;
pub mod secured;
pub mod shutdown;
pub mod stream;
pub mod thread_pool;
pub mod tls;
pub mod whereabouts;
