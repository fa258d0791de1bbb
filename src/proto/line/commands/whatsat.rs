//! `WHATSAT <client> <radius> <limit>`: where is that client, and what is near it? [`crate::proto::line::query`] has
//! the rest of the way to the reply.

use crate::proto::line::query::{PLACES_MAX, RADIUS_KM_MAX, WhatsAt};
use crate::proto::line::reason::Reason;
use crate::proto::line::turn::{Step, Turn};
use crate::proto::model::fields::{Fields, ParseError};
use crate::proto::model::name::ClientId;

/// The word of this command.
pub const WORD: &str = "WHATSAT";

const BAD_RADIUS: ParseError = ParseError::Field("bad radius: not an integer from 1 to 50");
const BAD_LIMIT: ParseError = ParseError::Field("bad limit: not an integer from 1 to 20");

pub(super) fn parse(fields: Fields<'_>) -> Result<WhatsAt<'_>, ParseError> {
    let [client, radius, limit] = fields.exactly()?;
    let radius_km = one_to(RADIUS_KM_MAX, radius).ok_or(BAD_RADIUS)?;
    let limit = one_to(PLACES_MAX, limit).ok_or(BAD_LIMIT)?;
    Ok(WhatsAt { client: ClientId(client), radius_km, limit })
}

pub(super) fn run<'a>(ask: WhatsAt<'a>, _: Turn<'_>) -> Result<Step<'a>, Reason> {
    Ok(Step::Ask(ask))
}

/// An integer from 1 to `max` in digits alone: no sign, no point.
fn one_to(max: u8, text: &str) -> Option<u8> {
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|_| digits_only)?;
    (1..=max).contains(&value).then_some(value)
}
