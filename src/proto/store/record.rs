//! What is stored of one client. Its line is within the record if it is as short as nearly all are, so that storing it
//! costs no allocation, and looking at it no second way to memory.

use std::ops::Range;

use crate::proto::model::era::Era;
use crate::proto::model::stored_line::{Life, StoredLine, at_part};
use crate::proto::model::time::Moment;
use crate::proto::store::digest::{Bucket, report_hash};
use crate::proto::store::update::{MergeRule, Meta, Source, Span, Update, trimmed};

/// The most bytes of a line that is stored within its record: those of a name of 50 bytes with seven decimal places, in
/// a herd whose servers have short names. With them and what else it has, a line takes 120 bytes.
pub(super) const SHORT_BYTES_MAX: usize = 118;

/// What an allocation takes besides its bytes, as the allocator of glibc does it: a head, and half of a unit of 16.
const ALLOCATION_BYTES: usize = 16;

/// What is stored of one client; vacant if its line is empty.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) line: InlineLine,
    pub(crate) meta: Meta,
    pub(crate) digest: u64,
    pub(crate) era: Era,
    pub(crate) bucket: Bucket,
}

/// A line.
#[derive(Debug)]
pub(crate) enum InlineLine {
    /// Its length, and a buffer that begins with it.
    Short(u8, [u8; SHORT_BYTES_MAX]),
    Long(Box<[u8]>),
}

impl Record {
    pub(crate) fn is_vacant(&self) -> bool {
        self.line.len() == 0
    }

    /// Whether it says that the client was forgotten. None of the first era does.
    pub(crate) fn is_tombstone(&self) -> bool {
        self.era != Era::FIRST && at_part(self.line.bytes()).is_none()
    }

    /// Whether a report is the one that has ended the era before, which somebody repeats.
    pub(crate) fn has_forgotten(&self, update: &Update<'_>) -> bool {
        update.rule == MergeRule::LaterTime
            && self.life().forgotten == report_hash(&update.text()[update.meta.client.start as usize..])
    }

    /// Its era, and what that began with.
    pub(crate) fn life(&self) -> Life {
        StoredLine::parse(trimmed(self.line.bytes())).map(|stored| stored.life()).unwrap_or_default()
    }

    /// The hash of the report in it, with which its era can end.
    pub(crate) fn report_hash(&self) -> u64 {
        report_hash(&trimmed(self.line.bytes())[self.meta.client.start as usize..])
    }

    /// A sum of bytes of each line of a processor's cache that a merge needs of it. It says nothing: reading them is
    /// what brings them here.
    #[inline(always)]
    pub(crate) fn touched(&self) -> u64 {
        let bytes = match &self.line {
            InlineLine::Short(len, bytes) => u64::from(*len) + u64::from(bytes[SHORT_BYTES_MAX / 2]),
            InlineLine::Long(bytes) => bytes.len() as u64,
        };
        bytes.wrapping_add(self.digest).wrapping_add(self.meta.moment.seconds)
    }

    /// The client's name.
    #[inline(always)]
    pub(crate) fn client(&self) -> &[u8] {
        self.line.part(self.meta.client.range())
    }
}

impl Default for Record {
    /// Vacant: what stands in the place of a record until a client takes it, and when it has expired.
    fn default() -> Record {
        Record {
            line: InlineLine::Short(0, [0; SHORT_BYTES_MAX]),
            meta: Meta { client: Span::default(), moment: Moment::default(), source: Source::NONE },
            digest: 0,
            era: Era::FIRST,
            bucket: Bucket(0),
        }
    }
}

impl InlineLine {
    pub(crate) fn new(line: &[u8]) -> InlineLine {
        let mut bytes = [0; SHORT_BYTES_MAX];
        match bytes.get_mut(..line.len()) {
            Some(to) => {
                to.copy_from_slice(line);
                InlineLine::Short(line.len() as u8, bytes)
            }
            None => InlineLine::Long(line.into()),
        }
    }

    /// Takes another line; returns by how many the bytes outside of the record have grown.
    #[inline(always)]
    pub(crate) fn set(&mut self, line: &[u8]) -> isize {
        match self {
            InlineLine::Short(len, bytes) if line.len() <= SHORT_BYTES_MAX => {
                bytes[..line.len()].copy_from_slice(line);
                *len = line.len() as u8;
                0
            }
            InlineLine::Short(..) | InlineLine::Long(_) => self.replace(line),
        }
    }

    #[cold]
    fn replace(&mut self, line: &[u8]) -> isize {
        let before = self.outside_bytes();
        match self {
            // In place, because the length of a client's line rarely changes.
            InlineLine::Long(bytes) if bytes.len() == line.len() => bytes.copy_from_slice(line),
            InlineLine::Short(..) | InlineLine::Long(_) => *self = InlineLine::new(line),
        }
        self.outside_bytes() as isize - before as isize
    }

    #[inline(always)]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            InlineLine::Short(len, bytes) => &bytes[..usize::from(*len)],
            InlineLine::Long(bytes) => bytes,
        }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        match self {
            InlineLine::Short(len, _) => usize::from(*len),
            InlineLine::Long(bytes) => bytes.len(),
        }
    }

    /// The bytes that it takes besides those of its record.
    pub(crate) fn outside_bytes(&self) -> usize {
        match self {
            InlineLine::Short(..) => 0,
            InlineLine::Long(bytes) => bytes.len() + ALLOCATION_BYTES,
        }
    }

    /// A part of it. What is behind its end must not be asked for.
    #[inline(always)]
    pub(crate) fn part(&self, part: Range<usize>) -> &[u8] {
        match self {
            InlineLine::Short(_, bytes) => &bytes[part],
            InlineLine::Long(bytes) => &bytes[part],
        }
    }
}

impl AsRef<[u8]> for InlineLine {
    #[inline(always)]
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_any_length_takes_the_place_of_one_of_any_other() {
        let text: Vec<u8> = (0..=255).collect();
        let lengths = [0, 1, 80, SHORT_BYTES_MAX - 1, SHORT_BYTES_MAX, SHORT_BYTES_MAX + 1, 200, 200, 256];
        for before in lengths {
            for after in lengths {
                let mut line = InlineLine::new(&text[256 - before..]);
                assert_eq!(line.bytes(), &text[256 - before..]);
                let (outside, grown) = (line.outside_bytes(), line.set(&text[..after]));
                assert_eq!(outside.wrapping_add_signed(grown), line.outside_bytes());
                assert_eq!((line.bytes(), line.len()), (&text[..after], after));
                assert_eq!(line.part(after / 2..after), &text[after / 2..after]);
            }
        }
    }

    #[test]
    fn it_takes_no_more_than_it_says() {
        assert_eq!(size_of::<InlineLine>(), 120);
    }
}
