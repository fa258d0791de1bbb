//! What is asked of the operating system: the time, random numbers, locks and threads, permits, and resource limits.

pub mod clock;
pub mod random;
pub mod resource_limits;
pub mod semaphore;
pub mod sync;
