//! Reading all files of a journal, from the oldest on, and telling a cut end from damage.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Cursor, Read};

use super::error::OpenError;
use super::files::{FileName, Folder, Kind, heading};
use super::found::Found;
use super::log_buffer::read_tail;
use crate::proto::wal::ending::{Ending, ending};
use crate::proto::wal::record::{FRAME_HEAD_BYTES, MAGIC, Next, after_magic, first_seq, next_frame};
use crate::proto::wal::recovery::Recovery;

/// Bytes read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What reading has come to.
#[derive(Debug, Default)]
pub(super) struct ReadAll {
    pub(super) found: Found,
    /// The files whose last commit was not finished, and the bytes of them that are whole.
    pub(super) cut: BTreeMap<FileName, u64>,
    /// Files that are not as they were written.
    pub(super) damaged: Vec<FileName>,
    /// Whole files that do not say where they end: whoever wrote the last of them was killed.
    pub(super) open_ended: Vec<FileName>,
    /// The last snapshot without damage: nothing before it matters.
    pub(super) whole_snapshot: Option<FileName>,
}

/// What one file was like.
#[derive(Debug, Default)]
struct Seen {
    frames: u64,
    damaged_frames: u64,
    unreadable_bytes: u64,
    /// What it ends with, if not with a whole frame.
    cut: Option<Cut>,
    /// Whether its last record says that nothing follows.
    is_ended: bool,
    /// How many lanes its heading speaks of.
    lanes: u8,
}

/// Half a frame, or room for the next one.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Where it begins.
    at: u64,
    /// The bytes of half a frame; 0 if there is only room.
    torn_bytes: u64,
    /// All bytes up to the end of the file.
    bytes: u64,
}

impl Seen {
    fn is_damaged(&self) -> bool {
        self.damaged_frames > 0 || self.unreadable_bytes > 0
    }
}

/// Reads all of them into the recovery.
pub(super) fn read_all(
    folder: &Folder,
    names: &[FileName],
    recovery: &mut Recovery,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<ReadAll, OpenError> {
    let mut bytes = 0;
    for &name in names {
        bytes += folder.bytes(name)?;
    }
    let mut read = 0;
    let mut told = |count: u64| {
        read += count;
        progress(read, bytes);
    };
    let mut seen: Vec<(FileName, Seen)> = Vec::new();
    for lanes in names.chunk_by(|a, b| (a.number, a.kind) == (b.number, b.kind)) {
        let read = read_lanes(folder, lanes, recovery, &mut told).map_err(|error| folder.unusable(error))?;
        seen.extend(lanes.iter().copied().zip(read));
    }
    let mut all = judge(folder, seen, recovery);
    (all.found.files, all.found.bytes) = (names.len(), bytes);
    Ok(all)
}

/// Reads the lanes of one journal. A frame holds what was merged at once, so reading always the one with the least
/// sequence number restores the order of all lanes.
fn read_lanes(
    folder: &Folder,
    names: &[FileName],
    recovery: &mut Recovery,
    told: &mut dyn FnMut(u64),
) -> io::Result<Vec<Seen>> {
    let mut lanes = Vec::new();
    for &name in names {
        let file = File::open(folder.at(name))?;
        let tail = read_tail(folder, name, file.metadata()?.len())?;
        lanes.push(Reading::begin(file.chain(Cursor::new(tail)), recovery, told)?);
    }
    let seq_of_next = |lane: &Reading| lane.next.map_or(u64::MAX, |next| next.seq);
    while let Some(lane) =
        lanes.iter_mut().min_by_key(|lane| seq_of_next(lane)).filter(|lane| lane.next.is_some())
    {
        lane.merge(recovery, told)?;
    }
    Ok(lanes.into_iter().map(|lane| lane.seen).collect())
}

/// Tells what matters of what was seen.
fn judge(folder: &Folder, seen: Vec<(FileName, Seen)>, recovery: &mut Recovery) -> ReadAll {
    let mut all = ReadAll::default();
    let is_whole =
        |(name, seen): &&(FileName, Seen)| name.kind == Kind::Snapshot && seen.is_ended && !seen.is_damaged();
    all.whole_snapshot = seen.iter().rev().find(is_whole).map(|(name, _)| *name);
    let is_torn = |seen: &Seen| seen.cut.is_some_and(|cut| cut.torn_bytes > 0);
    let has_more = |(_, seen): &(FileName, Seen)| seen.frames > 0 || seen.is_damaged() || is_torn(seen);
    let last_written = seen.iter().rposition(has_more);
    // What is before a snapshot may have been removed, even if the snapshot can no longer be read.
    let first_snapshot = seen.iter().map(|(name, _)| *name).find(|name| name.kind == Kind::Snapshot);
    let mut expected = all.whole_snapshot.or(first_snapshot).map_or(1, |snapshot| snapshot.number);
    for (name, one) in &seen {
        let is_last = last_written.is_none_or(|last| name.number >= seen[last].0.number);
        let may_end_anywhere = name.kind == Kind::Journal && is_last;
        let is_cut_short = !one.is_ended && !may_end_anywhere;
        let is_damaged = one.is_damaged() || is_cut_short;
        if is_damaged {
            all.damaged.push(*name);
        } else if !one.is_ended {
            all.open_ended.push(*name);
        }
        if all.whole_snapshot.is_some_and(|snapshot| *name < snapshot) {
            continue;
        }
        let found = &mut all.found;
        found.damaged_frames += one.damaged_frames;
        found.unreadable_bytes += one.unreadable_bytes;
        found.missing_ends += u64::from(is_cut_short);
        if let Some(Cut { at, torn_bytes, bytes }) = one.cut {
            let lost = if may_end_anywhere { torn_bytes } else { bytes };
            if is_damaged {
                found.unreadable_bytes += lost;
            } else {
                all.cut.insert(*name, at);
                found.cut_bytes += lost;
                recovery.cut();
            }
        }
        if is_damaged {
            found.damaged_files.push(folder.at(*name));
            recovery.damaged();
        }
        if name.kind == Kind::Journal {
            if name.number > expected {
                found.missing_files += name.number - expected;
                recovery.damaged();
            }
            expected = name.number + 1;
        }
    }
    for lanes in seen.chunk_by(|(a, _), (b, _)| (a.number, a.kind) == (b.number, b.kind)) {
        let count = lanes.iter().map(|(_, lane)| usize::from(lane.lanes)).max().unwrap_or_default();
        let is_replaced = all.whole_snapshot.is_some_and(|snapshot| lanes[0].0 < snapshot);
        if count > lanes.len() && !is_replaced {
            all.found.missing_files += (count - lanes.len()) as u64;
            recovery.damaged();
        }
    }
    // It has stopped only if all lanes of its last journal say so, whichever was read last.
    let is_of_last =
        |(name, _): &&(FileName, Seen)| seen.last().is_some_and(|(last, _)| last.number == name.number);
    if seen.iter().filter(is_of_last).any(|(_, lane)| !lane.is_ended) {
        recovery.cut();
    }
    // The file of its number is begun before a snapshot.
    let last_journal = seen.iter().rev().find(|(name, _)| name.kind == Kind::Journal);
    if all
        .whole_snapshot
        .is_some_and(|snapshot| last_journal.is_none_or(|(last, _)| last.number < snapshot.number))
    {
        all.found.missing_files += 1;
        recovery.damaged();
    }
    all
}

/// One file that is being read, and behind it what only its buffer has.
struct Reading {
    source: io::Chain<File, Cursor<Vec<u8>>>,
    /// What has been read, of which the first `taken` bytes are done with.
    buffer: Vec<u8>,
    taken: usize,
    /// Where in the file what is not done with begins.
    at: u64,
    is_over: bool,
    /// Whether it may end in room: only where each commit was flushed.
    has_room: bool,
    /// The whole frame that comes next.
    next: Option<NextFrame>,
    seen: Seen,
}

/// A whole frame that has been read and not been merged.
#[derive(Clone, Copy)]
struct NextFrame {
    payload_bytes: usize,
    /// The sequence number of its first sighting.
    seq: u64,
}

impl Reading {
    /// Reads the heading, and goes on to the first frame.
    fn begin(
        source: io::Chain<File, Cursor<Vec<u8>>>,
        recovery: &mut Recovery,
        told: &mut dyn FnMut(u64),
    ) -> io::Result<Reading> {
        let (buffer, seen) = (Vec::new(), Seen::default());
        let mut it =
            Reading { source, buffer, taken: 0, at: 0, is_over: false, has_room: false, next: None, seen };
        while !it.is_over && it.buffer.len() < CHUNK_BYTES {
            it.read_more(told)?;
        }
        match after_magic(&it.buffer).and_then(heading) {
            Some((heading, length)) => {
                (it.seen.lanes, it.has_room) = (heading.lane.1, heading.is_synced);
                recovery.begins(heading);
                it.take(MAGIC.len() + length);
            }
            None => it.search(told)?,
        }
        it.find(told)?;
        Ok(it)
    }

    /// Merges the frame that comes next, and goes on to the one after it.
    fn merge(&mut self, recovery: &mut Recovery, told: &mut dyn FnMut(u64)) -> io::Result<()> {
        let Some(NextFrame { payload_bytes, .. }) = self.next.take() else { return Ok(()) };
        let payload = &self.buffer[self.taken + FRAME_HEAD_BYTES..][..payload_bytes];
        self.seen.frames += 1;
        self.seen.damaged_frames += u64::from(recovery.frame(payload).is_err());
        self.seen.is_ended = recovery.has_stopped();
        self.take(FRAME_HEAD_BYTES + payload_bytes);
        self.find(told)
    }

    /// Goes on to the next whole frame, if there is one.
    fn find(&mut self, told: &mut dyn FnMut(u64)) -> io::Result<()> {
        loop {
            let rest = &self.buffer[self.taken..];
            if rest.is_empty() {
                if self.is_over {
                    return Ok(());
                }
                self.read_more(told)?;
                continue;
            }
            match next_frame(rest) {
                Next::Frame(payload) => {
                    self.next = Some(NextFrame { payload_bytes: payload.len(), seq: first_seq(payload) });
                    return Ok(());
                }
                // All that follows tells what it is. A file is hardly larger than what is stored, which is in memory.
                _ if self.has_room && !self.is_over => self.read_more(told)?,
                _ if self.has_room && ending(rest, self.at) != Ending::Damaged => {
                    self.cut();
                    return Ok(());
                }
                Next::Damaged(length) => {
                    self.seen.damaged_frames += 1;
                    self.take(length);
                }
                Next::Short(_) if !self.is_over => self.read_more(told)?,
                Next::Short(_) => {
                    self.cut();
                    return Ok(());
                }
                Next::Lost => self.search(told)?,
            }
        }
    }

    /// It ends here, in half a frame or room or both.
    fn cut(&mut self) {
        let rest = &self.buffer[self.taken..];
        let room = rest.iter().rev().take_while(|&&byte| self.has_room && byte == 0).count();
        let torn_bytes = (rest.len() - room) as u64;
        self.seen.cut = Some(Cut { at: self.at, torn_bytes, bytes: rest.len() as u64 });
        self.seen.is_ended = false;
    }

    fn take(&mut self, count: usize) {
        self.taken += count;
        self.at += count as u64;
    }

    /// Reads a chunk behind what is there.
    fn read_more(&mut self, told: &mut dyn FnMut(u64)) -> io::Result<()> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let count = (&mut self.source).take(CHUNK_BYTES as u64).read_to_end(&mut self.buffer)?;
        self.is_over = count == 0;
        told(count as u64);
        Ok(())
    }

    /// Goes on to the next whole frame. What only looks like the head of one is not believed here.
    ///
    /// Nor can a client plant one in its name, which is all that it chooses freely: a line has more words than there
    /// are from its name to its end, and positions count for nothing once there is damage.
    fn search(&mut self, told: &mut dyn FnMut(u64)) -> io::Result<()> {
        let from = self.at;
        loop {
            let rest = &self.buffer[self.taken..];
            match next_frame(rest) {
                Next::Frame(_) => break,
                Next::Short(_) if !self.is_over => self.read_more(told)?,
                _ if rest.is_empty() => break,
                Next::Damaged(_) | Next::Short(_) | Next::Lost => self.take(1),
            }
        }
        // A file of nothing is as little as it should be.
        self.seen.unreadable_bytes += (self.at - from).max(1);
        Ok(())
    }
}
