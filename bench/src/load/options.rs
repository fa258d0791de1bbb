//! What a load run is told: who is driven, how hard, for how long.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use serde::Serialize;

use super::error::LoadError;

/// The most connections of one run: more do not fit into any machine this is meant for.
pub const CONNECTIONS_MAX: u32 = 200_000;

/// The most requests that a connection may have on the way.
pub const DEPTH_MAX: u32 = 4_096;

/// The options of one run, as the command line has them and as they are kept beside the results.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Options {
    /// The server to drive.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:12550")]
    pub target: String,
    /// Drive a server on another machine, with its owner's consent.
    #[arg(long)]
    pub allow_any_target: bool,
    /// What the server speaks.
    #[arg(long, value_enum, default_value_t = Protocol::Herd)]
    pub protocol: Protocol,
    /// HTTPS: a PEM file with the certificate to trust, which must be for localhost.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub ca: Option<PathBuf>,
    /// HTTPS: a connection that was there before resumes its TLS session, or the run fails.
    #[arg(long)]
    pub resume: bool,
    /// MQTT: how often messages are to arrive. At 0 none is acknowledged, so a PINGREQ follows each batch of --depth,
    /// and its answer counts as that of all of them.
    #[arg(long, value_name = "0|1", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub qos: u8,
    /// Closed loop: each active connection keeps this many requests on the way.
    #[arg(long, short = 'P', value_name = "N", default_value_t = 1, conflicts_with_all = ["rate", "churn", "storm"])]
    pub depth: u32,
    /// Open loop: this many requests a second arrive whatever the server does; latency counts from the
    /// moment when a request should have been sent.
    #[arg(long, short = 'R', value_name = "PER_SECOND", conflicts_with_all = ["churn", "storm"])]
    pub rate: Option<f64>,
    /// Connect, report once, disconnect, again and again, on all connections at once.
    #[arg(long, conflicts_with = "storm")]
    pub churn: bool,
    /// Open all connections in one go, report once on each; the run ends with the last reply.
    #[arg(long)]
    pub storm: bool,
    /// Open connections.
    #[arg(long, short = 'N', value_name = "N", default_value_t = 1)]
    pub connections: u32,
    /// Connections that send requests; the others only stay open [default: all].
    #[arg(long, short = 'C', value_name = "N")]
    pub active: Option<u32>,
    /// Names of clients that each connection reports for, in turn.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub clients: u32,
    /// How the names of these clients begin.
    #[arg(long, value_name = "WORD", default_value = "client")]
    pub name: String,
    /// Shares of IAMAT, WHATSAT and outdated IAMAT in percent, such as iamat=80,whatsat=15,stale=5. Over HTTP, where
    /// nothing is outdated, WHATSAT is GET /v1/clients/NAME.
    #[arg(long, default_value_t = Mix::default())]
    pub mix: Mix,
    /// The radius that WHATSAT asks for, in km.
    #[arg(long, value_name = "KM", default_value_t = 10)]
    pub radius: u32,
    /// The most results that WHATSAT asks for.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub limit: u32,
    /// The time over which the active connections begin to send.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    pub ramp: Duration,
    /// Then, how long to drive the server before anything is measured.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    pub warm_up: Duration,
    /// Then, how long to measure.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    pub duration: Duration,
    /// The seed of everything that is left to chance.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Source addresses, 127.0.0.1 and the following; one has some 28,000 ports [default: as many as needed].
    #[arg(long, value_name = "N")]
    pub sources: Option<u32>,
    /// Threads of the generator.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: u32,
    /// The processor that the generator's threads stay on.
    #[arg(long, value_name = "CPU")]
    pub cpu: Option<usize>,
    /// The server's process, to be watched; may be given again.
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,
    /// A word that marks this run in the results.
    #[arg(long, value_name = "WORD", default_value = "")]
    pub label: String,
    /// The file that a line of JSON is added to.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub out: Option<PathBuf>,
}

/// As the command line has them.
impl Default for Options {
    fn default() -> Options {
        #[derive(Parser)]
        struct Nothing {
            #[command(flatten)]
            options: Options,
        }
        Nothing::parse_from(["load"]).options
    }
}

/// What is spoken with the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The herd's lines.
    #[default]
    Herd,
    /// The herd's lines, to a server that sends every line back.
    Echo,
    /// `GEOADD` to Redis.
    Redis,
    /// `set` to memcached.
    Memcached,
    /// Reports of OwnTracks to the herd's door of HTTP.
    Http,
    /// The same in TLS 1.3.
    Https,
    /// The same over MQTT 3.1.1, to the herd or to a broker.
    Mqtt,
}

/// How requests follow one another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// The next request of a connection when a reply has come, with this number on their way at once.
    Closed(u32),
    /// This number of requests a second, whatever comes back.
    Open(f64),
    /// A new connection for every request.
    Churn,
    /// All connections at once, one request each.
    Storm,
}

impl Options {
    /// How requests follow one another.
    pub fn mode(&self) -> Mode {
        match self.rate {
            Some(rate) => Mode::Open(rate),
            None if self.churn => Mode::Churn,
            None if self.storm => Mode::Storm,
            None => Mode::Closed(self.depth),
        }
    }

    /// Connections that send.
    pub fn active(&self) -> u32 {
        self.active.unwrap_or(self.connections)
    }

    /// Whether the numbers make sense together.
    pub fn check(&self) -> Result<(), LoadError> {
        let refuse = |why: String| Err(LoadError::Usage(why));
        let between = |what: &str, value: u32, max: u32| match (1..=max).contains(&value) {
            true => Ok(()),
            false => refuse(format!("{what} must be from 1 to {max}, not {value}")),
        };
        between("--connections", self.connections, CONNECTIONS_MAX)?;
        between("--active", self.active(), self.connections)?;
        between("--depth", self.depth, DEPTH_MAX)?;
        between("--clients", self.clients, 10_000_000)?;
        between("--threads", self.threads, self.active().min(64))?;
        between("--radius", self.radius, 50)?;
        between("--limit", self.limit, 20)?;
        between("--sources", self.sources.unwrap_or(1), 250)?;
        if let Some(rate) = self.rate
            && !(rate > 0.0 && rate <= 1e8)
        {
            return refuse(format!("--rate must be above 0 and at most 100000000, not {rate}"));
        }
        if self.duration < Duration::from_millis(100) {
            return refuse("--duration must be at least 100ms".to_owned());
        }
        match self.protocol {
            _ if self.mix == Mix::default() => {}
            Protocol::Herd => {}
            Protocol::Http | Protocol::Https if self.mix.stale > 0 => {
                return refuse("--mix over HTTP has only iamat and whatsat: leave out stale".to_owned());
            }
            Protocol::Http | Protocol::Https if !self.name.bytes().all(is_unreserved) => {
                return refuse(
                    "--name with --mix over HTTP may have letters, digits and -._ alone".to_owned(),
                );
            }
            Protocol::Http | Protocol::Https => {}
            Protocol::Echo | Protocol::Redis | Protocol::Memcached | Protocol::Mqtt => {
                return refuse(
                    "--mix needs --protocol herd, http or https: nothing is asked in others".to_owned(),
                );
            }
        }
        if self.ca.is_some() != (self.protocol == Protocol::Https) {
            return refuse("--protocol https needs --ca FILE, and no other protocol does".to_owned());
        }
        if self.resume && self.protocol != Protocol::Https {
            return refuse("--resume needs --protocol https".to_owned());
        }
        if self.qos != 1 && self.protocol != Protocol::Mqtt {
            return refuse("--qos needs --protocol mqtt".to_owned());
        }
        if self.churn && self.protocol == Protocol::Mqtt {
            return refuse("--churn needs another protocol: clients of MQTT stay".to_owned());
        }
        if self.name.is_empty() || self.name.bytes().any(|byte| byte.is_ascii_whitespace()) {
            return refuse("--name must be a word without white space".to_owned());
        }
        Ok(())
    }
}

/// What stands in a path as it is.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

/// Shares in percent; together 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Reports that are news.
    pub iamat: u32,
    /// Questions.
    pub whatsat: u32,
    /// Reports older than what the server knows.
    pub stale: u32,
}

impl Default for Mix {
    fn default() -> Mix {
        Mix { iamat: 100, whatsat: 0, stale: 0 }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "iamat={},whatsat={},stale={}", self.iamat, self.whatsat, self.stale)
    }
}

impl Serialize for Mix {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Mix, String> {
        let mut mix = Mix { iamat: 0, whatsat: 0, stale: 0 };
        for part in text.split(',') {
            let (word, share) = part.split_once('=').ok_or_else(|| format!("{part:?} is no WORD=PERCENT"))?;
            let share = share.parse().map_err(|_| format!("{share:?} is no whole number"))?;
            match word {
                "iamat" => mix.iamat = share,
                "whatsat" => mix.whatsat = share,
                "stale" => mix.stale = share,
                other => return Err(format!("{other:?} is none of iamat, whatsat, stale")),
            }
        }
        match [mix.iamat, mix.whatsat, mix.stale].into_iter().try_fold(0_u32, u32::checked_add) {
            Some(100) => Ok(mix),
            Some(_) | None => Err("the shares must add up to 100".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes_print_as_they_are_written_and_add_up() {
        let mix: Mix = "iamat=80,whatsat=15,stale=5".parse().unwrap();
        assert_eq!(mix.to_string().parse::<Mix>().unwrap(), mix);
        for bad in ["", "iamat", "iamat=99", "iamat=100,whatsat=1", "iamat=4294967295,stale=101", "x=100"] {
            assert!(bad.parse::<Mix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let good = Options::default();
        good.check().unwrap();
        for bad in [
            Options { active: Some(2), ..good.clone() },
            Options { connections: 0, ..good.clone() },
            Options { rate: Some(0.0), ..good.clone() },
            Options { rate: Some(f64::NAN), ..good.clone() },
            Options { threads: 2, ..good.clone() },
            Options { name: "a b".to_owned(), ..good.clone() },
            Options { protocol: Protocol::Redis, mix: "whatsat=100".parse().unwrap(), ..good.clone() },
            Options { protocol: Protocol::Http, mix: "iamat=99,stale=1".parse().unwrap(), ..good.clone() },
            Options { protocol: Protocol::Https, ..good.clone() },
            Options { ca: Some("cert.pem".into()), ..good.clone() },
            Options { protocol: Protocol::Http, resume: true, ..good.clone() },
            Options { protocol: Protocol::Http, qos: 0, ..good.clone() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
