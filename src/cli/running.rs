//! Commands that ask a running server over HTTP: their words, their help, and how the server is found.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::common::{RawHerdFile, word};
use super::limits::{count, time};
use crate::client::http::{Server, URL_DEFAULT};
use crate::client::{Command, Filters};
use crate::config::{ConfigError, Herd};
use crate::proto::geo::area::{Area, place};

/// The clients of a table, if no other number is said, and the most that a server lists.
const CLIENTS_DEFAULT: u32 = 100;
const CLIENTS_MAX: u32 = 1_000;

/// The longest time that clients are given to leave a server.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(60 * 60);

pub(super) const SHARE_EXAMPLES: &str = "\
Examples:
  proxyherd share jane/phone --for 2h
  proxyherd share jane/phone --for 1day --url https://herd.example \\
      --token-file jane.token

Everyone who has the link sees this client until the end and nothing else,
on every server of the herd. It ends sooner if the client is
forgotten. A herd without a secret has no links.";

pub(super) const STATUS_EXAMPLES: &str = "\
Examples:
  proxyherd status                       the first server of the herd
  proxyherd status Bolden
  proxyherd status --json --url https://herd.example \\
      --token-file ann.token

With an access file it takes the token of an admin. Exit code: 0 when
all is well; 1 when reports cannot be made durable, the server is
about to stop, or a link of it is down; 2 when it cannot be asked.";

pub(super) const CLIENTS_EXAMPLES: &str = "\
Examples:
  proxyherd clients
  proxyherd clients Bolden --near 34.07,-118.44 --radius 5km
  proxyherd clients --box -119,33,-117,35 --limit 1000
  proxyherd clients --client jane/phone --json

Exit code: 0, 1 when nothing is known of a client that is named, 2
when the server cannot be asked.";

pub(super) const WATCH_EXAMPLES: &str = "\
Examples:
  proxyherd watch
  proxyherd watch --client jane/phone --client joe/phone
  proxyherd watch --json --box -119,33,-117,35 | while read event; do
      ...
  done

First comes what is known, then each change as it comes. A stream
that ends is resumed where it was, so that nothing is missed. With
--json each line is {\"event\":...,\"data\":...} with the events of
/v1/events: client, gone, reset and current. It ends with Ctrl-C, or
when its output is not read any more.";

pub(super) const EXPORT_EXAMPLES: &str = "\
Examples:
  proxyherd export --out herd.backup
  proxyherd export Bolden | gzip > herd.backup.gz

One object of JSON in each line has all that is stored of a client,
forgotten ones too, and a last line says how many there are. Any
server of a herd has all of it. The file is there when it is whole.";

pub(super) const IMPORT_EXAMPLES: &str = "\
Examples:
  proxyherd import herd.backup
  gunzip < herd.backup.gz | proxyherd import - Bolden

What is older than what the server knows changes nothing, and who was
forgotten since stays forgotten. The server tells all others. Exit
code: 0, 1 when a line is refused (standard error says which, and
why), 2 when not all was sent: import the file again then.";

pub(super) const DRAIN_EXAMPLES: &str = "\
Examples:
  proxyherd drain
  proxyherd drain Bolden --for 2m

The server takes no more connections, /health says 503 so that load
balancers send clients elsewhere, and streams of events end. When all
clients have gone, or the time is over, it stops as by SIGTERM. Exit
code: 0, 1 when clients were still connected, 2 when it failed.";

/// A running server that is asked over HTTP.
#[derive(Debug, Args)]
pub(super) struct RawServer {
    /// A server of the herd, which has its address [default: the first one].
    #[arg(conflicts_with = "url")]
    server: Option<String>,
    #[command(flatten)]
    herd: RawHerdFile,
    /// Where the server speaks HTTP, in place of its name.
    #[arg(long, value_name = "URL", conflicts_with = "path")]
    url: Option<String>,
    /// The file with the token of a user, if the server has users.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A PEM file with the certificates to trust, in place of the public authorities.
    #[arg(long, value_name = "PEM")]
    ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct RawShare {
    /// The client's name, as it was reported.
    #[arg(value_parser = word)]
    client: String,
    /// How long it can be seen, such as 2h; 30 days at most, and no longer than clients take to expire.
    #[arg(long = "for", value_name = "TIME")]
    time: String,
    #[command(flatten)]
    server: RawServer,
}

#[derive(Debug, Args)]
pub(super) struct RawStatus {
    /// Print all that the server says as JSON, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: RawServer,
}

#[derive(Debug, Args)]
pub(super) struct RawClients {
    #[command(flatten)]
    filters: RawFilters,
    /// The most clients to show.
    #[arg(long, value_name = "N", default_value_t = CLIENTS_DEFAULT, value_parser = count(1..=CLIENTS_MAX),
        allow_negative_numbers = true)]
    limit: u32,
    /// Print one object of JSON a line, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: RawServer,
}

#[derive(Debug, Args)]
pub(super) struct RawWatch {
    #[command(flatten)]
    filters: RawFilters,
    /// Print one object of JSON a line, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: RawServer,
}

/// Which clients are of interest.
#[derive(Debug, Args)]
struct RawFilters {
    /// Those in a box of degrees; one across the date line has a west that is greater than its east.
    #[arg(long = "box", value_name = "W,S,E,N", allow_hyphen_values = true)]
    area: Option<String>,
    /// Those near a place in degrees.
    #[arg(long, value_name = "LAT,LON", allow_hyphen_values = true, conflicts_with = "area")]
    near: Option<String>,
    /// Within so many metres, or kilometres as in 5km.
    #[arg(long, value_name = "DISTANCE", requires = "near", value_parser = metres)]
    radius: Option<f64>,
    /// The client of this name; may be given more than once.
    #[arg(long, value_name = "NAME", value_parser = word, conflicts_with_all = ["area", "near", "group"])]
    client: Vec<String>,
    /// Those of the users of this group.
    #[arg(long)]
    group: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct RawExport {
    /// The file to write, in place of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    server: RawServer,
}

#[derive(Debug, Args)]
pub(super) struct RawImport {
    /// The file to read, or - for standard input.
    file: PathBuf,
    #[command(flatten)]
    server: RawServer,
}

#[derive(Debug, Args)]
pub(super) struct RawDrain {
    /// How long clients have to leave by themselves, 1h at most.
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = time)]
    time: Duration,
    #[command(flatten)]
    server: RawServer,
}

impl RawShare {
    pub(super) fn checked(self) -> Result<(Server, Command), ConfigError> {
        Ok((self.server.checked()?, Command::Share(self.client, self.time)))
    }
}

impl RawStatus {
    pub(super) fn checked(self) -> Result<(Server, Command), ConfigError> {
        Ok((self.server.checked()?, Command::Status(self.json)))
    }
}

impl RawClients {
    pub(super) fn checked(self) -> Result<(Server, Command), ConfigError> {
        let (filters, limit, json) = (self.filters.checked()?, self.limit, self.json);
        Ok((self.server.checked()?, Command::Clients { filters, limit, json }))
    }
}

impl RawWatch {
    pub(super) fn checked(self) -> Result<(Server, Command), ConfigError> {
        let filters = self.filters.checked()?;
        if matches!(filters.near, Some((_, None))) {
            return Err(usage("--near has no bound here: say within which --radius, such as 5km".to_owned()));
        }
        Ok((self.server.checked()?, Command::Watch(filters, self.json)))
    }
}

impl RawExport {
    pub(super) fn checked(self) -> Result<(Server, Command), ConfigError> {
        Ok((self.server.checked()?, Command::Export(self.out.filter(|path| path.as_os_str() != "-"))))
    }
}

impl RawImport {
    pub(super) fn checked(self) -> Result<(Server, Command), ConfigError> {
        let file = Some(self.file).filter(|path| path.as_os_str() != "-");
        Ok((self.server.checked()?, Command::Import(file)))
    }
}

impl RawDrain {
    pub(super) fn checked(self) -> Result<(Server, Command), ConfigError> {
        if self.time > DRAIN_TIME_MAX {
            return Err(usage(
                "--for is at most 1h: a server that is not to stop need not be drained".to_owned(),
            ));
        }
        Ok((self.server.checked()?, Command::Drain(self.time)))
    }
}

impl RawFilters {
    fn checked(self) -> Result<Filters, ConfigError> {
        if let Some(area) = &self.area {
            Area::parse(area).map_err(|error| usage(format!("--box {area}: {error}")))?;
        }
        let near = self.near.map(|text| {
            let place = place(&text).map_err(|error| usage(format!("--near {text}: {error}")))?;
            Ok((place, self.radius))
        });
        Ok(Filters { area: self.area, near: near.transpose()?, clients: self.client, group: self.group })
    }
}

impl RawServer {
    /// The name of the server and the herd file, if nothing beside the name says that it is asked over HTTP.
    pub(super) fn on_this_machine(&self) -> Option<(&str, &RawHerdFile)> {
        let is_alone = self.url.is_none() && self.token_file.is_none() && self.ca.is_none();
        let name = self.server.as_deref().filter(|name| is_alone && !name.contains(':'));
        Some((name?, &self.herd))
    }

    /// Finds the server: by its address, or by its name in the herd.
    pub(super) fn checked(self) -> Result<Server, ConfigError> {
        let has_herd = self.herd.path.is_some();
        let url = match (self.server, self.url) {
            (_, Some(url)) => checked_url(&url)?,
            (Some(url), None) if url.contains("://") => checked_url(&url)?,
            (Some(address), None) if address.contains(':') => {
                return Err(usage(format!(
                    "{address} is no server of the herd: say its address as --url http://{address}"
                )));
            }
            (None, None) if !has_herd => URL_DEFAULT.to_owned(),
            (name, None) => url_of(&self.herd.load()?, name.as_deref())?,
        };
        Ok(Server { url, token_file: self.token_file, ca: self.ca })
    }
}

/// Where a server of a herd speaks HTTP.
fn url_of(herd: &Herd, name: Option<&str>) -> Result<String, ConfigError> {
    let member = match name {
        Some(name) => herd.known(name)?,
        None => &herd.members()[0],
    };
    let (scheme, address) = match (&member.http, &member.https) {
        (Some(address), _) => ("http", address),
        (None, Some(address)) => ("https", address),
        (None, None) => {
            let name = &member.name;
            return Err(usage(format!(
                "{name} has no address for HTTP: give it one in the herd file, such as http = \"127.0.0.1:12750\", \
                 and start it again"
            )));
        }
    };
    match address.literal().filter(|address| address.ip().is_unspecified()) {
        Some(all) if all.is_ipv4() => Ok(format!("{scheme}://127.0.0.1:{}", all.port())),
        Some(all) => Ok(format!("{scheme}://[::1]:{}", all.port())),
        None => Ok(format!("{scheme}://{address}")),
    }
}

fn checked_url(url: &str) -> Result<String, ConfigError> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '@' | '"' | '\\');
    match rest.map(|rest| rest.trim_end_matches('/')) {
        Some(rest) if !rest.is_empty() && !rest.starts_with(['/', ':']) && !rest.contains(is_odd) => {
            Ok(url.trim_end_matches('/').to_owned())
        }
        _ => Err(usage(format!(
            "{url} is not where a server speaks HTTP: say it as http://HOST:PORT or https://HOST, and a token by \
             --token-file"
        ))),
    }
}

fn usage(sentence: String) -> ConfigError {
    ConfigError::Usage(sentence)
}

/// A distance, in metres if it has no unit.
fn metres(text: &str) -> Result<f64, &'static str> {
    let (number, unit) = match (text.strip_suffix("km"), text.strip_suffix('m')) {
        (Some(number), _) => (number, 1_000.0),
        (None, Some(number)) => (number, 1.0),
        (None, None) => (text, 1.0),
    };
    let metres = number.trim().parse::<f64>().ok().map(|number| number * unit);
    metres
        .filter(|metres| (0.0..=20_037_508.0).contains(metres))
        .ok_or("it takes a distance such as 500m or 5km")
}
