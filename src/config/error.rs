//! The mistakes of a configuration, each with one sentence that says what to change.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::address::Address;
use super::limits::{HERD_FILE_BYTES_MAX, SERVERS_MAX};
use crate::proto::model::name::{BadServerName, ServerName};
use crate::proto::model::secret::BadSecret;

/// Names listed in one message; more than these would bury the sentence.
const NAMES_SHOWN_MAX: usize = 12;

/// Characters quoted of a text that is refused; more would not show better which one is meant.
const QUOTED_CHARS_MAX: usize = 80;

/// Why a configuration is refused. Nothing has been started when one of these is returned.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The words of the command line are not understood.
    #[error("{0}")]
    Usage(String),
    /// The file cannot be opened or read, or is not UTF-8.
    #[error("cannot read the herd file {}: {source}; `proxyherd herd` prints one to start from", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file for the database cannot be read.
    #[error(
        "cannot read {}: {source}; --database-password-file names a file with a password alone, and --database-ca one \
         of PEM",
        path.display()
    )]
    DatabaseFile {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file is larger than any herd needs.
    #[error("the herd file {} has more than {HERD_FILE_BYTES_MAX} bytes: is it the right file?", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// Something is wrong in this file.
    #[error("{}: {error}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// The mistake in it.
        error: Box<ConfigError>,
    },
    /// The text is not TOML, or has a key that means nothing here or lacks one.
    #[error("line {line}, column {column}: {message}")]
    Toml {
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// One line of text.
        message: String,
    },
    /// No server at all.
    #[error("the herd has no server: add a table such as [servers.Alford] with client and peer addresses")]
    Empty,
    /// More than [`SERVERS_MAX`] servers.
    #[error("the herd has {count} servers; at most {SERVERS_MAX} are possible")]
    TooManyServers {
        /// Its number of servers.
        count: usize,
    },
    /// A name that could not be a field of a line or a file name.
    #[error("{} cannot be the name of a server: {source}", quoted(name))]
    Name {
        /// As it was given.
        name: String,
        /// The rule.
        source: BadServerName,
    },
    /// Two servers of the same name.
    #[error("there are two servers named {0}: rename one of them")]
    DuplicateName(ServerName),
    /// Not an address that can be listened on and dialled.
    #[error("{whose} is {}: {why}", quoted(address))]
    Address {
        /// Which address.
        whose: AddressUse,
        /// As it was given.
        address: String,
        /// The form that is needed.
        why: &'static str,
    },
    /// A server of our own kind without the address that its neighbours need.
    #[error(
        "{0} has no peer address: add one, or `classic = true` if it is an implementation of the original protocol"
    )]
    NoPeerAddress(ServerName),
    /// A legacy server with an address that no server would use.
    #[error("{0} is classic, so its neighbours talk to its client address: remove the peer address")]
    LegacyPeerAddress(ServerName),
    /// A legacy server with an address for what it does not speak for the herd.
    #[error("{} is classic, so nothing of ours listens there: remove its {} address", .0.server, .0.key())]
    LegacyAddress(AddressUse),
    /// A place to listen for what others cannot reach.
    #[error(
        "{} has {} and no {}: add that too, the address where it is reached",
        .0.server,
        .0.key(),
        .0.purpose.key()
    )]
    OnlyBound(AddressUse),
    /// A legacy server was to be started.
    #[error(
        "{0} is marked classic in the herd file: start the implementation that it is, or remove the mark"
    )]
    NotOurKind(ServerName),
    /// An address that other machines can reach, and no way to tell a server from any other machine.
    #[error(
        "{whose} is {address}, where any machine of that network could pose as a server: give all servers of the herd \
         a secret (--secret-file or PROXYHERD_SECRET), or say --insecure"
    )]
    NeedsSecret {
        /// Which address.
        whose: AddressUse,
        /// The address.
        address: Address,
    },
    /// More secrets than a change of one takes.
    #[error("--secret-file is there more than twice: name the one to use, and at most one more to accept")]
    TooManySecrets,
    /// The file with the herd's secret cannot be read.
    #[error("cannot read the secret file {}: {source}; `openssl rand -hex 32` makes a secret", path.display())]
    SecretFile {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The text given as the herd's secret breaks the rule for secrets.
    #[error("the secret in {place} is of no use: {source}")]
    Secret {
        /// The file or the variable that it was read from.
        place: String,
        /// The rule.
        source: BadSecret,
    },
    /// An address of HTTP or MQTT that other machines can reach, and no users.
    #[error(
        "{whose} is {address}, where any machine of that network could report and ask for all: say who may \
         (--access FILE), or give it a loopback address such as 127.0.0.1:12750"
    )]
    NeedsAccess {
        /// Which address.
        whose: AddressUse,
        /// The address.
        address: Address,
    },
    /// An address of TLS, and no certificate or no key.
    #[error(
        "{whose} is {address}, where TLS needs a certificate and its key: say {missing} too, or remove the address"
    )]
    NeedsPair {
        /// Which address.
        whose: AddressUse,
        /// The address.
        address: Address,
        /// The option that is missing.
        missing: &'static str,
    },
    /// A certificate or a key, and no address of TLS.
    #[error(
        "{0} has no address for TLS, so --tls-cert and --tls-key are of no use: remove them, or give it one in the \
         herd file, such as https = \"127.0.0.1:8443\""
    )]
    NoUseForPair(ServerName),
    /// The file of users cannot be read.
    #[error("cannot read the access file {}: {source}; `proxyherd token new` prints its lines", path.display())]
    AccessFile {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file of secrets of phones cannot be read.
    #[error("cannot read the file of keys {}: {source}", path.display())]
    KeysFile {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// More users or tokens than there may be, or none.
    #[error("{0}")]
    Users(String),
    /// Something that is no user.
    #[error("the user {}: {why}", quoted(user))]
    User {
        /// The name, as it was given.
        user: String,
        /// What to change.
        why: String,
    },
    /// One address for two purposes.
    #[error("{first} and {second} are both {address}: give each an address of its own")]
    DuplicateAddress {
        /// The address.
        address: Address,
        /// Its first use.
        first: AddressUse,
        /// Its second use.
        second: AddressUse,
    },
    /// An address that takes the port of another.
    #[error(
        "{first} is {wide}, which takes port {} on all addresses, and so {narrow}, {second}: give each a port of its \
         own",
        wide.port()
    )]
    OverlappingAddresses {
        /// All addresses of a machine.
        wide: SocketAddr,
        /// Its use.
        first: AddressUse,
        /// One of them.
        narrow: SocketAddr,
        /// Its use.
        second: AddressUse,
    },
    /// A link to a server that has no table.
    #[error("the link {from}-{to} names {unknown:?}, which is not a server of the herd: {}", known(members))]
    UnknownInLink {
        /// One end, as it was given.
        from: String,
        /// The other.
        to: String,
        /// The unknown one.
        unknown: String,
        /// The names that would be right.
        members: Vec<ServerName>,
    },
    /// A server linked to itself.
    #[error("{0} is linked to itself: remove that link")]
    SelfLink(ServerName),
    /// Two servers linked twice, in whichever order.
    #[error("the link {0}-{1} is there twice (a link works in both directions): remove one of them")]
    DuplicateLink(ServerName, ServerName),
    /// The links leave the herd in two or more parts.
    #[error("{} cannot reach {}: add a link between them", listed(reachable), listed(unreachable))]
    Disconnected {
        /// The first server, and all that it can reach.
        reachable: Vec<ServerName>,
        /// The others.
        unreachable: Vec<ServerName>,
    },
    /// A server to talk to that is neither of the herd nor an address.
    #[error("{} is not a server of the herd: {}, or give HOST:PORT", quoted(name), known(members))]
    UnknownTarget {
        /// As it was given.
        name: String,
        /// The names that would be right.
        members: Vec<ServerName>,
    },
    /// A name was asked for that the herd does not have.
    #[error("{} is not a server of the herd: {}", quoted(name), known(members))]
    UnknownServer {
        /// As it was given.
        name: String,
        /// The names that would be right.
        members: Vec<ServerName>,
    },
}

/// The use of an address: `the client address of Alford`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressUse {
    /// The server whose address it is.
    pub server: ServerName,
    /// What is spoken there.
    pub purpose: Purpose,
    /// Whether it is where the server listens alone, and others reach it elsewhere.
    pub is_bound: bool,
}

/// What an address of a server is for, in the order in which a herd file is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The port that clients talk to.
    Client,
    /// The port that the other servers talk to.
    Peer,
    /// The port where HTTP is spoken.
    Http,
    /// The port where MQTT is spoken.
    Mqtt,
    /// The port for clients that encrypt.
    ClientTls,
    /// The port where HTTP is spoken in TLS.
    Https,
    /// The port where MQTT is spoken in TLS.
    Mqtts,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Purpose; 7] = [
        Purpose::Client,
        Purpose::Peer,
        Purpose::Http,
        Purpose::Mqtt,
        Purpose::ClientTls,
        Purpose::Https,
        Purpose::Mqtts,
    ];

    /// Its key in the herd file.
    pub fn key(self) -> &'static str {
        match self {
            Purpose::Client => "client",
            Purpose::Peer => "peer",
            Purpose::Http => "http",
            Purpose::ClientTls => "client_tls",
            Purpose::Https => "https",
            Purpose::Mqtt => "mqtt",
            Purpose::Mqtts => "mqtts",
        }
    }

    /// The key of where the server listens, if that is not where others reach it.
    pub fn bound_key(self) -> String {
        format!("listen_{}", self.key())
    }
}

impl AddressUse {
    /// Its key in the herd file.
    pub fn key(&self) -> String {
        if self.is_bound { self.purpose.bound_key() } else { self.purpose.key().to_owned() }
    }
}

impl fmt::Display for AddressUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.purpose {
            _ if self.is_bound => return write!(f, "the {} address of {}", self.key(), self.server),
            Purpose::Http => "HTTP",
            Purpose::Https => "HTTPS",
            Purpose::Mqtt => "MQTT",
            Purpose::Mqtts => "MQTTS",
            Purpose::Client | Purpose::Peer | Purpose::ClientTls => self.purpose.key(),
        };
        write!(f, "the {name} address of {}", self.server)
    }
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn known(members: &[ServerName]) -> String {
    format!("choose one of {}", listed(members))
}

fn listed(names: &[ServerName]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_SHOWN_MAX).map(ServerName::as_str).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        hidden => format!("{} and {hidden} more", shown.join(", ")),
    }
}
