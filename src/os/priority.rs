//! The priority of threads. One that is part of a crowd steps behind all others, and stays there: without privileges
//! none can be raised again (Linux, `sched(7)`).

use std::cell::Cell;

/// So much further behind, of at most 19: a thread then gets a ninth of the processor time of one that is not, and
/// hands the processor over as soon as such a one wakes.
const STEPS: i32 = 10;

thread_local! {
    static IS_LOWERED: Cell<bool> = const { Cell::new(false) };
}

/// Lowers the priority of this thread, once.
pub fn lower() {
    if !IS_LOWERED.replace(true) {
        // On Linux each thread has its own. If the system does not let us, the others wait longer.
        let _ = rustix::process::nice(STEPS);
    }
}

/// Whether this thread has lowered its priority.
pub fn is_lowered() -> bool {
    IS_LOWERED.get()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getpriority_process;

    #[test]
    fn priority_is_lowered_once_and_of_one_thread() {
        let before = getpriority_process(None).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(!is_lowered());
                lower();
                lower();
                assert!(is_lowered());
                assert_eq!(getpriority_process(None).unwrap(), (before + STEPS).min(19));
            });
        });
        assert_eq!(getpriority_process(None).unwrap(), before);
        assert!(!is_lowered());
    }
}
