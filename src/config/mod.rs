//! The configuration of one server: the herd and the options, checked once.
//!
//! Nothing in here opens a socket or starts a thread. [`crate::cli`] turns the command line into a
//! [`Config`], which no other room needs to check again.

mod access;
mod address;
mod advice;
mod auth;
mod base_path;
mod database;
mod drawing;
mod error;
mod file;
pub mod given_file;
mod herd;
mod journal;
mod limits;
mod map;
mod network;
mod owntracks_keys;
mod time;
mod tls;
mod token_hash;

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub use access::{Access, See, User, check_user_name};
pub use address::Address;
pub use auth::{Auth, SECRET_VARIABLE};
pub use base_path::BasePath;
pub use database::{
    DATABASE_PASSWORD_VARIABLE, DATABASE_WAIT_DEFAULT, DatabaseKind, DatabaseOptions, DatabasePassword,
    DatabaseUrl, HISTORY_CEILING, HISTORY_FLOOR, HISTORY_POINTS_CEILING, HISTORY_POINTS_DEFAULT,
    HISTORY_QUEUE_BYTES_CEILING, HISTORY_QUEUE_BYTES_DEFAULT, HISTORY_QUEUE_BYTES_FLOOR, HistoryOptions,
};
pub use drawing::draw;
pub use error::{AddressUse, ConfigError, Purpose};
pub use file::{load, parse, to_toml};
pub use herd::{Herd, Member};
pub use journal::{Durability, JournalOptions};
pub use limits::*;
pub use map::{MapOptions, TileUrl};
pub use network::network;
pub use owntracks_keys::OwnTracksKeys;
pub use tls::TlsFiles;
pub use token_hash::TokenHash;

use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::node::{Identity, Neighbour};

/// The default of bytes after which a log file is rotated: small enough to open in an editor.
pub const LOG_FILE_BYTES_DEFAULT: u64 = 64 << 20;

/// The fewest bytes a log file may be bounded to: one longest line must fit.
pub const LOG_FILE_BYTES_MIN: u64 = 256 << 10;

/// The most bytes a log file may be bounded to: 1 TiB, more than a file system here is likely to have.
pub const LOG_FILE_BYTES_MAX: u64 = 1 << 40;

/// The default of log files kept, the one being written included: half a gigabyte in all.
pub const LOG_FILES_DEFAULT: u32 = 8;

/// The most log files that may be kept: each step of a rotation renames all of them.
pub const LOG_FILES_MAX: u32 = 1_000;

/// The default of the time between two reports of status in the log.
pub const STATUS_EVERY_DEFAULT: Duration = Duration::from_secs(60);

/// The default of the seconds that a question to a provider of places may take: a person waits that long.
pub const PLACES_DEADLINE_S_DEFAULT: u32 = 5;

/// The most seconds that may be allowed: a question holds up its own client, and a stop of the server, that long.
pub const PLACES_DEADLINE_S_MAX: u32 = 60;

/// The default of calls to a provider over the network under way at once: a thread and a connection each, and far
/// more than the providers' rate limits allow.
pub const PLACES_CALLS_DEFAULT: u32 = 32;

/// The most such calls that may be allowed.
pub const PLACES_CALLS_MAX: u32 = 1_024;

/// All that one server was started with.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which member of the herd this process is.
    pub name: ServerName,
    /// All members and their links; [`Config::name`] is one of them.
    pub herd: Herd,
    /// The file that the herd was read from, if it was.
    pub herd_file: Option<PathBuf>,
    /// Where and how much to log.
    pub log: LogOptions,
    /// How durable reports are.
    pub journal: JournalOptions,
    /// The provider that is asked for places.
    pub places: PlacesArgs,
    /// The bounds beyond which the server refuses.
    pub limits: Limits,
    /// Where proxies are that name their clients by the PROXY protocol.
    pub proxy_from: Vec<IpNet>,
    /// How far a client's clock may be ahead of this server's; `None` for what the herd says.
    pub clock_lead_max: Option<Duration>,
    /// Whether error lines to clients say why.
    pub explains: bool,
    /// Whether updates take a tree through the herd.
    pub has_tree: bool,
    /// How the servers of the herd authenticate each other.
    pub auth: Auth,
    /// The files that the secrets were read from, if they were.
    pub secret_files: Vec<PathBuf>,
    /// Who may what, if a file says it.
    pub access: Option<Access>,
    /// Its certificate and key, if it has a port for TLS.
    pub tls: Option<TlsFiles>,
    /// The secrets with which phones encrypt their reports, if a file has them.
    pub owntracks_keys: Option<OwnTracksKeys>,
    /// What stands before every path of HTTP, because a proxy does not take it away.
    pub http_base_path: BasePath,
    /// Whether clients of MQTT are told what others say that is no place.
    pub mqtt_relays: bool,
    /// What the map page shows beside the herd.
    pub map: MapOptions,
    /// The core database, if there is one.
    pub database: Option<DatabaseOptions>,
    /// How threads that serve clients share the processors.
    pub scheduling: Scheduling,
}

/// What the system does when a thread that serves a client is woken while others run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheduling {
    /// It waits until one of them has finished, so none is interrupted in the midst of a request.
    #[default]
    Batch,
    /// It may interrupt one of them.
    Normal,
}

impl Config {
    /// The addresses of this server itself.
    pub fn member(&self) -> &Member {
        self.herd.member(self.name.as_str()).expect("the command line takes only a name of the herd")
    }

    /// The part of the configuration that the rules need, in a memory that begins with `epoch`.
    pub fn identity(&self, epoch: Epoch) -> Identity {
        let neighbour = |member: &Member| Neighbour { name: member.name.clone(), dialect: member.dialect };
        let neighbours = self.herd.neighbours(&self.name).into_iter().map(neighbour).collect();
        Identity {
            secrets: self.auth.secrets().to_vec(),
            catch_up: self.herd.catch_up,
            clock_lead_max: self.clock_lead_max.or(self.herd.clock_lead_max),
            client_name_bytes_max: self.limits.client_name_bytes_max,
            expire_after: self.herd.expire_after,
            explains: self.explains,
            has_tree: self.has_tree,
            ..Identity::new(self.name.clone(), neighbours, epoch)
        }
    }
}

/// The options of a server's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// The folder for `<server>.log`.
    pub dir: PathBuf,
    /// The most talkative level that is written; `Debug` has every request and every reply.
    pub level: log::LevelFilter,
    /// The fate of a line when the queue is full.
    pub when_full: WhenFull,
    /// Bytes after which a file is rotated, [`LOG_FILE_BYTES_MIN`] to [`LOG_FILE_BYTES_MAX`].
    pub file_bytes_max: u64,
    /// Files kept, the one being written included, 1 to [`LOG_FILES_MAX`].
    pub files_max: u32,
    /// The time between two reports of status.
    pub status_every: Duration,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            dir: PathBuf::from("."),
            level: log::LevelFilter::Info,
            when_full: WhenFull::Wait,
            file_bytes_max: LOG_FILE_BYTES_DEFAULT,
            files_max: LOG_FILES_DEFAULT,
            status_every: STATUS_EVERY_DEFAULT,
        }
    }
}

/// The fate of a line when the log's queue is full.
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
    /// The provider's name in the table of `places`, and for some an argument after a colon.
    pub choice: String,
    /// Another base address for a network provider.
    pub url: Option<String>,
    /// A PEM file with the certificates to trust, in place of the public authorities.
    pub ca: Option<PathBuf>,
    /// Seconds for a whole question to a network provider, 1 to [`PLACES_DEADLINE_S_MAX`].
    pub deadline_s: u32,
    /// Calls under way at once, 1 to [`PLACES_CALLS_MAX`]; fewer if the provider's usage policy says so.
    pub calls_max: u32,
    /// Calls within a minute, 1 to [`PLACES_BUDGET_MAX`]; `None` is what the provider's usage policy says.
    pub budget_per_minute: Option<u32>,
    /// Calls within a day, 1 to [`PLACES_BUDGET_MAX`]; `None` is what the provider's usage policy says.
    pub budget_per_day: Option<u32>,
    /// The property that names come from first, in a file of places.
    pub name_field: Option<String>,
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
            budget_per_minute: None,
            budget_per_day: None,
            name_field: None,
        }
    }
}

#[cfg(test)]
mod tests;
