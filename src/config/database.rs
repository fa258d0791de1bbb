//! The core database: where it is, how to log in there, and what is kept in it.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::ConfigError;
use super::given_file;

/// The environment variable with the password of the database, if no file is named.
pub const DATABASE_PASSWORD_VARIABLE: &str = "PROXYHERD_DATABASE_PASSWORD";

/// The port of Redis, and that of its sentinels.
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The most addresses of a database that may be named: all of a large cluster.
const NODES_MAX: usize = 64;

/// The most bytes of a file with a password, or with certificates.
const PASSWORD_BYTES_MAX: u64 = 4 << 10;
const CERTIFICATES_BYTES_MAX: u64 = 1 << 20;

/// How long a server that knows nothing waits for a database that does not answer: a minute in which it restarts.
pub const DATABASE_WAIT_DEFAULT: Duration = Duration::from_secs(60);

/// The least and the greatest age of a history.
pub const HISTORY_FLOOR: Duration = Duration::from_secs(60);
/// See [`HISTORY_FLOOR`].
pub const HISTORY_CEILING: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// The points of one client's history: a month of one every five minutes, at some 150 bytes each in the database.
pub const HISTORY_POINTS_DEFAULT: u32 = 10_000;
/// The most of them that may be asked for: an answer has all of them.
pub const HISTORY_POINTS_CEILING: u32 = 100_000;

/// The bytes of points that wait for the database: a minute of a thousand reports a second, with a third to spare.
pub const HISTORY_QUEUE_BYTES_DEFAULT: u64 = 16 << 20;
/// The least that may be chosen.
pub const HISTORY_QUEUE_BYTES_FLOOR: u64 = 64 << 10;
/// The most that may be chosen.
pub const HISTORY_QUEUE_BYTES_CEILING: u64 = 4 << 30;

/// The core database of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseOptions {
    /// Where it is.
    pub url: DatabaseUrl,
    /// The password, if it takes one.
    pub password: Option<DatabasePassword>,
    /// The certificates to trust in PEM, in place of those of the system.
    pub ca: Option<Vec<u8>>,
    /// How long a server that knows nothing waits for a database that does not answer.
    pub wait_max: Duration,
    /// What is kept of each client beside where it is now; `None` for nothing.
    pub history: Option<HistoryOptions>,
}

/// What is kept of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryOptions {
    /// How old a point may become, [`HISTORY_FLOOR`] to [`HISTORY_CEILING`].
    pub age_max: Duration,
    /// Points of each client, 1 to [`HISTORY_POINTS_CEILING`].
    pub points_max: u32,
    /// Bytes of points that wait for the database.
    pub queue_bytes_max: u64,
}

/// Where a database is. Its text never has a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseUrl {
    text: String,
    /// What kind of database it is.
    pub kind: DatabaseKind,
    /// Where it listens: one address, several of a cluster, those of the sentinels; none for a socket of this machine.
    pub nodes: Vec<(String, u16)>,
    /// Whether it is spoken to in TLS.
    pub is_encrypted: bool,
    /// Who logs in; `None` for the user that every database has.
    pub user: Option<String>,
    /// The number of the database within the server.
    pub number: u32,
}

/// What kind of database it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// One server.
    Single,
    /// A server of this machine, at the path of its socket.
    Socket(PathBuf),
    /// A cluster.
    Cluster,
    /// The primary of this name, which sentinels know.
    Sentinel(String),
}

/// The password of a database, which is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabasePassword(String);

impl DatabaseOptions {
    /// Reads what the command line and the environment name. A file goes before the variable.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn of(
        url: DatabaseUrl,
        password_file: Option<&Path>,
        password: Option<OsString>,
        ca: Option<&Path>,
        wait_max: Duration,
        history: Option<HistoryOptions>,
    ) -> Result<DatabaseOptions, ConfigError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| ConfigError::DatabaseFile { path, source }
        };
        let password = match (password_file, password) {
            (Some(path), _) => {
                let text = given_file::utf8(path, PASSWORD_BYTES_MAX).map_err(unreadable(path))?;
                Some(text)
            }
            (None, Some(text)) => Some(text.to_string_lossy().into_owned()),
            (None, None) => None,
        };
        let password = password.map(|text| given_file::value(text.as_bytes()).to_vec());
        let password = password.filter(|text| !text.is_empty());
        let password = password.map(|text| DatabasePassword(String::from_utf8_lossy(&text).into_owned()));
        let pem = |path: &Path| given_file::text(path, CERTIFICATES_BYTES_MAX).map_err(unreadable(path));
        Ok(DatabaseOptions { url, password, ca: ca.map(pem).transpose()?, wait_max, history })
    }
}

impl DatabaseUrl {
    /// Reads a URL, such as `redis://host:6379`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<DatabaseUrl, String> {
        let shapes = "write redis://HOST:PORT, redis+cluster://A,B,C, redis+sentinel://A,B,C/NAME, the same with \
                      rediss for TLS, or redis+unix:///PATH";
        let (scheme, rest) = text.split_once("://").ok_or_else(|| format!("it is no URL: {shapes}"))?;
        let (base, sort) = scheme.split_once('+').unwrap_or((scheme, ""));
        let is_encrypted = match base {
            "redis" => false,
            "rediss" => true,
            _ => return Err(format!("{base} is not spoken here: {shapes}")),
        };
        if rest.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#')) {
            return Err(format!("it has characters that mean nothing here: {shapes}"));
        }
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(login), rest),
            None => (None, rest),
        };
        if login.is_some_and(|login| login.contains(':')) {
            return Err(format!(
                "a password in a URL is seen by all users of this machine: put it into a file for \
                 --database-password-file, or into the variable {DATABASE_PASSWORD_VARIABLE}"
            ));
        }
        let user = login.filter(|login| !login.is_empty()).map(str::to_owned);
        let url = |kind, nodes, number| DatabaseUrl {
            text: format!("{scheme}://{rest}"),
            kind,
            nodes,
            is_encrypted,
            user: user.clone(),
            number,
        };
        if sort == "unix" {
            return match rest.starts_with('/') && !is_encrypted {
                true => Ok(url(DatabaseKind::Socket(PathBuf::from(rest)), Vec::new(), 0)),
                false => Err(format!("a socket is a path without TLS: {shapes}")),
            };
        }
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let number =
            || if path.is_empty() { Ok(0) } else { path.parse().map_err(|_| format!("{path} is no number")) };
        let port = if sort == "sentinel" { SENTINEL_PORT } else { PORT };
        let nodes = hosts.split(',').map(|host| node(host, port)).collect::<Result<Vec<_>, _>>();
        let nodes = nodes.map_err(|host| format!("{host:?} is no host with a port: {shapes}"))?;
        if nodes.len() > NODES_MAX {
            return Err(format!("it names more than {NODES_MAX} hosts: some of them are enough"));
        }
        match sort {
            "" if nodes.len() > 1 => Err(format!("several hosts are a cluster or sentinels: {shapes}")),
            "" => Ok(url(DatabaseKind::Single, nodes, number()?)),
            "cluster" if path.is_empty() => Ok(url(DatabaseKind::Cluster, nodes, 0)),
            "cluster" => Err("a cluster has one database, and so no number of it".to_owned()),
            "sentinel" if path.is_empty() => Err(format!("it does not say which primary: {shapes}")),
            "sentinel" => Ok(url(DatabaseKind::Sentinel(path.to_owned()), nodes, 0)),
            _ => Err(format!("{scheme} is not spoken here: {shapes}")),
        }
    }
}

/// A host, and perhaps a port behind it; an address of IPv6 stands in brackets then.
fn node(text: &str, port: u16) -> Result<(String, u16), String> {
    let wrong = || text.to_owned();
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, port),
        Some((host, rest)) => {
            (host, rest.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or_else(wrong)?)
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (text, port),
        },
    };
    let is_odd = host.is_empty() || host.contains(['[', ']', '/', '\\']);
    if is_odd { Err(wrong()) } else { Ok((host.to_owned(), port)) }
}

impl DatabasePassword {
    /// The password itself, for the login.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabasePassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabasePassword(..)")
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_what_kind_of_database_it_is() {
        for (text, kind, nodes, is_encrypted, user, number) in [
            ("redis://db", DatabaseKind::Single, vec![("db", 6379)], false, None, 0),
            ("redis://db:7/3", DatabaseKind::Single, vec![("db", 7)], false, None, 3),
            ("rediss://herd@[::1]:7", DatabaseKind::Single, vec![("::1", 7)], true, Some("herd"), 0),
            (
                "redis+unix:///run/redis.sock",
                DatabaseKind::Socket("/run/redis.sock".into()),
                vec![],
                false,
                None,
                0,
            ),
            (
                "redis+cluster://a,b:2,[::1]",
                DatabaseKind::Cluster,
                vec![("a", 6379), ("b", 2), ("::1", 6379)],
                false,
                None,
                0,
            ),
            (
                "rediss+sentinel://a,b:2/main",
                DatabaseKind::Sentinel("main".into()),
                vec![("a", 26379), ("b", 2)],
                true,
                None,
                0,
            ),
        ] {
            let url = DatabaseUrl::parse(text).unwrap();
            let nodes: Vec<(String, u16)> =
                nodes.into_iter().map(|(host, port)| (host.to_owned(), port)).collect();
            assert_eq!(
                (&url.kind, &url.nodes, url.is_encrypted, url.user.as_deref(), url.number),
                (&kind, &nodes, is_encrypted, user, number),
                "{text}"
            );
            assert_eq!(url.to_string(), text.replace("herd@", ""));
        }
    }

    #[test]
    fn wrong_urls_say_what_to_write_and_none_has_a_password() {
        for (text, why) in [
            ("", "it is no URL"),
            ("localhost:6379", "it is no URL"),
            ("http://db", "http is not spoken here"),
            ("redis+x://db", "redis+x is not spoken here"),
            ("redis://", "no host"),
            ("redis://a,b", "several hosts"),
            ("redis://db:x", "no host"),
            ("redis://db:70000", "no host"),
            ("redis://db/x", "no number"),
            ("redis://db?x=1", "characters"),
            ("redis+cluster://a/1", "no number of it"),
            ("redis+sentinel://a", "which primary"),
            ("redis+unix://path", "a socket is a path"),
            ("rediss+unix:///path", "a socket is a path"),
            ("redis://:secret@db", "seen by all users"),
            ("redis://me:secret@db", "seen by all users"),
        ] {
            let error = DatabaseUrl::parse(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn password_is_never_printed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "\"s3cret\"\n").unwrap();
        let url = || DatabaseUrl::parse("redis://db").unwrap();
        let of = |file: Option<&Path>, variable: Option<&str>| {
            DatabaseOptions::of(url(), file, variable.map(OsString::from), None, DATABASE_WAIT_DEFAULT, None)
        };
        let options = of(Some(&file), Some("other")).unwrap();
        assert_eq!(options.password.as_ref().unwrap().reveal(), "s3cret");
        assert!(!format!("{options:?}").contains("s3cret"));
        assert_eq!(of(None, Some("other")).unwrap().password.unwrap().reveal(), "other");
        assert_eq!(of(None, None).unwrap().password, None);
        let error = of(Some(&dir.path().join("none")), None).unwrap_err().to_string();
        assert!(error.contains("--database-password-file"), "{error}");
    }
}
