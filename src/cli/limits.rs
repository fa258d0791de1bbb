//! The options that bound the work that clients and neighbours cause, as clap reads them.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;

use crate::config::{
    CLIENT_NAME_BYTES_FLOOR, CLIENTS_CEILING, CLIENTS_MAX, CONNECTIONS_DEFAULT, CONNECTIONS_MAX,
    FRIENDS_DEFAULT, FRIENDS_MAX, HELLO_PENDING_DEFAULT, HELLO_PENDING_MAX, LINE_BYTES_CEILING,
    LINE_BYTES_FLOOR, Limits, MEMORY_BYTES_CEILING, MEMORY_BYTES_FLOOR, MQTT_FILTERS_CEILING,
    MQTT_FILTERS_DEFAULT, MQTT_IN_FLIGHT_CEILING, MQTT_IN_FLIGHT_DEFAULT, MQTT_PACKET_BYTES_CEILING,
    MQTT_PACKET_BYTES_FLOOR, OUTPUT_BYTES_CEILING, OUTPUT_BYTES_FLOOR, PLACES_BUDGET_MAX,
    PLACES_CALLS_DEFAULT, PLACES_CALLS_MAX, PLACES_CALLS_PER_ADDRESS_DEFAULT,
    PLACES_CALLS_PER_MINUTE_DEFAULT, PLACES_CALLS_PER_MINUTE_MAX, TIME_CEILING, TIME_FLOOR,
    VANISHED_TIME_CEILING, VANISHED_TIME_FLOOR,
};
use crate::proto::peering::frames::WEAR;

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct RawLimits {
    /// How many clients may be connected at once; one more is refused politely. The server lowers this at the start,
    /// with a warning, if the system does not grant as many besides those for neighbours, links and log.
    #[arg(long, value_name = "N", default_value_t = CONNECTIONS_DEFAULT,
        value_parser = count(1..=CONNECTIONS_MAX), allow_negative_numbers = true)]
    connections_max: u32,
    /// How many of them from one address, or of IPv6 from one /64 [default: not limited, because a whole mobile
    /// network may be behind one address].
    #[arg(long, value_name = "N",
        value_parser = count(1..=CONNECTIONS_MAX), allow_negative_numbers = true)]
    connections_per_address_max: Option<u32>,
    /// How many of the clients may be streams of events, which are open for as long as a browser shows them; one more
    /// is refused [default: half of --connections-max].
    #[arg(long, value_name = "N",
        value_parser = count(1..=CONNECTIONS_MAX), allow_negative_numbers = true)]
    watchers_max: Option<u32>,
    /// How many connections on the peer port may be unauthenticated: they have not said hello. The oldest gives way to
    /// one more. Each neighbour's address has four places besides.
    #[arg(long, value_name = "N", default_value_t = HELLO_PENDING_DEFAULT,
        value_parser = count(1..=HELLO_PENDING_MAX), allow_negative_numbers = true)]
    hello_pending_max: u32,
    /// How long an unauthenticated connection may take to say hello.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time)]
    hello_time_max: Duration,
    /// How long the handshake of TLS may take; then the connection is closed.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    handshake_time_max: Duration,
    /// How long a client's line may be, in bytes; a longer one ends its connection. Neighbours take every line
    /// that this option allows, whatever their own option says.
    #[arg(long, value_name = "SIZE", default_value = "4096",
        value_parser = size(LINE_BYTES_FLOOR as u64..=LINE_BYTES_CEILING as u64))]
    line_bytes_max: u64,
    /// How long a client may take from the first byte of a line to its end.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    line_time_max: Duration,
    /// How long a client may be silent, or never if it may be for ever. Classic neighbours may be for ever.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time_or_never)]
    idle_time_max: TimeOrNever,
    /// How long a client may be silent while the server is full: one that was silent for longer gives way to a
    /// newcomer, of the address that holds most connections.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = time)]
    idle_time_when_full: Duration,
    /// How long a connection is kept whose other side has vanished without a word, as a phone without coverage does;
    /// 4s at least, and no less than --reply-time-max.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = vanished_time)]
    vanished_time_max: Duration,
    /// How long a client may take to read the replies that are written at once; then it is cut off.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    reply_time_max: Duration,
    /// How many bytes of replies may wait for one client, here and in the kernel; a single longer reply may too.
    #[arg(long, value_name = "SIZE", default_value = "256KiB",
        value_parser = size(OUTPUT_BYTES_FLOOR.into()..=OUTPUT_BYTES_CEILING.into()))]
    output_bytes_max: u64,
    /// How many clients may register themselves; reports of more are refused. Replicated clients are never refused.
    #[arg(long, value_name = "N", default_value_t = CLIENTS_MAX as u64,
        value_parser = count(1..=CLIENTS_CEILING as u64), allow_negative_numbers = true)]
    clients_max: u64,
    /// How much memory clients may take, such as 400MiB: reports of new ones are refused from then on, by every server
    /// of the herd, because all must keep them [default: three quarters of what this process may have].
    #[arg(long, value_name = "SIZE", value_parser = size(MEMORY_BYTES_FLOOR..=MEMORY_BYTES_CEILING))]
    memory_max: Option<u64>,
    /// How long the name of a client may be, in bytes; reports with longer ones are refused.
    #[arg(long, value_name = "SIZE", default_value = "1024",
        value_parser = size(CLIENT_NAME_BYTES_FLOOR as u64..=LINE_BYTES_CEILING as u64))]
    client_name_bytes_max: u64,
    /// How many calls to a provider over the network may be under way at once.
    #[arg(long, value_name = "N", default_value_t = PLACES_CALLS_DEFAULT,
        value_parser = count(1..=PLACES_CALLS_MAX), allow_negative_numbers = true)]
    pub(super) places_calls_max: u32,
    /// How many questions of one connection within a minute are passed on to a provider over the network.
    #[arg(long, value_name = "N", default_value_t = PLACES_CALLS_PER_MINUTE_DEFAULT,
        value_parser = count(1..=PLACES_CALLS_PER_MINUTE_MAX), allow_negative_numbers = true)]
    places_calls_per_minute: u32,
    /// How many questions of all connections from one address, or of IPv6 from one /64, within a minute are passed on
    /// to a provider over the network.
    #[arg(long, value_name = "N", default_value_t = PLACES_CALLS_PER_ADDRESS_DEFAULT,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(PLACES_BUDGET_MAX)))]
    places_calls_per_address: u32,
    /// How many friends OwnTracks is told of in one answer over HTTP, those first that moved last; 0 for none.
    #[arg(long, value_name = "N", default_value_t = FRIENDS_DEFAULT,
        value_parser = count(0..=FRIENDS_MAX), allow_negative_numbers = true)]
    friends_max: u32,
    /// How long a packet of MQTT may be; a longer one ends its connection.
    #[arg(long, value_name = "SIZE", default_value = "64KiB",
        value_parser = size(MQTT_PACKET_BYTES_FLOOR.into()..=MQTT_PACKET_BYTES_CEILING.into()))]
    mqtt_packet_bytes_max: u64,
    /// How many filters a client of MQTT may have; one more is refused.
    #[arg(long, value_name = "N", default_value_t = MQTT_FILTERS_DEFAULT,
        value_parser = count(1..=MQTT_FILTERS_CEILING), allow_negative_numbers = true)]
    mqtt_filters_max: u32,
    /// How many messages to a client of MQTT may wait for their acknowledgement; what changes meanwhile is told when it
    /// comes.
    #[arg(long, value_name = "N", default_value_t = MQTT_IN_FLIGHT_DEFAULT,
        value_parser = count(1..=MQTT_IN_FLIGHT_CEILING), allow_negative_numbers = true)]
    mqtt_in_flight_max: u32,
    /// How many calls this server makes within a minute to a provider over the network, whoever asks [default: 60 for
    /// Google, 30 for public servers of Overpass and Photon, not limited for such a server of your own].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(PLACES_BUDGET_MAX)))]
    pub(super) places_budget_per_minute: Option<u32>,
    /// How many of them within a day, counted from the start of the server [default: 1000 for Google and the public
    /// Photon server, 2000 for the public Overpass servers, not limited for such a server of your own].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(PLACES_BUDGET_MAX)))]
    pub(super) places_budget_per_day: Option<u32>,
}

/// A time, or none.
#[derive(Clone, Copy, Debug)]
struct TimeOrNever(Option<Duration>);

impl RawLimits {
    pub(super) fn checked(&self) -> Limits {
        Limits {
            connections_max: self.connections_max,
            connections_per_address_max: self.connections_per_address_max,
            watchers_max: self.watchers_max,
            hello_pending_max: self.hello_pending_max,
            hello_time_max: self.hello_time_max,
            // What one key is good for is no matter of taste.
            link_wear: WEAR,
            handshake_time_max: self.handshake_time_max,
            line_bytes_max: self.line_bytes_max as usize,
            line_time_max: self.line_time_max,
            idle_time_max: self.idle_time_max.0,
            idle_time_when_full: self.idle_time_when_full,
            vanished_time_max: self.vanished_time_max,
            reply_time_max: self.reply_time_max,
            output_bytes_max: self.output_bytes_max as u32,
            clients_max: self.clients_max as usize,
            memory_bytes_max: self.memory_max,
            client_name_bytes_max: self.client_name_bytes_max as usize,
            places_calls_per_minute: self.places_calls_per_minute,
            places_calls_per_address: self.places_calls_per_address,
            friends_max: self.friends_max,
            mqtt_packet_bytes_max: self.mqtt_packet_bytes_max as u32,
            mqtt_filters_max: self.mqtt_filters_max,
            mqtt_in_flight_max: self.mqtt_in_flight_max,
        }
    }
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    time_within(TIME_FLOOR..=TIME_CEILING, "30s", text)
}

/// A time in `range`. What is wrong with its form is not said in the library's words, which would advise another time
/// that may be outside.
fn time_within(range: RangeInclusive<Duration>, such_as: &str, text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| range.contains(time));
    time.ok_or_else(|| {
        let [least, most] = [range.start(), range.end()].map(|time| humantime::format_duration(*time));
        format!("it takes a time from {least} to {most} with its unit, such as {such_as}")
    })
}

fn time_or_never(text: &str) -> Result<TimeOrNever, String> {
    if text == "never" {
        return Ok(TimeOrNever(None));
    }
    time(text).map(|time| TimeOrNever(Some(time))).map_err(|error| format!("{error}, or never"))
}

fn vanished_time(text: &str) -> Result<Duration, String> {
    time_within(VANISHED_TIME_FLOOR..=VANISHED_TIME_CEILING, "2m", text)
}

/// A parser of numbers in `range`.
pub(super) fn count<N>(
    range: RangeInclusive<N>,
) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync + 'static
where
    N: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("it takes a whole number from {} to {}", range.start(), range.end()))
    }
}

/// A parser of sizes in `range`: a number of bytes, or of KiB, MiB, GiB or TiB.
pub(super) fn size(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync + 'static {
    move |text| {
        // The package also takes fractions and thousands (`1.5GB`), which are more likely mistakes here.
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let size =
            text.parse::<ByteSize>().ok().filter(|_| ["", "B", "KiB", "MiB", "GiB", "TiB"].contains(&unit));
        let [least, most] =
            [range.start(), range.end()].map(|bytes| format!("{:.0}", ByteSize(*bytes).display().iec()));
        size.map(|size| size.as_u64()).filter(|bytes| range.contains(bytes)).ok_or_else(|| {
            let such_as = least.replace(' ', "");
            format!(
                "it takes a size from {least} to {most}: a whole number of bytes, KiB, MiB or GiB, such as {such_as}"
            )
        })
    }
}
