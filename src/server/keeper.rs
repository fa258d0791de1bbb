//! The keeper of the journal: a thread that puts on disk what commits have only written, has the journal written anew
//! when it has grown or when the disk has failed, and sleeps while there is nothing new.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::clock;
use super::commits::Commits;
use super::rewriting::rewrite;
use super::shared::Shared;
use super::sync::{AtomicBool, Condvar, Mutex};
use super::warnings::Cause;

/// How long what was written may wait until its way to the disk begins: with that of a slow disk it is less than the
/// 50 ms after which it should be there.
pub(super) const FLUSH_EVERY: Duration = Duration::from_millis(20);

/// Between two attempts to write the journal anew, if one did not succeed.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Attempts that take long are further apart, by this many times what one took: on a full disk each writes until that
/// is full again.
const RETRY_TIMES: u32 = 10;

/// But not further than this.
const RETRY_EVERY_MAX: Duration = Duration::from_secs(60);

/// Bytes of the journal, beyond those of what is stored, below which it is not made smaller. While it is made smaller
/// there is a copy of what is stored besides, and what comes meanwhile; all in all less than twice what is stored and
/// 64 MiB.
const SPARE_BYTES: u64 = 48 << 20;

/// The same as a share of what is stored, in quarters: so each byte is written at most about twice.
const SPARE_QUARTERS: u64 = 3;

/// Files after which it is made smaller too: each start begins one.
const FILES_MAX: usize = 16;

/// What is stored takes so many bytes of a file besides its line.
const RECORD_BYTES: u64 = 13;

/// What wakes the keeper.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    /// Whether something was written since the keeper last looked.
    is_dirty: AtomicBool,
    is_stopping: Mutex<bool>,
    changed: Condvar,
}

impl Keeper {
    /// Something was written, or recorded and perhaps not written.
    pub(super) fn touch(&self) {
        if !self.is_dirty.swap(true, Ordering::AcqRel) {
            let _nobody_is_about_to_sleep = self.is_stopping.lock();
            self.changed.notify_all();
        }
    }

    /// Lets the keeper end.
    pub(super) fn stop(&self) {
        *self.is_stopping.lock() = true;
        self.changed.notify_all();
    }

    /// Keeps the journal until told to stop. `must_rewrite` says that what was recovered was damaged.
    pub(super) fn run(&self, shared: &Shared, commits: &Commits, mut must_rewrite: bool) {
        let mut next_attempt = clock::instant();
        loop {
            let has_failed = commits.failure().is_some();
            if self.wait((has_failed || must_rewrite).then_some(next_attempt)) {
                return;
            }
            if !has_failed {
                look_after(shared, commits);
            }
            let failure = commits.failure();
            if let Some(why) = &failure {
                shared.hit(Cause::Journal, format_args!("the journal cannot be written: {why}"));
            }
            let begun = clock::instant();
            if begun < next_attempt || !(failure.is_some() || must_rewrite || is_too_large(shared, commits)) {
                continue;
            }
            let is_done = attempt(shared, commits, failure.is_some());
            must_rewrite &= !is_done;
            let took = clock::instant().duration_since(begun);
            let pause = (took * RETRY_TIMES).clamp(RETRY_EVERY, RETRY_EVERY_MAX);
            next_attempt = clock::deadline(if is_done { Duration::ZERO } else { pause });
        }
    }

    /// Waits until there is something to do, or it is `until`, and then a moment for more. Whether it is time to stop.
    fn wait(&self, until: Option<Instant>) -> bool {
        let mut is_stopping = self.is_stopping.lock();
        while !*is_stopping && !self.is_dirty.load(Ordering::Acquire) {
            match until {
                None => self.changed.wait(&mut is_stopping),
                Some(until) if self.changed.wait_until(&mut is_stopping, until).timed_out() => break,
                Some(_) => {}
            }
        }
        let until = clock::deadline(FLUSH_EVERY);
        while !*is_stopping && !self.changed.wait_until(&mut is_stopping, until).timed_out() {}
        self.is_dirty.store(false, Ordering::Release);
        *is_stopping
    }
}

fn look_after(shared: &Shared, commits: &Commits) {
    // Whoever recorded something may have ended by a bug of ours before it could write it.
    if commits.commit(commits.mark()) == Ok(true) {
        shared.bells.iter().for_each(|bell| bell.news());
    }
    if !commits.is_synced {
        shared.stats.journal_flushes.add(1);
        // It is found in `failure` then.
        let _ = commits.flush_written();
    }
}

/// Has the journal written anew; whether that is done.
fn attempt(shared: &Shared, commits: &Commits, has_failed: bool) -> bool {
    match rewrite(shared, commits, has_failed) {
        Ok(()) if has_failed => {
            log::warn!("the journal is whole again: reports are acknowledged");
            shared.bells.iter().for_each(|bell| bell.news());
        }
        Ok(()) => {}
        Err(error) if has_failed => {
            log::debug!("the journal cannot be written anew yet: {error}");
            commits.fail(&error);
        }
        Err(error) => {
            log::warn!("the journal could not be written anew and stays as it is: {error}");
            return false;
        }
    }
    commits.failure().is_none()
}

fn is_too_large(shared: &Shared, commits: &Commits) -> bool {
    if commits.only_grows || commits.failure().is_some() {
        return false;
    }
    let stored = {
        let node = shared.node.read();
        node.store().line_bytes() + node.store().len() as u64 * RECORD_BYTES
    };
    let (bytes, files) = commits.size();
    files > FILES_MAX || bytes > stored + stored / 4 * SPARE_QUARTERS + SPARE_BYTES
}
