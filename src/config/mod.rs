//! What the rest of the program may rely on: the herd and the options, checked once.
//!
//! Nothing in here opens a socket or starts a thread. [`crate::cli`] turns the command line into a
//! [`Config`]; whoever is handed one need not check it again.

mod drawing;
mod error;
mod file;
mod herd;
mod journal;
mod limits;
mod trust;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use error::{AddressUse, ConfigError};
pub use herd::{Herd, Member, SERVERS_MAX};
pub use journal::{Durability, JournalOptions};
pub use limits::*;
pub use trust::{SECRET_VARIABLE, Trust};

use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::node::{Dialect, Identity, Neighbour};

/// Bytes after which a log file is set aside if nothing else is asked for: small enough to open in an editor.
pub const LOG_FILE_BYTES_DEFAULT: u64 = 64 << 20;

/// The fewest bytes a log file may be bounded to: one longest line must fit.
pub const LOG_FILE_BYTES_MIN: u64 = 256 << 10;

/// The most bytes a log file may be bounded to: 1 TiB, more than a file system here is likely to have.
pub const LOG_FILE_BYTES_MAX: u64 = 1 << 40;

/// Log files kept, the one being written included, if nothing else is asked for: half a gigabyte in all.
pub const LOG_FILES_DEFAULT: u32 = 8;

/// The most log files that may be kept: each step of a rotation renames all of them.
pub const LOG_FILES_MAX: u32 = 1_000;

/// How often the server says in the log how it is if nothing else is asked for.
pub const STATUS_EVERY_DEFAULT: Duration = Duration::from_secs(60);

/// Seconds that a question to a provider of places may take if nothing else is asked for: what a person waits.
pub const PLACES_DEADLINE_S_DEFAULT: u32 = 5;

/// The most seconds that may be allowed: a question holds up its own client, and stopping, for that long.
pub const PLACES_DEADLINE_S_MAX: u32 = 60;

/// Calls to a provider over the network under way at once if nothing else is asked for: a thread and a connection
/// each, and far more than the providers' quotas allow.
pub const PLACES_CALLS_DEFAULT: u32 = 32;

/// The most such calls that may be allowed.
pub const PLACES_CALLS_MAX: u32 = 1_024;

/// Everything one server was started with.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which member of the herd this process is.
    pub name: ServerName,
    /// All members and their links; [`Config::name`] is one of them.
    pub herd: Herd,
    /// Where and how much to log.
    pub log: LogOptions,
    /// What survives the end of the server.
    pub journal: JournalOptions,
    /// Who answers what is near.
    pub places: PlacesArgs,
    /// What is refused beyond.
    pub limits: Limits,
    /// How far a client's clock may be ahead of this server's; `None` if any time is taken.
    pub clock_lead_max: Option<Duration>,
    /// What the servers of the herd prove to each other.
    pub trust: Trust,
}

impl Config {
    /// The addresses of this server itself.
    pub fn member(&self) -> &Member {
        self.herd.member(self.name.as_str()).expect("the command line takes only a name of the herd")
    }

    /// What the rules need to know of this server, for a memory that begins now.
    pub fn identity(&self, epoch: Epoch) -> Identity {
        let neighbour = |member: &Member| Neighbour { name: member.name.clone(), dialect: member.dialect };
        let neighbours = self.herd.neighbours(&self.name).into_iter().map(neighbour).collect();
        Identity {
            secret: self.trust.secret().cloned(),
            catch_up: self.herd.catch_up,
            clock_lead_max: self.clock_lead_max,
            ..Identity::new(self.name.clone(), neighbours, epoch)
        }
    }

    /// The addresses of neighbours of the classic dialect, each with the indices of those that are there.
    pub fn classics(&self) -> Vec<(IpAddr, Vec<usize>)> {
        let mut classics: Vec<(IpAddr, Vec<usize>)> = Vec::new();
        for (index, member) in self.herd.neighbours(&self.name).into_iter().enumerate() {
            let address = member.client.ip().to_canonical();
            match classics.iter_mut().find(|(known, _)| *known == address) {
                _ if member.dialect == Dialect::Herd => {}
                Some((_, there)) => there.push(index),
                None => classics.push((address, vec![index])),
            }
        }
        classics
    }
}

/// What the log of a server is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// The folder for `<server>.log`.
    pub dir: PathBuf,
    /// The most talkative level that is written; `Debug` has every request and every reply.
    pub level: log::LevelFilter,
    /// What a thread with a line to log does when the queue is full.
    pub when_full: WhenFull,
    /// Bytes after which a file is set aside, [`LOG_FILE_BYTES_MIN`] to [`LOG_FILE_BYTES_MAX`].
    pub file_bytes_max: u64,
    /// Files kept, the one being written included, 1 to [`LOG_FILES_MAX`].
    pub files_max: u32,
    /// How often the server says how it is.
    pub status_every: Duration,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            dir: PathBuf::from("."),
            level: log::LevelFilter::Debug,
            when_full: WhenFull::Wait,
            file_bytes_max: LOG_FILE_BYTES_DEFAULT,
            files_max: LOG_FILES_DEFAULT,
            status_every: STATUS_EVERY_DEFAULT,
        }
    }
}

/// What happens to a line when the log's queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Its thread waits: nothing is ever missing from the log, and a slow disk slows the server.
    Wait,
    /// It is dropped and counted: the server never waits, and the log says how many lines are missing.
    Drop,
}

/// Which provider of places to ask, as the command line named it. The key itself is not in here: it comes
/// from the environment or from the file named here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacesArgs {
    /// `catalogue`, `file:PATH`, `google`, `google-legacy` or `overpass`.
    pub choice: String,
    /// Another base address for a network provider.
    pub url: Option<String>,
    /// A PEM file with the certificates to trust, in place of the public authorities.
    pub ca: Option<PathBuf>,
    /// Seconds for a whole question to a network provider, 1 to [`PLACES_DEADLINE_S_MAX`].
    pub deadline_s: u32,
    /// Calls under way at once, 1 to [`PLACES_CALLS_MAX`]; fewer if the provider's terms say so.
    pub calls_max: u32,
    /// A file that holds the key for Google and nothing else.
    pub google_key_file: Option<PathBuf>,
}

impl Default for PlacesArgs {
    fn default() -> PlacesArgs {
        PlacesArgs {
            choice: "catalogue".to_owned(),
            url: None,
            ca: None,
            google_key_file: None,
            deadline_s: PLACES_DEADLINE_S_DEFAULT,
            calls_max: PLACES_CALLS_DEFAULT,
        }
    }
}

#[cfg(test)]
mod tests;
