//! The access file while a server runs. HTTP and MQTT ask it each time, so that what is revoked ends with the next
//! request; the line port asks it once for each connection.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::config::{Access, given_file};
use crate::os::sync::{AtomicBool, Receiver, RwLock, Sender, bounded};

use super::failed_logins::FailedLogins;

/// The users of the moment, and a thread's work to read them again.
pub struct AccessControl {
    current: RwLock<Current>,
    /// The logins that failed.
    pub failed: FailedLogins,
    asked: (Sender<()>, Receiver<()>),
    is_stopping: AtomicBool,
}

/// The users of the moment, and how often they have changed.
#[derive(Clone)]
pub struct Current {
    /// The users.
    pub access: Arc<Access>,
    /// How often they have changed.
    pub generation: u64,
}

impl AccessControl {
    /// With the users of a file that has been read.
    pub fn new(access: Access) -> AccessControl {
        warn_if_readable(&access);
        AccessControl {
            current: RwLock::new(Current { access: Arc::new(access), generation: 0 }),
            failed: FailedLogins::default(),
            asked: bounded(1),
            is_stopping: AtomicBool::new(false),
        }
    }

    /// The users of the moment.
    pub fn current(&self) -> Arc<Access> {
        Arc::clone(&self.current.read().access)
    }

    /// The users of the moment, and how often they have changed.
    pub fn current_generation(&self) -> Current {
        self.current.read().clone()
    }

    /// Has the file read again, by the thread that is in [`AccessControl::run`].
    pub fn ask_to_reload(&self) {
        // Full: it will be read again anyway.
        let _ = self.asked.0.try_send(());
    }

    /// Reads the file again whenever it is asked to, until [`AccessControl::stop`], and tells `reloaded`.
    pub fn run(&self, reloaded: impl Fn()) {
        while self.asked.1.recv().is_ok() && !self.is_stopping.load(Ordering::Acquire) {
            self.reload();
            reloaded();
        }
    }

    /// Ends [`AccessControl::run`].
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.ask_to_reload();
    }

    /// A new file that is wrong locks no user out, because those of the old one stay.
    fn reload(&self) {
        match self.current().reload() {
            Ok(access) => {
                warn_if_readable(&access);
                let (users, tokens) = access.counts();
                log::info!("{} is read again: users {users}, tokens {tokens}", access.path().display());
                let mut current = self.current.write();
                if *current.access != access {
                    *current = Current { access: Arc::new(access), generation: current.generation + 1 };
                }
            }
            Err(error) => log::warn!("the access file is as it was before: {error}"),
        }
    }
}

/// How often the users have changed.
pub(super) fn generation(control: Option<&AccessControl>) -> u64 {
    control.map_or(0, |control| control.current.read().generation)
}

impl fmt::Debug for AccessControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessControl").finish_non_exhaustive()
    }
}

fn warn_if_readable(access: &Access) {
    if given_file::is_readable_by_others(access.path()) {
        let path = access.path().display();
        log::warn!("other users can read the access file {path}: chmod 600 {path}");
    }
}
