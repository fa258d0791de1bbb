//! Why the client could not do what it was asked to, and the server that it was to talk to.

use std::fmt;
use std::io;

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Address;
use crate::proto::model::name::ServerName;

/// How long connecting may take, all addresses of a host together.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Why the client could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The host has no address.
    #[error("cannot find {host:?}: {source}; give a server of the herd or HOST:PORT")]
    Unknown {
        /// As it was given.
        host: String,
        /// The error of the system.
        source: io::Error,
    },
    /// No server listens there, or none answers within [`CONNECT_DEADLINE`].
    #[error("cannot connect to {server}: {source}; is it running? {}", how_to_start(server))]
    Unreachable {
        /// Which server.
        server: Target,
        /// The error of the system.
        source: io::Error,
    },
    /// No server has its journal in a folder, and runs.
    #[error("no server runs with its journal in {}: {source}; is --data-dir the same?", either(.dirs))]
    NoAdmin {
        /// The folders that were tried.
        dirs: Vec<PathBuf>,
        /// The error of the system.
        source: io::Error,
    },
    /// A server does not do what it was asked to over HTTP.
    #[error("{url}: {why}")]
    Http {
        /// Where it is.
        url: String,
        /// The status of its answer, if it has answered.
        status: Option<u16>,
        /// In its words, or those of the system.
        why: String,
    },
    /// There is no token in a file.
    #[error("cannot read the token in {}: {why}", .path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// There is no certificate in a file.
    #[error(
        "cannot use the certificates in {}: {why}; --ca takes the file of those who vouch for the server",
        .path.display()
    )]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A file of a backup cannot be read or written.
    #[error("{}: {source}; {advice}", .path.display())]
    Backup {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// An export has no end.
    #[error(
        "the export is cut off after {lines} lines: the server has stopped, or its disk fails; export again"
    )]
    ExportCut {
        /// How many there are.
        lines: u64,
    },
    /// A part of a backup is not taken.
    #[error(
        "{why}; the lines before number {line} are imported: import the file again later, which changes nothing of them"
    )]
    ImportCut {
        /// The first line that may be missing.
        line: u64,
        /// Why.
        why: Box<ClientError>,
    },
    /// The server hung up too soon.
    #[error("the server closed the connection before everything was answered; try again, or another server")]
    Closed,
    /// The server said nothing for too long.
    #[error("the server has not answered within {} s; try another server", .0.as_secs())]
    Silent(Duration),
    /// The connection or the machine failed.
    #[error("the connection failed: {0}; try again, or another server")]
    Connection(io::Error),
    /// Standard input cannot be read.
    #[error("cannot read the input: {0}")]
    Input(io::Error),
    /// The replies cannot be written.
    #[error("cannot write the replies: {0}")]
    Output(io::Error),
}

/// The server to talk to.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A member of the herd.
    Member(ServerName, Address),
    /// `HOST:PORT`, to be looked up.
    Host(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Member(name, address) => write!(f, "{name} at {address}"),
            Target::Host(host) => f.write_str(host),
        }
    }
}

fn either(dirs: &[PathBuf]) -> String {
    dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(" or ")
}

fn how_to_start(server: &Target) -> String {
    match server {
        Target::Member(name, _) => format!("`proxyherd serve {name}` starts it"),
        Target::Host(_) => "`proxyherd herd --list` shows the addresses of the herd".to_owned(),
    }
}
