//! Signals: which of them the process was started to ignore, and what the others ask of it.

use std::ffi::c_int;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::Builder;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ};
use signal_hook::{flag, iterator, low_level};

/// Signals that a server has another use for than to end, or none.
const HARMLESS: [c_int; 3] = [SIGHUP, SIGUSR1, SIGUSR2];

/// Signals besides SIGINT that ask a server to end.
const ENDING: [c_int; 2] = [SIGTERM, SIGQUIT];

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The signal of this name, SIGINT, SIGTERM or SIGQUIT: end.
    Stop(&'static str),
    /// SIGHUP: open files again that others may have moved.
    Reopen,
}

/// The signals that this process catches from now on.
#[derive(Debug)]
pub struct Signals {
    ignored: Ignored,
    caught: iterator::Signals,
}

/// The signals that the process was started to ignore: `nohup` ignores SIGHUP, a shell SIGINT for what it starts in
/// the background. There was a reason for that, so it stays so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ignored(u64);

impl Signals {
    /// Catches the signals that would end the process though it is not meant to end: it must be called before the first
    /// file is written. Those that do ask for the end have the effect of the system until [`Signals::answer`].
    ///
    /// # Errors
    /// What the system says.
    pub fn catch() -> io::Result<Signals> {
        let ignored = Ignored::inherited();
        // Beyond a limit on the size of files a write fails then, as on a full disk.
        flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        let caught = iterator::Signals::new(ignored.without(&HARMLESS))?;
        Ok(Signals { ignored, caught })
    }

    /// Lets a thread, which ends with the process, call `answer` for each signal; and another one for SIGINT, so that
    /// this one is heard whatever the first thread waits for.
    ///
    /// # Errors
    /// What the system says.
    pub fn answer(mut self, answer: impl Fn(Request) + Send + Sync + 'static) -> io::Result<()> {
        let answer = Arc::new(answer);
        if !self.ignored.has(SIGINT) {
            let answer = Arc::clone(&answer);
            ctrlc::set_handler(move || answer(Request::Stop("SIGINT"))).map_err(io::Error::other)?;
        }
        for signal in self.ignored.without(&ENDING) {
            self.caught.add_signal(signal)?;
        }
        let work = move || self.caught.forever().filter_map(Request::of).for_each(&*answer);
        Builder::new().name("signals".to_owned()).spawn(work).map(drop)
    }
}

impl Request {
    fn of(signal: c_int) -> Option<Request> {
        match signal {
            SIGHUP => Some(Request::Reopen),
            // They mean nothing here.
            SIGUSR1 | SIGUSR2 => None,
            _ => Some(Request::Stop(low_level::signal_name(signal).unwrap_or("a signal"))),
        }
    }
}

impl Ignored {
    /// As the system tells it. It does not tell apart what this process ignores by itself, so this comes first; Rust
    /// ignores SIGPIPE before that, which is not asked for here.
    fn inherited() -> Ignored {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Ignored::read(&status).unwrap_or_default()
    }

    fn read(status: &str) -> Option<Ignored> {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
        u64::from_str_radix(mask.trim(), 16).ok().map(Ignored)
    }

    fn has(self, signal: c_int) -> bool {
        self.0 >> (signal - 1) & 1 == 1
    }

    fn without(self, signals: &[c_int]) -> Vec<c_int> {
        signals.iter().copied().filter(|&signal| !self.has(signal)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_the_system_says_what_is_ignored() {
        let ignored = Ignored::read("Name:\tproxyherd\nSigIgn:\t0000000000001003\nSigCgt:\tff\n").unwrap();
        assert!(ignored.has(SIGHUP) && ignored.has(SIGINT) && !ignored.has(SIGTERM));
        assert_eq!(ignored.without(&HARMLESS), [SIGUSR1, SIGUSR2]);
        for strange in ["", "SigIgn:\n", "SigIgn:\tx"] {
            assert_eq!(Ignored::read(strange), None);
        }
        assert!(Ignored::read(&fs::read_to_string("/proc/self/status").unwrap()).is_some());
    }

    #[test]
    fn signals_ask_for_different_things() {
        assert_eq!(Request::of(SIGHUP), Some(Request::Reopen));
        assert_eq!(Request::of(SIGUSR1), None);
        assert_eq!(Request::of(SIGTERM), Some(Request::Stop("SIGTERM")));
    }
}
