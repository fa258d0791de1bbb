//! One server: how the crate is told where it is, and never to wait for long.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use redis::{
    Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo as _, RedisConnectionInfo, RedisError,
    RedisResult, ServerErrorKind, TlsCertificates, Value, cmd,
};

use crate::config::{Address, DatabaseKind, DatabaseOptions, DatabaseUrl};
use crate::database::engine::EngineError;
use crate::net::lookup::{self, LOOKUP_WAIT_MAX};
use crate::os::clock;

/// How long a connection may take to be made, and each answer to come.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(1);
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(1);

const PUT: &str = include_str!("put.lua");
const APPEND: &str = include_str!("append.lua");
const ADVANCE: &str = include_str!("advance.lua");

/// Where a database is, and how to log in there.
pub(super) struct Target(DatabaseOptions);

/// A connection to one server, which has our scripts.
pub(super) struct Server(redis::Connection);

/// The hashes by which the scripts are called.
#[derive(Clone, Debug)]
pub(super) struct Scripts {
    pub(super) put: String,
    pub(super) append: String,
    pub(super) advance: String,
}

impl Target {
    /// The database that the options name.
    pub(super) fn new(options: DatabaseOptions) -> Target {
        Target(options)
    }

    /// Whether its certificates are right.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        if self.url().is_encrypted
            && let Some((host, port)) = self.url().nodes.first()
        {
            self.client(self.info(host, *port))?;
        }
        Ok(())
    }

    pub(super) fn url(&self) -> &DatabaseUrl {
        &self.0.url
    }

    /// Connects to a server, and loads the scripts. That is not begun after `until`.
    pub(super) fn connect(
        &self,
        host: &str,
        port: u16,
        until: Instant,
    ) -> Result<(Server, Scripts), EngineError> {
        let mut server = self.connect_as(self.info(host, port), until)?;
        let mut packed = Vec::new();
        for script in [PUT, APPEND, ADVANCE] {
            cmd("SCRIPT").arg("LOAD").arg(script).write_packed_command(&mut packed);
        }
        server.send(&packed)?;
        let until = clock::deadline(ANSWER_WAIT_MAX);
        let mut hash = || {
            let Value::BulkString(hash) = server.receive(until)?.extract_error()? else {
                return Err(EngineError::Refused("it does not load scripts".to_owned()));
            };
            Ok(String::from_utf8_lossy(&hash).into_owned())
        };
        let scripts = Scripts { put: hash()?, append: hash()?, advance: hash()? };
        Ok((server, scripts))
    }

    /// Connects to a sentinel, which has a login of its own, and mostly none.
    pub(super) fn connect_to_sentinel(
        &self,
        host: &str,
        port: u16,
        until: Instant,
    ) -> Result<Server, EngineError> {
        self.connect_as(self.info(host, port).set_redis_settings(RedisConnectionInfo::default()), until)
    }

    fn connect_as(&self, info: ConnectionInfo, until: Instant) -> Result<Server, EngineError> {
        not_after(until)?;
        // The crate looks names up without a bound; a resolver that has just answered will do so again.
        if let ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } = info.addr()
            && host.parse::<IpAddr>().is_err()
        {
            let name = Address::Name(host.clone(), *port);
            lookup::within(&name, LOOKUP_WAIT_MAX)
                .map_err(|error| EngineError::Unreachable(format!("{host}: {error}")))?;
        }
        let redis = self.client(info)?.get_connection_with_timeout(CONNECT_WAIT_MAX)?;
        redis.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
        redis.set_write_timeout(Some(ANSWER_WAIT_MAX))?;
        Ok(Server(redis))
    }

    fn client(&self, info: ConnectionInfo) -> RedisResult<redis::Client> {
        if self.url().is_encrypted {
            let certificates = TlsCertificates { client_tls: None, root_cert: self.0.ca.clone() };
            redis::Client::build_with_tls(info, certificates)
        } else {
            redis::Client::open(info)
        }
    }

    /// How a server is reached and logged in to.
    fn info(&self, host: &str, port: u16) -> ConnectionInfo {
        let (url, host) = (self.url(), host.to_owned());
        let address = if let DatabaseKind::Socket(path) = &url.kind {
            ConnectionAddr::Unix(path.clone())
        } else if url.is_encrypted {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let mut login = RedisConnectionInfo::default().set_db(url.number.into());
        if let Some(user) = &url.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.0.password {
            login = login.set_password(password.reveal());
        }
        let info = address.into_connection_info().expect("an address is one");
        info.set_redis_settings(login)
    }
}

impl Server {
    /// Sends commands, packed one behind the other.
    pub(super) fn send(&mut self, packed: &[u8]) -> Result<(), EngineError> {
        Ok(self.0.send_packed_command(packed)?)
    }

    /// The next answer, which is waited for until then, and up to a second longer. An error of Redis is an answer.
    pub(super) fn receive(&mut self, until: Instant) -> Result<Value, EngineError> {
        not_after(until)?;
        Ok(self.0.recv_response()?)
    }

    /// Sends a command, and waits for its answer.
    pub(super) fn ask(&mut self, command: &Cmd, until: Instant) -> Result<Value, EngineError> {
        self.send(&command.get_packed_command())?;
        self.receive(until)
    }
}

/// Whether there is time left.
fn not_after(until: Instant) -> Result<(), EngineError> {
    if clock::instant() < until { Ok(()) } else { Err(EngineError::Silent) }
}

impl From<RedisError> for EngineError {
    fn from(error: RedisError) -> EngineError {
        if error.is_timeout() {
            return EngineError::Silent;
        }
        let (words, kind) = (error.to_string(), error.kind());
        if kind == ErrorKind::Server(ServerErrorKind::NoScript) {
            EngineError::NoScript
        } else if kind == ErrorKind::Server(ServerErrorKind::ReadOnly) {
            EngineError::ReadOnly
        } else if kind == ErrorKind::Server(ServerErrorKind::TryAgain) {
            EngineError::Moving
        } else if error.code() == Some("OOM") {
            EngineError::Full
        } else if kind == ErrorKind::AuthenticationFailed
            || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
        {
            EngineError::Denied(words)
        } else if kind == ErrorKind::Io {
            EngineError::Unreachable(words)
        } else {
            EngineError::Refused(words)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_by_their_codes() {
        let error = |line: &str| -> EngineError {
            let line = format!("-{line}\r\n");
            redis::parse_redis_value(line.as_bytes()).unwrap().extract_error().unwrap_err().into()
        };
        assert_eq!(error("OOM command not allowed when used memory > 'maxmemory'."), EngineError::Full);
        assert_eq!(error("TRYAGAIN Multiple keys request during rehashing of slot"), EngineError::Moving);
        for user in ["ZOOM", "NOAUTH"] {
            let denied = error(&format!("NOPERM User {user} has no permissions to run the 'get' command"));
            assert!(matches!(denied, EngineError::Refused(_)), "{denied}");
        }
        assert!(matches!(error("NOAUTH Authentication required."), EngineError::Denied(_)));
    }
}
