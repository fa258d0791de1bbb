//! The disk of a simulated server: the files of its journal, and what of them a crash leaves.
//!
//! What is written stays when the process is killed; when the power fails, what was flushed stays, and any part of the
//! rest from its beginning on. Where each commit is flushed there is room behind the last one, and any sectors of half
//! a frame may be missing. A server that starts flushes all that it has recovered before it replicates any of it.

use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::wal::ending::{Ending, ending};
use crate::proto::wal::record::{self, FRAME_HEAD_BYTES, Heading, MAGIC, Next, first_seq, next_frame, seal};
use crate::proto::wal::recovery::{Recovered, Recovery};

/// When the records of a server count as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing is recorded: every crash takes all.
    None,
    /// When it is written. It is on disk a little later.
    Os,
    /// When it is on disk.
    Sync,
}

/// How a server stops at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed: what it has written stays.
    Killed,
    /// The power fails: what is on disk stays.
    PowerLost,
    /// The disk is lost too: nothing stays.
    DiskLost,
}

/// The most frames that a commit is written in.
const FRAMES_MAX: usize = 3;

/// Bytes of zeros behind the last commit, if each is flushed.
const ROOM_BYTES: usize = 1000;

/// Bytes that are written whole or not at all.
const SECTOR_BYTES: usize = 512;

/// What a server's journal has written.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// Oldest first: the lanes that each start has begun.
    starts: Vec<Vec<File>>,
    /// Which run of the machine it is.
    boot: u64,
    /// The bytes of records in all commits, and in those that are on disk.
    pub written: u64,
    flushed: u64,
}

#[derive(Debug)]
struct File {
    bytes: Vec<u8>,
    /// How many of them are on disk.
    flushed: usize,
    /// Whether each commit is flushed, in room.
    has_room: bool,
}

impl Disk {
    /// Recovers what is there. The end of a commit that was not finished is cut off.
    pub(super) fn recover(&mut self, mut recovery: Recovery) -> (Recovered, Option<Epoch>) {
        self.starts.last_mut().into_iter().flatten().for_each(File::end_in_room);
        self.starts.iter_mut().for_each(|lanes| read(lanes, &mut recovery));
        self.flush();
        recovery.finish(&self.boot())
    }

    /// Begins the files of the incarnation that starts now. Their headings are on disk before anything else.
    pub(super) fn begin(&mut self, server: &ServerName, epoch: Epoch, is_synced: bool, lanes: usize) {
        let begun = (0..lanes).map(|lane| {
            let (server, boot, lane) = (server.clone(), self.boot(), (lane as u8, lanes as u8));
            let bytes = Heading { server, epoch, boot, is_synced, lane }.to_bytes();
            File { flushed: bytes.len(), bytes, has_room: is_synced }
        });
        let begun = begun.collect();
        self.starts.push(begun);
    }

    /// Writes records to a lane.
    pub(super) fn commit(&mut self, lane: usize, records: &[u8], rng: &mut fastrand::Rng) {
        self.write(lane, &frames(records, rng));
        self.written += records.len() as u64;
    }

    /// Writes a part of them, for a crash comes in between.
    pub(super) fn commit_partly(&mut self, lane: usize, records: &[u8], rng: &mut fastrand::Rng) {
        let frames = frames(records, rng);
        let most = if rng.bool() { frames.len() } else { frames.len() / 2 };
        self.write(lane, &frames[..rng.usize(..=most)]);
    }

    /// Puts on disk what was written.
    pub(super) fn flush(&mut self) {
        self.starts.iter_mut().flatten().for_each(|file| file.flushed = file.bytes.len());
        self.flushed = self.written;
    }

    /// The power fails. Returns how much of what was recorded is there for sure.
    pub(super) fn lose_power(&mut self, rng: &mut fastrand::Rng) -> u64 {
        self.boot += 1;
        for file in self.starts.last_mut().into_iter().flatten() {
            let most = if rng.bool() { file.flushed } else { file.bytes.len() };
            file.bytes.truncate(rng.usize(file.flushed..=most));
            file.tear();
        }
        self.written = self.flushed;
        self.flushed
    }

    fn write(&mut self, lane: usize, bytes: &[u8]) {
        if let Some(lanes) = self.starts.last_mut() {
            lanes[lane].bytes.extend_from_slice(bytes);
        }
    }

    fn boot(&self) -> String {
        format!("boot-{}", self.boot)
    }
}

/// Reads lanes in the order of what was merged.
fn read(lanes: &mut [File], recovery: &mut Recovery) {
    let mut at: Vec<usize> = lanes.iter().map(|lane| lane.begin(recovery)).collect();
    loop {
        let seqs = at.iter_mut().zip(&mut *lanes).map(|(at, lane)| lane.next(at, recovery));
        let seqs: Vec<Option<u64>> = seqs.collect();
        let next = (0..lanes.len()).filter(|&lane| seqs[lane].is_some()).min_by_key(|&lane| seqs[lane]);
        let Some(next) = next else { return };
        if let Next::Frame(payload) = next_frame(&lanes[next].bytes[at[next]..]) {
            // A record that is none counts as damage there.
            let _ = recovery.frame(payload);
            at[next] += FRAME_HEAD_BYTES + payload.len();
        }
    }
}

impl File {
    fn end_in_room(&mut self) {
        if self.has_room {
            self.bytes.resize(self.bytes.len() + ROOM_BYTES, 0);
        }
    }

    /// Some sectors of the half frame at the end were not written.
    fn tear(&mut self) {
        let mut at = self.flushed;
        while at < self.bytes.len() {
            let Next::Frame(payload) = next_frame(&self.bytes[at..]) else { break };
            at += FRAME_HEAD_BYTES + payload.len();
        }
        if !self.has_room || at == self.bytes.len() {
            return;
        }
        self.bytes.truncate((self.bytes.len() / SECTOR_BYTES * SECTOR_BYTES).max(at));
        // Chances of its own, so that they change nothing that follows.
        let mut rng = fastrand::Rng::with_seed(at as u64);
        let lost: Vec<bool> = (0..=self.bytes.len() / SECTOR_BYTES).map(|_| rng.bool()).collect();
        (at..self.bytes.len()).filter(|at| lost[at / SECTOR_BYTES]).for_each(|at| self.bytes[at] = 0);
    }

    /// Whether what stands there is no whole frame, and no damage either.
    fn ends_at(&self, at: usize) -> bool {
        let rest = &self.bytes[at..];
        if self.has_room {
            ending(rest, at as u64) != Ending::Damaged
        } else {
            matches!(next_frame(rest), Next::Short(_))
        }
    }

    /// Reads the heading. Returns where the frames begin.
    fn begin(&self, recovery: &mut Recovery) -> usize {
        let Next::Frame(payload) = next_frame(&self.bytes[MAGIC.len()..]) else { return MAGIC.len() };
        Heading::parse(payload).into_iter().for_each(|heading| recovery.begins(heading));
        MAGIC.len() + FRAME_HEAD_BYTES + payload.len()
    }

    /// The sequence number of the first sighting in the frame there, if there is one.
    fn next(&mut self, at: &mut usize, recovery: &mut Recovery) -> Option<u64> {
        if *at == self.bytes.len() {
            return None;
        }
        match next_frame(&self.bytes[*at..]) {
            Next::Frame(payload) => return Some(first_seq(payload)),
            Next::Damaged(_) | Next::Short(_) | Next::Lost if self.ends_at(*at) => {
                recovery.cut();
                self.bytes.truncate(*at);
            }
            Next::Damaged(_) | Next::Short(_) | Next::Lost => {
                recovery.damaged();
                *at = self.bytes.len();
            }
        }
        None
    }
}

/// What was recorded in one frame or more, with any records in each.
fn frames(records: &[u8], rng: &mut fastrand::Rng) -> Vec<u8> {
    let count = record::records(records).count();
    let cuts: [usize; FRAMES_MAX - 1] = std::array::from_fn(|_| rng.usize(..=count));
    let mut frames = Vec::new();
    let mut frame = vec![0; FRAME_HEAD_BYTES];
    for (index, record) in record::records(records).flatten().enumerate() {
        if cuts.contains(&index) && index > 0 {
            seal(&mut frame);
            frames.append(&mut frame);
            frame.resize(FRAME_HEAD_BYTES, 0);
        }
        record.push_to(&mut frame);
    }
    seal(&mut frame);
    frames.append(&mut frame);
    frames
}
