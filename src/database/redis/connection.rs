//! Connections: how the crate is told where the database is, and never to wait for long.

use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterClientBuilder, ClusterConnection, cluster_pipe};
use redis::{
    Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo as _, RedisConnectionInfo, RedisError,
    RedisResult, ServerErrorKind, TlsCertificates, Value, cmd,
};

use crate::config::{DatabaseKind, DatabaseOptions};
use crate::database::engine::EngineError;

/// How long a connection may take to be made, and each answer to come.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(1);
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long each answer of a cluster may take: the crate waits for all answers of a batch in turn, even if none comes,
/// so that a frozen primary costs this some forty times.
const CLUSTER_ANSWER_WAIT_MAX: Duration = Duration::from_millis(500);

/// How often the crate follows a cluster that says that a key is elsewhere, and how long it waits before that.
const REDIRECTS_MAX: u32 = 2;
const REDIRECT_WAIT_MS: u64 = 20;

/// The code of the error that a key is of another kind than what is asked for.
const WRONG_TYPE: &str = "WRONGTYPE";

const PUT: &str = include_str!("put.lua");
const APPEND: &str = include_str!("append.lua");
const ADVANCE: &str = include_str!("advance.lua");

/// Where a database is, and how to log in there.
pub(super) struct Target(DatabaseOptions);

/// A connection on which nothing has failed.
pub(super) enum Connection {
    Single(Box<Single>),
    Cluster(Box<Cluster>),
}

pub(super) struct Single {
    redis: redis::Connection,
    scripts: Scripts,
}

pub(super) struct Cluster {
    redis: ClusterConnection,
    scripts: Scripts,
}

/// The hashes by which the scripts are called.
pub(super) struct Scripts {
    pub(super) put: String,
    pub(super) append: String,
    pub(super) advance: String,
}

impl Target {
    /// The database that the options name.
    ///
    /// # Errors
    /// If its certificates are not right, which is said at the start, and not when something is written.
    pub(super) fn new(options: DatabaseOptions) -> Result<Target, EngineError> {
        let target = Target(options);
        if target.0.url.is_encrypted
            && let Some((host, port)) = target.0.url.nodes.first()
        {
            target.client(target.info(host, *port))?;
        }
        Ok(target)
    }

    /// Connects, and loads the scripts on every primary.
    pub(super) fn connect(&self) -> Result<Connection, EngineError> {
        match &self.0.url.kind {
            DatabaseKind::Single | DatabaseKind::Socket(_) => {
                let (host, port) = self.0.url.nodes.first().map_or(("", 0), |(host, port)| (host, *port));
                self.single(host, port)
            }
            DatabaseKind::Sentinel(name) => {
                let (host, port) = self.ask_sentinels(name)?;
                self.single(&host, port)
            }
            DatabaseKind::Cluster => {
                let mut redis = self.cluster()?.get_connection()?;
                let scripts = Scripts::load(|command| command.query(&mut redis))?;
                Ok(Connection::Cluster(Box::new(Cluster { redis, scripts })))
            }
        }
    }

    pub(super) fn single(&self, host: &str, port: u16) -> Result<Connection, EngineError> {
        let mut redis = self.client(self.info(host, port))?.get_connection_with_timeout(CONNECT_WAIT_MAX)?;
        redis.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
        redis.set_write_timeout(Some(ANSWER_WAIT_MAX))?;
        let scripts = Scripts::load(|command| command.query(&mut redis))?;
        Ok(Connection::Single(Box::new(Single { redis, scripts })))
    }

    /// Which server is the primary of this name now.
    fn ask_sentinels(&self, name: &str) -> Result<(String, u16), EngineError> {
        let mut why = EngineError::Unreachable("no sentinel is named".to_owned());
        for (host, port) in &self.0.url.nodes {
            // Sentinels have a login of their own, and mostly none.
            let info = self.info(host, *port).set_redis_settings(RedisConnectionInfo::default());
            let ask = || -> Result<Option<(String, u16)>, EngineError> {
                let mut redis = self.client(info)?.get_connection_with_timeout(CONNECT_WAIT_MAX)?;
                redis.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
                let mut question = cmd("SENTINEL");
                question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
                Ok(question.query(&mut redis)?)
            };
            match ask() {
                Ok(Some(primary)) => return Ok(primary),
                Ok(None) => {
                    why = EngineError::Refused(format!("the sentinels know no primary of the name {name}"))
                }
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    fn client(&self, info: ConnectionInfo) -> RedisResult<redis::Client> {
        if self.0.url.is_encrypted {
            redis::Client::build_with_tls(info, self.certificates())
        } else {
            redis::Client::open(info)
        }
    }

    fn cluster(&self) -> RedisResult<ClusterClient> {
        let nodes: Vec<ConnectionInfo> =
            self.0.url.nodes.iter().map(|(host, port)| self.info(host, *port)).collect();
        let mut builder = ClusterClientBuilder::new(nodes)
            .retries(REDIRECTS_MAX)
            .min_retry_wait(REDIRECT_WAIT_MS)
            .max_retry_wait(REDIRECT_WAIT_MS)
            .connection_timeout(CONNECT_WAIT_MAX)
            .response_timeout(CLUSTER_ANSWER_WAIT_MAX);
        if self.0.url.is_encrypted {
            builder = builder.certs(self.certificates());
        }
        builder.build()
    }

    /// How a server is reached and logged in to.
    fn info(&self, host: &str, port: u16) -> ConnectionInfo {
        let host = host.to_owned();
        let address = if let DatabaseKind::Socket(path) = &self.0.url.kind {
            ConnectionAddr::Unix(path.clone())
        } else if self.0.url.is_encrypted {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let mut login = RedisConnectionInfo::default().set_db(self.0.url.number.into());
        if let Some(user) = &self.0.url.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.0.password {
            login = login.set_password(password.reveal());
        }
        let info = address.into_connection_info().expect("an address is one");
        info.set_redis_settings(login)
    }

    fn certificates(&self) -> TlsCertificates {
        TlsCertificates { client_tls: None, root_cert: self.0.ca.clone() }
    }
}

impl Connection {
    pub(super) fn scripts(&self) -> &Scripts {
        match self {
            Connection::Single(single) => &single.scripts,
            Connection::Cluster(cluster) => &cluster.scripts,
        }
    }

    /// Sends commands at once, and returns their answers. If one is an error, that is it; but what is of another kind
    /// than ours is as good as not there.
    pub(super) fn all(&mut self, commands: impl Iterator<Item = Cmd>) -> RedisResult<Vec<Value>> {
        let answers: Vec<Value> = match self {
            // Not as a pipeline of the crate, which waits for every answer in turn even if none comes.
            Connection::Single(single) => {
                let (mut packed, mut count) = (Vec::new(), 0);
                for command in commands {
                    packed.extend_from_slice(&command.get_packed_command());
                    count += 1;
                }
                single.redis.send_packed_command(&packed)?;
                (0..count).map(|_| single.redis.recv_response()).collect::<RedisResult<_>>()?
            }
            Connection::Cluster(cluster) => {
                let mut pipe = cluster_pipe();
                for command in commands {
                    pipe.add_command(command);
                }
                pipe.query(&mut cluster.redis)?
            }
        };
        let is_of_another_kind =
            |answer: &Value| matches!(answer, Value::ServerError(error) if error.code() == WRONG_TYPE);
        let of_ours =
            |answer| if is_of_another_kind(&answer) { Ok(Value::Nil) } else { answer.extract_error() };
        answers.into_iter().map(of_ours).collect()
    }

    /// Where the primaries of a cluster are.
    pub(super) fn primaries(&mut self) -> RedisResult<Vec<(String, u16)>> {
        let Connection::Cluster(cluster) = self else { return Ok(Vec::new()) };
        let mut slots = cmd("CLUSTER");
        slots.arg("SLOTS");
        let Value::Array(ranges) = slots.query(&mut cluster.redis)? else { return Ok(Vec::new()) };
        let mut primaries = Vec::new();
        for range in ranges {
            let Value::Array(range) = range else { continue };
            let Some(Value::Array(primary)) = range.into_iter().nth(2) else { continue };
            if let [Value::BulkString(host), Value::Int(port), ..] = &primary[..] {
                primaries.push((
                    String::from_utf8_lossy(host).into_owned(),
                    u16::try_from(*port).unwrap_or_default(),
                ));
            }
        }
        primaries.sort_unstable();
        primaries.dedup();
        Ok(primaries)
    }
}

impl Scripts {
    fn load(mut ask: impl FnMut(&Cmd) -> RedisResult<String>) -> RedisResult<Scripts> {
        let mut load = |script: &str| {
            let mut command = cmd("SCRIPT");
            command.arg("LOAD").arg(script);
            ask(&command)
        };
        Ok(Scripts { put: load(PUT)?, append: load(APPEND)?, advance: load(ADVANCE)? })
    }
}

impl From<RedisError> for EngineError {
    fn from(error: RedisError) -> EngineError {
        if error.is_timeout() {
            return EngineError::Silent;
        }
        let words = error.to_string();
        let kind = error.kind();
        // Errors of commands that were sent at once come together, in words.
        let has =
            |one: ErrorKind, codes: [&str; 2]| kind == one || codes.iter().any(|code| words.contains(code));
        if has(ErrorKind::Server(ServerErrorKind::NoScript), ["NOSCRIPT", "NoScript"]) {
            EngineError::NoScript
        } else if has(ErrorKind::Server(ServerErrorKind::ReadOnly), ["READONLY", "ReadOnly"]) {
            EngineError::ReadOnly
        } else if words.contains("OOM") {
            EngineError::Full
        } else if has(ErrorKind::AuthenticationFailed, ["NOAUTH", "WRONGPASS"]) {
            EngineError::Denied(words)
        } else if matches!(kind, ErrorKind::Io | ErrorKind::ClusterConnectionNotFound) {
            EngineError::Unreachable(words)
        } else {
            EngineError::Refused(words)
        }
    }
}
