//! The disk of a simulated server: the files of its journal, and what of them a crash leaves.
//!
//! What is written stays when the process is killed; when the power fails, what was flushed stays, and any part of the
//! rest from its beginning on. A server that starts flushes all that it has recovered before it replicates
//! any of it.

use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::wal::record::{self, FRAME_HEAD_BYTES, Heading, MAGIC, Next, next_frame, seal};
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

/// What a server's journal has written.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// Oldest first: each start begins one.
    files: Vec<File>,
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
}

impl Disk {
    /// Recovers what is there. The end of a commit that was not finished is cut off.
    pub(super) fn recover(&mut self, mut recovery: Recovery) -> (Recovered, Option<Epoch>) {
        self.files.iter_mut().for_each(|file| file.read(&mut recovery));
        self.flush();
        recovery.finish(&self.boot())
    }

    /// Begins the file of the incarnation that starts now. Its heading is on disk before anything else.
    pub(super) fn begin(&mut self, server: ServerName, epoch: Epoch, is_synced: bool) {
        let bytes = Heading { server, epoch, boot: self.boot(), is_synced }.to_bytes();
        self.files.push(File { flushed: bytes.len(), bytes });
    }

    /// Writes all that was recorded.
    pub(super) fn commit(&mut self, records: &[u8], rng: &mut fastrand::Rng) {
        self.write(&frames(records, rng));
        self.written += records.len() as u64;
    }

    /// Writes a part of it, for a crash comes in between.
    pub(super) fn commit_partly(&mut self, records: &[u8], rng: &mut fastrand::Rng) {
        let frames = frames(records, rng);
        let most = if rng.bool() { frames.len() } else { frames.len() / 2 };
        self.write(&frames[..rng.usize(..=most)]);
    }

    /// Puts on disk what was written.
    pub(super) fn flush(&mut self) {
        self.files.iter_mut().for_each(|file| file.flushed = file.bytes.len());
        self.flushed = self.written;
    }

    /// The power fails. Returns how much of what was recorded is there for sure.
    pub(super) fn lose_power(&mut self, rng: &mut fastrand::Rng) -> u64 {
        self.boot += 1;
        if let Some(file) = self.files.last_mut() {
            let most = if rng.bool() { file.flushed } else { file.bytes.len() };
            file.bytes.truncate(rng.usize(file.flushed..=most));
        }
        self.written = self.flushed;
        self.flushed
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(file) = self.files.last_mut() {
            file.bytes.extend_from_slice(bytes);
        }
    }

    fn boot(&self) -> String {
        format!("boot-{}", self.boot)
    }
}

impl File {
    fn read(&mut self, recovery: &mut Recovery) {
        let mut at = MAGIC.len();
        while at < self.bytes.len() {
            match next_frame(&self.bytes[at..]) {
                Next::Frame(payload) => {
                    match Heading::parse(payload) {
                        Some(heading) if at == MAGIC.len() => recovery.begins(heading),
                        // A record that is none counts as damage there.
                        _ => drop(recovery.frame(payload)),
                    }
                    at += FRAME_HEAD_BYTES + payload.len();
                }
                Next::Short(_) => {
                    recovery.cut();
                    self.bytes.truncate(at);
                }
                Next::Damaged(_) | Next::Lost => return recovery.damaged(),
            }
        }
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
