//! Recovery: how much of its journal a server believes when it starts.
//!
//! A driver calls, for every file from the oldest on, [`Recovery::begins`] with its heading, [`Recovery::frame`] for
//! every whole frame, [`Recovery::cut`] if the last frame of the last file is not whole, and [`Recovery::damaged`] for
//! everything else that is not as it was written; then [`Recovery::finish`].
//!
//! Whatever is whole is merged, because merging is right in any order and with gaps. But two things are only as good as
//! all that came before: how far neighbours' changes were received, which is forgotten if anything is missing, and the
//! epoch, which tells neighbours that we still have all that they know of us. The epoch is kept only if nothing can be
//! missing but the tail of a commit of which neither clients nor neighbours were told.

use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::store::Store;
use crate::proto::store::bounds::Bounds;
use crate::proto::store::update::{Source, Update};
use crate::proto::wal::record::{Heading, NotARecord, Record, records};

/// How far above the highest sequence number that was recovered the next one is. Sequence numbers that were given but
/// are not durable may be known to others; no server gives this many between two commits.
pub const SEQS_SKIPPED: u64 = 1 << 32;

/// The greatest sequence number that is believed, so that there are greater ones for what follows. A server that gives
/// a million a second and starts once a second needs 30 years to come to it.
const SEQ_MAX: u64 = 1 << 62;

/// A memory that is being recovered.
#[derive(Debug)]
pub struct Recovery {
    store: Store,
    received: Vec<(ServerName, Epoch, u64)>,
    heading: Option<Heading>,
    /// Whether the last record says that the server stopped after it.
    has_stopped: bool,
    is_damaged: bool,
    /// How many sightings were read.
    sightings: u64,
}

/// A memory that was recovered.
#[derive(Debug)]
pub struct Recovered {
    /// The sightings, in their old order and with their old sequence numbers.
    pub(crate) store: Store,
    /// By neighbour: up to which of its changes we had received them, in which epoch of its own.
    pub(crate) received: Vec<(ServerName, Epoch, u64)>,
}

impl Recovery {
    /// Nothing has been read yet.
    pub fn new() -> Recovery {
        Recovery {
            // What was accepted once is not rejected now.
            store: Store::new().bounded(Bounds { clients_max: usize::MAX, ..Bounds::default() }),
            received: Vec::new(),
            heading: None,
            has_stopped: false,
            is_damaged: false,
            sightings: 0,
        }
    }

    /// A file begins.
    pub fn begins(&mut self, heading: Heading) {
        self.has_stopped = false;
        self.heading = Some(heading);
    }

    /// Merges the records of a frame.
    ///
    /// # Errors
    /// If one of them is none, which counts as damage; those before it are merged.
    pub fn frame(&mut self, payload: &[u8]) -> Result<(), NotARecord> {
        for record in records(payload) {
            self.has_stopped = false;
            let taken = match record {
                Ok(Record::Sighting(seq, line)) => self.sighting(seq, line),
                Ok(Record::ReceivedUpTo(name, epoch, up_to)) => self.received_up_to(name, epoch, up_to),
                Ok(Record::Stopped) => {
                    self.has_stopped = true;
                    Ok(())
                }
                Err(error) => Err(error),
            };
            if taken.is_err() {
                self.damaged();
                return taken;
            }
        }
        Ok(())
    }

    /// The last commit was not written to its end, so nothing had been acknowledged or replicated because of it; or one
    /// of the files that were written last does not say that nothing follows.
    pub fn cut(&mut self) {
        self.has_stopped = false;
    }

    /// Something is missing that was once whole.
    pub fn damaged(&mut self) {
        self.is_damaged = true;
    }

    /// Whether the last record that was read says that nothing follows.
    pub fn has_stopped(&self) -> bool {
        self.has_stopped
    }

    /// How many sightings were read, those that were superseded by later ones included.
    pub fn sightings(&self) -> u64 {
        self.sightings
    }

    /// The recovered memory, and its epoch if that may be kept: `boot` names the present run of the operating system.
    pub fn finish(mut self, boot: &str) -> (Recovered, Option<Epoch>) {
        let is_whole = !self.is_damaged;
        let epoch = self.heading.filter(|heading| {
            // Bytes that had not been flushed when the system went down are missing without a trace.
            is_whole && (self.has_stopped || heading.is_synced || heading.boot == boot)
        });
        if !is_whole {
            self.received.clear();
        }
        self.store.resume_after(self.store.last_seq().saturating_add(SEQS_SKIPPED));
        (Recovered { store: self.store, received: self.received }, epoch.map(|heading| heading.epoch))
    }

    fn sighting(&mut self, seq: u64, line: &[u8]) -> Result<(), NotARecord> {
        if seq > SEQ_MAX {
            return Err(NotARecord);
        }
        // The neighbour that it was learned from may have forgotten it by now, so every neighbour is sent it.
        let update = Update::from_stored(line, Source::CLIENT).ok_or(NotARecord)?;
        self.store.restore(seq, &update);
        self.sightings += 1;
        Ok(())
    }

    fn received_up_to(&mut self, name: &str, epoch: Epoch, up_to: u64) -> Result<(), NotARecord> {
        let name = ServerName::parse(name).map_err(|_| NotARecord)?;
        match self.received.iter_mut().find(|(known, ..)| *known == name) {
            Some(received) => (received.1, received.2) = (epoch, up_to),
            None => self.received.push((name, epoch, up_to)),
        }
        Ok(())
    }
}

impl Default for Recovery {
    fn default() -> Recovery {
        Recovery::new()
    }
}

impl Recovered {
    /// How many clients are known.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether nothing was recovered.
    pub fn is_empty(&self) -> bool {
        self.store.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heading(boot: &str, is_synced: bool) -> Heading {
        let server = ServerName::parse("alice").unwrap();
        Heading { server, epoch: Epoch(7), boot: boot.to_owned(), is_synced, lane: (0, 1) }
    }

    fn payload(records: &[Record<'_>]) -> Vec<u8> {
        let mut payload = Vec::new();
        records.iter().for_each(|record| record.push_to(&mut payload));
        payload
    }

    const KIWI: Record<'_> = Record::Sighting(5, b"AT bob +0.100000000 kiwi +34.0-118.4 1621464827.5\n");
    const RECEIVED: Record<'_> = Record::ReceivedUpTo("bob", Epoch(9), 12);

    /// Recovers two records and whatever else is said.
    fn recover(heading: Heading, more: impl FnOnce(&mut Recovery)) -> (Recovered, Option<Epoch>) {
        let mut recovery = Recovery::new();
        recovery.begins(heading);
        recovery.frame(&payload(&[KIWI, RECEIVED])).unwrap();
        more(&mut recovery);
        recovery.finish("now")
    }

    #[test]
    fn sequence_numbers_resume_far_above_the_last_recovered() {
        let (recovered, _) = recover(heading("now", false), |_| {});
        assert_eq!(recovered.store.last_seq(), 5 + SEQS_SKIPPED);
        let line = recovered.store.line_of(b"kiwi").unwrap();
        assert!(line.starts_with(b"AT bob"), "{line:?}");
        assert_eq!(recovered.received, [(ServerName::parse("bob").unwrap(), Epoch(9), 12)]);
    }

    #[test]
    fn epoch_is_kept_only_if_nothing_that_others_know_can_be_missing() {
        let epoch = |heading, more: fn(&mut Recovery)| recover(heading, more).1;
        let stopped = |recovery: &mut Recovery| recovery.frame(&payload(&[Record::Stopped])).unwrap();
        assert_eq!(epoch(heading("now", false), |_| {}), Some(Epoch(7)), "it was killed");
        assert_eq!(epoch(heading("now", false), Recovery::cut), Some(Epoch(7)));
        assert_eq!(epoch(heading("before", true), Recovery::cut), Some(Epoch(7)), "all was on disk");
        assert_eq!(epoch(heading("before", false), |_| {}), None, "the power may have failed");
        assert_eq!(epoch(heading("before", false), stopped), Some(Epoch(7)), "all was on disk at the stop");
        assert_eq!(epoch(heading("now", true), Recovery::damaged), None);
        assert_eq!(Recovery::new().finish("now").1, None, "there was nothing");
    }

    #[test]
    fn damage_forgets_received_up_to_and_keeps_sightings() {
        let (recovered, _) = recover(heading("now", false), |recovery| {
            recovery.damaged();
            recovery.frame(&payload(&[RECEIVED])).unwrap();
        });
        assert_eq!((recovered.len(), recovered.received.len()), (1, 0));
    }

    #[test]
    fn record_without_sighting_is_damage() {
        for line in [&b"AT bob kiwi\n"[..], b"AT bob +0.1 kiwi +34.0-118.4 1", b"IAMAT kiwi +34.0-118.4 1\n"]
        {
            let (recovered, epoch) = recover(heading("now", false), |recovery| {
                let bad = payload(&[Record::Sighting(6, line), RECEIVED]);
                assert_eq!(recovery.frame(&bad), Err(NotARecord));
            });
            assert_eq!((recovered.len(), epoch), (1, None));
        }
    }
}
