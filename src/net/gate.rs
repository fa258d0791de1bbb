//! What everything in this room shares: who is admitted, which streams are open, and where events are reported.

use std::fmt;

use super::admission::{Admission, Class, Overload};
use super::shutdown::OpenStreams;
use crate::config::Limits;

/// The state that all accepted connections of a process share.
pub struct Gate {
    /// The places that are taken.
    pub admission: Admission,
    /// The streams of all accepted connections.
    pub open: OpenStreams,
    /// The bounds.
    pub limits: Limits,
    report: Report,
}

/// Takes what must be counted or warned of, with the words of the warning.
pub type Report = Box<dyn Fn(Event, fmt::Arguments<'_>) + Send + Sync>;

/// What happens to connections, for whom counts and warns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection was accepted.
    Accepted(Class),
    /// One was refused because of a limit of ours.
    Refused(Overload),
    /// One was refused because no descriptor could be had.
    OutOfDescriptors,
    /// One was refused because no thread could be had.
    OutOfThreads,
    /// One was refused because no memory could be had.
    OutOfMemory,
    /// The conversation panicked: a bug of ours.
    Panicked,
}

impl Gate {
    /// Nothing is connected yet.
    pub fn new(limits: Limits, report: Report) -> Gate {
        Gate { admission: Admission::default(), open: OpenStreams::default(), limits, report }
    }

    /// Reports an event.
    pub fn report(&self, event: Event, what: fmt::Arguments<'_>) {
        (self.report)(event, what);
    }
}
