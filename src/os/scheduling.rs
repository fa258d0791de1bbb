//! How threads that serve clients share the processors.
//!
//! A thread for each connection is woken by each request. As the system has it by default, a thread that is woken may
//! interrupt one that runs, which then stands in the midst of its request, perhaps with the store's lock, and behind
//! all others. Under the policy for batches it waits for its turn: see sched(7), `SCHED_BATCH`. That needs no
//! privilege, and shares out the processors as fairly.

use std::io;

use preempt_rt::sched::{Pid, PreemptRtError, Scheduler, SchedulerParams, get_scheduler, set_scheduler};

/// From now on this thread has the policy for batches, and interrupts no other when it is woken. A policy that was
/// chosen for the process when it was started stays.
///
/// # Errors
/// If the system, or what confines the process, does not allow it.
pub fn set_batch_policy() -> io::Result<()> {
    let thread = Pid::current_thread();
    if get_scheduler(thread).map_err(as_io)? == Scheduler::SCHED_NORMAL {
        set_scheduler(thread, Scheduler::SCHED_BATCH, SchedulerParams { priority: 0 }).map_err(as_io)?;
    }
    Ok(())
}

fn as_io(error: PreemptRtError) -> io::Error {
    if let PreemptRtError::Errno(errno) = error {
        io::Error::from_raw_os_error(errno)
    } else {
        io::Error::other(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::scope;

    fn policy() -> Scheduler {
        get_scheduler(Pid::current_thread()).unwrap()
    }

    /// The policy of a thread that has begun with another one.
    fn after(began: Scheduler) -> Scheduler {
        let thread = || {
            set_scheduler(Pid::current_thread(), began, SchedulerParams { priority: 0 }).unwrap();
            set_batch_policy().unwrap();
            policy()
        };
        scope(|scope| scope.spawn(thread).join().unwrap())
    }

    #[test]
    fn thread_waits_for_turns_unless_it_was_given_a_policy() {
        assert_eq!(after(Scheduler::SCHED_NORMAL), Scheduler::SCHED_BATCH);
        assert_eq!(after(Scheduler::SCHED_BATCH), Scheduler::SCHED_BATCH);
        assert_eq!(after(Scheduler::SCHED_IDLE), Scheduler::SCHED_IDLE);
        assert_eq!(policy(), Scheduler::SCHED_NORMAL, "that of other threads is as it was");
    }
}
