//! The options of the core database, as clap reads them.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::limits::{count, size, time};
use crate::config::{
    ConfigError, DATABASE_PASSWORD_VARIABLE, DatabaseOptions, DatabaseUrl, HISTORY_CEILING, HISTORY_FLOOR,
    HISTORY_POINTS_CEILING, HISTORY_POINTS_DEFAULT, HISTORY_QUEUE_BYTES_CEILING, HISTORY_QUEUE_BYTES_FLOOR,
    HistoryOptions,
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Core database")]
pub(super) struct RawDatabase {
    /// A Redis or Valkey that gets all that is known, and that a server without data and questions about unknown
    /// clients are answered from: `redis://HOST:PORT`, `redis+cluster://A,B,C`, `redis+sentinel://A,B,C/NAME`, the
    /// same with `rediss` for TLS, or `redis+unix:///PATH`.
    #[arg(long, value_name = "URL", value_parser = DatabaseUrl::parse)]
    database: Option<DatabaseUrl>,
    /// A file with the password of the database; without it, the password is taken from the environment variable
    /// PROXYHERD_DATABASE_PASSWORD.
    #[arg(long, value_name = "FILE", requires = "database")]
    database_password_file: Option<PathBuf>,
    /// A PEM file with the certificates to trust for the database, in place of the authorities of the system.
    #[arg(long, value_name = "PEM", requires = "database")]
    database_ca: Option<PathBuf>,
    /// How long a server without data waits for a database that does not answer; then it starts with nothing.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = time)]
    database_wait: Duration,
    /// Keep every report of every client in the database for so long, such as 30d, for their tracks.
    #[arg(long, value_name = "TIME", requires = "database", value_parser = history_age)]
    history: Option<Duration>,
    /// How many points of a client to keep in its history; the oldest go first.
    #[arg(long, value_name = "N", default_value_t = HISTORY_POINTS_DEFAULT,
        value_parser = count(1..=HISTORY_POINTS_CEILING), allow_negative_numbers = true)]
    history_points_max: u32,
    /// How many bytes of points may wait for the database; more are dropped, and counted.
    #[arg(long, value_name = "SIZE", default_value = "16MiB",
        value_parser = size(HISTORY_QUEUE_BYTES_FLOOR..=HISTORY_QUEUE_BYTES_CEILING))]
    history_queue_bytes_max: u64,
}

impl RawDatabase {
    /// The database, if one is named.
    pub(super) fn checked(self) -> Result<Option<DatabaseOptions>, ConfigError> {
        let Some(url) = self.database else { return Ok(None) };
        if cfg!(not(feature = "database")) {
            let why = "--database: this program was built without it: build it with its default features";
            return Err(ConfigError::Usage(why.to_owned()));
        }
        let history = self.history.map(|age_max| HistoryOptions {
            age_max,
            points_max: self.history_points_max,
            queue_bytes_max: self.history_queue_bytes_max,
        });
        let (file, ca) = (self.database_password_file.as_deref(), self.database_ca.as_deref());
        let variable = env::var_os(DATABASE_PASSWORD_VARIABLE);
        DatabaseOptions::of(url, file, variable, ca, self.database_wait, history).map(Some)
    }
}

fn history_age(text: &str) -> Result<Duration, String> {
    let age = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match (HISTORY_FLOOR..=HISTORY_CEILING).contains(&age) {
        true => Ok(age),
        false => Err("it takes a time from 1m to 10years".to_owned()),
    }
}
