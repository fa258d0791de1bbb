//! Slips that threads could make between each other, planted by tests to show that `interleavings` would find them. No
//! release build has any of them.

/// One slip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slip {
    /// The mark that a sender has been told of news is taken off after it has looked.
    MarkTakenOffLate,
    /// The bell rings for news that is merged after it.
    RungBeforeMerge,
    /// The bell rings for a stop that is only then said.
    StopRungFirst,
    /// The bell rings for a hang-up that is only then noted.
    HangUpRungFirst,
    /// A sender that waits for the last acknowledgement is not woken by it.
    LastAckUnheard,
    /// The watcher takes the store's lock before the link's.
    LocksReversed,
    /// A connection that waits to be welcomed is not ended when the server stops.
    DialUnregistered,
    /// A socket is registered without a look at whether stopping has begun.
    RegisteredBlindly,
    /// Whoever waits for all sockets to be closed is not told that the last one is.
    ClosedUnsaid,
    /// Two connections of a neighbour may both find no older one.
    CallersLookedUpApart,
    /// The end of an older connection makes the newer one forgotten.
    NewerForgotten,
    /// Whoever was to write next, and finds that it need not, lets nobody else do it.
    WritingNotPassedOn,
    /// What is taken to be written counts as kept.
    KeptBeforeWritten,
    /// A snapshot replaces the old files before what has overtaken something in them is written.
    SnapshotBeforeCommit,
}

/// Whether a test has planted this slip in what it runs in its own thread.
#[cfg(all(test, feature = "interleavings"))]
pub(super) fn has(slip: Slip) -> bool {
    super::interleavings::planted() == Some(slip)
}

/// Nobody plants slips elsewhere.
#[cfg(not(all(test, feature = "interleavings")))]
pub(super) const fn has(_: Slip) -> bool {
    false
}

/// Takes two steps in this order, or in the other one if that slip is planted.
pub(super) fn in_order(slip: Slip, first: impl FnOnce(), second: impl FnOnce()) {
    if has(slip) {
        second();
        first();
    } else {
        first();
        second();
    }
}
