//! Redis and Valkey, single, behind sentinels, or as a cluster: `FORMAT.md` says what is written there.
//!
//! What has failed is asked again by our own threads, at their leisure. A connection on which anything has failed is
//! not used again; a new one loads our scripts, so that a failover needs no rule of its own. The crate has a client for
//! clusters, which is not used: it waits for all answers of a batch in turn, even if none comes.
//!
//! - `slots` says in which slot of a cluster a key is.
//! - `target` connects to one server, and `connection` to all.

mod connection;
mod slots;
mod target;

use std::borrow::Cow;
use std::collections::VecDeque;

use redis::{Cmd, Value, cmd};

use self::connection::{Connection, Keyed, Sent};
use self::target::Target;
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
    connection: Connection,
    history: Option<HistoryOptions>,
    /// The parts that remember how far a server has come.
    parts: usize,
    /// What is being written, in the order in which it was begun.
    under_way: VecDeque<Sent>,
}

impl Redis {
    /// Whether these options can be used, which is said at the start, and not when something is written.
    ///
    /// # Errors
    /// If their certificates are not right.
    pub(super) fn check(options: &DatabaseOptions) -> Result<(), EngineError> {
        Target::new(options.clone()).check()
    }

    /// A database of these options. Nothing is connected yet.
    pub(super) fn new(options: &DatabaseOptions) -> Redis {
        let parts = if options.url.kind == DatabaseKind::Cluster { CLUSTER_PARTS } else { 1 };
        let connection = Connection::new(Target::new(options.clone()));
        Redis { connection, history: options.history, parts, under_way: VecDeque::new() }
    }

    /// The keys of what the parts of the database remember of a server.
    fn position_keys(&self, server: &str) -> Vec<String> {
        (0..self.parts).map(|part| format!("w:{{{}}}:{server}", slots::tag_of(part, CLUSTER_PARTS))).collect()
    }
}

impl Engine for Redis {
    fn begin_write(&mut self, changes: &[Change]) -> Result<(), EngineError> {
        let sent = self.connection.call(|connection| {
            let sha = connection.scripts()?.put;
            let put = |change: &Change| {
                let key = known_key(&change.client);
                let mut command = cmd("EVALSHA");
                command.arg(&sha);
                if change.era > 0 {
                    command.arg(2).arg(&key).arg(history_key(&change.client));
                } else {
                    command.arg(1).arg(&key);
                }
                command
                    .arg(&change.value)
                    .arg(change.era)
                    .arg(u8::from(change.is_tombstone))
                    .arg(change.expires_s);
                (key.into_bytes(), command)
            };
            connection.send(changes.iter().map(put).collect())
        });
        match sent {
            Ok(sent) => self.under_way.push_back(sent),
            Err(error) => {
                self.under_way.clear();
                return Err(error);
            }
        }
        Ok(())
    }

    fn finish_write(&mut self) -> Result<(), EngineError> {
        let Some(sent) = self.under_way.pop_front() else { return Ok(()) };
        let received = self.connection.call(|connection| connection.receive(sent));
        if received.as_ref().is_err_and(|error| *error != EngineError::Moving) {
            self.under_way.clear();
        }
        received.map(drop)
    }

    fn read(&mut self, client: &str) -> Result<Option<Vec<u8>>, EngineError> {
        let values =
            self.connection.call(|connection| connection.all(vec![get(known_key(client).into_bytes())]))?;
        Ok(values.into_iter().next().and_then(text))
    }

    fn scan(&mut self, each: &mut dyn FnMut(Vec<Vec<u8>>)) -> Result<(), EngineError> {
        let servers = self.connection.call(|connection| Ok(connection.servers()))?;
        for server in 0..servers {
            let mut cursor = "0".to_owned();
            loop {
                let (values, next) = self.connection.call(|connection| page(connection, server, &cursor))?;
                each(values);
                cursor = next;
                if cursor == "0" {
                    break;
                }
            }
        }
        Ok(())
    }

    fn append(&mut self, points: &mut Vec<Point>, keep_s: u64) -> Result<(), EngineError> {
        let Some(history) = self.history else {
            points.clear();
            return Ok(());
        };
        let age_s = history.age_max.as_secs();
        self.connection.call(|connection| {
            let sha = connection.scripts()?.append;
            let append = |point: &Point| {
                let key = known_key(&point.client);
                let mut command = cmd("EVALSHA");
                command.arg(&sha).arg(2).arg(&key).arg(history_key(&point.client));
                command
                    .arg(&point.line)
                    .arg(point.received_s)
                    .arg(history.points_max)
                    .arg(age_s)
                    .arg(keep_s.min(age_s));
                (key.into_bytes(), command)
            };
            let mut answers = connection.each(points.iter().map(append).collect())?.into_iter();
            let mut failed = None;
            points.retain(|_| match answers.next() {
                Some(Ok(_)) => false,
                Some(Err(error)) => {
                    // A slot that is being moved must not hide that a server is away.
                    if failed.as_ref().is_none_or(|failed| *failed == EngineError::Moving) {
                        failed = Some(error);
                    }
                    true
                }
                None => true,
            });
            failed.map_or(Ok(()), Err)
        })
    }

    fn track(&mut self, client: &str) -> Result<Vec<Vec<u8>>, EngineError> {
        let key = history_key(client);
        let (mut lines, mut bytes, mut before) = (Vec::new(), 0, "+".to_owned());
        loop {
            let mut range = cmd("XREVRANGE");
            range.arg(&key).arg(&before).arg("-").arg("COUNT").arg(TRACK_COUNT);
            let range = vec![(key.clone().into_bytes(), range)];
            let entries = self.connection.call(|connection| connection.all(range))?;
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

    fn parts(&self) -> usize {
        self.parts
    }

    fn positions(&mut self, server: &str) -> Result<Vec<Option<String>>, EngineError> {
        let gets: Vec<Keyed> =
            self.position_keys(server).into_iter().map(|key| get(key.into_bytes())).collect();
        let values = self.connection.call(|connection| connection.all(gets))?;
        Ok(values.into_iter().map(|value| String::from_utf8(text(value)?).ok()).collect())
    }

    fn move_positions(
        &mut self,
        server: &str,
        before: &[Option<String>],
        position: &str,
    ) -> Result<bool, EngineError> {
        let keys = self.position_keys(server);
        let answers = self.connection.call(|connection| {
            let sha = connection.scripts()?.advance;
            let advance = |(key, before): (&String, &Option<String>)| {
                let mut command = cmd("EVALSHA");
                command.arg(&sha).arg(1).arg(key).arg(before.as_deref().unwrap_or_default()).arg(position);
                (key.clone().into_bytes(), command)
            };
            connection.all(keys.iter().zip(before).map(advance).collect())
        })?;
        Ok(answers.len() == keys.len() && answers.iter().all(|answer| *answer == Value::Int(1)))
    }
}

/// Some of the values that a server has, and where to go on.
fn page(
    connection: &mut Connection,
    server: usize,
    cursor: &str,
) -> Result<(Vec<Vec<u8>>, String), EngineError> {
    let has_changed = || EngineError::Refused("the cluster has changed while it was read".to_owned());
    if server >= connection.servers() {
        return Err(has_changed());
    }
    let mut scan = cmd("SCAN");
    scan.arg(cursor).arg("MATCH").arg("p:*").arg("COUNT").arg(SCAN_COUNT);
    let Value::Array(found) = connection.ask(server, &scan)? else { return Err(has_changed()) };
    let [Value::BulkString(next), Value::Array(keys)] = &found[..] else { return Err(has_changed()) };
    let gets: Vec<Keyed> = keys.iter().cloned().filter_map(text).map(get).collect();
    let values = connection.all(gets)?;
    if connection.is_outdated() {
        return Err(has_changed());
    }
    Ok((values.into_iter().filter_map(text).collect(), String::from_utf8_lossy(next).into_owned()))
}

fn get(key: Vec<u8>) -> Keyed {
    let mut command = Cmd::new();
    command.arg("GET").arg(&key);
    (key, command)
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
fn escaped(client: &str) -> Cow<'_, str> {
    match client.contains(['%', '}']) {
        true => client.replace('%', "%25").replace('}', "%7D").into(),
        false => client.into(),
    }
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
