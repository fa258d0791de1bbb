//! Reading the files of the herd, of places, of the key for them, or of the secrets of phones again, on a thread of its
//! own: it may take seconds, in which the thread that hears signals must hear the next one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::os::sync::{AtomicBool, Receiver, Sender, bounded};

/// Asks a server to read its herd, its places and its secrets again, from any thread, as often as one likes.
#[derive(Clone, Debug)]
pub struct Reloader {
    wake_up: Sender<()>,
    is_stopping: Arc<AtomicBool>,
}

/// The end at which the thread waits.
#[derive(Debug)]
pub(super) struct Reloads {
    pub(super) reloader: Reloader,
    woken: Receiver<()>,
}

impl Reloader {
    /// Asks for it. A request that has not been taken up yet stands for this one, too.
    pub fn reload(&self) {
        let _ = self.wake_up.try_send(());
    }

    /// Lets the thread end once it has read what it is reading.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        // Full: the thread is about to be woken all the same.
        let _ = self.wake_up.try_send(());
    }
}

impl Reloads {
    pub(super) fn new() -> Reloads {
        let (wake_up, woken) = bounded(1);
        Reloads { reloader: Reloader { wake_up, is_stopping: Arc::new(AtomicBool::new(false)) }, woken }
    }

    /// Has all files read again, whenever that is asked for, until stopped.
    pub(super) fn run(&self, read: impl Fn()) {
        while self.woken.recv().is_ok() {
            if self.reloader.is_stopping.load(Ordering::Acquire) {
                return;
            }
            read();
        }
    }
}
