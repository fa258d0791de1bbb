//! Redis and Valkey, single, behind sentinels, or as a cluster: `FORMAT.md` says what is written there.
//!
//! The crate retries little and waits never for long: what has failed is asked again by our own threads, at their
//! leisure. A connection on which anything has failed is not used again, because answers may still be under way on it;
//! a new one loads our scripts on every primary, so that a failover needs no rule of its own.

mod connection;
mod slots;

use redis::{Cmd, RedisResult, Value, cmd};

use self::connection::{Connection, Target};
use super::engine::{Change, Engine, EngineError, Point};
use crate::config::{DatabaseKind, DatabaseOptions, HistoryOptions};

/// The keys that a scan asks for at once.
const SCAN_COUNT: usize = 1_000;

/// The entries of a history that are asked for at once, and the most bytes of one that are read.
const TRACK_COUNT: usize = 1_000;
const TRACK_BYTES_MAX: usize = 16 << 20;

/// The parts of a cluster that remember how far a server has come: each range of so many slots has a key for that, so
/// that every primary of a cluster of some dozens has one.
const CLUSTER_PARTS: usize = 64;

/// A database of this kind.
pub(super) struct Redis {
    target: Target,
    connection: Option<Connection>,
    history: Option<HistoryOptions>,
    /// The parts that remember how far a server has come.
    parts: usize,
}

impl Redis {
    /// A database of these options. Nothing is connected yet.
    pub(super) fn open(options: &DatabaseOptions) -> Result<Redis, EngineError> {
        let parts = if options.url.kind == DatabaseKind::Cluster { CLUSTER_PARTS } else { 1 };
        let target = Target::new(options.clone())?;
        Ok(Redis { target, connection: None, history: options.history, parts })
    }

    /// Asks on the connection, which is made if there is none, and given up if anything fails.
    fn ask<T>(&mut self, ask: impl FnOnce(&mut Connection) -> RedisResult<T>) -> Result<T, EngineError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.target.connect()?,
        };
        let answer = ask(&mut connection)?;
        self.connection = Some(connection);
        Ok(answer)
    }

    /// The keys of what the parts of the database remember of a server.
    fn position_keys(&self, server: &str) -> Vec<String> {
        (0..self.parts).map(|part| format!("w:{{{}}}:{server}", slots::tag_of(part, CLUSTER_PARTS))).collect()
    }
}

impl Engine for Redis {
    fn write(&mut self, changes: &[Change]) -> Result<(), EngineError> {
        self.ask(|connection| {
            let sha = connection.scripts().put.clone();
            let put = |change: &Change| {
                let mut command = cmd("EVALSHA");
                command.arg(&sha).arg(2).arg(known_key(&change.client)).arg(history_key(&change.client));
                command
                    .arg(&change.value)
                    .arg(change.era)
                    .arg(u8::from(change.is_tombstone))
                    .arg(change.expires_s);
                command
            };
            connection.all(changes.iter().map(put)).map(drop)
        })
    }

    fn read(&mut self, client: &str) -> Result<Option<Vec<u8>>, EngineError> {
        let values =
            self.ask(|connection| connection.all([get(known_key(client).as_bytes())].into_iter()))?;
        Ok(values.into_iter().next().and_then(text))
    }

    fn scan(&mut self, each: &mut dyn FnMut(Vec<Vec<u8>>)) -> Result<(), EngineError> {
        let primaries = self.ask(Connection::primaries)?;
        if primaries.is_empty() {
            return self.ask(|connection| scan(connection, each));
        }
        for (host, port) in primaries {
            let mut primary = self.target.single(&host, port)?;
            scan(&mut primary, each)?;
        }
        Ok(())
    }

    fn append(&mut self, points: &[Point], keep_s: u64) -> Result<(), EngineError> {
        let Some(history) = self.history else { return Ok(()) };
        let age_s = history.age_max.as_secs();
        self.ask(|connection| {
            let sha = connection.scripts().append.clone();
            let append = |point: &Point| {
                let mut command = cmd("EVALSHA");
                command.arg(&sha).arg(2).arg(known_key(&point.client)).arg(history_key(&point.client));
                command
                    .arg(&point.line)
                    .arg(point.received_s)
                    .arg(history.points_max)
                    .arg(age_s)
                    .arg(keep_s.min(age_s));
                command
            };
            connection.all(points.iter().map(append)).map(drop)
        })
    }

    fn track(&mut self, client: &str) -> Result<Vec<Vec<u8>>, EngineError> {
        let key = history_key(client);
        let (mut lines, mut bytes, mut before) = (Vec::new(), 0, "+".to_owned());
        loop {
            let mut range = cmd("XREVRANGE");
            range.arg(&key).arg(&before).arg("-").arg("COUNT").arg(TRACK_COUNT);
            let entries = self.ask(|connection| connection.all([range].into_iter()))?;
            let Some(Value::Array(entries)) = entries.into_iter().next() else { break };
            let count = entries.len();
            for entry in entries {
                let Value::Array(entry) = entry else { continue };
                let [Value::BulkString(id), Value::Array(fields)] = &entry[..] else { continue };
                before = format!("({}", String::from_utf8_lossy(id));
                if let Some(Value::BulkString(line)) = fields.get(1) {
                    bytes += line.len();
                    lines.push(line.clone());
                }
            }
            if count < TRACK_COUNT || bytes > TRACK_BYTES_MAX {
                break;
            }
        }
        lines.reverse();
        Ok(lines)
    }

    fn positions(&mut self, server: &str) -> Result<Vec<Option<String>>, EngineError> {
        let keys = self.position_keys(server);
        let values = self.ask(|connection| connection.all(keys.iter().map(|key| get(key.as_bytes()))))?;
        Ok(values.into_iter().map(|value| String::from_utf8(text(value)?).ok()).collect())
    }

    fn set_positions(&mut self, server: &str, position: &str) -> Result<(), EngineError> {
        let keys = self.position_keys(server);
        let set = |key: &String| {
            let mut command = cmd("SET");
            command.arg(key).arg(position);
            command
        };
        self.ask(|connection| connection.all(keys.iter().map(set)).map(drop))
    }

    fn advance_positions(&mut self, server: &str, before: &str, position: &str) -> Result<bool, EngineError> {
        let keys = self.position_keys(server);
        let answers = self.ask(|connection| {
            let sha = connection.scripts().advance.clone();
            connection.all(keys.iter().map(|key| {
                let mut command = cmd("EVALSHA");
                command.arg(&sha).arg(1).arg(key).arg(before).arg(position);
                command
            }))
        })?;
        Ok(answers.iter().all(|answer| *answer == Value::Int(1)))
    }
}

/// Passes all values of one server to `each`.
fn scan(connection: &mut Connection, each: &mut dyn FnMut(Vec<Vec<u8>>)) -> RedisResult<()> {
    let mut cursor = "0".to_owned();
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(&cursor).arg("MATCH").arg("p:*").arg("COUNT").arg(SCAN_COUNT);
        let page = connection.all([scan].into_iter())?.into_iter().next();
        let Some(Value::Array(page)) = page else { return Ok(()) };
        let mut page = page.into_iter();
        let (Some(Value::BulkString(next)), Some(Value::Array(keys))) = (page.next(), page.next()) else {
            return Ok(());
        };
        let keys: Vec<Vec<u8>> = keys.into_iter().filter_map(text).collect();
        if !keys.is_empty() {
            let values = connection.all(keys.iter().map(|key| get(key)))?;
            each(values.into_iter().filter_map(text).collect());
        }
        cursor = String::from_utf8_lossy(&next).into_owned();
        if cursor == "0" {
            return Ok(());
        }
    }
}

fn get(key: &[u8]) -> Cmd {
    let mut command = cmd("GET");
    command.arg(key);
    command
}

fn text(value: Value) -> Option<Vec<u8>> {
    if let Value::BulkString(text) = value { Some(text) } else { None }
}

/// The key of what is known of a client. The braces put it into one slot of a cluster with its history.
fn known_key(client: &str) -> String {
    format!("p:{{{}}}", escaped(client))
}

/// The key of the history of a client.
fn history_key(client: &str) -> String {
    format!("h:{{{}}}", escaped(client))
}

/// A brace that closes would end the part of a key that decides on its slot.
fn escaped(client: &str) -> String {
    client.replace('%', "%25").replace('}', "%7D")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_client_are_in_one_slot_whatever_its_name_is() {
        for client in ["kiwi", "jane/phone", "}", "{}", "a}b", "{", "%7D", "é{x}"] {
            let (known, history) = (known_key(client), history_key(client));
            assert_eq!(slots::slot_of(known.as_bytes()), slots::slot_of(history.as_bytes()), "{client}");
        }
        assert_ne!(known_key("}"), known_key("%7D"));
        assert_eq!(known_key("jane/phone"), "p:{jane/phone}");
    }
}
