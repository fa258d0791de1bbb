//! Every bound that may be chosen, with its default and the reason for it.

use std::time::Duration;

pub use crate::proto::line::framing::{LINE_BYTES_CEILING, LINE_BYTES_FLOOR};
use crate::proto::line::framing::{LINE_BYTES_MAX, LOOKAHEAD_BYTES};
pub use crate::proto::node::CLIENT_NAME_BYTES_MAX;
use crate::proto::peering::frames::{WEAR, Wear};
pub use crate::proto::store::bounds::{CLIENTS_CEILING, CLIENTS_MAX};

/// The most servers of one herd. Every server may be linked to every other, at a thread and two descriptors
/// a link, and the simulator has shown herds of hundreds; more than a thousand are taken for a mistake.
pub const SERVERS_MAX: usize = 1_000;

/// The most bytes of a herd file: a thousand servers with forty links each fit twice.
pub(super) const HERD_FILE_BYTES_MAX: u64 = 4 << 20;

/// The most bytes of an access file: as many users as there may be, with two tokens each, fit.
pub(super) const ACCESS_FILE_BYTES_MAX: u64 = 4 << 20;

/// The most users of an access file, and the most tokens of all of them together, at some 200 bytes each.
pub(super) const USERS_MAX: usize = 10_000;
pub(super) const TOKENS_MAX: usize = 20_000;

/// The default of client connections that a server holds at once: a thread each, and about 16,000
/// threads fit into one process of a stock Linux. The rest is for peers, links, and room to breathe.
pub const CONNECTIONS_DEFAULT: u32 = 10_000;

/// The most client connections that may be asked for. No kernel gives one process more threads than this,
/// so a larger number would be a typing mistake.
pub const CONNECTIONS_MAX: u32 = 1_000_000;

/// Connections on the peer port without a proven hello from elsewhere than a neighbour's address: a moment's worth, for
/// the oldest gives way to the next.
pub const HELLO_PENDING_DEFAULT: u32 = 16;

/// The most unauthenticated connections that may be allowed: a thread and a descriptor each.
pub const HELLO_PENDING_MAX: u32 = 1_024;

/// The time for a hello: a round trip to the far side of the world, with a packet lost.
pub const HELLO_TIME_DEFAULT: Duration = Duration::from_secs(2);

/// The time for the handshake of TLS: three round trips to the far side of the world, each with a packet lost.
pub const HANDSHAKE_TIME_DEFAULT: Duration = Duration::from_secs(10);

/// The time for a whole line: one that is typed by hand has it, one that drips in byte by byte has not.
pub const LINE_TIME_DEFAULT: Duration = Duration::from_secs(30);

/// The bytes of a packet of MQTT: a card with a small photograph fits, and a place takes 300.
pub const MQTT_PACKET_BYTES_DEFAULT: u32 = 64 << 10;
/// The least that may be chosen: a place fits.
pub const MQTT_PACKET_BYTES_FLOOR: u32 = 1 << 10;
/// The most that may be chosen: a card with a large photograph fits.
pub const MQTT_PACKET_BYTES_CEILING: u32 = 1 << 20;

/// The filters of a client of MQTT: the apps have five. Each change is compared with all of them.
pub const MQTT_FILTERS_DEFAULT: u32 = 32;
/// The most filters that may be chosen.
pub const MQTT_FILTERS_CEILING: u32 = 1_024;

/// Messages to a client of MQTT that wait for their acknowledgement: as many as brokers send, and a bit each here.
pub const MQTT_IN_FLIGHT_DEFAULT: u32 = 20;
/// The most of them that may be chosen: the bits of a number.
pub const MQTT_IN_FLIGHT_CEILING: u32 = 32;

/// The time for a client to say nothing: an hour, because a phone that means to stay reports more often, and one that
/// comes back after an hour connects anew.
pub const IDLE_TIME_DEFAULT: Duration = Duration::from_secs(60 * 60);

/// The time for a client to say nothing while others find no place: a minute, in which one that is there has reported.
pub const IDLE_TIME_WHEN_FULL_DEFAULT: Duration = Duration::from_secs(60);

/// The time until a client that has vanished without a word is let go: two minutes, in which a phone is through any
/// tunnel that it comes out of with the same address.
pub const VANISHED_TIME_DEFAULT: Duration = Duration::from_secs(2 * 60);

/// The shortest such time: the kernel counts its probes in whole seconds.
pub const VANISHED_TIME_FLOOR: Duration = Duration::from_secs(4);

/// The longest such time: half of it passes until the kernel's first probe, for which it waits nine hours at most.
pub const VANISHED_TIME_CEILING: Duration = Duration::from_secs(12 * 60 * 60);

/// The time for a client to take its replies: a phone that loses its network has it back by then or reconnects.
pub const REPLY_TIME_DEFAULT: Duration = Duration::from_secs(30);

/// The shortest time that may be allowed for anything.
pub const TIME_FLOOR: Duration = Duration::from_millis(10);

/// The longest time that may be allowed: a day, because no client comes back to an older connection.
pub const TIME_CEILING: Duration = Duration::from_secs(24 * 60 * 60);

/// Bytes owed to one client: a long answer of a provider, or two thousand replies.
pub const OUTPUT_BYTES_DEFAULT: u32 = 256 << 10;

/// The fewest bytes owed that may be allowed: the kernel has no smaller buffers that are of use.
pub const OUTPUT_BYTES_FLOOR: u32 = 32 << 10;

/// The most bytes owed that may be allowed.
pub const OUTPUT_BYTES_CEILING: u32 = 64 << 20;

/// Questions of one connection to a provider over the network within a minute: one a second, which is faster than
/// a person reads.
pub const PLACES_CALLS_PER_MINUTE_DEFAULT: u32 = 60;

/// The most such questions that may be allowed: each is remembered for a minute.
pub const PLACES_CALLS_PER_MINUTE_MAX: u32 = 6_000;

/// The fewest bytes that a client's name may be bounded to: shorter ones may take the fast path, which compares no
/// length.
pub const CLIENT_NAME_BYTES_FLOOR: usize = LOOKAHEAD_BYTES;

/// The least memory for clients that may be asked for: some thousand of them.
pub const MEMORY_BYTES_FLOOR: u64 = 1 << 20;

/// The most memory for clients that may be asked for: 1 PiB, more than a machine has.
pub const MEMORY_BYTES_CEILING: u64 = 1 << 50;

/// The time after which clients expire in the herd file that `proxyherd herd` prints: a phone in a drawer for a month
/// is not where it was.
pub const EXPIRE_AFTER_SUGGESTED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The least and the greatest time after which clients may expire: a second is for tests, and ten years are for ever.
pub const EXPIRE_AFTER_FLOOR: Duration = Duration::from_secs(1);
/// See [`EXPIRE_AFTER_FLOOR`].
pub const EXPIRE_AFTER_CEILING: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// How far clocks may be ahead in the herd file that `proxyherd herd` prints: a wrong time zone is no reason to refuse
/// a phone.
pub const CLOCK_LEAD_SUGGESTED: Duration = Duration::from_secs(24 * 60 * 60);

/// Such questions from one address within a minute: those of five busy connections, because a home or an office has
/// one address for all.
pub const PLACES_CALLS_PER_ADDRESS_DEFAULT: u32 = 300;

/// The most calls to a provider within a minute or a day that may be allowed; more are as good as no budget.
pub const PLACES_BUDGET_MAX: u32 = 100_000_000;

/// Friends in an answer to OwnTracks: more than a family has, and 30 KB for each report of a phone.
pub const FRIENDS_DEFAULT: u32 = 100;

/// The most friends that may be allowed: an answer goes out with each report.
pub const FRIENDS_MAX: u32 = 1_000;

/// The bounds beyond which a server refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections served at once, 1 to [`CONNECTIONS_MAX`]. Lowered at the start if the system does not
    /// grant as many besides what neighbours, links and log need.
    pub connections_max: u32,
    /// Client connections from one address; an address of IPv6 is its first 64 bits. `None` by default, because
    /// a whole mobile network may be behind one address.
    pub connections_per_address_max: Option<u32>,
    /// Streams of events at once, 1 to [`CONNECTIONS_MAX`]; `None` for half of the client connections, because phones
    /// that report must find a place too.
    pub watchers_max: Option<u32>,
    /// Connections on the peer port that have not said hello, 1 to [`HELLO_PENDING_MAX`], besides those that each
    /// neighbour's address has a place for.
    pub hello_pending_max: u32,
    /// How long an unauthenticated connection may take to say hello, from its first moment.
    pub hello_time_max: Duration,
    /// When an encrypted link gives way to one with new keys.
    pub link_wear: Wear,
    /// How long the handshake of TLS may take, from the first moment of a connection.
    pub handshake_time_max: Duration,
    /// Bytes of a client's line, [`LINE_BYTES_FLOOR`] to [`LINE_BYTES_CEILING`], its terminator not counted.
    pub line_bytes_max: usize,
    /// How long a client may take from the first byte of a line to its last.
    pub line_time_max: Duration,
    /// How long a client may be silent; `None` if for ever. Neighbours of the legacy dialect may be for ever.
    pub idle_time_max: Option<Duration>,
    /// How long a client may be silent while the server is full: one that was silent for longer gives way to a
    /// newcomer.
    pub idle_time_when_full: Duration,
    /// How long a connection is kept whose other side has vanished without a word, [`VANISHED_TIME_FLOOR`] to
    /// [`VANISHED_TIME_CEILING`].
    pub vanished_time_max: Duration,
    /// How long a client may take to read the replies that are written at once.
    pub reply_time_max: Duration,
    /// Bytes of replies that wait for one client, in this process and in the kernel; a single reply may be longer.
    pub output_bytes_max: u32,
    /// Clients that may register themselves, 1 to [`CLIENTS_CEILING`]. Replicated clients are never refused,
    /// because the herd could not agree then.
    pub clients_max: usize,
    /// Bytes of memory that clients may take by registering themselves, [`MEMORY_BYTES_FLOOR`] to
    /// [`MEMORY_BYTES_CEILING`]; `None` for three quarters of what the system has for this process.
    pub memory_bytes_max: Option<u64>,
    /// Bytes of the name of a client that registers itself, at least [`CLIENT_NAME_BYTES_FLOOR`].
    pub client_name_bytes_max: usize,
    /// Questions of one connection to a provider over the network within a minute, 1 to
    /// [`PLACES_CALLS_PER_MINUTE_MAX`].
    pub places_calls_per_minute: u32,
    /// Such questions of all connections from one address; an address of IPv6 is its first 64 bits. 1 to
    /// [`PLACES_BUDGET_MAX`].
    pub places_calls_per_address: u32,
    /// Friends in an answer to OwnTracks, 0 to [`FRIENDS_MAX`].
    pub friends_max: u32,
    /// Bytes of a packet of MQTT, [`MQTT_PACKET_BYTES_FLOOR`] to [`MQTT_PACKET_BYTES_CEILING`].
    pub mqtt_packet_bytes_max: u32,
    /// Filters of a client of MQTT, 1 to [`MQTT_FILTERS_CEILING`].
    pub mqtt_filters_max: u32,
    /// Messages to a client of MQTT that wait for their acknowledgement, 1 to [`MQTT_IN_FLIGHT_CEILING`].
    pub mqtt_in_flight_max: u32,
}

impl Limits {
    /// Streams of events at once.
    pub fn watchers_max(&self) -> u32 {
        self.watchers_max.unwrap_or(self.connections_max / 2).clamp(1, self.connections_max)
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: CONNECTIONS_DEFAULT,
            connections_per_address_max: None,
            watchers_max: None,
            hello_pending_max: HELLO_PENDING_DEFAULT,
            hello_time_max: HELLO_TIME_DEFAULT,
            link_wear: WEAR,
            handshake_time_max: HANDSHAKE_TIME_DEFAULT,
            line_bytes_max: LINE_BYTES_MAX,
            line_time_max: LINE_TIME_DEFAULT,
            idle_time_max: Some(IDLE_TIME_DEFAULT),
            idle_time_when_full: IDLE_TIME_WHEN_FULL_DEFAULT,
            vanished_time_max: VANISHED_TIME_DEFAULT,
            reply_time_max: REPLY_TIME_DEFAULT,
            output_bytes_max: OUTPUT_BYTES_DEFAULT,
            clients_max: CLIENTS_MAX,
            memory_bytes_max: None,
            client_name_bytes_max: CLIENT_NAME_BYTES_MAX,
            places_calls_per_minute: PLACES_CALLS_PER_MINUTE_DEFAULT,
            places_calls_per_address: PLACES_CALLS_PER_ADDRESS_DEFAULT,
            friends_max: FRIENDS_DEFAULT,
            mqtt_packet_bytes_max: MQTT_PACKET_BYTES_DEFAULT,
            mqtt_filters_max: MQTT_FILTERS_DEFAULT,
            mqtt_in_flight_max: MQTT_IN_FLIGHT_DEFAULT,
        }
    }
}
