//! Locks, channels, threads and sockets, as the server uses them. Tests put a model of all of them in their place, in
//! which they say who goes on when: see `tests/interleavings`.

#[cfg(all(test, feature = "interleavings"))]
pub use crate::tests::interleavings::model::*;

#[cfg(not(all(test, feature = "interleavings")))]
pub use real::*;

#[cfg(not(all(test, feature = "interleavings")))]
mod real {
    use std::io;
    use std::thread::Builder;
    use std::time::Duration;

    use rustix::net::{SendFlags, send};
    use rustix::time::{ClockId, clock_gettime};
    use socket2::SockRef;

    pub use crossbeam_channel::{Receiver, Sender, bounded};
    pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
    pub use std::net::{TcpListener, TcpStream};
    pub use std::sync::atomic::{AtomicBool, AtomicU64};
    pub use std::thread::{Scope, Thread, current, park_timeout, scope};

    /// The stack of a thread. Only what is touched costs memory, so this is generous.
    const STACK_BYTES: usize = 512 * 1024;

    /// Starts a thread that the scope joins.
    pub fn spawn<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        name: String,
        work: impl FnOnce() + Send + 'scope,
    ) -> io::Result<()> {
        Builder::new().name(name).stack_size(STACK_BYTES).spawn_scoped(scope, work).map(|_| ())
    }

    /// Wakes the thread in `accept`. On Linux this does; connecting to ourselves would fail when descriptors have run
    /// out.
    pub fn stop_listening(listener: &TcpListener) {
        let _ = SockRef::from(listener).shutdown(std::net::Shutdown::Both);
    }

    /// Writes as much as there is room for now, without waiting.
    pub fn write_now(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
    }

    /// The time since a moment that stays the same while the machine runs.
    pub fn ticks() -> Duration {
        let time = clock_gettime(ClockId::Monotonic);
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
    }
}
