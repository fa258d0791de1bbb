//! How the database is, for those who ask.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::engine::EngineError;
use crate::os::clock;

/// How the database is.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Up to which change everything is written.
    position: AtomicU64,
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    is_up: bool,
    since: Duration,
    error: Option<String>,
}

impl State {
    /// Everything up to this change is written.
    pub(super) fn reached(&self, position: u64) {
        self.position.store(position, Ordering::Relaxed);
    }

    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// A call has succeeded; whether that is new.
    pub(super) fn succeeded(&self) -> bool {
        self.turned(true, None)
    }

    /// A call has failed; whether that is new.
    pub(super) fn failed(&self, error: &EngineError) -> bool {
        self.turned(false, Some(error.to_string()))
    }

    /// Whether the last call succeeded, since when, and what last went wrong.
    pub(super) fn calls(&self) -> (bool, Duration, Option<String>) {
        let calls = self.calls.lock();
        (calls.is_up, clock::ticks().saturating_sub(calls.since), calls.error.clone())
    }

    fn turned(&self, is_up: bool, error: Option<String>) -> bool {
        let mut calls = self.calls.lock();
        let is_new = calls.is_up != is_up || calls.since == Duration::ZERO;
        if is_new {
            (calls.is_up, calls.since) = (is_up, clock::ticks());
        }
        calls.error = error;
        is_new
    }
}
