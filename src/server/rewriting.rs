//! Writing the journal anew: all that is stored goes into a snapshot, which replaces what was written before, while all
//! that is recorded meanwhile goes to a next file.

use std::io;
use std::time::Instant;

use super::clock;
use super::commits::Commits;
use super::keeper::FLUSH_EVERY;
use super::shared::Shared;
use super::slips::{self, Slip};
use super::writing::Writer;
use crate::journal::{Plan, Snapshot};
use crate::proto::store::SCAN_RECORDS_MAX;
use crate::proto::store::update::Source;
use crate::proto::wal::record::{FRAME_HEAD_BYTES, Record};

/// Bytes of a snapshot that are written at once.
const SNAPSHOT_FRAME_BYTES: usize = 256 << 10;

/// Writes the journal anew. After a failure nothing counts as kept until that is on disk.
///
/// # Errors
/// What the system says. What was kept before is kept all the same.
pub(super) fn rewrite(shared: &Shared, commits: &Commits, has_failed: bool) -> io::Result<()> {
    commits.fault()?;
    let plan = commits.plan()?;
    let (last, heard) = switch(shared, commits, &plan, has_failed)?;
    let mut copy =
        Copy { commits, has_failed, snapshot: plan.snapshot()?, flush_at: clock::deadline(FLUSH_EVERY) };
    copy.all(shared, last, heard)?;
    // What has overtaken something that is now only in the old files must be on disk before the snapshot has its name:
    // from then on nothing of the old files is believed.
    let finished = if slips::has(Slip::SnapshotBeforeCommit) {
        let finished = copy.snapshot.finish()?;
        write_all(commits, has_failed)?;
        finished
    } else {
        write_all(commits, has_failed)?;
        copy.snapshot.finish()?
    };
    if has_failed {
        commits.with_writer(|writer| {
            commits.write_through(writer)?;
            commits.keep(writer);
            Ok(())
        })?;
        commits.recovered();
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
            let last = node.store().last_seq();
            if has_failed {
                commits.resume_recording(last);
            } else {
                commits.take(writer);
            }
            last
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
        commits.flush_or_fail(&old)?;
    }
    Ok((last, heard))
}

/// Writes all that has been recorded meanwhile, and puts it on disk.
fn write_all(commits: &Commits, has_failed: bool) -> io::Result<()> {
    if has_failed {
        return commits.with_writer(|writer| commits.write_through(writer));
    }
    commits.commit(commits.mark()).map_err(io::Error::other)?;
    commits.flush_written()
}

/// The copying of what is stored.
struct Copy<'a> {
    commits: &'a Commits,
    has_failed: bool,
    snapshot: Snapshot,
    /// When what others write is to be flushed, for nobody else does that meanwhile.
    flush_at: Instant,
}

impl Copy<'_> {
    /// Copies all that has changed up to the number `last` and not since, behind some records.
    fn all(&mut self, shared: &Shared, last: u64, records: Vec<u8>) -> io::Result<()> {
        let mut frame = vec![0; FRAME_HEAD_BYTES];
        frame.extend_from_slice(&records);
        let mut position = 0;
        while position < last {
            let reached = {
                let node = shared.node.read();
                let push = |number, line: &[u8]| Record::Sighting(number, line).push_to(&mut frame);
                node.store().scan(position, last, Source::NOBODY, SCAN_RECORDS_MAX, push).reached
            };
            // Nothing is left of what changed before `last`.
            position = if reached == position { last } else { reached };
            if frame.len() >= SNAPSHOT_FRAME_BYTES {
                self.put(&mut frame)?;
            }
        }
        self.put(&mut frame)
    }

    fn put(&mut self, frame: &mut Vec<u8>) -> io::Result<()> {
        if frame.len() > FRAME_HEAD_BYTES {
            self.snapshot.append(frame)?;
            frame.truncate(FRAME_HEAD_BYTES);
        }
        if self.has_failed {
            // Nobody else writes what is recorded now, and it must not fill the memory.
            self.commits.with_writer(|writer| self.commits.write(writer))?;
        } else if clock::instant() >= self.flush_at {
            // A little at a time, or the flush at its end would hold up those of others.
            self.snapshot.flush()?;
            if !self.commits.is_synced {
                self.commits.flush_written()?;
            }
            self.flush_at = clock::deadline(FLUSH_EVERY);
        }
        Ok(())
    }
}
