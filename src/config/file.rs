//! The herd as TOML text, and back.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;

use super::address::Address;
use super::advice::{Keys, advice};
use super::error::{AddressUse, ConfigError, Purpose};
use super::given_file;
use super::herd::{Herd, Member};
use super::limits::{EXPIRE_AFTER_CEILING, EXPIRE_AFTER_FLOOR, HERD_FILE_BYTES_MAX};
use super::time::shown;
use crate::proto::model::name::ServerName;
use crate::proto::node::Dialect;

/// The most characters of a message of the TOML library: its longest sentences about a key or two.
const MESSAGE_CHARS_MAX: usize = 300;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HerdFile {
    #[serde(default = "catch_up_default")]
    catch_up: bool,
    expire_after: Option<Spanned<String>>,
    max_clock_lead: Option<Spanned<String>>,
    #[serde(default)]
    // Not pairs, because the library would take a longer array for one, and forget the rest.
    links: Vec<Spanned<Vec<String>>>,
    #[serde(default)]
    servers: BTreeMap<String, ServerFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerFile {
    client: String,
    /// A legacy server has none, and every other needs one.
    peer: Option<String>,
    http: Option<String>,
    client_tls: Option<String>,
    https: Option<String>,
    mqtt: Option<String>,
    mqtts: Option<String>,
    listen_client: Option<String>,
    listen_peer: Option<String>,
    listen_http: Option<String>,
    listen_client_tls: Option<String>,
    listen_https: Option<String>,
    listen_mqtt: Option<String>,
    listen_mqtts: Option<String>,
    #[serde(default)]
    classic: bool,
}

fn catch_up_default() -> bool {
    true
}

/// Reads and checks the file at `path`, of the form that [`to_toml`] prints.
pub fn load(path: &Path) -> Result<Herd, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let text = given_file::text(path, HERD_FILE_BYTES_MAX + 1).map_err(unreadable)?;
    if text.len() as u64 > HERD_FILE_BYTES_MAX {
        return Err(ConfigError::TooLong { path: path.to_owned() });
    }
    let text = String::from_utf8(text).map_err(|_| {
        unreadable(io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8: save it as such"))
    })?;
    parse(&text).map_err(|error| ConfigError::InFile { path: path.to_owned(), error: Box::new(error) })
}

/// Checks a herd written as TOML.
pub fn parse(text: &str) -> Result<Herd, ConfigError> {
    let file: HerdFile = toml::from_str(text).map_err(|error| not_a_herd(text, &error))?;
    let mut members = Vec::with_capacity(file.servers.len());
    for (key, server) in file.servers {
        members.push(member(name(key)?, server)?);
    }
    let links = file.links.into_iter().map(|link| ends(text, link)).collect::<Result<_, _>>()?;
    let mut herd = Herd::new(members, links, file.catch_up)?;
    herd.expire_after = duration(text, file.expire_after, EXPIRE_AFTER_FLOOR..=EXPIRE_AFTER_CEILING)?;
    herd.clock_lead_max = duration(text, file.max_clock_lead, Duration::ZERO..=EXPIRE_AFTER_CEILING)?;
    Ok(herd)
}

/// The herd as TOML with comments, to start a file of one's own from; [`parse`] gives it back.
pub fn to_toml(herd: &Herd) -> String {
    let mut text = String::from("# Who talks to whom. A link works in both directions.\n");
    // Writing to a String cannot fail, so the results say nothing.
    match herd.links() {
        [] => text.push_str("links = []\n"),
        links => {
            text.push_str("links = [\n");
            for (a, b) in links {
                let _ = writeln!(text, "    [\"{a}\", \"{b}\"],");
            }
            text.push_str("]\n");
        }
    }
    text.push_str("\n# Whether a server that was away is told what it missed.\n");
    let _ = writeln!(text, "catch_up = {}", herd.catch_up);
    if let Some(time) = herd.expire_after {
        text.push_str(
            "\n# A client that has not reported for so long is forgotten; without this line none is.\n",
        );
        let _ = writeln!(text, "expire_after = \"{}\"", shown(time));
    }
    if let Some(time) = herd.clock_lead_max {
        text.push_str(
            "\n# A report from further in the future than this is refused; without this line none is.\n",
        );
        let _ = writeln!(text, "max_clock_lead = \"{}\"", shown(time));
    }
    text.push_str(
        "\n# Where clients and other servers reach each server, by address or name; listen_peer and the like: where it \
         is bound.\n",
    );
    for (at, member) in herd.members().iter().enumerate() {
        let separator = if at == 0 { "" } else { "\n" };
        // A dot would begin a table within the table.
        let quote = if member.name.as_str().contains('.') { "\"" } else { "" };
        let _ = writeln!(text, "{separator}[servers.{quote}{}{quote}]", member.name);
        for (whose, address) in member.addresses() {
            let _ = writeln!(text, "{} = \"{address}\"", whose.key());
        }
        for (purpose, address) in &member.bound {
            let _ = writeln!(text, "{} = \"{address}\"", purpose.bound_key());
        }
        if member.dialect == Dialect::Legacy {
            text.push_str("classic = true\n");
        }
    }
    text
}

fn name(text: String) -> Result<ServerName, ConfigError> {
    ServerName::parse(&text).map_err(|source| ConfigError::Name { name: text, source })
}

/// One server, from its table.
fn member(name: ServerName, server: ServerFile) -> Result<Member, ConfigError> {
    let whose = |purpose, is_bound| AddressUse { server: name.clone(), purpose, is_bound };
    let address = |purpose, text: String| match text.parse::<Address>() {
        Ok(address) => Ok(address),
        Err(why) => Err(ConfigError::Address { whose: whose(purpose, false), address: text, why }),
    };
    let optional = |purpose, text: Option<String>| text.map(|text| address(purpose, text)).transpose();
    let client = address(Purpose::Client, server.client)?;
    let mut member = match (optional(Purpose::Peer, server.peer)?, server.classic) {
        (Some(peer), false) => Member::herd(name.clone(), client, peer),
        (None, true) => Member::legacy(name.clone(), client),
        (None, false) => return Err(ConfigError::NoPeerAddress(name)),
        (Some(_), true) => return Err(ConfigError::LegacyPeerAddress(name)),
    };
    member.http = optional(Purpose::Http, server.http)?;
    member.client_tls = optional(Purpose::ClientTls, server.client_tls)?;
    member.https = optional(Purpose::Https, server.https)?;
    member.mqtt = optional(Purpose::Mqtt, server.mqtt)?;
    member.mqtts = optional(Purpose::Mqtts, server.mqtts)?;
    for (purpose, text) in [
        (Purpose::Client, server.listen_client),
        (Purpose::Peer, server.listen_peer),
        (Purpose::Http, server.listen_http),
        (Purpose::ClientTls, server.listen_client_tls),
        (Purpose::Https, server.listen_https),
        (Purpose::Mqtt, server.listen_mqtt),
        (Purpose::Mqtts, server.listen_mqtts),
    ] {
        let Some(text) = text else { continue };
        let bound = text.parse().map_err(|_| {
            let why = "a server listens on an IP address of its machine and a port, or on all, as in \"[::]:12550\"";
            ConfigError::Address { whose: whose(purpose, true), address: text, why }
        })?;
        member.bound.insert(purpose, bound);
        if member.dialect == Dialect::Herd && member.address(purpose).is_none() {
            return Err(ConfigError::OnlyBound(whose(purpose, true)));
        }
    }
    if member.dialect == Dialect::Legacy {
        let reached = member.addresses().map(|(whose, _)| whose).find(|it| it.purpose != Purpose::Client);
        let bound = member.bound.keys().next().map(|purpose| whose(*purpose, true));
        if let Some(whose) = reached.or(bound) {
            return Err(ConfigError::LegacyAddress(whose));
        }
    }
    Ok(member)
}

/// A time in quotes, with its unit.
fn duration(
    text: &str,
    value: Option<Spanned<String>>,
    range: RangeInclusive<Duration>,
) -> Result<Option<Duration>, ConfigError> {
    let Some(value) = value else { return Ok(None) };
    let (begins, value) = (value.span().start, value.into_inner());
    match humantime::parse_duration(&value).ok().filter(|time| range.contains(time)) {
        Some(time) => Ok(Some(time)),
        None => {
            let [least, most] = [range.start(), range.end()].map(|time| shown(*time));
            let message = format!("it takes a time from {least} to {most} with its unit, such as \"24h\"");
            Err(located(text, begins, message))
        }
    }
}

fn ends(text: &str, link: Spanned<Vec<String>>) -> Result<(ServerName, ServerName), ConfigError> {
    let begins = link.span().start;
    match <[String; 2]>::try_from(link.into_inner()) {
        Ok([a, b]) => Ok((name(a)?, name(b)?)),
        Err(_) => Err(located(text, begins, "a link is the names of two servers".to_owned())),
    }
}

/// One sentence in place of the library's several lines and picture of the place.
fn not_a_herd(text: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start);
    let at = if text.is_char_boundary(at) { at } else { 0 };
    let better = advice(text, at, error.message(), &KEYS);
    located(text, at, sentence(better.as_deref().unwrap_or(error.message())))
}

const KEYS: Keys = Keys { is_of_herd: is_known::<HerdFile>, is_of_server: is_known::<ServerFile> };

/// Whatever is wrong with a lone key, that it is unknown is told first.
fn is_known<T: DeserializeOwned>(key: &str) -> bool {
    let alone = toml::Table::from_iter([(key.to_owned(), toml::Value::Boolean(true))]);
    T::deserialize(alone).err().is_none_or(|error| !error.message().starts_with("unknown field"))
}

/// `message` on one line, shortened, and without control characters and marks of direction, which would command a
/// terminal: the library repeats keys as they are.
pub(super) fn sentence(message: &str) -> String {
    let cuts = |c: char| c.is_whitespace() || c.is_control() || c.escape_debug().len() > 2;
    let words = message.split(cuts).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").chars().take(MESSAGE_CHARS_MAX).collect()
}

pub(super) fn located(text: &str, at: usize, message: String) -> ConfigError {
    let before = text.get(..at).unwrap_or(text);
    let line_begins = before.rfind('\n').map_or(0, |newline| newline + 1);
    ConfigError::Toml {
        line: before.matches('\n').count() + 1,
        column: before[line_begins..].chars().count() + 1,
        message,
    }
}
