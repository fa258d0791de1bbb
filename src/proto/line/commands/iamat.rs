//! `IAMAT <client> <location> <time>`: a client reports where it is. The reply is the `AT` line that is stored.

use crate::proto::line::turn::{Refusal, Step, Turn};
use crate::proto::model::fields::{Fields, ParseError};
use crate::proto::model::location::Location;
use crate::proto::model::name::ClientId;
use crate::proto::model::time::Timestamp;

/// The word of this command.
pub const WORD: &str = "IAMAT";

/// A report from so far in the future that its client could report nothing more.
const CLOCK_AHEAD: Refusal =
    Refusal::Command("the client's clock is ahead of ours by more than --max-clock-lead allows");

/// A name that would take as much memory as those of many clients, on every server.
const NAME_TOO_LONG: Refusal =
    Refusal::Command("the client's name is longer than --client-name-bytes-max allows");

/// A client's report of its own place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IAmAt<'a> {
    /// The client that reports.
    pub client: ClientId<'a>,
    /// Where it is.
    pub location: Location<'a>,
    /// When, by its own clock.
    pub time: Timestamp<'a>,
}

pub(super) fn parse(fields: Fields<'_>) -> Result<IAmAt<'_>, ParseError> {
    let [client, location, time] = fields.exactly()?;
    let location = Location::parse(location).ok_or(ParseError::Location)?;
    let time = Timestamp::parse(time).ok_or(ParseError::Time)?;
    Ok(IAmAt { client: ClientId(client), location, time })
}

pub(super) fn run<'a>(report: IAmAt<'a>, turn: Turn<'_>) -> Result<Step<'a>, Refusal> {
    let IAmAt { client, location, time } = report;
    if client.0.len() > turn.client_name_bytes_max {
        return Err(NAME_TOO_LONG);
    }
    if turn.latest.is_some_and(|latest| time.moment() > latest) {
        return Err(CLOCK_AHEAD);
    }
    turn.batch.report(turn.prefix, turn.line, turn.received, client, location, time);
    Ok(Step::Next)
}
