//! The grammar of clients: one line to one typed command, or why not. That of neighbours is in [`crate::proto::peering::grammar`].

use crate::proto::line::query::PLACES_MAX;
use crate::proto::model::fields::{Fields, ParseError};
use crate::proto::model::location::Location;
use crate::proto::model::name::ClientId;
use crate::proto::model::time::Timestamp;

/// The largest radius of a `WHATSAT`, in kilometres; what Google Places allows.
pub const RADIUS_KM_MAX: u8 = 50;

/// What a client may say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClientCommand<'a> {
    /// `IAMAT <client> <location> <time>`: where I am.
    IAmAt(IAmAt<'a>),
    /// `WHATSAT <client> <radius> <limit>`: where that client is, and what is near it.
    WhatsAt(WhatsAt<'a>),
}

/// A client's report of its own place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IAmAt<'a> {
    /// Who reports.
    pub client: ClientId<'a>,
    /// Where it is.
    pub location: Location<'a>,
    /// When, by its own clock.
    pub time: Timestamp<'a>,
}

/// A question about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WhatsAt<'a> {
    /// About whom.
    pub client: ClientId<'a>,
    /// Kilometres around that client, 1 to [`RADIUS_KM_MAX`].
    pub radius_km: u8,
    /// The most places wanted, 1 to [`PLACES_MAX`].
    pub limit: u8,
}

/// Reads what a client sent.
pub fn client_command(line: &[u8]) -> Result<ClientCommand<'_>, ParseError> {
    let fields = Fields::of(line)?;
    match fields.word {
        "IAMAT" => {
            let [client, location, time] = fields.exactly()?;
            let location = Location::parse(location).ok_or(ParseError::Location)?;
            let time = Timestamp::parse(time).ok_or(ParseError::Time)?;
            Ok(ClientCommand::IAmAt(IAmAt { client: ClientId(client), location, time }))
        }
        "WHATSAT" => {
            let [client, radius, limit] = fields.exactly()?;
            let radius_km = one_to(RADIUS_KM_MAX, radius).ok_or(ParseError::Radius)?;
            let limit = one_to(PLACES_MAX, limit).ok_or(ParseError::Limit)?;
            Ok(ClientCommand::WhatsAt(WhatsAt { client: ClientId(client), radius_km, limit }))
        }
        _ => Err(ParseError::UnknownWord),
    }
}

/// An integer from 1 to `max` in digits alone: no sign, no point.
fn one_to(max: u8, text: &str) -> Option<u8> {
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|_| digits_only)?;
    (1..=max).contains(&value).then_some(value)
}
