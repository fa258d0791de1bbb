//! The records of a journal, and how its bytes are cut into whole frames and damage.
//!
//! A journal is one or more files. Each begins with [`MAGIC`], or [`MAGIC_OF_LANES`], which names the version of the
//! format, and goes on in frames: the first holds the text of a [`Heading`], the others records. A frame is what one
//! commit wrote:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | the length of the payload, little endian; not 0 |
//! | 4 | CRC-32 of the payload |
//! | 4 | CRC-32 of those 8 bytes, so that a wrong length is not believed |
//! | length | the payload |
//!
//! and behind the last one there may be zeros, if each commit is on disk before it counts: see
//! [`crate::proto::wal::ending`]. A record is one of
//!
//! | first byte | then |
//! |---|---|
//! | `S` | sequence number (8), length of the line (4), the `AT` line with its line feed |
//! | `H` | epoch (8), sequence number (8), length of the name (1), a neighbour's name |
//! | `Z` | nothing: the file ends, because the server has stopped or goes on in another, and all in it is durable |
//!
//! with all numbers little endian. Recovery merges the sightings in their order; see [`crate::proto::wal::recovery`].

use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;

/// The beginning of every file of a journal. The number is the version of the format.
pub const MAGIC: &[u8] = b"proxyherd journal 1\n";

/// The beginning of a file that is one of several lanes: releases that know of no lanes must not take one for all.
pub const MAGIC_OF_LANES: &[u8] = b"proxyherd journal 2\n";

/// The beginning of the magics of all versions.
pub const MAGIC_OF_ANY_VERSION: &[u8] = b"proxyherd journal ";

/// The bytes before the payload of a frame.
pub const FRAME_HEAD_BYTES: usize = 12;

/// The bytes before the line of a sighting: the tag, the sequence number and the length.
const SIGHTING_HEAD_BYTES: usize = 1 + 8 + 4;

/// One thing that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// An update that was applied: the sequence number that it got, and the `AT` line with its line feed.
    Sighting(u64, &'a [u8]),
    /// All changes of a neighbour up to a sequence number of an epoch of its own have been recorded before this.
    ReceivedUpTo(&'a str, Epoch, u64),
    /// Nothing follows in this file. If none follows it, the server has stopped, and everything is on disk.
    Stopped,
}

/// The first frame of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// Whose journal it is.
    pub server: ServerName,
    /// The epoch of the memory that is recorded.
    pub epoch: Epoch,
    /// The run of the operating system: bytes that it had not written are lost in the next one. No white space.
    pub boot: String,
    /// Whether each commit was on disk before it counted.
    pub is_synced: bool,
    /// Which lane it is, and of how many that are written at the same time.
    pub lane: (u8, u8),
}

/// The beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A frame with this payload.
    Frame(&'a [u8]),
    /// A frame of this many bytes in all, whose payload is not the one that was written.
    Damaged(usize),
    /// Less than a frame: this many bytes would be needed. At the end of a file, one that was cut.
    Short(usize),
    /// No frame begins here, so nothing says where the next one does.
    Lost,
}

/// A frame's payload holds something that is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of the journal holds what is no record")]
pub struct NotARecord;

impl Record<'_> {
    /// Appends the record to a payload.
    pub fn push_to(&self, out: &mut Vec<u8>) {
        match *self {
            Record::Sighting(seq, line) => {
                // In one piece, because there is one for each line, and each piece asks for room.
                let mut head = [b'S'; SIGHTING_HEAD_BYTES];
                head[1..9].copy_from_slice(&seq.to_le_bytes());
                // A line has some ten thousand bytes at most: see the limits of `framing`.
                head[9..].copy_from_slice(&(line.len() as u32).to_le_bytes());
                out.extend_from_slice(&head);
                out.extend_from_slice(line);
            }
            Record::ReceivedUpTo(name, epoch, up_to) => {
                out.push(b'H');
                out.extend_from_slice(&epoch.0.to_le_bytes());
                out.extend_from_slice(&up_to.to_le_bytes());
                // Names have 64 bytes at most.
                out.push(name.len() as u8);
                out.extend_from_slice(name.as_bytes());
            }
            Record::Stopped => out.push(b'Z'),
        }
    }
}

/// What follows the magic of this format, with lanes or without.
pub fn after_magic(bytes: &[u8]) -> Option<&[u8]> {
    bytes.strip_prefix(MAGIC).or_else(|| bytes.strip_prefix(MAGIC_OF_LANES))
}

/// The sequence number of the first sighting of a payload; 0 if it does not begin with one.
pub fn first_seq(payload: &[u8]) -> u64 {
    match records(payload).next() {
        Some(Ok(Record::Sighting(seq, _))) => seq,
        _ => 0,
    }
}

/// The records of a payload. After [`NotARecord`] nothing follows.
pub fn records(payload: &[u8]) -> impl Iterator<Item = Result<Record<'_>, NotARecord>> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        let (&tag, after) = rest.split_first()?;
        let taken = match tag {
            b'S' => sighting(after),
            b'H' => received_up_to(after),
            b'Z' => Some((Record::Stopped, after)),
            _ => None,
        };
        rest = taken.map_or(&[], |(_, rest)| rest);
        Some(taken.map(|(record, _)| record).ok_or(NotARecord))
    })
}

fn sighting(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (seq, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (line, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((Record::Sighting(u64::from_le_bytes(*seq), line), rest))
}

fn received_up_to(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (epoch, rest) = bytes.split_first_chunk()?;
    let (up_to, rest) = rest.split_first_chunk()?;
    let (&length, rest) = rest.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(length))?;
    let name = std::str::from_utf8(name).ok()?;
    let epoch = Epoch(u64::from_le_bytes(*epoch));
    Some((Record::ReceivedUpTo(name, epoch, u64::from_le_bytes(*up_to)), rest))
}

/// Makes a frame of `frame`, in which the payload stands behind [`FRAME_HEAD_BYTES`] that are free.
pub fn seal(frame: &mut [u8]) {
    let Some((head, payload)) = frame.split_first_chunk_mut::<FRAME_HEAD_BYTES>() else { return };
    // One commit writes no more than all connections may have pending, which is far less than 4 GiB.
    head[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    head[4..8].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    let sum = crc32fast::hash(&head[..8]);
    head[8..].copy_from_slice(&sum.to_le_bytes());
}

/// Reads the beginning of `bytes`, which are not empty.
pub fn next_frame(bytes: &[u8]) -> Next<'_> {
    let Some((head, rest)) = bytes.split_first_chunk::<FRAME_HEAD_BYTES>() else {
        return Next::Short(FRAME_HEAD_BYTES);
    };
    let field = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let length = field(0) as usize;
    if length == 0 || crc32fast::hash(&head[..8]) != field(8) {
        return Next::Lost;
    }
    match rest.get(..length) {
        None => Next::Short(FRAME_HEAD_BYTES + length),
        Some(payload) if crc32fast::hash(payload) != field(4) => Next::Damaged(FRAME_HEAD_BYTES + length),
        Some(payload) => Next::Frame(payload),
    }
}

impl Heading {
    /// The beginning of a file: [`MAGIC`] and the first frame.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut frame = vec![0; FRAME_HEAD_BYTES];
        let durability = if self.is_synced { "sync" } else { "os" };
        let Heading { server, epoch, boot, lane: (lane, lanes), .. } = self;
        frame.extend_from_slice(format!("{server} {:016x} {boot} {durability}", epoch.0).as_bytes());
        if *lanes > 1 {
            frame.extend_from_slice(format!(" {lane}/{lanes}").as_bytes());
        }
        seal(&mut frame);
        [if *lanes > 1 { MAGIC_OF_LANES } else { MAGIC }, &frame].concat()
    }

    /// Reads the payload of the first frame.
    pub fn parse(payload: &[u8]) -> Option<Heading> {
        let mut words = std::str::from_utf8(payload).ok()?.split(' ');
        let server = ServerName::parse(words.next()?).ok()?;
        let epoch = Epoch(u64::from_str_radix(words.next()?, 16).ok()?);
        let boot = words.next()?.to_owned();
        let is_synced = match words.next()? {
            "sync" => true,
            "os" => false,
            _ => return None,
        };
        let lane = words.next().map_or(Some((0, 1)), |lane| {
            let (lane, lanes) = lane.split_once('/')?;
            Some((lane.parse().ok()?, lanes.parse().ok()?))
        });
        let lane = lane.filter(|(lane, lanes)| lane < lanes)?;
        words.next().is_none().then_some(Heading { server, epoch, boot, is_synced, lane })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in crate::proto::wal) fn frame(records: &[Record<'_>]) -> Vec<u8> {
        let mut frame = vec![0; FRAME_HEAD_BYTES];
        records.iter().for_each(|record| record.push_to(&mut frame));
        seal(&mut frame);
        frame
    }

    fn some() -> Vec<u8> {
        frame(&[
            Record::Sighting(7, b"AT a +0.1 kiwi +1+2 3\n"),
            Record::ReceivedUpTo("alice", Epoch(u64::MAX), 1 << 40),
            Record::Stopped,
        ])
    }

    #[test]
    fn written_records_are_read_back() {
        let bytes = some();
        let Next::Frame(payload) = next_frame(&bytes) else { panic!("{:?}", next_frame(&bytes)) };
        let records: Vec<_> = records(payload).collect();
        assert_eq!(
            records,
            [
                Ok(Record::Sighting(7, b"AT a +0.1 kiwi +1+2 3\n")),
                Ok(Record::ReceivedUpTo("alice", Epoch(u64::MAX), 1 << 40)),
                Ok(Record::Stopped),
            ]
        );
        let heading = Heading {
            server: ServerName::parse("alice").unwrap(),
            epoch: Epoch(0xab),
            boot: "f00".to_owned(),
            is_synced: true,
            lane: (0, 1),
        };
        for (heading, magic) in
            [(heading.clone(), MAGIC), (Heading { lane: (2, 3), ..heading }, MAGIC_OF_LANES)]
        {
            let bytes = heading.to_bytes();
            assert!(bytes.starts_with(magic));
            let Some(Next::Frame(payload)) = after_magic(&bytes).map(next_frame) else { panic!("no frame") };
            assert_eq!(Heading::parse(payload), Some(heading));
        }
        for lane in ["", "2", "3/3", "0/0", "1/300", "a/b"] {
            assert_eq!(Heading::parse(format!("alice ab f00 os {lane}").as_bytes()), None, "{lane}");
        }
    }

    #[test]
    fn part_of_a_frame_does_not_pass_for_a_whole_one() {
        let bytes = some();
        for length in 1..bytes.len() {
            let Next::Short(needed) = next_frame(&bytes[..length]) else { panic!("{length}") };
            assert!(needed > length);
        }
        assert_eq!(next_frame(&[0; 100]), Next::Lost);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = some();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let next = next_frame(&flipped);
            let in_head = bit / 8 < FRAME_HEAD_BYTES;
            // A wrong checksum of the payload stands in the head too.
            let expected = if in_head { Next::Lost } else { Next::Damaged(bytes.len()) };
            assert_eq!(next, expected, "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn payload_is_read_as_records_that_print_as_it_or_is_refused(payload: Vec<u8>) {
            let mut out = Vec::new();
            for record in records(&payload) {
                let Ok(record) = record else { return Ok(()) };
                record.push_to(&mut out);
            }
            prop_assert_eq!(out, payload);
        }
    }
}
