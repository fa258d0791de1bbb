//! Points that wait for the database: a queue in memory that is bounded in bytes, and never makes a client wait.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::engine::Point;
use crate::proto::model::stored_line::StoredLine;
use crate::proto::store::update::trimmed;

/// What an allocation takes besides its bytes, and its place in the queue.
const OVERHEAD_BYTES: u64 = 40;

/// The queue.
#[derive(Debug)]
pub(super) struct HistoryQueue {
    bytes_max: u64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Lines that came together.
    chunks: VecDeque<Box<[u8]>>,
    /// The bytes of the first chunk that are written.
    written: usize,
    bytes: u64,
}

impl HistoryQueue {
    pub(super) fn new(bytes_max: u64) -> HistoryQueue {
        HistoryQueue { bytes_max, waiting: Mutex::default() }
    }

    /// Takes lines; returns how many there was no room for.
    pub(super) fn push(&self, lines: &[u8]) -> u64 {
        let mut waiting = self.waiting.lock();
        let room = self.bytes_max.saturating_sub(waiting.bytes + OVERHEAD_BYTES);
        let fits = if lines.len() as u64 <= room {
            lines
        } else {
            // Whole lines.
            let part = &lines[..room as usize];
            &part[..part.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)]
        };
        if !fits.is_empty() {
            waiting.bytes += fits.len() as u64 + OVERHEAD_BYTES;
            waiting.chunks.push_back(fits.into());
        }
        drop(waiting);
        lines[fits.len()..].split_inclusive(|&byte| byte == b'\n').count() as u64
    }

    /// The oldest points, at most so many. They stay until [`HistoryQueue::written`].
    pub(super) fn oldest(&self, points_max: usize) -> Vec<Point> {
        let lines: Vec<Vec<u8>> = {
            let waiting = self.waiting.lock();
            let first = waiting.chunks.front().map_or(&[][..], |chunk| &chunk[waiting.written..]);
            let chunks = std::iter::once(first).chain(waiting.chunks.iter().skip(1).map(|chunk| &chunk[..]));
            let lines = chunks.flat_map(|chunk| chunk.split_inclusive(|&byte| byte == b'\n'));
            lines.take(points_max).map(|line| trimmed(line).to_vec()).collect()
        };
        let point = |line: Vec<u8>| {
            let stored = StoredLine::parse(&line).ok()?;
            let (start, end) = stored.client_range();
            let client = std::str::from_utf8(&line[start..end]).ok()?.to_owned();
            Some(Point { client, received_s: stored.received_s(), line })
        };
        lines.into_iter().filter_map(point).collect()
    }

    /// So many of the oldest are in the database.
    pub(super) fn written(&self, points: usize) {
        let mut waiting = self.waiting.lock();
        for _ in 0..points {
            let Some(chunk) = waiting.chunks.front() else { return };
            let (bytes, rest) = (chunk.len(), &chunk[waiting.written..]);
            let line = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |at| at + 1);
            if waiting.written + line < bytes {
                waiting.written += line;
            } else {
                waiting.bytes -= bytes as u64 + OVERHEAD_BYTES;
                waiting.written = 0;
                waiting.chunks.pop_front();
            }
        }
    }

    /// The bytes that wait.
    pub(super) fn bytes(&self) -> u64 {
        self.waiting.lock().bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_wait_in_bounded_memory_until_they_are_written() {
        let queue = HistoryQueue::new(200);
        let lines = b"AT A +1 kiwi +1+1 5\nWITH a=1 AT A +1.5 emu +1+1 5\n";
        assert_eq!(queue.push(lines), 0);
        assert_eq!(queue.bytes(), 40 + 50);
        assert_eq!((queue.push(lines), queue.bytes()), (0, 2 * (40 + 50)));
        assert_eq!((queue.push(lines), queue.bytes()), (2, 180), "there is no room");
        let points = queue.oldest(2);
        let found: Vec<_> = points.iter().map(|point| (&*point.client, point.received_s)).collect();
        assert_eq!(found, [("kiwi", 6), ("emu", 6)]);
        assert_eq!(points[0].line, b"AT A +1 kiwi +1+1 5");
        assert_eq!(queue.oldest(9).len(), 4, "they stay");
        queue.written(1);
        assert_eq!((queue.oldest(9).len(), queue.bytes()), (3, 180));
        assert_eq!(queue.oldest(1)[0].client, "emu");
        queue.written(2);
        assert_eq!((queue.oldest(9).len(), queue.bytes()), (1, 90));
        assert_eq!((queue.push(lines), queue.push(lines)), (0, 2));
        queue.written(9);
        assert_eq!((queue.oldest(9).len(), queue.bytes()), (0, 0));
        // Of lines that come together those are taken that there is room for.
        assert_eq!(HistoryQueue::new(40 + 49).push(lines), 1);
    }
}
