//! The keeper of the journal: a thread that puts on disk what commits have only written, makes the files small again,
//! and begins anew when the disk has failed. It sleeps while there is nothing new.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::clock;
use super::commits::Commits;
use super::shared::Shared;
use super::sync::{AtomicBool, Condvar, Mutex};
use super::warnings::Cause;
use super::writing::Writer;
use crate::journal::{Plan, Snapshot};
use crate::proto::entry::Teller;
use crate::proto::journal::{FRAME_HEAD_BYTES, Record};
use crate::proto::store::WALK_RECORDS_MAX;

/// How long what was written may wait until its way to the disk begins: with that of a slow disk it is less than the
/// 50 ms after which it should be there.
const FLUSH_EVERY: Duration = Duration::from_millis(20);

/// Between two attempts to go on after a failure of the disk.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Between two attempts to make the journal smaller, if one did not succeed.
const SMALLER_EVERY: Duration = Duration::from_secs(10);

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

/// Bytes of a snapshot that are written at once.
const SNAPSHOT_FRAME_BYTES: usize = 256 << 10;

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

    /// Keeps the journal until told to stop.
    pub(super) fn run(&self, shared: &Shared, commits: &Commits, must_rewrite: bool) {
        if must_rewrite && let Err(error) = rewrite(shared, commits, false) {
            log::warn!("the journal could not be made whole: {error}; it is tried again at the next start");
        }
        let mut smaller_after = clock::instant();
        loop {
            let is_failed = commits.failure().is_some();
            if self.wait(is_failed) {
                return;
            }
            if is_failed {
                match rewrite(shared, commits, true) {
                    Ok(()) => {
                        log::warn!("the journal is whole again: reports are acknowledged");
                        shared.bells.iter().for_each(|bell| bell.news());
                    }
                    Err(error) => {
                        log::debug!("the journal cannot be written anew yet: {error}");
                        commits.fail(&error);
                    }
                }
            } else {
                self.look_after(shared, commits);
                if clock::instant() >= smaller_after && is_too_large(shared, commits) {
                    smaller_after = clock::deadline(SMALLER_EVERY);
                    match rewrite(shared, commits, false) {
                        Ok(()) => smaller_after = clock::instant(),
                        Err(error) => log::warn!("the journal could not be made smaller: {error}"),
                    }
                }
            }
        }
    }

    /// Waits until there is something to do, and then a moment for more. Whether it is time to stop.
    fn wait(&self, is_failed: bool) -> bool {
        let mut is_stopping = self.is_stopping.lock();
        while !*is_stopping && !is_failed && !self.is_dirty.load(Ordering::Acquire) {
            self.changed.wait(&mut is_stopping);
        }
        let until = clock::deadline(if is_failed { RETRY_EVERY } else { FLUSH_EVERY });
        while !*is_stopping && !self.changed.wait_until(&mut is_stopping, until).timed_out() {}
        self.is_dirty.store(false, Ordering::Release);
        *is_stopping
    }

    fn look_after(&self, shared: &Shared, commits: &Commits) {
        // Whoever recorded something may have ended by a bug of ours before it could write it.
        if commits.commit(commits.mark()) == Ok(true) {
            shared.bells.iter().for_each(|bell| bell.news());
        }
        if !commits.is_synced {
            shared.stats.journal_flushes.add(1);
            if let Err(error) = commits.flush_written() {
                commits.fail(&error);
            }
        }
        if let Some(why) = commits.failure() {
            shared.hit(Cause::Journal, format_args!("the journal cannot be written: {why}"));
        }
    }
}

fn is_too_large(shared: &Shared, commits: &Commits) -> bool {
    if commits.failure().is_some() {
        return false;
    }
    let stored = {
        let node = shared.node.read();
        node.store().line_bytes() + node.store().len() as u64 * RECORD_BYTES
    };
    let (bytes, files) = commits.size();
    files > FILES_MAX || bytes > stored + stored / 4 * SPARE_QUARTERS + SPARE_BYTES
}

/// Writes all that is stored into a snapshot, which replaces what was written before, while all that is recorded
/// meanwhile goes to a next file. After a failure nothing counts as kept until both are on disk.
pub(super) fn rewrite(shared: &Shared, commits: &Commits, has_failed: bool) -> io::Result<()> {
    commits.fault()?;
    let plan = commits.plan()?;
    let (last, heard) = switch(shared, commits, &plan, has_failed)?;
    let mut snapshot = plan.snapshot()?;
    let mut frame = vec![0; FRAME_HEAD_BYTES];
    frame.extend_from_slice(&heard);
    let mut position = 0;
    while position < last {
        let reached = {
            let node = shared.node.read();
            let push = |number, line: &[u8]| Record::Sighting(number, line).push_to(&mut frame);
            node.store().visit(position, last, Teller::NOBODY, WALK_RECORDS_MAX, push).reached
        };
        // Nothing is left of what changed before `last`.
        position = if reached == position { last } else { reached };
        if frame.len() >= SNAPSHOT_FRAME_BYTES {
            put(&mut snapshot, &mut frame)?;
            if has_failed {
                // Nobody else does it now, and it must not fill the memory.
                commits.with_writer(|writer| commits.write(writer))?;
            }
        }
    }
    put(&mut snapshot, &mut frame)?;
    let finished = snapshot.finish()?;
    // What overtook something that is only in the old files must be on disk before they go.
    if has_failed {
        commits.with_writer(|writer| {
            commits.write(writer)?;
            writer.journal.file().sync_data()?;
            commits.keep(writer);
            Ok(())
        })?;
        commits.recovered();
    } else {
        commits.commit(commits.mark()).map_err(io::Error::other)?;
        commits.flush_written()?;
    }
    let replaced = commits.with_writer(|writer| Ok(writer.journal.finished(finished)))?;
    replaced.remove()
}

/// Lets what is recorded from now on go to the planned file; returns the last number before that, and the positions of
/// the neighbours as records.
fn switch(shared: &Shared, commits: &Commits, plan: &Plan, has_failed: bool) -> io::Result<(u64, Vec<u8>)> {
    let next = plan.make()?;
    let mut heard = Vec::new();
    let (last, old) = commits.with_writer(|writer: &mut Writer| {
        let last = {
            // While this is held nothing is merged, so nothing recorded.
            let node = shared.node.read();
            node.record_heard(&mut heard);
            if has_failed {
                commits.resume_recording();
            } else {
                commits.take(writer);
            }
            node.store().last_number()
        };
        if has_failed {
            writer.journal.distrust();
        } else {
            commits.write_taken(writer)?;
            commits.keep(writer);
        }
        Ok((last, writer.journal.switch(next)))
    })?;
    // What is only in the old file is not in the snapshot, if it is overtaken before that comes to it.
    if !has_failed {
        old.sync_data()?;
    }
    Ok((last, heard))
}

fn put(snapshot: &mut Snapshot, frame: &mut Vec<u8>) -> io::Result<()> {
    if frame.len() > FRAME_HEAD_BYTES {
        snapshot.append(frame)?;
        frame.truncate(FRAME_HEAD_BYTES);
    }
    Ok(())
}
