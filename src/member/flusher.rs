//! The flusher: a thread that puts on disk what commits have only written, starts a checkpoint when the journal has
//! grown or the disk has failed, and sleeps while there is nothing new.

use std::time::Duration;

use super::Member;
use super::checkpoint::checkpoint;
use super::group_commit::GroupCommit;
use super::metrics::Event;
use super::warnings::Source;
use crate::os::clock;

/// How long what was written may wait until its way to the disk begins: with that of a slow disk it is less than the
/// 50 ms after which it should be there.
pub const FLUSH_EVERY: Duration = Duration::from_millis(20);

/// Between two attempts at a checkpoint, if one did not succeed.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Attempts that take long are further apart, by this many times what one took: on a full disk each writes until that
/// is full again.
const RETRY_TIMES: u32 = 10;

/// But not further than this.
const RETRY_EVERY_MAX: Duration = Duration::from_secs(60);

/// Attempts that only make the journal smaller are each twice as far from the one before, because they leave files
/// behind that the next start reads; but not further than this.
const SHRINK_EVERY_MAX: Duration = Duration::from_secs(3600);

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

/// Keeps the journal of a member until told to stop. `must_checkpoint` says that what was recovered was damaged.
pub fn run(member: &Member, wal: &GroupCommit, mut must_checkpoint: bool) {
    let (mut next_mending, mut next_shrinking) = (clock::instant(), clock::instant());
    let mut shrinkings_failed = 0;
    let mut positions = Vec::new();
    loop {
        let has_failed = wal.failure().is_some();
        let next = if has_failed { next_mending } else { next_shrinking };
        if wal.flush_signal.wait((has_failed || must_checkpoint).then_some(next), FLUSH_EVERY) {
            return;
        }
        if !has_failed {
            flush(member, wal, &mut positions);
        }
        let failure = wal.failure();
        if let Some(why) = &failure {
            let what =
                format_args!("the journal cannot be written: {why}; make room for it, it is tried again");
            member.metrics.count_and_warn(Event::Journal, Source::Own, what);
        }
        let begun = clock::instant();
        let mends = failure.is_some();
        let next = if mends { &mut next_mending } else { &mut next_shrinking };
        if begun < *next || !(mends || must_checkpoint || is_too_large(member, wal)) {
            continue;
        }
        let is_done = attempt(member, wal, mends);
        must_checkpoint &= !is_done;
        let pause =
            (clock::instant().duration_since(begun) * RETRY_TIMES).clamp(RETRY_EVERY, RETRY_EVERY_MAX);
        *next = clock::deadline(match (is_done, mends) {
            (true, _) => Duration::ZERO,
            (false, true) => pause,
            (false, false) => pause.saturating_mul(1 << shrinkings_failed).min(SHRINK_EVERY_MAX),
        });
        if !mends {
            shrinkings_failed = if is_done { 0 } else { (shrinkings_failed + 1).min(12) };
        }
    }
}

/// Puts on disk what was written, and then how far the changes of neighbours have been merged, if it has changed since
/// `positions`.
fn flush(member: &Member, wal: &GroupCommit, positions: &mut Vec<u8>) {
    // A conversation that recorded something may have ended by a bug of ours before it could write it.
    if wal.is_synced {
        if wal.commit(wal.lsn()) == Ok(true) {
            member.notifiers.notify(member);
        }
        return;
    }
    member.metrics.journal_flushes.add(1);
    let mut now = Vec::new();
    member.read(|node| node.record_received(&mut now));
    let is_written = wal.write_left();
    // A conversation may also have ended before it could tell followers.
    if wal.has_news() {
        member.notifiers.notify(member);
    }
    // An error is found in `failure` then. A position is as good as what it covers: that is on disk first.
    let is_flushed = is_written.and_then(|()| wal.flush_written()).is_ok();
    if is_flushed && now != *positions && wal.record_positions(&now).is_ok() {
        *positions = now;
    }
}

/// Tries a checkpoint; whether that is done.
fn attempt(member: &Member, wal: &GroupCommit, has_failed: bool) -> bool {
    match checkpoint(member, wal, has_failed) {
        Ok(()) if has_failed => {
            let what = format_args!("the journal is whole again: reports are acknowledged");
            member.metrics.count_and_warn(Event::JournalWhole, Source::Own, what);
            member.notifiers.notify(member);
        }
        Ok(()) => {}
        Err(error) if has_failed => {
            log::debug!("no checkpoint can be written yet: {error}");
            wal.fail(&error);
        }
        Err(error) => {
            let what =
                format_args!("the journal could not be made smaller, which is tried again later: {error}");
            member.metrics.count_and_warn(Event::Checkpoint, Source::Own, what);
            return false;
        }
    }
    wal.failure().is_none()
}

fn is_too_large(member: &Member, wal: &GroupCommit) -> bool {
    if wal.failure().is_some() {
        return false;
    }
    let stored = member.read(|node| node.store().line_bytes() + node.store().len() as u64 * RECORD_BYTES);
    let (bytes, files) = wal.size();
    files > FILES_MAX || bytes > stored + stored / 4 * SPARE_QUARTERS + SPARE_BYTES
}
