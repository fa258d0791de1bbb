//! `IAMAT <client> <location> <time>`: a client reports where it is. The reply is the `AT` line that is stored.

use crate::proto::line::reason::Reason;
use crate::proto::line::turn::{Step, Turn};
use crate::proto::model::fields::{Fields, ParseError};
use crate::proto::model::location::Location;
use crate::proto::model::name::ClientId;
use crate::proto::model::time::Timestamp;

/// The word of this command.
pub const WORD: &str = "IAMAT";

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
    let location = Location::parse(location)?;
    let time = Timestamp::parse(time)?;
    Ok(IAmAt { client: ClientId(client), location, time })
}

pub(super) fn run<'a>(report: IAmAt<'a>, turn: Turn<'_>) -> Result<Step<'a>, Reason> {
    let IAmAt { client, location, time } = report;
    if client.0.len() > turn.client_name_bytes_max {
        return Err(Reason::NameTooLong(turn.client_name_bytes_max));
    }
    if turn.latest.is_some_and(|latest| time.moment() > latest) {
        // Its client could report nothing more for so long.
        return Err(Reason::ClockAhead);
    }
    turn.batch.report(turn.prefix, turn.line, turn.received, client, location, time);
    Ok(Step::Next)
}
