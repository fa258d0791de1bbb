//! What happens when: the only source of progress in a simulated herd.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// The sender of a server to one of its neighbours, by its index among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SenderId {
    pub server: usize,
    pub neighbour: usize,
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The server that has dialled, whose sender writes.
    Initiator,
    /// The server that was called, where a conversation reads.
    Responder,
}

/// What happens. An event whose connection or attempt is gone by then says nothing any more.
#[derive(Debug)]
pub(super) enum Event {
    /// A sender has waited long enough; the attempt tells a wait from the next.
    Dial { sender: SenderId, attempt: u64 },
    /// A sender looks at what it owes.
    Walk { sender: SenderId, conn: usize },
    /// A sender writes what it has copied.
    Write { sender: SenderId, conn: usize },
    /// A sender's next heartbeat is due.
    Heartbeat { sender: SenderId, conn: usize },
    /// The responder must have answered by now.
    Unanswered { sender: SenderId, conn: usize },
    /// The responder looks whether it has heard of the initiator.
    Listen { conn: usize },
    /// Bytes come in at one end.
    Arrive { conn: usize, at: End, bytes: Vec<u8> },
    /// A server commits what it has recorded since that start.
    Commit { server: usize, start: u64 },
    /// A server flushes what it has written since that start.
    Flush { server: usize, start: u64 },
    /// One end learns that the connection has ended.
    HangUp { conn: usize, at: End },
}

/// Events in order of time; equal times in the order in which they were planned.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Planned>>,
    planned: u64,
}

#[derive(Debug)]
struct Planned {
    at_ns: u64,
    number: u64,
    event: Event,
}

impl Queue {
    pub(super) fn plan(&mut self, at_ns: u64, event: Event) {
        self.planned += 1;
        self.heap.push(Reverse(Planned { at_ns, number: self.planned, event }));
    }

    /// The next event, if it is due at `until_ns`.
    pub(super) fn next(&mut self, until_ns: u64) -> Option<(u64, Event)> {
        if self.heap.peek()?.0.at_ns > until_ns {
            return None;
        }
        self.heap.pop().map(|Reverse(planned)| (planned.at_ns, planned.event))
    }

    /// Moves everything into the future.
    pub(super) fn put_off(&mut self, by_ns: u64) {
        let heap = std::mem::take(&mut self.heap).into_iter();
        self.heap = heap
            .map(|Reverse(planned)| Reverse(Planned { at_ns: planned.at_ns + by_ns, ..planned }))
            .collect();
    }

    /// Whether nothing is planned but what happens whenever nothing happens.
    pub(super) fn is_idle(&self) -> bool {
        self.heap.iter().all(|Reverse(planned)| {
            matches!(planned.event, Event::Heartbeat { .. } | Event::Listen { .. } | Event::Dial { .. })
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_ns, self.number).cmp(&(other.at_ns, other.number))
    }
}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Planned {}
