//! The grammar: one line to one typed command, or why not.

use super::location::Location;
use super::name::{ClientId, ServerName};
use super::search::PLACES_MAX;
use super::sighting::Sighting;
use super::time::Timestamp;

/// The version of the peers' dialect that this implementation speaks.
pub const PEER_VERSION: u32 = 1;

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

/// What a neighbour may say to us on our peer port.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerCommand<'a> {
    /// `HELLO <version> <from> <to> <epoch>`: who calls, first of all.
    Hello(Greeting),
    /// `AT <origin> <skew> <client> <location> <time>`: news, or what was news once.
    At(Sighting<'a>),
}

/// How two neighbours open a link: the caller's `HELLO` and the answering `WELCOME` have the same fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Which dialect is spoken.
    pub version: u32,
    /// Who speaks.
    pub from: ServerName,
    /// Whom it believes to speak to.
    pub to: ServerName,
    /// Which memory the speaker has.
    pub epoch: Epoch,
}

/// One life of a server's memory, drawn at random when the memory began: a neighbour that comes back with
/// another epoch has forgotten what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(pub u64);

/// Why a line is not a command. The sender gets its line back; this is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No field at all.
    #[error("the line is blank")]
    Blank,
    /// Not text.
    #[error("the line is not UTF-8")]
    NotUtf8,
    /// The first field is no word that is understood here.
    #[error("the first word is not a command here")]
    UnknownWord,
    /// More or fewer fields than the command has.
    #[error("the number of fields is wrong")]
    FieldCount,
    /// Not two signed decimal numbers in bounds.
    #[error("the location is not like +34.068930-118.445127")]
    Location,
    /// Not a positive decimal number.
    #[error("the time is not positive POSIX seconds")]
    Time,
    /// Not an integer from 1 to 50.
    #[error("the radius is not an integer from 1 to 50")]
    Radius,
    /// Not an integer from 1 to 20.
    #[error("the limit is not an integer from 1 to 20")]
    Limit,
    /// Not a name that a server can have.
    #[error("a server's name is not one")]
    ServerName,
    /// Not a signed decimal number.
    #[error("the skew is not a signed decimal number")]
    Skew,
    /// A version or epoch that is not a number of its kind.
    #[error("the version or the epoch is not a number")]
    Number,
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

/// Reads what came in on the peer port.
pub fn peer_command(line: &[u8]) -> Result<PeerCommand<'_>, ParseError> {
    let fields = Fields::of(line)?;
    match fields.word {
        "AT" => Ok(PeerCommand::At(sighting(fields)?)),
        "HELLO" => Ok(PeerCommand::Hello(greeting(fields)?)),
        _ => Err(ParseError::UnknownWord),
    }
}

/// Reads a neighbour's answer to our hello.
pub fn welcome(line: &[u8]) -> Result<Greeting, ParseError> {
    let fields = Fields::of(line)?;
    match fields.word {
        "WELCOME" => greeting(fields),
        _ => Err(ParseError::UnknownWord),
    }
}

impl Greeting {
    /// Appends the greeting as a line that begins with `word`.
    pub fn push_to(&self, word: &str, out: &mut Vec<u8>) {
        let Greeting { version, from, to, epoch } = self;
        out.extend_from_slice(format!("{word} {version} {from} {to} {:016x}\n", epoch.0).as_bytes());
    }
}

fn sighting(fields: Fields<'_>) -> Result<Sighting<'_>, ParseError> {
    // Implementations of the course add a seventh field that names the sender. The link says that already.
    let ([origin, skew, client, location, time], _sender) = fields.exactly_or_one_more()?;
    if !ServerName::is_one(origin) {
        return Err(ParseError::ServerName);
    }
    if !is_skew(skew) {
        return Err(ParseError::Skew);
    }
    let location = Location::parse(location).ok_or(ParseError::Location)?;
    let time = Timestamp::parse(time).ok_or(ParseError::Time)?;
    Ok(Sighting { origin, skew, client: ClientId(client), location, time })
}

fn greeting(fields: Fields<'_>) -> Result<Greeting, ParseError> {
    let [version, from, to, epoch] = fields.exactly()?;
    // `parse` alone would take a plus sign.
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_plain(version) || !is_plain(epoch) {
        return Err(ParseError::Number);
    }
    let version = version.parse().map_err(|_| ParseError::Number)?;
    let name = |text| ServerName::parse(text).map_err(|_| ParseError::ServerName);
    let (from, to) = (name(from)?, name(to)?);
    let epoch = u64::from_str_radix(epoch, 16).map_err(|_| ParseError::Number)?;
    Ok(Greeting { version, from, to, epoch: Epoch(epoch) })
}

/// Whether `text` is a sign, digits and perhaps a fraction.
fn is_skew(text: &str) -> bool {
    let Some(size) = text.strip_prefix(['+', '-']) else { return false };
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    match size.split_once('.') {
        Some((whole, fraction)) => all_digits(whole) && all_digits(fraction),
        None => all_digits(size),
    }
}

/// An integer from 1 to `max` in digits alone: no sign, no point.
fn one_to(max: u8, text: &str) -> Option<u8> {
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|_| digits_only)?;
    (1..=max).contains(&value).then_some(value)
}

/// The first word of a line and the fields after it.
struct Fields<'a> {
    word: &'a str,
    rest: &'a str,
}

impl<'a> Fields<'a> {
    fn of(line: &'a [u8]) -> Result<Fields<'a>, ParseError> {
        let text = std::str::from_utf8(line).map_err(|_| ParseError::NotUtf8)?;
        let mut fields = Fields { word: "", rest: text };
        fields.word = fields.take().ok_or(ParseError::Blank)?;
        Ok(fields)
    }

    /// The next field: a run of anything but white space.
    fn take(&mut self) -> Option<&'a str> {
        let text = self.rest.trim_start_matches(is_white_space);
        let end = text.bytes().position(|byte| is_white_space(char::from(byte))).unwrap_or(text.len());
        let (field, rest) = text.split_at(end);
        self.rest = rest;
        (!field.is_empty()).then_some(field)
    }

    fn exactly<const N: usize>(self) -> Result<[&'a str; N], ParseError> {
        match self.exactly_or_one_more()? {
            (fields, None) => Ok(fields),
            (_, Some(_)) => Err(ParseError::FieldCount),
        }
    }

    fn exactly_or_one_more<const N: usize>(mut self) -> Result<([&'a str; N], Option<&'a str>), ParseError> {
        let mut fields = [""; N];
        for field in &mut fields {
            *field = self.take().ok_or(ParseError::FieldCount)?;
        }
        let more = self.take();
        if self.take().is_some() { Err(ParseError::FieldCount) } else { Ok((fields, more)) }
    }
}

/// The six characters that separate fields. Other white space of Unicode is part of a field.
fn is_white_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n' | '\x0c' | '\x0b')
}
