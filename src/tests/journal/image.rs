//! The folder of a journal as a value: what may be done to it, and what a server would find in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::journal::{
    Disk, FinishedSnapshot, Found, Journal, Lane, Layout, NextFiles, OpenError, Plan, Replaced,
};
use crate::os::mapping::Mapping;
use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::node::{Identity, Neighbour, Node};
use crate::proto::store::cursor::Cursor;
use crate::proto::store::update::Source;
use crate::proto::wal::record::{FRAME_HEAD_BYTES, Heading, MAGIC, Next, Record, next_frame};
use crate::proto::wal::recovery::Recovered;

/// The epoch of the neighbour that tells us things.
const NEIGHBOURS: Epoch = Epoch(0xb0b);

/// All files of a folder but its lock, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Image(pub(super) BTreeMap<String, Vec<u8>>);

/// A journal with the files that are appended to.
#[derive(Debug)]
pub(super) struct Writable {
    pub(super) journal: Journal,
    pub(super) lanes: Vec<Lane>,
}

/// What opening a journal yields.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) journal: Writable,
    pub(super) memory: Recovered,
    pub(super) epoch: Epoch,
    pub(super) found: Found,
}

/// What a server finds in a folder.
#[derive(Debug)]
pub(super) struct Look {
    /// The numbers of the sightings.
    pub(super) seen: BTreeSet<u64>,
    /// Up to which one the neighbour has told us.
    pub(super) heard: u64,
    pub(super) epoch: Epoch,
    pub(super) found: Found,
    /// The folder afterwards.
    pub(super) after: Image,
}

/// A frame in a file: which of its bytes, and the sightings in it.
#[derive(Clone, Debug)]
pub(super) struct FrameAt {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) sightings: Vec<u64>,
}

pub(super) fn name(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}

/// A folder in memory if there is one, for flushes take most of the time.
pub(super) fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

pub(super) fn open(folder: &Path, fresh: u64) -> Result<Opened, OpenError> {
    open_in_lanes(folder, fresh, 1)
}

pub(super) fn open_in_lanes(folder: &Path, fresh: u64, lanes: u8) -> Result<Opened, OpenError> {
    open_on(Arc::new(PlainDisk), folder, fresh, lanes)
}

/// A disk without log buffers: what is appended is in the file.
#[derive(Debug)]
pub(super) struct PlainDisk;

impl Disk for PlainDisk {
    fn map(&self, _: &Path, _: usize) -> io::Result<Mapping> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

pub(super) fn open_on(
    disk: Arc<dyn Disk>,
    folder: &Path,
    fresh: u64,
    lanes: u8,
) -> Result<Opened, OpenError> {
    open_as(Layout { is_synced: false, lanes }, disk, folder, fresh)
}

pub(super) fn open_as(
    layout: Layout,
    disk: Arc<dyn Disk>,
    folder: &Path,
    fresh: u64,
) -> Result<Opened, OpenError> {
    let opened = Journal::open(folder, &name("Alford"), layout, Epoch(fresh), disk, &mut |_, _| {})?;
    let crate::journal::Opened { journal, lanes, memory, epoch, found, no_room, .. } = opened;
    assert!(no_room.is_none(), "{no_room:?}");
    Ok(Opened { journal: Writable { journal, lanes }, memory, epoch, found })
}

impl Writable {
    pub(super) fn append(&mut self, frame: &mut [u8]) -> std::io::Result<()> {
        self.append_to(0, frame)
    }

    pub(super) fn append_to(&mut self, lane: usize, frame: &mut [u8]) -> std::io::Result<()> {
        self.lanes[lane].append(frame)
    }

    pub(super) fn plan_next(&self) -> Plan {
        self.journal.plan_next()
    }

    pub(super) fn switch(&mut self, next: NextFiles) {
        drop(self.journal.switch(&mut self.lanes, next));
    }

    pub(super) fn finished(&mut self, snapshot: FinishedSnapshot) -> Replaced {
        self.journal.finished(snapshot)
    }

    pub(super) fn files(&self) -> usize {
        self.journal.files()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.journal.bytes() + self.lanes.iter().map(Lane::bytes).sum::<u64>()
    }
}

/// The one sighting that has this number, with the position of the neighbour behind it.
pub(super) fn frame(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut frame = vec![0; FRAME_HEAD_BYTES];
    for number in numbers {
        Record::Sighting(number, line(number).as_bytes()).push_to(&mut frame);
        Record::ReceivedUpTo("Bolden", NEIGHBOURS, number).push_to(&mut frame);
    }
    frame
}

pub(super) fn line(number: u64) -> String {
    format!("AT Bolden +0.100000000 client-{number} +34.0-118.4 {}.5\n", 1_000_000 + number)
}

/// What is in the memory of a server that has just started. Panics on a sighting that no test has written.
pub(super) fn known(opened: Opened) -> (BTreeSet<u64>, u64) {
    let me = Identity::new(name("Alford"), vec![Neighbour::herd(name("Bolden"))], opened.epoch);
    let node = Node::from_recovered(Arc::new(me), opened.memory);
    let mut seen = BTreeSet::new();
    let mut position = 0;
    while position < node.store().last_seq() {
        let push = |_, stored: &[u8]| {
            let stored = std::str::from_utf8(stored).unwrap();
            let number = stored.split(' ').nth(3).and_then(|client| client.strip_prefix("client-"));
            let number = number.and_then(|number| number.parse().ok()).unwrap();
            assert_eq!(stored, line(number));
            assert!(seen.insert(number), "{number} is there twice");
        };
        let reached = Cursor::new(position, Source::NONE).scan(node.store(), u64::MAX, 64, push).position();
        position = if reached == position { u64::MAX } else { reached };
    }
    assert_eq!(seen.len(), node.store().len());
    (seen, node.received_up_to(0, NEIGHBOURS))
}

impl Image {
    pub(super) fn of(folder: &Path) -> Image {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| path.file_name().unwrap() != "lock");
        Image(
            files
                .map(|path| {
                    (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
                })
                .collect(),
        )
    }

    /// How many lanes the journals have.
    fn lanes(&self) -> u8 {
        if self.0.keys().any(|name| name.contains(".2.log")) { 3 } else { 1 }
    }

    pub(super) fn put(&self, folder: &Path) {
        self.0.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
    }

    /// Opens a folder like this. If that is refused, nothing in it has changed.
    pub(super) fn look(&self) -> Result<Look, OpenError> {
        let folder = folder();
        self.put(folder.path());
        let opened = open_in_lanes(folder.path(), FRESH, self.lanes());
        let after = Image::of(folder.path());
        let opened = opened.inspect_err(|_| assert_eq!(after, *self))?;
        let (epoch, found) = (opened.epoch, opened.found.clone());
        let (seen, heard) = known(opened);
        Ok(Look { seen, heard, epoch, found, after })
    }

    /// This folder with a file changed.
    pub(super) fn with(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Image {
        let mut image = self.clone();
        change(image.0.get_mut(name).unwrap());
        image
    }

    pub(super) fn without(&self, name: &str) -> Image {
        let mut image = self.clone();
        image.0.remove(name).unwrap();
        image
    }

    /// What the system would have after another boot, with all on disk.
    pub(super) fn in_another_boot(&self, is_synced: bool) -> Image {
        let mut image = self.clone();
        for bytes in image.0.values_mut() {
            let Next::Frame(payload) = next_frame(&bytes[MAGIC.len()..]) else { panic!("no heading") };
            let mut heading = Heading::parse(payload).unwrap();
            let length = MAGIC.len() + FRAME_HEAD_BYTES + payload.len();
            (heading.boot, heading.is_synced) = ("another".to_owned(), is_synced);
            *bytes = [&heading.to_bytes(), &bytes[length..]].concat();
        }
        image
    }

    /// The frames of a whole file, that of the heading first.
    pub(super) fn frames(&self, name: &str) -> Vec<FrameAt> {
        let bytes = &self.0[name];
        let mut frames = Vec::new();
        let mut from = MAGIC.len();
        while from < bytes.len() {
            let Next::Frame(payload) = next_frame(&bytes[from..]) else { panic!("{name} at {from}") };
            let records = crate::proto::wal::record::records(payload).map_while(Result::ok);
            let number = |record| match record {
                Record::Sighting(number, _) => Some(number),
                Record::ReceivedUpTo(..) | Record::Stopped => None,
            };
            let to = from + FRAME_HEAD_BYTES + payload.len();
            frames.push(FrameAt { from, to, sightings: records.filter_map(number).collect() });
            from = to;
        }
        frames
    }

    /// The sightings of all frames that `is_whole`, given the name of their file.
    pub(super) fn sightings(&self, is_whole: impl Fn(&str, &FrameAt) -> bool) -> BTreeSet<u64> {
        let all =
            self.0.keys().flat_map(|name| self.frames(name).into_iter().map(move |frame| (name, frame)));
        all.filter(|(name, frame)| is_whole(name, frame)).flat_map(|(_, frame)| frame.sightings).collect()
    }
}

/// The epoch of a server that keeps none.
pub(super) const FRESH: u64 = 0xf5e54;
