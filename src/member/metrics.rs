//! Metrics: one table of all that is counted, and throttled warnings for what others can cause.
//!
//! A counter costs one relaxed atomic addition. A row that names an [`Event`] is warned of too: see
//! [`super::warnings`].

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::warnings::{LineBudget, Source, Throttles};
use crate::os::clock;
use crate::places::PlacesError;
use crate::proto::peering::session as peer;
use crate::proto::session::Refusal;

/// A number that only grows. No decision depends on it, so its order against other memory does not matter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// One row of the table, for whatever shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The name in the log's status line.
    pub name: &'static str,
    /// The name in the OpenMetrics text format.
    pub open_metrics_name: &'static str,
    /// What is counted.
    pub help: &'static str,
    /// The sum since the start.
    pub value: u64,
}

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $name:ident $(: $event:ident)?,)+) => {
        /// Everything that is counted since the member started.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[doc = $doc])+ pub $name: Counter,)+
            warnings: Warnings,
            connection_lines: Mutex<LineBudget>,
        }

        /// What is refused, given up or gone without.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Event {
            $($(#[doc = concat!("Counted as `", stringify!($name), "`.")] $event,)?)+
        }

        const EVENTS: &[Event] = &[$($(Event::$event,)?)+];

        impl Event {
            fn name(self) -> &'static str {
                match self {
                    $($(Event::$event => stringify!($name),)?)+
                }
            }
        }

        impl Metrics {
            /// All rows, in the order of the table.
            pub fn rows(&self) -> Vec<Row> {
                vec![$(Row {
                    name: stringify!($name),
                    open_metrics_name: concat!("proxyherd_", stringify!($name), "_total"),
                    help: concat!($($doc),+).trim_ascii(),
                    value: self.$name.get(),
                },)+]
            }

            fn counter(&self, event: Event) -> &Counter {
                match event {
                    $($(Event::$event => &self.$name,)?)+
                }
            }
        }
    };
}

metrics! {
    /// Connections accepted on the client port.
    clients_accepted,
    /// Connections accepted on the peer port.
    peers_accepted,
    /// Connections refused for any reason; `over_*` and `out_of_*` say for which.
    connections_refused,
    /// Clients refused because the most that may be were connected.
    over_connections_max: Connections,
    /// Clients refused because as many as may be were connected from their address.
    over_per_address_max: Address,
    /// Streams of events refused because the most that may be were open.
    over_watchers_max: Watchers,
    /// Connections refused on the peer port because too many were there without a hello.
    over_hello_pending_max: HelloPending,
    /// Connections from proxies refused because no proper header of the PROXY protocol came first.
    proxy_headers_refused: ProxyHeader,
    /// Idle clients that gave way to a newcomer because as many as may be were connected.
    idle_displaced: IdleDisplaced,
    /// Connections without a hello that gave way to a newcomer on the peer port.
    unauthenticated_displaced: UnauthenticatedDisplaced,
    /// Handshakes of TLS that were finished.
    tls_handshakes,
    /// Connections on ports for TLS that were closed without one: plain text, too slow, or nothing in common.
    tls_handshakes_failed: Handshake,
    /// Connections on the peer port closed because no hello came in time.
    over_hello_time: HelloTime,
    /// Connections closed because a line was too long.
    over_line_bytes: LineBytes,
    /// Clients that took too long for a line.
    over_line_time: LineTime,
    /// Clients that said nothing for too long.
    over_idle_time,
    /// Clients that took too long to take their replies.
    over_reply_time: ReplyTime,
    /// Reports refused because their client was new and as many as may be were known.
    over_clients_max: Clients,
    /// Reports refused because their client was new and clients took as much memory as they may.
    over_memory_max: ClientMemory,
    /// Questions that a provider of places was not asked, because the most that may be were under way.
    over_places_calls: PlacesCalls,
    /// Questions that a provider of places was not asked, because the connection had used up its rate limit.
    over_places_per_minute: PlacesPerMinute,
    /// Questions that a provider of places was not asked, because the address had used up its rate limit.
    over_places_per_address: PlacesPerAddress,
    /// Questions that a provider of places was not asked, because the server had used up its budget of calls.
    over_places_budget: PlacesBudget,
    /// Connections refused for want of a thread.
    out_of_threads: Threads,
    /// Connections refused for want of memory.
    out_of_memory: Memory,
    /// Connections refused for want of a descriptor.
    out_of_descriptors: Descriptors,
    /// Connections closed for what was said on them.
    connections_closed: Refused,
    /// Requests of HTTP.
    http_requests,
    /// Requests of HTTP that were refused.
    http_refused,
    /// Requests of HTTP and clients of MQTT that were refused because their token was wrong.
    logins_failed: Login,
    /// Messages of MQTT that clients have published.
    mqtt_published,
    /// Messages of MQTT on topics that are not kept here, or that their user may not publish.
    mqtt_not_allowed: MqttTopic,
    /// Messages of MQTT that were passed on to those who are connected.
    mqtt_relayed,
    /// Times that a subscriber was too slow for messages that are passed on.
    mqtt_relay_late,
    /// Messages of MQTT that were in no shape of OwnTracks.
    mqtt_not_understood,
    /// Connections of MQTT closed because of what came: no packet of it, one too long, or one that may not come.
    mqtt_refused: MqttRefused,
    /// Connections of MQTT that gave way to a newer one of the same client.
    mqtt_taken_over,
    /// Messages of OwnTracks that could not be decrypted, because no key is known or another one.
    not_decrypted: PhoneKey,
    /// Connections on the client port refused because the access file does not name their network.
    lines_not_allowed: LineFrom,
    /// Events that were told to those who watch clients.
    events_told,
    /// Points of phones that were understood and are of no use: without a place, too far ahead, not on the globe.
    points_left_out,
    /// Lines from clients.
    client_lines,
    /// Lines on the peer port.
    peer_lines,
    /// Lines that got an error line.
    lines_refused,
    /// Sightings that were applied, and replicated.
    applied,
    /// Sightings that were known or outdated.
    outdated,
    /// Clients that were forgotten here.
    forgotten,
    /// Clients that were dropped because they had not reported for so long.
    expired,
    /// `WHATSAT` questions about a client that is known.
    questions,
    /// Questions that the provider of places could not answer.
    places_failures: Places,
    /// Connections made to neighbours.
    links_up,
    /// Connections to neighbours that ended by an error.
    links_lost: LinkLost,
    /// Neighbours that could not be reached several times in a row.
    links_unreachable: LinkUnreachable,
    /// Links closed because the neighbour said what is not understood.
    links_garbled: LinkGarbled,
    /// Links whose neighbour has said nothing for too long.
    links_timed_out: LinkTimedOut,
    /// Links whose neighbour did not show that it knows the secret, or refused our greeting.
    links_unproved: LinkUnproved,
    /// Links closed because what came was not what the neighbour had encrypted.
    links_tampered: LinkTampered,
    /// Connections of neighbours on which nothing has come for too long.
    peers_timed_out: PeerTimedOut,
    /// Connections of a neighbour that a newer one has replaced.
    peers_replaced,
    /// Peers kept out because another server with the same name is here.
    peers_flapping: NameTaken,
    /// Peers that speak another version.
    peers_of_other_version: PeerVersion,
    /// Peers that meant another server.
    peers_misdirected: PeerMisdirected,
    /// Peers that are no neighbours.
    peers_unknown: PeerUnknown,
    /// Peers that did not show that they know the secret.
    peers_unproved: PeerUnproved,
    /// Connections of peers closed because what came was not what the neighbour had encrypted.
    peers_tampered: PeerTampered,
    /// Buckets that anti-entropy found to differ, and sent again.
    buckets_repaired: BucketsDiffer,
    /// Times that a neighbour made our link lazy, because it knew what came on it.
    links_pruned,
    /// Times that a neighbour made our link eager again, because it lacked what was offered.
    links_grafted,
    /// Offers of lazy links that the neighbour has answered without making them eager.
    offers_known,
    /// `AT` lines written to neighbours.
    link_lines,
    /// Bytes written to neighbours.
    link_bytes,
    /// Reports that were applied and not acknowledged, because they could not be made durable.
    acks_withheld,
    /// Times that the journal could not be written.
    journal_failures: Journal,
    /// Times that the journal could be written again.
    journal_recoveries: JournalWhole,
    /// Checkpoints that could not be written although the journal could.
    checkpoint_failures: Checkpoint,
    /// Clients that were written to the core database.
    database_writes,
    /// Clients that the core database was asked for, because they were unknown here.
    database_questions,
    /// Calls of the core database that failed.
    database_failures: Database,
    /// Times that the core database had lost what was written, so that it was written again.
    database_losses: DatabaseLost,
    /// Points that were written to the history.
    history_points,
    /// Points that are missing in the history, because too many waited for the database.
    history_dropped: HistoryDropped,
    /// Flushes of the journal in the background.
    journal_flushes,
    /// Conversations that ended by a bug of ours.
    bugs,
}

/// When each kind of event was last warned of.
#[derive(Debug)]
struct Warnings([Mutex<Throttles>; EVENTS.len()]);

impl Counter {
    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metrics {
    /// Counts an event, and warns of it.
    pub fn count_and_warn(&self, event: Event, source: impl Into<Source>, what: fmt::Arguments<'_>) {
        self.count_many_and_warn(event, source, 1, what);
    }

    /// Counts an event that happened `times` times at once, and warns of it.
    pub fn count_many_and_warn(
        &self,
        event: Event,
        source: impl Into<Source>,
        times: u64,
        what: fmt::Arguments<'_>,
    ) {
        self.counter(event).add(times);
        let due = self.warnings.0[event as usize].lock().due(source.into(), clock::instant());
        match due {
            None => {}
            Some(0) => log::warn!("{what}"),
            Some(left_out) => log::warn!("{what}; before it {left_out} more of this kind ({})", event.name()),
        }
    }

    /// Counts and warns of points that there was no room for in the history, if there are any.
    pub(super) fn count_history_dropped(&self, dropped: u64) {
        if dropped > 0 {
            let what = format_args!("{dropped} points are not kept: too many wait for the database");
            self.count_many_and_warn(Event::HistoryDropped, Source::Own, dropped, what);
        }
    }

    /// Logs that a connection has come or gone: like the requests on them if that happens too often.
    pub fn log_connection(&self, what: fmt::Arguments<'_>) {
        let line = self.connection_lines.lock().take(clock::instant());
        if line.left_out_before > 0 {
            log::info!("before it {} more connections came or went", line.left_out_before);
        }
        let level = if line.is_within { log::Level::Info } else { log::Level::Debug };
        log::log!(level, "{what}");
    }

    /// Says how many warnings were left out since the last ones, because no further one will.
    pub fn finish_warnings(&self) {
        for &event in EVENTS {
            let left_out = self.warnings.0[event as usize].lock().finish();
            if left_out > 0 {
                log::warn!("{left_out} more warnings of one kind were left out ({})", event.name());
            }
        }
    }
}

impl Event {
    /// What it is that a conversation is closed for; `None` if that was warned of when it was seen, with the addresses
    /// of both.
    pub fn of_refusal(why: Refusal) -> Option<Event> {
        match why {
            Refusal::TooLong => Some(Event::LineBytes),
            Refusal::Peer(why) => match why {
                peer::Refusal::NameTaken => None,
                peer::Refusal::Version { .. } => Some(Event::PeerVersion),
                peer::Refusal::NotMe => Some(Event::PeerMisdirected),
                peer::Refusal::NotANeighbour => Some(Event::PeerUnknown),
                peer::Refusal::Differs | peer::Refusal::NoSecretThere | peer::Refusal::NoSecretHere => {
                    Some(Event::PeerUnproved)
                }
                peer::Refusal::InClear => Some(Event::PeerTampered),
                peer::Refusal::Parse(_) | peer::Refusal::NotProved | peer::Refusal::SecondHello => {
                    Some(Event::Refused)
                }
            },
            Refusal::Client(_) => Some(Event::Refused),
        }
    }
}

impl From<&PlacesError> for Event {
    fn from(error: &PlacesError) -> Event {
        match error {
            PlacesError::RateLimited(..) => Event::PlacesPerMinute,
            PlacesError::AddressLimited(..) => Event::PlacesPerAddress,
            PlacesError::OverBudget(..) => Event::PlacesBudget,
            PlacesError::Busy => Event::PlacesCalls,
            PlacesError::Denied(_)
            | PlacesError::Invalid(_)
            | PlacesError::OverLimit(_)
            | PlacesError::Silent(_)
            | PlacesError::Open(_)
            | PlacesError::TooSlow(_)
            | PlacesError::Failed(_)
            | PlacesError::Unreachable(_)
            | PlacesError::CutOff
            | PlacesError::TooLong(_)
            | PlacesError::Garbage(_)
            | PlacesError::Status(_)
            | PlacesError::Redirected(..)
            | PlacesError::Stopped => Event::Places,
        }
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Row { name, value, .. }) in self.rows().into_iter().enumerate() {
            let separator = if at == 0 { "" } else { " " };
            write!(f, "{separator}{name}={value}")?;
        }
        Ok(())
    }
}

impl Default for Warnings {
    fn default() -> Warnings {
        Warnings(std::array::from_fn(|_| Mutex::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_a_place_and_a_counter_of_its_own() {
        let metrics = Metrics::default();
        for (index, &event) in EVENTS.iter().enumerate() {
            assert_eq!(event as usize, index);
            metrics.count_and_warn(event, Source::Own, format_args!("x"));
        }
        let rows = metrics.rows();
        assert_eq!(rows.iter().map(|row| row.value).sum::<u64>(), EVENTS.len() as u64);
        assert!(rows.iter().all(|row| row.value <= 1 && row.help.ends_with('.')));
        assert_eq!(rows[0].open_metrics_name, "proxyherd_clients_accepted_total");
    }
}
