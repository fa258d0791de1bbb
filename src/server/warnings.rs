//! Warnings that others can cause: each kind at most once a minute, and with it how many were left out, so that an
//! attack fills no disk.

use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::clock;
use super::shared::Shared;
use super::stats::{Counter, Stats};

/// Between two warnings of one kind.
const PAUSE: Duration = Duration::from_secs(60);

macro_rules! causes {
    ($($(#[doc = $doc:literal])+ $cause:ident => $counter:ident,)+) => {
        /// What is refused, given up or gone without; each has a counter of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Cause {
            $($(#[doc = $doc])+ $cause,)+
        }

        const CAUSES: &[Cause] = &[$(Cause::$cause,)+];

        impl Cause {
            fn counter(self, stats: &Stats) -> &Counter {
                match self {
                    $(Cause::$cause => &stats.$counter,)+
                }
            }

            fn name(self) -> &'static str {
                match self {
                    $(Cause::$cause => stringify!($counter),)+
                }
            }
        }
    };
}

causes! {
    /// A client more than may be connected.
    Connections => over_connections_max,
    /// A client more than may be connected from one address.
    Address => over_per_address_max,
    /// A connection more on the peer port than may be there without a hello.
    HelloPending => over_hello_pending_max,
    /// A connection on the peer port that took too long to say hello.
    HelloTime => over_hello_time,
    /// A line that was too long.
    LineBytes => over_line_bytes,
    /// A client that took too long for a line.
    LineTime => over_line_time,
    /// A client that said nothing for too long.
    IdleTime => over_idle_time,
    /// A client that took too long to take its replies.
    ReplyTime => over_reply_time,
    /// A report of a client that was new, where as many as may be are known.
    Clients => over_clients_max,
    /// A question to a provider that had as many under way as may be.
    PlacesCalls => over_places_calls,
    /// A question of a connection that had asked its share.
    PlacesPerMinute => over_places_per_minute,
    /// A connection that no thread could be had for.
    Threads => out_of_threads,
    /// A connection that no memory could be had for.
    Memory => out_of_memory,
    /// A connection that no descriptor could be had for.
    Descriptors => out_of_descriptors,
    /// A question that the provider of places could not answer.
    Places => places_failures,
    /// A initiator that speaks another version.
    CallerVersion => callers_of_other_version,
    /// A initiator that meant another server.
    CallerAstray => callers_astray,
    /// A initiator that is no neighbour.
    CallerUnknown => callers_unknown,
    /// A initiator that did not prove to be the neighbour that it said it was.
    CallerUnproved => callers_unproved,
    /// A link to a neighbour that did not prove to be it.
    LinkUnproved => links_unproved,
    /// A link to a neighbour that has said nothing for too long.
    LinkSilent => links_silent,
    /// A neighbour's connection on which nothing has come for too long.
    CallerSilent => callers_silent,
    /// A journal that cannot be written.
    Journal => journal_failures,
    /// A connection that said what ends it.
    TurnedAway => turned_away,
}

/// When each kind was last warned of.
#[derive(Debug)]
pub(super) struct Warnings([Mutex<Said>; CAUSES.len()]);

#[derive(Debug, Default)]
struct Said {
    last: Option<Instant>,
    left_out: u64,
}

impl Said {
    /// Whether a warning is due; if so, how many were left out before it.
    fn again(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

impl Default for Warnings {
    fn default() -> Warnings {
        Warnings(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Warnings {
    /// Warns of it, unless that was done within the last minute.
    pub(super) fn warn(&self, cause: Cause, what: fmt::Arguments<'_>) {
        let due = self.0[cause as usize].lock().again(clock::instant());
        match due {
            None => {}
            Some(0) => log::warn!("{what}"),
            Some(left_out) => log::warn!("{what}; before it {left_out} more of this kind ({})", cause.name()),
        }
    }

    /// Says how many were left out since the last warnings: no further one will.
    pub(super) fn finish(&self) {
        for &cause in CAUSES {
            let left_out = std::mem::take(&mut self.0[cause as usize].lock().left_out);
            if left_out > 0 {
                log::warn!("{left_out} more warnings of one kind were left out ({})", cause.name());
            }
        }
    }
}

impl Shared {
    /// Counts that it happened, and warns of it.
    pub(super) fn hit(&self, cause: Cause, what: fmt::Arguments<'_>) {
        self.hit_times(cause, 1, what);
    }

    /// The same for what happened several times at once.
    pub(super) fn hit_times(&self, cause: Cause, times: u64, what: fmt::Arguments<'_>) {
        cause.counter(&self.stats).add(times);
        self.warnings.warn(cause, what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_warned_of_once_a_minute_with_what_was_left_out() {
        let (mut said, start) = (Said::default(), clock::instant());
        assert_eq!(said.again(start), Some(0));
        for second in 0..59 {
            assert_eq!(said.again(start + Duration::from_secs(second)), None);
        }
        assert_eq!(said.again(start + PAUSE), Some(59));
        assert_eq!(said.again(start + PAUSE), None);
        assert_eq!(said.again(start + PAUSE * 2), Some(1));
        assert_eq!(said.again(start + PAUSE * 3), Some(0));
    }

    #[test]
    fn every_cause_has_a_place_of_its_own() {
        for (index, &cause) in CAUSES.iter().enumerate() {
            assert_eq!(cause as usize, index);
        }
    }
}
