//! A timer with the precision that epoll's own timeout, whole milliseconds, does not have.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::clock::NS_PER_SECOND;

#[derive(Debug)]
pub(super) struct Timer {
    timer: OwnedFd,
    /// What it is set to, so that it is not set to the same again.
    due_ns: u64,
}

impl Timer {
    /// A timer whose events carry `token`.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Timer> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Timer { timer, due_ns: 0 })
    }

    /// Lets an event come at `due_ns` of the monotonic clock, and at no other time.
    pub(super) fn set(&mut self, due_ns: u64) -> io::Result<()> {
        if due_ns == self.due_ns {
            return Ok(());
        }
        self.due_ns = due_ns;
        let at =
            |ns: u64| Timespec { tv_sec: (ns / NS_PER_SECOND) as i64, tv_nsec: (ns % NS_PER_SECOND) as i64 };
        // Setting it also takes back an event of the past, so it need not be read.
        let once = Itimerspec { it_interval: at(0), it_value: at(due_ns) };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        Ok(())
    }
}
