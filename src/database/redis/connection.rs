//! All servers of a database: which of them has a key, and how commands get there and their answers back.
//!
//! A cluster is some primaries, each with a connection of its own. All have their part of a batch before any is waited
//! for, and the first that does not answer ends the wait, so that a frozen primary costs no more than a frozen server.
//! Only where a command must not be sent twice the others are heard, too.

use std::time::{Duration, Instant};

use redis::{Cmd, ServerError, Value, cmd};

use super::slots::{LAST_SLOT, slot_of};
use super::target::{Scripts, Server, Target};
use crate::config::DatabaseKind;
use crate::database::engine::EngineError;
use crate::os::clock;

/// How long a call may take. An answer, or a connection, that is waited for at its end has a second more. A connection
/// that was made begins that again: a call that makes some to servers far away may take longer, one to a frozen server
/// may not.
const CALL_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long all servers of a call together may be waited for where one that does not answer does not end it.
const EACH_WAIT_MAX: Duration = Duration::from_secs(3);

/// The code of the error that a key is of another kind than what is asked for.
const WRONG_TYPE: &str = "WRONGTYPE";

/// A connection to all servers of a database.
pub(super) struct Connection {
    target: Target,
    /// When the call ends that is under way.
    until: Instant,
    /// The hashes of the scripts; empty until one server is connected.
    scripts: Option<Scripts>,
    /// The servers that have keys; none until they are known.
    servers: Vec<Place>,
    /// The first and the last slot of each range, and which server has it.
    ranges: Vec<(usize, usize, usize)>,
    /// Servers that others have named for keys that were moved, on connections of their own: on those of `servers` the
    /// answers to a later batch may be under way.
    elsewhere: Vec<Place>,
    /// A server has said that slots are elsewhere.
    is_outdated: bool,
    /// The batches that were sent and not received.
    under_way: usize,
    /// The node that is asked first, another one after each failure.
    first_node: usize,
}

/// Where a server is, and the connection to it once something was sent there.
struct Place {
    host: String,
    port: u16,
    server: Option<Server>,
}

/// Commands that were sent, each with the server that it went to.
pub(super) struct Sent(Vec<(usize, Cmd)>);

/// A command, and the key that decides which server it goes to.
pub(super) type Keyed = (Vec<u8>, Cmd);

impl Connection {
    pub(super) fn new(target: Target) -> Connection {
        Connection {
            target,
            until: clock::instant(),
            scripts: None,
            servers: Vec::new(),
            ranges: Vec::new(),
            elsewhere: Vec::new(),
            is_outdated: false,
            under_way: 0,
            first_node: 0,
        }
    }

    /// Makes a call. If it fails the connections are given up, because answers may still be under way on them; but
    /// not if it is only that slots are being moved.
    pub(super) fn call<T>(
        &mut self,
        call: impl FnOnce(&mut Connection) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        self.until = clock::deadline(CALL_WAIT_MAX);
        let answer = match self.servers.is_empty() {
            true => self.find_servers().and_then(|()| {
                self.until = clock::deadline(CALL_WAIT_MAX);
                call(self)
            }),
            false => call(self),
        };
        let has_failed = answer.as_ref().is_err_and(|error| *error != EngineError::Moving);
        self.first_node += usize::from(has_failed);
        // A table that is outdated is good enough for what was sent by it.
        if has_failed || (self.is_outdated && self.under_way == 0) {
            self.servers.clear();
            self.elsewhere.clear();
            (self.is_outdated, self.under_way) = (false, 0);
        }
        answer
    }

    /// The hashes of the scripts, during a call.
    pub(super) fn scripts(&self) -> Result<Scripts, EngineError> {
        self.scripts.clone().ok_or(EngineError::NoScript)
    }

    /// How many servers have keys, during a call.
    pub(super) fn servers(&self) -> usize {
        self.servers.len()
    }

    /// Whether slots have moved since the servers were looked for.
    pub(super) fn is_outdated(&self) -> bool {
        self.is_outdated
    }

    /// Sends a command to one of the servers.
    pub(super) fn ask(&mut self, server: usize, command: &Cmd) -> Result<Value, EngineError> {
        let until = self.until;
        Ok(self.server(server)?.ask(command, until)?.extract_error()?)
    }

    /// Sends commands at once, and returns their answers.
    pub(super) fn all(&mut self, commands: Vec<Keyed>) -> Result<Vec<Value>, EngineError> {
        let sent = self.send(commands)?;
        self.receive(sent)
    }

    /// Sends commands at once, each to the server that has its key.
    pub(super) fn send(&mut self, commands: Vec<Keyed>) -> Result<Sent, EngineError> {
        let (packed, sent) = self.packed(commands)?;
        for (owner, packed) in packed.iter().enumerate().filter(|(_, packed)| !packed.is_empty()) {
            self.server(owner)?.send(packed)?;
        }
        self.under_way += 1;
        Ok(sent)
    }

    /// The answers to what was sent, in its order. If one is an error, that is it; but what is of another kind than
    /// ours is as good as not there.
    pub(super) fn receive(&mut self, Sent(sent): Sent) -> Result<Vec<Value>, EngineError> {
        self.under_way = self.under_way.saturating_sub(1);
        let mut answers = Vec::with_capacity(sent.len());
        for (owner, _) in &sent {
            let until = self.until;
            answers.push(self.server(*owner)?.receive(until)?);
        }
        for (answer, (owner, command)) in answers.iter_mut().zip(sent) {
            if let Some(moved) = Moved::of(answer) {
                *answer = self.follow(&moved, owner, &command)?;
            }
        }
        let (mut values, mut is_moving) = (Vec::with_capacity(answers.len()), false);
        for answer in answers {
            match value(answer) {
                Ok(value) => values.push(value),
                Err(EngineError::Moving) => is_moving = true,
                Err(error) => return Err(error),
            }
        }
        if is_moving { Err(EngineError::Moving) } else { Ok(values) }
    }

    /// Sends commands at once, and returns for each the answer, or why there is none: other servers are heard even if
    /// one is not. Nothing else may be under way, and if there is an error the call must fail.
    pub(super) fn each(
        &mut self,
        commands: Vec<Keyed>,
    ) -> Result<Vec<Result<Value, EngineError>>, EngineError> {
        let end = clock::deadline(EACH_WAIT_MAX);
        let (packed, Sent(sent)) = self.packed(commands)?;
        let mut failed: Vec<Option<EngineError>> = vec![None; packed.len()];
        for (owner, packed) in packed.iter().enumerate().filter(|(_, packed)| !packed.is_empty()) {
            if let Err(error) = self.server(owner).and_then(|server| server.send(packed)) {
                failed[owner] = Some(error);
                self.until = clock::deadline(CALL_WAIT_MAX).min(end);
            }
        }
        let mut answers = Vec::with_capacity(sent.len());
        for (owner, _) in &sent {
            let until = self.until;
            let answer = match &failed[*owner] {
                Some(error) => Err(error.clone()),
                None => self.server(*owner).and_then(|server| server.receive(until)),
            };
            if let (None, Err(error)) = (&failed[*owner], &answer) {
                failed[*owner] = Some(error.clone());
                self.until = clock::deadline(CALL_WAIT_MAX).min(end);
            }
            answers.push(answer);
        }
        // An answer that did not come in time would be taken for that of the next command.
        let mut lost = None;
        for (answer, (owner, command)) in answers.iter_mut().zip(sent) {
            let Some(moved) = answer.as_ref().ok().and_then(Moved::of) else { continue };
            *answer = match &lost {
                Some(error) => Err(EngineError::clone(error)),
                None => self.follow(&moved, owner, &command),
            };
            lost = answer.as_ref().err().cloned();
        }
        Ok(answers.into_iter().map(|answer| answer.and_then(value)).collect())
    }

    /// The bytes for each server, and which command is for which.
    fn packed(&self, commands: Vec<Keyed>) -> Result<(Vec<Vec<u8>>, Sent), EngineError> {
        let mut packed = vec![Vec::new(); self.servers.len()];
        let mut sent = Vec::with_capacity(commands.len());
        for (key, command) in commands {
            let owner = self.owner(&key)?;
            command.write_packed_command(packed.get_mut(owner).ok_or(EngineError::Changed)?);
            sent.push((owner, command));
        }
        Ok((packed, Sent(sent)))
    }

    /// Sends a command to where the key is said to be.
    fn follow(&mut self, moved: &Moved, from: usize, command: &Cmd) -> Result<Value, EngineError> {
        self.is_outdated |= moved.for_good;
        // A server that does not know its own name leaves that out.
        let host = match moved.host.is_empty() {
            true => self.servers.get(from).ok_or(EngineError::Changed)?.host.clone(),
            false => moved.host.clone(),
        };
        let at = self.elsewhere.iter().position(|place| (&place.host, place.port) == (&host, moved.port));
        let at = at.unwrap_or_else(|| {
            self.elsewhere.push(Place { host, port: moved.port, server: None });
            self.elsewhere.len() - 1
        });
        let server = self.elsewhere[at].server(&self.target, &mut self.until)?;
        if !moved.for_good {
            server.ask(&cmd("ASKING"), self.until)?.extract_error()?;
        }
        server.ask(command, self.until)
    }

    /// The server that has a key.
    fn owner(&self, key: &[u8]) -> Result<usize, EngineError> {
        if let [(0, LAST_SLOT, server)] = self.ranges[..] {
            return Ok(server);
        }
        let slot = slot_of(key);
        let range = self.ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot));
        range.map(|(.., server)| *server).ok_or_else(|| {
            EngineError::Refused(format!("no server of the cluster has slot {slot}: see CLUSTER INFO"))
        })
    }

    /// The connection to a server, which is made if there is none.
    fn server(&mut self, number: usize) -> Result<&mut Server, EngineError> {
        let place = self.servers.get_mut(number).ok_or(EngineError::Changed)?;
        place.server(&self.target, &mut self.until)
    }

    /// Finds out which servers there are.
    fn find_servers(&mut self) -> Result<(), EngineError> {
        let nodes = self.target.url().nodes.clone();
        match self.target.url().kind.clone() {
            DatabaseKind::Single | DatabaseKind::Socket(_) => {
                let (host, port) = nodes.into_iter().next().unwrap_or_default();
                self.connect_to(host, port)
            }
            DatabaseKind::Sentinel(name) => {
                let (host, port) = self.first_of(&nodes, |this, host, port| {
                    let mut question = cmd("SENTINEL");
                    question.arg("GET-MASTER-ADDR-BY-NAME").arg(&name);
                    let mut sentinel = this.target.connect_to_sentinel(host, port, this.until)?;
                    primary_of(&sentinel.ask(&question, this.until)?.extract_error()?).ok_or_else(|| {
                        EngineError::Refused(format!("the sentinels know no primary of the name {name}"))
                    })
                })?;
                self.connect_to(host, port)
            }
            DatabaseKind::Cluster => self.first_of(&nodes, Connection::ask_cluster),
        }
    }

    /// Connects to the one server that has everything.
    fn connect_to(&mut self, host: String, port: u16) -> Result<(), EngineError> {
        let (server, scripts) = self.target.connect(&host, port, self.until)?;
        self.scripts = Some(scripts);
        self.servers = vec![Place { host, port, server: Some(server) }];
        self.ranges = vec![(0, LAST_SLOT, 0)];
        Ok(())
    }

    /// Asks a node which servers a cluster has.
    fn ask_cluster(&mut self, host: &str, port: u16) -> Result<(), EngineError> {
        let (mut node, scripts) = self.target.connect(host, port, self.until)?;
        let mut question = cmd("CLUSTER");
        question.arg("SLOTS");
        let Value::Array(answer) = node.ask(&question, self.until)?.extract_error()? else {
            return Err(EngineError::Refused("it is no cluster".to_owned()));
        };
        let (mut places, mut ranges) = (Vec::<(String, u16)>::new(), Vec::new());
        for range in &answer {
            let Value::Array(range) = range else { continue };
            let [Value::Int(first), Value::Int(last), primary, ..] = &range[..] else { continue };
            let Some((found, found_port)) = primary_of(primary) else { continue };
            let place = (if found.is_empty() { host.to_owned() } else { found }, found_port);
            let at = places.iter().position(|known| *known == place).unwrap_or_else(|| {
                places.push(place);
                places.len() - 1
            });
            ranges.push((*first as usize, *last as usize, at));
        }
        if ranges.is_empty() {
            return Err(EngineError::Refused(
                "no server of the cluster has slots: see CLUSTER INFO".to_owned(),
            ));
        }
        let place = |(host, port)| Place { host, port, server: None };
        self.scripts = Some(scripts);
        self.servers = places.into_iter().map(place).collect();
        self.ranges = ranges;
        Ok(())
    }

    /// What the first node answers that does.
    fn first_of<T>(
        &mut self,
        nodes: &[(String, u16)],
        mut ask: impl FnMut(&mut Connection, &str, u16) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let mut why = EngineError::Unreachable("no node is named".to_owned());
        for number in 0..nodes.len() {
            let (host, port) = &nodes[(self.first_node + number) % nodes.len()];
            match ask(self, host, *port) {
                Ok(answer) => return Ok(answer),
                Err(error) => why = error,
            }
        }
        Err(why)
    }
}

impl Place {
    /// The connection to it, which is made if there is none; then the call may take longer.
    fn server(&mut self, target: &Target, until: &mut Instant) -> Result<&mut Server, EngineError> {
        match &mut self.server {
            Some(server) => Ok(server),
            none => {
                let (connected, _) = target.connect(&self.host, self.port, *until)?;
                *until = clock::deadline(CALL_WAIT_MAX);
                Ok(none.insert(connected))
            }
        }
    }
}

/// What an answer says. What is of another kind than ours is as good as not there.
fn value(answer: Value) -> Result<Value, EngineError> {
    match matches!(&answer, Value::ServerError(error) if error.code() == WRONG_TYPE) {
        true => Ok(Value::Nil),
        false => Ok(answer.extract_error()?),
    }
}

/// Where a key is that is not where it was looked for.
struct Moved {
    /// Its slot has moved, and not only some of its keys.
    for_good: bool,
    host: String,
    port: u16,
}

impl Moved {
    fn of(answer: &Value) -> Option<Moved> {
        let Value::ServerError(error) = answer else { return None };
        let for_good = match error.code() {
            "MOVED" => true,
            "ASK" => false,
            _ => return None,
        };
        Moved::to(for_good, ServerError::details(error)?)
    }

    /// `SLOT HOST:PORT`
    fn to(for_good: bool, details: &str) -> Option<Moved> {
        let (host, port) = details.split(' ').nth(1)?.rsplit_once(':')?;
        Some(Moved { for_good, host: host.to_owned(), port: port.parse().ok()? })
    }
}

/// The host and port that a cluster or a sentinel names; a host that is not known is empty.
fn primary_of(value: &Value) -> Option<(String, u16)> {
    let Value::Array(words) = value else { return None };
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    // A cluster has a number there, and sentinels a text.
    Some(match &words[..] {
        [Value::BulkString(host), Value::Int(port), ..] => (text(host), u16::try_from(*port).ok()?),
        [Value::Nil, Value::Int(port), ..] => (String::new(), u16::try_from(*port).ok()?),
        [Value::BulkString(host), Value::BulkString(port)] => (text(host), text(port).parse().ok()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_name_a_server() {
        let moved = Moved::to(true, "3999 127.0.0.1:6381").unwrap();
        assert_eq!((moved.host.as_str(), moved.port), ("127.0.0.1", 6381));
        let moved = Moved::to(false, "3999 ::1:6381").unwrap();
        assert_eq!((moved.host.as_str(), moved.port), ("::1", 6381));
        assert_eq!(Moved::to(false, "3999 :6381").unwrap().host, "");
        for bad in ["", "3999", "3999 x", "3999 x:y"] {
            assert!(Moved::to(true, bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn servers_are_named_by_clusters_and_by_sentinels() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let named = |words: Vec<Value>| primary_of(&Value::Array(words));
        assert_eq!(named(vec![text("h"), Value::Int(1), text("id")]), Some(("h".to_owned(), 1)));
        assert_eq!(named(vec![text("h"), text("1")]), Some(("h".to_owned(), 1)));
        assert_eq!(named(vec![Value::Nil, Value::Int(1)]), Some((String::new(), 1)));
        assert_eq!(named(vec![text("h")]), None);
        assert_eq!(primary_of(&Value::Nil), None);
    }
}
