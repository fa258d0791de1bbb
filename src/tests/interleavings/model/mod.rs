//! What [`crate::os::sync`] names, in a model: threads take turns, one at a time, and at every step shuttle says
//! who goes on. A thread that would wait for ever is found, because then no thread can go on.
//!
//! Time stands still unless a scenario moves it, and no wait is ever over because it has lasted. So a thread that is
//! not woken is found, although in life it would have gone on at the next heartbeat.

#![expect(missing_docs, reason = "each item does as its namesake in the library that it stands for")]

mod channel;
mod condvar;
mod network;
mod watched;

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub use shuttle::sync::atomic::{AtomicBool, AtomicU64};
pub use shuttle::thread::{Scope, Thread, current};
pub use shuttle_parking_lot::{Mutex, MutexGuard, RwLock};

pub use channel::{Receiver, Sender, bounded};
pub use condvar::Condvar;
pub use network::{TcpListener, TcpStream, stop_listening, write_now};
pub use watched::Watched;

/// What the time is when a schedule begins.
const START: Duration = Duration::from_secs(1_000);

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(START) };
}

pub fn ticks() -> Duration {
    NOW.get()
}

/// Lets time pass. It wakes no thread.
pub fn pass(time: Duration) {
    NOW.set(NOW.get() + time);
}

/// Begins a schedule.
pub fn restart() {
    NOW.set(START);
}

pub fn park_timeout(_: Duration) {
    shuttle::thread::park();
}

pub fn spawn<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    _name: String,
    work: impl FnOnce() + Send + 'scope,
) -> io::Result<()> {
    scope.spawn(work);
    Ok(())
}

/// A scope whose last thread does not end before its body: shuttle wakes the body then, whatever that waits for.
pub fn scope<'env, F, T>(body: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    shuttle::thread::scope(|scope| {
        let is_over = Arc::new(Watched::new(false));
        let last = Arc::clone(&is_over);
        scope.spawn(move || last.wait(|&mut is_over| is_over.then_some(())));
        let result = body(scope);
        is_over.change(|is_over| *is_over = true);
        result
    })
}
