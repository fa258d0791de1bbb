//! What a simulated server has recorded and not yet committed, and what may not leave before that.
//!
//! A commit happens a while after the first record that waits for it, and covers all that were recorded until then:
//! it lets every reply leave that has waited, and lets the senders know.

use super::disk::{Crash, Durability};
use super::event::{End, Event, SenderId};
use super::server::Server;
use super::{World, from_ms, from_us};
use crate::member::turn::Lsn;
use crate::proto::store::change_log::Flushed;
use crate::proto::wal::record::records;

/// How long what was recorded waits for its commit, and that of a slow server in addition.
const COMMIT_US: std::ops::Range<u64> = 50..20_000;
const SLOW_COMMIT_US: u64 = 100_000;

/// What was written is on disk after so long, where a commit does not wait for it.
const FLUSH_MS_MAX: u64 = 50;

/// The records of one incarnation of a server.
#[derive(Debug)]
pub(super) struct Commits {
    /// Records that no commit has covered.
    pub pending: Vec<u8>,
    /// The bytes of all records that commits have covered.
    committed_bytes: u64,
    /// The number of the last change that no crash can undo.
    pub kept_number: u64,
    /// In the order in which they are to leave.
    waiting: Vec<Reply>,
    /// Whether the senders are to be woken.
    has_news: bool,
    /// Whether that has been given in this life.
    pub has_kept: bool,
    is_planned: bool,
    is_flush_planned: bool,
}

/// What leaves when all that was merged before it is durable.
#[derive(Debug)]
pub(super) enum Reply {
    /// What clients were promised: lines that a server has from then on, or greater ones.
    Client(Vec<Vec<u8>>),
    /// Bytes to the initiator of a connection, where the conversation goes on after them.
    Peer(usize, Vec<u8>),
}

impl Commits {
    /// For a store whose last change has this number.
    pub(super) fn new(number: u64) -> Commits {
        Commits {
            pending: Vec::new(),
            committed_bytes: 0,
            kept_number: number,
            waiting: Vec::new(),
            has_news: false,
            has_kept: false,
            is_planned: false,
            is_flush_planned: false,
        }
    }

    /// What must be durable for all that was recorded to be.
    pub(super) fn lsn(&self) -> Lsn {
        Lsn(self.committed_bytes + self.pending.len() as u64)
    }

    /// Whether a commit has covered that.
    pub(super) fn is_durable(&self, lsn: Lsn) -> bool {
        lsn.0 <= self.committed_bytes
    }
}

impl World {
    /// Lets a reply leave as soon as what it needs is durable. Until then its conversation waits.
    pub(super) fn reply(&mut self, server: usize, needs_lsn: Lsn, reply: Reply) {
        let commits = self.servers[server].life.as_mut().and_then(|life| life.commits.as_mut());
        match commits.filter(|commits| !commits.is_durable(needs_lsn)) {
            Some(commits) => commits.waiting.push(reply),
            None => self.reply_now(server, reply),
        }
    }

    /// Lets a reply leave.
    pub(super) fn reply_now(&mut self, server: usize, reply: Reply) {
        match reply {
            Reply::Peer(conn, bytes) => {
                self.transmit(conn, End::Initiator, &bytes);
                let conversation = self.conns[conn].as_mut().and_then(|conn| conn.conversation.as_mut());
                let unread = conversation.and_then(|conversation| conversation.unread.take());
                if let Some(unread) = unread.filter(|unread| !unread.is_empty()) {
                    self.hear_peer(conn, Some(&unread));
                }
            }
            Reply::Client(lines) => {
                let (lives, mark) = (self.servers[server].lives, self.servers[server].disk.written);
                lines.into_iter().for_each(|line| self.witness.acknowledged(server, lives, mark, line));
            }
        }
    }

    /// A conversation has applied its batch: its records must be committed, and the senders woken if any was applied.
    pub(super) fn settled(&mut self, server: usize, news: usize) {
        if news > 0 {
            self.changed_ns = self.now_ns;
        }
        let Server { life: Some(life), is_slow, starts, .. } = &mut self.servers[server] else { return };
        let Some(commits) = &mut life.commits else { return self.wake_all(server, news > 0) };
        commits.has_news |= news > 0;
        if !commits.pending.is_empty() && !commits.is_planned {
            commits.is_planned = true;
            let slow_us = if *is_slow { self.rng.u64(..SLOW_COMMIT_US) } else { 0 };
            let at_ns = self.now_ns + from_us(self.rng.u64(COMMIT_US) + slow_us);
            self.queue.plan(at_ns, Event::Commit { server, start: *starts });
        }
    }

    /// Writes all that was recorded.
    pub(super) fn commit(&mut self, server: usize, start: u64) {
        let flushes = self.options.durability == Durability::Sync;
        let Server { life: Some(life), disk, starts, is_doomed, .. } = &mut self.servers[server] else {
            return;
        };
        let Some(commits) = life.commits.as_mut().filter(|_| *starts == start) else { return };
        if *is_doomed && records(&commits.pending).count() > 1 {
            return self.crash(server, Crash::Killed);
        }
        disk.commit(&commits.pending, &mut self.rng);
        commits.committed_bytes += commits.pending.len() as u64;
        commits.pending.clear();
        let number = life.node.store().last_seq();
        commits.has_kept |= number > commits.kept_number;
        commits.kept_number = number;
        life.node.set_flushed(Flushed { durable: number, written: number });
        commits.is_planned = false;
        let (waiting, has_news) =
            (std::mem::take(&mut commits.waiting), std::mem::take(&mut commits.has_news));
        if flushes {
            disk.flush();
        } else if !std::mem::replace(&mut commits.is_flush_planned, true) {
            let at_ns = self.now_ns + self.rng.u64(..from_ms(FLUSH_MS_MAX));
            self.queue.plan(at_ns, Event::Flush { server, start });
        }
        waiting.into_iter().for_each(|reply| self.reply_now(server, reply));
        self.wake_all(server, has_news);
    }

    /// Puts on disk what was written.
    pub(super) fn flush(&mut self, server: usize, start: u64) {
        let Server { life: Some(life), disk, starts, .. } = &mut self.servers[server] else { return };
        if let Some(commits) = life.commits.as_mut().filter(|_| *starts == start) {
            commits.is_flush_planned = false;
            disk.flush();
        }
    }

    fn wake_all(&mut self, server: usize, is_due: bool) {
        let neighbours = if is_due { self.servers[server].neighbours.len() } else { 0 };
        (0..neighbours).for_each(|neighbour| self.wake(SenderId { server, neighbour }));
    }
}
