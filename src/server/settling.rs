//! What must happen to what was said before its replies leave: it is merged, kept, and the links are told of it.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::SockRef;

use super::commits::NotKept;
use super::conversation::Conversation;
use super::patience::Written;
use super::slips::{self, Slip};
use super::warnings::Cause;

impl Conversation<'_> {
    /// Merges what is pending and wakes the links if there was news.
    pub(super) fn settle(&mut self) {
        if self.batch.is_settled() {
            return;
        }
        if slips::has(Slip::RungBeforeMerge) {
            self.shared.bells.iter().for_each(|bell| bell.news());
        }
        let shared = self.shared;
        let settled = match &shared.commits {
            None => shared.node.write().settle(&mut self.batch),
            Some(commits) => {
                let (settled, mark) = commits.settle(&shared.node, &mut self.batch);
                self.owed = mark;
                settled
            }
        };
        self.shared.stats.news.add(settled.news as u64);
        self.shared.stats.stale.add(settled.stale as u64);
        if self.shared.crowded.load(Ordering::Relaxed) != settled.crowded {
            self.shared.crowded.store(settled.crowded, Ordering::Relaxed);
        }
        if settled.refused > 0 {
            self.note_refused(settled.refused as u64);
        }
        if settled.news > 0 && !slips::has(Slip::RungBeforeMerge) {
            self.has_news = true;
            if shared.commits.is_none() {
                self.ring();
            }
        }
    }

    /// Waits until all that was settled is kept, and lets the links know of it.
    pub(super) fn commit(&mut self) -> Result<(), NotKept> {
        if let Some(commits) = &self.shared.commits {
            commits.commit(self.owed)?;
            self.ring();
        }
        Ok(())
    }

    fn ring(&mut self) {
        if std::mem::take(&mut self.has_news) {
            self.shared.bells.iter().for_each(|bell| bell.news());
        }
    }

    /// Settles, waits until that is kept, then sends all replies in one write.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.settle();
        if let Err(why) = self.commit() {
            self.break_promises(&why)?;
        }
        if self.batch.replies().is_empty() {
            return Ok(());
        }
        if self.patience.write(self.batch.replies())? == Written::Late {
            let wait = humantime::format_duration(self.shared.limits.reply_time_max);
            let what = format!("it has not taken its replies within {wait}");
            self.shared.hit(Cause::ReplyTime, format_args!("{} {}: {what}", self.port, self.from));
            // What the kernel has of them is not kept for a client that takes nothing.
            SockRef::from(&**self.socket).set_linger(Some(Duration::ZERO))?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        self.batch.sent();
        self.owes_welcome = false;
        Ok(())
    }

    /// What a client reported is not kept, and no neighbour is welcomed who would then be told so.
    #[cold]
    fn break_promises(&mut self, why: &NotKept) -> io::Result<()> {
        let broken = self.batch.break_promises(&why.to_string());
        self.shared.stats.not_kept.add(broken as u64);
        if self.owes_welcome {
            return Err(io::Error::other(format!("nothing {why}")));
        }
        Ok(())
    }

    #[cold]
    fn note_refused(&self, count: u64) {
        self.shared.stats.lines_refused.add(count);
        let most = self.shared.limits.clients_max;
        let what = format_args!(
            "{} reports of {}: {most} clients are known, no new ones are taken",
            count, self.from
        );
        self.shared.hit_times(Cause::Clients, count, what);
    }
}
