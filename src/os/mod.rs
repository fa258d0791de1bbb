//! What is asked of the operating system: the time, random numbers, locks and threads, permits, bells, mapped files,
//! resource limits, scheduling, signals, and Unix sockets.

pub mod bell;
pub mod clock;
pub mod mapping;
pub mod random;
pub mod resource_limits;
pub mod scheduling;
pub mod semaphore;
pub mod signals;
pub mod spread_condvar;
pub mod sync;
pub mod unix_socket;
