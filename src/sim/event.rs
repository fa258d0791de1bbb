//! What happens: events are the only source of progress in a simulated herd.

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
    /// A sender takes its next step on a connection.
    Step { sender: SenderId, conn: usize, step: Step },
    /// The responder looks whether it has heard of the initiator.
    Listen { conn: usize },
    /// Bytes come in at one end.
    Arrive { conn: usize, at: End, bytes: Vec<u8> },
    /// A server commits what it has recorded in a lane since that start.
    Commit { server: usize, start: u64, lane: usize },
    /// A server flushes what it has written since that start.
    Flush { server: usize, start: u64 },
    /// One end learns that the connection has ended.
    HangUp { conn: usize, at: End },
}

/// What a sender does next on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It copies what is due.
    Scan,
    /// It writes what it has copied.
    Write,
    /// It looks for what it has to offer.
    Offer,
    /// Its next heartbeat is due.
    Heartbeat,
    /// It must have been answered by now.
    Unanswered,
}

impl Step {
    /// Its label in the trace.
    pub(super) fn label(self) -> &'static str {
        match self {
            Step::Scan => "walk",
            Step::Write => "write",
            Step::Offer => "offer",
            Step::Heartbeat => "beat",
            Step::Unanswered => "unanswered",
        }
    }
}
