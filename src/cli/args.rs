//! The raw command line, as clap reads it and as its help teaches it.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use ipnet::IpNet;

use super::common::{RawHerdFile, word};
use super::database::RawDatabase;
use super::limits::{RawLimits, count, size, time};
use super::running::{
    CLIENTS_EXAMPLES, DRAIN_EXAMPLES, EXPORT_EXAMPLES, IMPORT_EXAMPLES, RawClients, RawDrain, RawExport,
    RawImport, RawServer, RawShare, RawStatus, RawWatch, SHARE_EXAMPLES, STATUS_EXAMPLES, WATCH_EXAMPLES,
};
use super::token::DEVICE_DEFAULT;
use crate::config::{
    BasePath, Durability, LOG_FILE_BYTES_MAX, LOG_FILE_BYTES_MIN, LOG_FILES_DEFAULT, LOG_FILES_MAX,
    PLACES_DEADLINE_S_DEFAULT, PLACES_DEADLINE_S_MAX, Scheduling, TileUrl, WhenFull, network,
};
use crate::places::{KEY_VARIABLE, Which};

// Lines of at most 70 characters: wider ones are folded on the manual page.
const EXAMPLES: &str = "\
Examples:
  proxyherd serve Alford &               a server of the built-in herd
  proxyherd client iamat kiwi +34.068930-118.445127
  proxyherd client whatsat kiwi 10 5     within 10 km of it, 5 places
  proxyherd herd > herd.toml             a herd of your own to edit
  proxyherd herd --check herd.toml
  proxyherd serve Alford --herd herd.toml";

const SERVE_EXAMPLES: &str = "\
Examples:
  proxyherd serve Alford
  proxyherd serve Alford --herd herd.toml --log-dir /var/log
  proxyherd serve Alford --places file:parks.geojson
  PROXYHERD_GOOGLE_KEY=... proxyherd serve Alford --places google
  proxyherd serve Alford --places overpass \\
      --places-url http://localhost:8080
  proxyherd serve Alford --log-level debug --log-when-full drop
  openssl rand -hex 32 > herd.secret     # the same on every server
  proxyherd serve Alford --herd herd.toml --secret-file herd.secret";

const HERD_EXAMPLES: &str = "\
Examples:
  proxyherd herd > herd.toml              a file to start from
  proxyherd herd --check herd.toml        is it right? and draw it
  proxyherd herd --check herd.toml --resolve   and look its names up
  proxyherd herd --list --herd herd.toml  one line a server, for scripts
  proxyherd herd --list | while read name client peer; do
      proxyherd client $name < requests.txt
  done";

const CLIENT_EXAMPLES: &str = "\
Examples:
  proxyherd client                   type requests, end with Ctrl-D
  proxyherd client Bolden < requests.txt
  proxyherd client 127.0.0.1:12550 < requests.txt
  proxyherd client iamat kiwi +34.068930-118.445127
  proxyherd client Bolden iamat kiwi -33.8568+151.2153 1621464827.95
  proxyherd client Bolden whatsat kiwi 10 5

Standard error says why a line was refused, as far as the line itself
shows it; a server with --explain says the rest. The connection is
half-closed when everything is answered, so that relays work.

Exit code: 0 when every reply was good, 1 when one was an error (a
line that begins with `? `), 2 when the server could not be reached
or hung up too soon.";

const FORGET_EXAMPLES: &str = "\
Examples:
  proxyherd forget Alford kiwi           asks the server that runs here
  proxyherd forget Alford kiwi --data-dir /var/lib/proxyherd/Alford
  proxyherd forget kiwi --url https://herd.example \\
      --token-file ann.token

A server that is named alone is told through the socket `admin.sock`
in the folder of its journal (data/NAME, else run/data/NAME, where
scripts/run.sh has it), so that is for those who may enter the folder.
With --url, --token-file or --ca, or without a name, it is told over
HTTP, as by other commands, with the token of an admin. The server
tells all others, those included that are away now. A report that
another server takes before it knows is lost with the rest. Exit code:
0 when it is forgotten for good, 1 when the server says that it is not.";

const TOKEN_EXAMPLES: &str = "\
Examples:
  proxyherd token new jane
  proxyherd token new jane --access access.toml \\
      --url https://herd.example --device phone

The access file is not changed: add to it what this prints, and send
the server SIGHUP (kill -HUP PID), so that it reads the file again.";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  proxyherd completions bash > proxyherd.bash
  proxyherd completions fish > proxyherd.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  proxyherd man | man -l -
  proxyherd man > ~/.local/share/man/man1/proxyherd.1";

/// A herd of servers that knows where every mobile client was last seen.
#[derive(Debug, Parser)]
#[command(name = "proxyherd", version, after_help = EXAMPLES)]
pub(super) struct Raw {
    #[command(subcommand)]
    pub(super) job: RawJob,
}

#[derive(Debug, Subcommand)]
pub(super) enum RawJob {
    /// Run one server of the herd until it is told to stop (Ctrl-C or SIGTERM).
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Box<RawServe>),
    /// Print the herd as TOML to start a file of your own from, or check such a file.
    #[command(after_help = HERD_EXAMPLES)]
    Herd(RawHerd),
    /// Talk to a server from a terminal or a pipe, or make a single request.
    #[command(after_help = CLIENT_EXAMPLES, disable_help_subcommand = true)]
    Client(RawClient),
    /// How a server and its herd are: clients, memory, links and their lag, durability.
    #[command(after_help = STATUS_EXAMPLES)]
    Status(RawStatus),
    /// Print where clients are, as a table.
    #[command(after_help = CLIENTS_EXAMPLES)]
    Clients(RawClients),
    /// Print what becomes of clients, live.
    #[command(after_help = WATCH_EXAMPLES)]
    Watch(RawWatch),
    /// Remove a client from all servers, as if it had never reported; what it reports from now on is taken.
    #[command(after_help = FORGET_EXAMPLES)]
    Forget(RawForget),
    /// Print a link that lets others see where a client is, until it ends.
    #[command(after_help = SHARE_EXAMPLES)]
    Share(RawShare),
    /// Write a backup of a running server.
    #[command(after_help = EXPORT_EXAMPLES)]
    Export(RawExport),
    /// Merge a backup into a running server; what is newer there stays.
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(RawImport),
    /// Have a server send its clients away, and stop.
    #[command(after_help = DRAIN_EXAMPLES)]
    Drain(RawDrain),
    /// Tokens, with which the phones and programs of users get in: see `serve --access`.
    #[command(after_help = TOKEN_EXAMPLES, disable_help_subcommand = true)]
    Token {
        #[command(subcommand)]
        ask: RawToken,
    },
    /// Print a script that completes commands and options in your shell.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Print the manual page.
    #[command(after_help = MAN_EXAMPLES)]
    Man,
}

#[derive(Debug, Args)]
pub(super) struct RawServe {
    /// Which server of the herd to be.
    pub(super) name: String,
    #[command(flatten)]
    pub(super) herd: RawHerdFile,
    #[arg(long, value_name = "PROVIDER", default_value = "catalogue",
        help = format!("The provider that is asked for places: {}", Which::All.names(true, "or")))]
    pub(super) places: String,
    #[arg(long, value_name = "URL",
        help = format!("Another base address for {}, such as a server of your own", Which::Network.names(false, "or")))]
    pub(super) places_url: Option<String>,
    /// The property that holds the names in a file of places, where it has none of the usual ones.
    #[arg(long, value_name = "PROPERTY")]
    pub(super) places_name_field: Option<String>,
    /// A PEM file with the certificates to trust, in place of the public authorities.
    #[arg(long, value_name = "PEM")]
    pub(super) places_ca: Option<PathBuf>,
    #[arg(long, value_name = "PATH",
        help = format!("A file with the key for {}; without it, the key is taken from the environment variable \
            {KEY_VARIABLE}", Which::Keyed.names(false, "and")))]
    pub(super) google_key_file: Option<PathBuf>,
    /// Seconds that a provider may take for a question, 1 to 60; then the answer says that the provider was too slow.
    #[arg(long, value_name = "SECONDS", default_value_t = PLACES_DEADLINE_S_DEFAULT,
        value_parser = count(1..=PLACES_DEADLINE_S_MAX), allow_negative_numbers = true)]
    pub(super) places_deadline: u32,
    /// How much to log: info has the connections and what goes wrong, debug every request and every reply too.
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = log_level())]
    pub(super) log_level: log::LevelFilter,
    /// The folder for NAME.log.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) log_dir: PathBuf,
    /// When the disk is slower than the requests: wait, or drop lines and count them.
    #[arg(long, value_name = "WHAT", default_value = "wait", value_parser = when_full())]
    pub(super) log_when_full: WhenFull,
    /// How large a log file may become before it is rotated, such as 100MiB; 256KiB at least.
    #[arg(long, value_name = "SIZE", default_value = "64MiB",
        value_parser = size(LOG_FILE_BYTES_MIN..=LOG_FILE_BYTES_MAX))]
    pub(super) log_file_bytes_max: u64,
    /// How many log files to keep, the one being written included.
    #[arg(long, value_name = "N", default_value_t = LOG_FILES_DEFAULT,
        value_parser = count(1..=LOG_FILES_MAX), allow_negative_numbers = true)]
    pub(super) log_files_max: u32,
    /// How durable a report is when it is acknowledged: os, the operating system has it, so that it survives the end
    /// of the process, and it is on disk within 50 ms; sync, it is on disk; none, it lives as long as the server.
    #[arg(long, value_name = "WHEN", default_value = "os", value_parser = durability())]
    pub(super) durability: Durability,
    /// The folder of the journal, which records reports; each server needs one of its own [default: data/NAME].
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// How often to log the status: clients known, the state of each link, all counters and the limits that were hit.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = time)]
    pub(super) status_every: Duration,
    /// A file with the secret that all servers of the herd share, by which links are encrypted; without it, the secret
    /// is taken from the environment variable PROXYHERD_SECRET. Without either, only addresses of this machine
    /// (127.0.0.1, ::1) can be used. Said twice: the first is used, both are accepted, to change it.
    #[arg(long = "secret-file", value_name = "PATH")]
    pub(super) secret_files: Vec<PathBuf>,
    /// Use any address without a secret: any machine that can reach the peer port can then forge reports, and links are
    /// not encrypted.
    #[arg(long)]
    pub(super) insecure: bool,
    /// A TOML file of users, whose phones and programs may then use HTTP from any address; it is read again on SIGHUP.
    /// The line port serves this machine and the file's `line_from` alone then.
    #[arg(long, value_name = "FILE")]
    pub(super) access: Option<PathBuf>,
    /// A PEM file with the certificate for the ports `https` and `client_tls` of the herd file, followed by those that
    /// vouch for it; it is read again when it changes, and on SIGHUP.
    #[arg(long, value_name = "FILE")]
    pub(super) tls_cert: Option<PathBuf>,
    /// A PEM file with the private key of that certificate.
    #[arg(long, value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,
    /// A TOML file of secrets with which OwnTracks encrypts what it sends, of at most 32 bytes: jane = "secret" for all
    /// devices of jane, "jane/phone" = "secret" for one. It is read again on SIGHUP.
    #[arg(long, value_name = "FILE")]
    pub(super) owntracks_keys: Option<PathBuf>,
    /// What stands before every path of HTTP, such as /proxyherd, for a proxy that does not take it away. Other paths
    /// are not found then.
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    pub(super) http_base_path: BasePath,
    /// Pass cards, commands, waypoints and other messages of OwnTracks on among the clients of MQTT that are connected
    /// to this server; none of them is kept.
    #[arg(long)]
    pub(super) mqtt_relay: bool,
    /// Where the map page gets tiles, such as `https://tile.example/{z}/{x}/{y}.png`, from a server that allows it;
    /// without them it has the outline of the land and asks no other machine.
    #[arg(long, value_name = "URL")]
    pub(super) map_tiles: Option<TileUrl>,
    /// What the map page says of whose tiles they are, as their licences demand.
    #[arg(long, value_name = "TEXT", requires = "map_tiles")]
    pub(super) map_tiles_credit: Option<String>,
    /// Refuse reports from further in the future than this, such as 24h, because one would outdate all reports of
    /// its client until then [default: what the herd file says; without that any time is taken].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) max_clock_lead: Option<Duration>,
    /// Say in error lines why a request was refused: ` # ` and a reason behind the copy of the line. Clients that
    /// compare the copy with what they sent must not be used then.
    #[arg(long)]
    pub(super) explain: bool,
    /// Send every update over every link, and not along a tree beside which links only ask what is missing. An update
    /// costs more then, and none waits when a link breaks.
    #[arg(long)]
    pub(super) eager_links: bool,
    /// How threads that serve clients share the processors: batch, one that is woken waits until another has finished,
    /// which saves work and so serves more; normal, it may interrupt another, which keeps waits shorter where clients
    /// and server share a machine that they fill.
    #[arg(long, value_name = "POLICY", default_value = "batch", value_parser = scheduling())]
    pub(super) scheduling: Scheduling,
    /// Where proxies are, such as 10.0.0.0/8 or 192.0.2.7, that name their clients by the PROXY protocol, version 1 or
    /// 2; may be given more than once. A header must come first from there, on every port but that of the neighbours.
    #[arg(long, value_name = "CIDR", value_parser = network)]
    pub(super) proxy_from: Vec<IpNet>,
    #[command(flatten)]
    pub(super) database: RawDatabase,
    #[command(flatten)]
    pub(super) limits: RawLimits,
}

#[derive(Debug, Args)]
pub(super) struct RawHerd {
    #[command(flatten)]
    pub(super) herd: RawHerdFile,
    /// Check this file (or else the one of --herd, or else the built-in herd) and draw its links.
    #[arg(long, value_name = "FILE", conflicts_with = "list")]
    pub(super) check: Option<Option<PathBuf>>,
    /// Look up the names in it from here, too, and say what each stands for; exit code 1 if one is not found.
    #[arg(long, requires = "check")]
    pub(super) resolve: bool,
    /// Print a line for each server, for scripts: NAME CLIENT_ADDRESS PEER_ADDRESS.
    #[arg(long)]
    pub(super) list: bool,
}

#[derive(Debug, Args)]
pub(super) struct RawClient {
    /// The server to talk to: its name, or an address [default: the first server of the herd].
    #[arg(value_name = "NAME|HOST:PORT", value_parser = word)]
    pub(super) server: Option<String>,
    #[command(flatten)]
    pub(super) herd: RawHerdFile,
    #[command(subcommand)]
    pub(super) ask: Option<RawAsk>,
}

#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub(super) struct RawForget {
    #[command(flatten)]
    pub(super) server: RawServer,
    /// The client's name, as it was reported.
    #[arg(value_parser = word)]
    pub(super) client: String,
    /// The folder of that server's journal [default: data/NAME, or else run/data/NAME].
    #[arg(long, value_name = "DIR", requires = "server", conflicts_with_all = ["url", "token_file", "ca"])]
    pub(super) data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum RawToken {
    /// Print a new random token, what goes into the access file, and what configures a phone.
    #[command(after_help = TOKEN_EXAMPLES)]
    New {
        /// The user's name.
        user: String,
        /// The access file, to see whether the user is there already. It is not changed.
        #[arg(long, value_name = "FILE")]
        access: Option<PathBuf>,
        /// Where phones reach the server, such as `https://herd.example`, with its base path if it has one: a link and
        /// a QR code configure OwnTracks then.
        #[arg(long)]
        url: Option<String>,
        /// What the phone is called: it reports as USER/DEVICE.
        #[arg(long, default_value = DEVICE_DEFAULT, value_parser = word)]
        device: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum RawAsk {
    /// Report where a client is.
    Iamat {
        /// The client's name, without white space.
        #[arg(value_parser = word)]
        client: String,
        /// Degrees of latitude and longitude, both signed, such as +34.068930-118.445127.
        #[arg(value_parser = word, allow_hyphen_values = true)]
        location: String,
        /// When it was there, in seconds since 1970 [default: now].
        #[arg(value_parser = word, allow_negative_numbers = true)]
        time: Option<String>,
    },
    /// Ask what is near a client.
    Whatsat {
        /// The client's name, as it was reported.
        #[arg(value_parser = word)]
        client: String,
        /// How far around it to look, in km: 1 to 50.
        #[arg(value_parser = word, allow_negative_numbers = true)]
        radius: String,
        /// The most places wanted: 1 to 20.
        #[arg(value_parser = word, allow_negative_numbers = true)]
        limit: String,
    },
}

fn log_level() -> impl clap::builder::TypedValueParser<Value = log::LevelFilter> {
    PossibleValuesParser::new(["off", "error", "warn", "info", "debug", "trace"])
        .try_map(|level| level.parse::<log::LevelFilter>())
}

fn durability() -> impl clap::builder::TypedValueParser<Value = Durability> {
    PossibleValuesParser::new(["none", "os", "sync"]).map(|when| match when.as_str() {
        "none" => Durability::None,
        "sync" => Durability::Sync,
        _ => Durability::Os,
    })
}

fn scheduling() -> impl clap::builder::TypedValueParser<Value = Scheduling> {
    PossibleValuesParser::new(["batch", "normal"]).map(|policy| match policy.as_str() {
        "normal" => Scheduling::Normal,
        _ => Scheduling::Batch,
    })
}

fn when_full() -> impl clap::builder::TypedValueParser<Value = WhenFull> {
    PossibleValuesParser::new(["wait", "drop"]).map(|what| match what.as_str() {
        "drop" => WhenFull::Drop,
        _ => WhenFull::Wait,
    })
}
