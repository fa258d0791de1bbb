//! A question about a client: where it is, and what a provider of places says is near it.

use std::io;
use std::time::Duration;

use super::clock;
use super::conversation::{After, Conversation};
use super::turns::Turn;
use super::warnings::Cause;
use crate::places::{Answer, PlacesError};
use crate::proto::line::batch::KEPT_BYTES_MAX;
use crate::proto::line::command::WhatsAt;
use crate::proto::line::query::NearbyQuery;

impl<'a> Conversation<'a> {
    /// Answers a question. The provider is asked with no lock held, and with all earlier replies sent if it
    /// may take its time.
    pub(super) fn answer(&mut self, text: &[u8], ask: &WhatsAt<'_>) -> io::Result<After> {
        let mut turn = self.turn();
        self.settle();
        let search = self.shared.node.read().search(ask);
        let Some(search) = search else {
            let reply = self.batch.replies().len();
            self.batch.refuse(text);
            self.shared.stats.lines_refused.add(1);
            log::debug!("{} {} asked about a client that nobody has seen", self.port, self.from);
            self.log_replies_from(reply);
            return Ok(After::GoOn);
        };
        if self.shared.places.may_wait() {
            self.flush()?;
        }
        self.shared.stats.questions.add(1);
        let answer = self.nearby(search.nearby()).unwrap_or_else(|error| {
            self.shared.hit(cause_of(&error), format_args!("places: {error}"));
            error.to_answer()
        });
        // Answers are large, and what waits for a client that does not take them is memory.
        if self.batch.replies().len() + answer.as_str().len() > KEPT_BYTES_MAX {
            drop(turn);
            self.flush()?;
            turn = self.turn();
        }
        let reply = self.batch.replies().len();
        search.finish(answer.as_str(), self.batch.reply());
        drop(turn);
        self.log_replies_from(reply);
        Ok(After::GoOn)
    }

    /// The network's answers take no processor, so nobody needs a turn for waiting.
    fn turn(&self) -> Option<Turn<'a>> {
        let shared = self.shared;
        (!shared.places.may_wait()).then(|| shared.turns.take())
    }

    /// Asks the provider, unless that costs calls of which this connection has had its share.
    fn nearby(&mut self, near: &NearbyQuery) -> Result<Answer, PlacesError> {
        if self.shared.places.may_wait() {
            let most = self.shared.limits.places_calls_per_minute;
            let seconds = |wait: Duration| wait.as_millis().div_ceil(1_000) as u64;
            let asked = self.quota.ask(clock::instant());
            asked.map_err(|wait| PlacesError::Share(most, seconds(wait)))?;
        }
        self.shared.places.nearby(near)
    }
}

fn cause_of(error: &PlacesError) -> Cause {
    if matches!(error, PlacesError::Share(..)) {
        Cause::PlacesPerMinute
    } else if *error == PlacesError::Busy {
        Cause::PlacesCalls
    } else {
        Cause::Places
    }
}
