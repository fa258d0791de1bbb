//! Points that wait for the database: a queue in memory that is bounded in bytes, and never makes a client wait.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::engine::Point;
use crate::proto::model::stored_line::StoredLine;
use crate::proto::store::update::trimmed;

/// What an allocation of a line takes besides its bytes, and its place in the queue.
const OVERHEAD_BYTES: u64 = 40;

/// The queue.
#[derive(Debug)]
pub(super) struct HistoryQueue {
    bytes_max: u64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Box<[u8]>>,
    bytes: u64,
}

impl HistoryQueue {
    pub(super) fn new(bytes_max: u64) -> HistoryQueue {
        HistoryQueue { bytes_max, waiting: Mutex::default() }
    }

    /// Takes lines; returns how many there was no room for.
    pub(super) fn push(&self, lines: &[u8]) -> u64 {
        let mut dropped = 0;
        let mut waiting = self.waiting.lock();
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let bytes = line.len() as u64 + OVERHEAD_BYTES;
            if waiting.bytes + bytes > self.bytes_max {
                dropped += 1;
                continue;
            }
            waiting.bytes += bytes;
            waiting.lines.push_back(trimmed(line).into());
        }
        dropped
    }

    /// The oldest points, at most so many. They stay until [`HistoryQueue::written`].
    pub(super) fn oldest(&self, points_max: usize) -> Vec<Point> {
        let lines: Vec<Box<[u8]>> = self.waiting.lock().lines.iter().take(points_max).cloned().collect();
        let point = |line: Box<[u8]>| {
            let stored = StoredLine::parse(&line).ok()?;
            let (start, end) = stored.client_range();
            let client = std::str::from_utf8(&line[start..end]).ok()?.to_owned();
            Some(Point { client, received_s: stored.received_s(), line: line.into_vec() })
        };
        lines.into_iter().filter_map(point).collect()
    }

    /// So many of the oldest are in the database.
    pub(super) fn written(&self, points: usize) {
        let mut waiting = self.waiting.lock();
        for line in (0..points).map_while(|_| waiting.lines.pop_front()).collect::<Vec<_>>() {
            waiting.bytes -= line.len() as u64 + 1 + OVERHEAD_BYTES;
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
        assert_eq!((queue.push(lines), queue.bytes()), (1, 3 * 40 + 20 + 30 + 20), "one more fits");
        let points = queue.oldest(2);
        let found: Vec<_> = points.iter().map(|point| (&*point.client, point.received_s)).collect();
        assert_eq!(found, [("kiwi", 6), ("emu", 6)]);
        assert_eq!(points[0].line, b"AT A +1 kiwi +1+1 5");
        assert_eq!(queue.oldest(9).len(), 3, "they stay");
        queue.written(2);
        assert_eq!((queue.oldest(9).len(), queue.bytes()), (1, 60));
        queue.written(9);
        assert_eq!((queue.oldest(9).len(), queue.bytes()), (0, 0));
    }
}
