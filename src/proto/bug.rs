//! Mistakes that the rules or a driver could make, planted by tests to show that the checks would find them. No
//! release build has any of them: see [`crate::proto::node::Identity::has`].

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A sender moves its position when it copies, and an errand that comes before the write ends the write.
    PositionBeforeWrite,
    /// A connection begins at the present although neighbours should be told what they missed.
    NoCatchUp,
    /// A sender does not know the neighbour as the one whose conversation tells us things.
    ToldSentBack,
    /// What a neighbour told in a former life counts as told in this one.
    TellerForLife,
    /// A server that has lost its memory comes back with the epoch it had.
    EpochKept,
    /// A neighbour that comes with another epoch is told to go on where its former life stopped.
    EpochIgnored,
    /// What a neighbour tells is dropped if its time equals the stored one's.
    FirstArrivalWins,
    /// A sender looks once per errand and forgets errands that come while it is busy.
    OneWalkPerErrand,
    /// A walk that is full says that it has come one record further than it has.
    WalkOffByOne,
    /// A conversation takes one line from each read.
    OneLinePerRead,
    /// The end of the stream ends a neighbour's line.
    CutLineBelieved,
    /// A client is answered before its report is merged.
    ReplyBeforeMerge,
    /// A position counts before the sightings that it covers are merged.
    AckBeforeMerge,
    /// A connection begins at the beginning although the neighbour has said how far it is.
    WelcomeIgnored,
    /// A sender never says how far it has come.
    PositionNeverSaid,
    /// A sender never learns that its connection has ended.
    HangUpMissed,
    /// Nobody notices that the other side is silent.
    SilenceMissed,
    /// A bucket that stays different is not told again.
    RepairSkipped,
    /// A bucket is told again although it may be on its way.
    RepairTooEager,
    /// Neighbours are told what a crash could still undo.
    ToldBeforeKept,
    /// After a crash numbering goes on where the journal ends.
    NumbersReused,
    /// A report that is no news is answered before the news is kept.
    StaleBeforeKept,
    /// A position is recorded before the sightings that it covers.
    PositionRecordedFirst,
    /// What is recorded counts as kept before it is on disk.
    FlushForgotten,
}
