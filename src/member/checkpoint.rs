//! A checkpoint: all that is stored goes into a snapshot, which replaces what was written before, while all that is
//! recorded meanwhile goes to a next file.

use std::io;
use std::time::{Duration, Instant};

use super::Member;
use super::group_commit::GroupCommit;
use crate::journal::{Plan, Snapshot};
use crate::os::clock;
use crate::proto::store::SCAN_RECORDS_MAX;
use crate::proto::store::change_log::Change;
use crate::proto::store::cursor::Cursor;
use crate::proto::store::update::Source;
use crate::proto::wal::record::{FRAME_HEAD_BYTES, Record};

/// Between two flushes of what others write meanwhile, because the flusher is busy here: see `flusher::FLUSH_EVERY`.
const FLUSH_EVERY: Duration = Duration::from_millis(20);

/// Bytes of a snapshot that are written at once.
const SNAPSHOT_FRAME_BYTES: usize = 256 << 10;

/// Writes a checkpoint. After a failure nothing is durable until that is on disk.
///
/// # Errors
/// What the system says. What was durable before is durable all the same.
pub fn checkpoint(member: &Member, wal: &GroupCommit, has_failed: bool) -> io::Result<()> {
    let plan = wal.plan();
    let (last_seq, positions) = switch(member, wal, &plan, has_failed)?;
    let mut copy =
        Copy { wal, has_failed, snapshot: plan.snapshot()?, flush_at: clock::deadline(FLUSH_EVERY) };
    copy.all(member, last_seq, positions)?;
    // What has overtaken something that is now only in the old files must be on disk before the snapshot has its name:
    // from then on nothing of the old files is believed.
    write_all(wal, has_failed)?;
    copy.snapshot.flush()?;
    wal.with_writer(|writer| {
        writer.in_flight.journal.keep_lanes();
        Ok(())
    })?;
    let finished = copy.snapshot.finish()?;
    let replaced = wal.with_writer(|writer| Ok(writer.in_flight.journal.finished(finished)))?;
    let removed = replaced.remove();
    if has_failed {
        wal.with_writer(|writer| {
            wal.write(writer)?;
            wal.recovered(writer);
            Ok(())
        })?;
    }
    removed
}

/// Lets what is recorded from now on go to the planned files; returns the last sequence number before that, and the
/// positions of the neighbours as records.
fn switch(member: &Member, wal: &GroupCommit, plan: &Plan, has_failed: bool) -> io::Result<(u64, Vec<u8>)> {
    let next = plan.make()?;
    let mut positions = Vec::new();
    let (last_seq, old) = wal.with_writer(|writer| {
        // While the store's lock is held nothing is merged, so nothing recorded.
        let last_seq = member.read(|node| {
            node.record_received(&mut positions);
            let last_seq = node.store().last_seq();
            if has_failed {
                wal.resume_recording(last_seq);
            } else {
                wal.take(writer);
            }
            last_seq
        });
        if has_failed {
            writer.distrust();
        } else {
            wal.write_in_flight(writer)?;
            writer.drain()?;
            wal.advance_watermark(writer);
        }
        Ok((last_seq, writer.switch(next)))
    })?;
    // What is only in the old files is not in the snapshot, if it is overtaken before that comes to it.
    if !has_failed {
        wal.flush_or_fail(&old)?;
    }
    Ok((last_seq, positions))
}

/// Writes all that has been recorded meanwhile, and puts it on disk.
fn write_all(wal: &GroupCommit, has_failed: bool) -> io::Result<()> {
    wal.with_writer(|writer| {
        wal.write(writer)?;
        if !has_failed {
            wal.advance_watermark(writer);
        }
        Ok(())
    })?;
    wal.flush_written()
}

/// The copying of what is stored.
struct Copy<'a> {
    wal: &'a GroupCommit,
    has_failed: bool,
    snapshot: Snapshot,
    /// When what others write is to be flushed.
    flush_at: Instant,
}

impl Copy<'_> {
    /// Copies all that has changed up to the sequence number `last_seq` and not since, behind some records.
    fn all(&mut self, member: &Member, last_seq: u64, records: Vec<u8>) -> io::Result<()> {
        let mut frame = vec![0; FRAME_HEAD_BYTES];
        frame.extend_from_slice(&records);
        let mut cursor = Cursor::new(0, Source::NONE);
        while cursor.position() < last_seq {
            let push = |change: Change, line: &[u8]| Record::Sighting(change.seq, line).push_to(&mut frame);
            let scanned = member.read(|node| cursor.scan(node.store(), last_seq, SCAN_RECORDS_MAX, push));
            if scanned.position() == cursor.position() {
                // Nothing is left of what changed before `last_seq`.
                cursor.skip_to(last_seq);
            } else {
                cursor.advance(scanned);
            }
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
            // No other writes what is recorded now, and it must not fill the memory.
            self.wal.with_writer(|writer| self.wal.write(writer))?;
        } else if clock::instant() >= self.flush_at {
            // A little at a time, or the flush at its end would hold up those of others.
            self.snapshot.flush()?;
            if !self.wal.is_synced {
                self.wal.flush_written()?;
            }
            self.flush_at = clock::deadline(FLUSH_EVERY);
        }
        Ok(())
    }
}
