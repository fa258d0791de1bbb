//! A conversation on the client port: with clients, and with neighbours of the legacy dialect, which speak there too.

use std::sync::Arc;

use crate::proto::line::batch::Batch;
use crate::proto::line::commands::client_command;
use crate::proto::line::fast::FastPath;
use crate::proto::line::foreign::{is_foreign, is_tls_hello};
use crate::proto::line::framing::Framing;
use crate::proto::line::reason::Reason;
use crate::proto::line::reply_prefix::ReplyPrefix;
use crate::proto::line::turn::{Step, Turn};
use crate::proto::model::epoch::Epoch;
use crate::proto::model::fields::{Fields, ParseError};
use crate::proto::model::sighting::{Sighting, at_line};
use crate::proto::model::time::Moment;
use crate::proto::node::Identity;
use crate::proto::store::update::{MergeRule, Source};

/// A conversation on the client port.
#[derive(Debug)]
pub struct Session {
    me: Arc<Identity>,
    /// The neighbours of the legacy dialect, by their indices, that are at the address of the other side.
    legacy: Vec<usize>,
    prefix: ReplyPrefix,
    fast: FastPath,
    /// Whether a line has come that is not blank. HTTP allows blank ones before a request.
    has_begun: bool,
}

impl Session {
    /// A conversation with clients, and with these neighbours, by their indices, whose `AT` lines are believed here.
    pub(crate) fn new(me: Arc<Identity>, legacy: Vec<usize>) -> Session {
        let prefix = ReplyPrefix::of(&me.name);
        Session { me, legacy, prefix, fast: FastPath::default(), has_begun: false }
    }

    /// Takes canonical reports that came in at `received`: see [`crate::proto::session::Session::canonical_lines`].
    pub(crate) fn canonical_lines(
        &mut self,
        framing: &mut Framing,
        received: Moment,
        replies_bytes_max: usize,
        batch: &mut Batch,
    ) -> u64 {
        let latest = self.latest(received);
        let taken = self.fast.reports(framing, &self.prefix, received, latest, replies_bytes_max, batch);
        self.has_begun |= taken > 0;
        taken
    }

    /// Takes one line that came in at `received`: its reply and its update go into the batch.
    pub(crate) fn line<'a>(
        &mut self,
        line: &'a [u8],
        received: Moment,
        batch: &mut Batch,
    ) -> Result<Step<'a>, Reason> {
        if !self.has_begun {
            self.has_begun = !matches!(Fields::of(line), Err(ParseError::Blank));
            if is_foreign(line) {
                return Err(Reason::OtherProtocol);
            }
        }
        if self.legacy.iter().any(|&index| self.me.neighbours.is_linked(index))
            && let Ok((sighting, sender)) = at_line(line)
        {
            self.legacy_line(&sighting, sender, batch);
            return Ok(Step::Next);
        }
        let latest = self.latest(received);
        let client_name_bytes_max = self.me.client_name_bytes_max;
        let prefix = &self.prefix;
        client_command(line)?.run(Turn { line, received, latest, client_name_bytes_max, prefix, batch })
    }

    /// Takes a line of a neighbour of the legacy dialect, which is never answered. At equal times it is outdated,
    /// because some implementations rewrite the skew or the origin of what they pass on.
    fn legacy_line(&self, sighting: &Sighting<'_>, sender: Option<&str>, batch: &mut Batch) {
        let is_sender = |&&index: &&usize| Some(self.me.neighbours[index].name.as_str()) == sender;
        let source = match (self.legacy.iter().find(is_sender), &*self.legacy) {
            (Some(&one), _) | (None, &[one]) => Source::neighbour(one, Epoch::LEGACY),
            // It may be sent back to the neighbour that it came from, which knows it.
            (None, _) => Source::CLIENT,
        };
        batch.learn(sighting, source, MergeRule::LaterTime);
    }

    /// Whether these are the first bytes of a TLS hello, which has no line end to wait for.
    pub(crate) fn is_tls_hello(&self, unread: &[u8]) -> bool {
        !self.has_begun && is_tls_hello(unread)
    }

    /// The latest time that a report may have which comes in at `received`, if there is one.
    fn latest(&self, received: Moment) -> Option<Moment> {
        self.me.clock_lead_max.map(|lead| received.after(lead))
    }
}
