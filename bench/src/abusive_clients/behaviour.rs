//! The ways to misbehave, each with its pace.

use std::time::Duration;

use clap::ValueEnum;

/// How all clients of a fleet behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Behaviour {
    /// A byte a second of a line that has no end.
    Drip,
    /// A line that has no end, as fast as it is taken; again and again.
    Endless,
    /// Questions whose answers are never read.
    Deaf,
    /// All connect at the same moment, report, and stay until all leave at the same moment.
    Storm,
    /// Random bytes.
    Noise,
    /// Reports that are right, a byte at a time.
    Split,
    /// One report, and then nothing for ever, as phones that have lost their network.
    Vanished,
    /// Nothing at all, on the peer port, and again every second.
    Strangers,
    /// Reports of clients with the longest names, each new, as many as are taken.
    LongNames,
    /// Lines that are no commands.
    Rubbish,
    /// A question that costs the server money, on one connection after the other.
    Paid,
    /// Subscribers of MQTT that publish every second and read nothing.
    MqttDeaf,
    /// Half a packet of MQTT, and a byte a second of the rest.
    MqttHalf,
    /// Packets of MQTT that are announced and never whole: longer than any may be, or all but their last byte.
    MqttGiant,
    /// Phones after an outage: all connect at the same moment, and publish a hundred places each.
    MqttStorm,
}

impl Behaviour {
    /// What people call it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Behaviour::Drip => "a byte a second",
            Behaviour::Endless => "endless lines",
            Behaviour::Deaf => "never read",
            Behaviour::Storm => "connect storms",
            Behaviour::Noise => "random bytes",
            Behaviour::Split => "split at every byte",
            Behaviour::Vanished => "vanished",
            Behaviour::Strangers => "silent strangers",
            Behaviour::LongNames => "long names",
            Behaviour::Rubbish => "rubbish",
            Behaviour::Paid => "paid calls",
            Behaviour::MqttDeaf => "MQTT: never read",
            Behaviour::MqttHalf => "MQTT: half packets",
            Behaviour::MqttGiant => "MQTT: giant lengths",
            Behaviour::MqttStorm => "MQTT: phones after an outage",
        }
    }

    /// The one that people call so.
    pub(crate) fn named(words: &str) -> Option<Behaviour> {
        Behaviour::value_variants().iter().copied().find(|behaviour| behaviour.words() == words)
    }

    /// How often each client has its turn: to connect if it is not connected, else to say more.
    pub(super) fn turn(self) -> Duration {
        match self {
            Behaviour::Drip | Behaviour::Deaf | Behaviour::MqttDeaf | Behaviour::MqttHalf => {
                Duration::from_secs(1)
            }
            // On one turn they come, on the next they go.
            Behaviour::Storm | Behaviour::Vanished | Behaviour::MqttStorm => Duration::from_secs(2),
            Behaviour::Strangers => Duration::from_millis(500),
            Behaviour::Endless
            | Behaviour::Noise
            | Behaviour::LongNames
            | Behaviour::Rubbish
            | Behaviour::MqttGiant => Duration::from_millis(100),
            Behaviour::Paid => Duration::from_millis(250),
            Behaviour::Split => Duration::from_millis(25),
        }
    }

    /// Whether all have it at the same moment, and not one after the other.
    pub(super) fn is_at_once(self) -> bool {
        matches!(self, Behaviour::Storm | Behaviour::MqttStorm)
    }

    /// Whether its clients connect to the peer port.
    pub(crate) fn is_at_peer_port(self) -> bool {
        self == Behaviour::Strangers
    }

    /// Whether its clients leave on the turn after that on which they came.
    pub(super) fn comes_and_goes(self) -> bool {
        matches!(self, Behaviour::Storm | Behaviour::Strangers | Behaviour::Paid)
    }

    /// Whether its clients do nothing wrong, so that each must be answered.
    pub(crate) fn must_be_answered(self) -> bool {
        matches!(self, Behaviour::Storm | Behaviour::Split | Behaviour::MqttStorm)
    }

    /// Whether its clients read nothing, and have as little room for it as there can be.
    pub(super) fn is_deaf(self) -> bool {
        matches!(self, Behaviour::Deaf | Behaviour::MqttDeaf)
    }

    /// Whether its clients speak MQTT.
    pub(crate) fn is_of_mqtt(self) -> bool {
        matches!(
            self,
            Behaviour::MqttDeaf | Behaviour::MqttHalf | Behaviour::MqttGiant | Behaviour::MqttStorm
        )
    }
}
