//! What a conversation tells its loop after each step.

use std::io;

use crate::timers::Stamp;

/// What a conversation waits for.
#[derive(Debug)]
pub(crate) enum Waits {
    /// Until there is something to read, as long as it takes.
    Read,
    /// Until the other side reads; with a stamp, a deadline is to be set.
    Write(Option<Stamp>),
    /// Until the other side closes, with a deadline.
    Close,
    /// Only for the others to have their turn.
    Turn,
    /// It is over.
    Over(io::Result<()>),
}

/// What has become of a wait for the other side to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lateness {
    /// It has read nothing.
    Late,
    /// It has read something, and must read more: a new wait has this stamp.
    MovedOn(Stamp),
    /// It has read all there was, or is gone.
    Done,
}
