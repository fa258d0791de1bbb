//! What to write instead, for mistakes in a herd file that the TOML library names in words of its own. What is advised
//! is accepted when it is written.

use std::net::{IpAddr, SocketAddr};

use super::address::Address;
use super::error::Purpose;
use super::limits::{CLOCK_LEAD_SUGGESTED, EXPIRE_AFTER_SUGGESTED};
use super::time::shown;

/// The port of an address to which nothing is known of one.
const PORT_SUGGESTED: u16 = 12_550;

/// Which keys there are.
pub(super) struct Keys {
    /// Whether a herd file may have a key outside of its tables.
    pub(super) is_of_herd: fn(&str) -> bool,
    /// Whether the table of a server may have a key.
    pub(super) is_of_server: fn(&str) -> bool,
}

/// What to write in place of what stands at byte `at` of `text`, where the library says `message`; `None` if that says
/// enough by itself.
pub(super) fn advice(text: &str, at: usize, message: &str, keys: &Keys) -> Option<String> {
    let begins = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[begins..].lines().next().unwrap_or_default().trim();
    if let Some(key) = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) {
        return unknown(&text[..begins], line, key, keys);
    }
    let says = |words: &str| message.contains(words);
    let (key, value) = line.split_once('=').map_or(("", line), |(key, value)| (key.trim(), value.trim()));
    let (key, value) = (key.trim_matches(['"', '\'']), value.split('#').next().unwrap_or_default().trim());
    let bare = value.trim_matches(['"', '\'', '“', '”', '„', '‘', '’', '«', '»']);
    if message == "duplicate key" {
        return Some("this name is there twice: rename or remove one of them".to_owned());
    }
    if text.trim_start().starts_with('{') {
        return Some("this is JSON, and a herd file is TOML: `proxyherd herd` prints one".to_owned());
    }
    if line.starts_with('[') && !line.contains('=') && says("unclosed table") {
        return Some("write `]` at the end of the table's name".to_owned());
    }
    if says("expected `=`") && line.contains(':') {
        return Some("write `=` and not `:` between a key and its value".to_owned());
    }
    if says("expected a boolean") || says("invalid boolean") || is_like_boolean(bare) {
        return Some(format!("{message}: write true or false, in small letters and without quotes"));
    }
    if says("missing field `client`") || says("missing field `peer`") {
        return Some(format!("{message}: add it, as in client = \"127.0.0.1:12550\""));
    }
    if says("expected struct ServerFile") || says("expected a map") {
        return Some(
            "a server is a table of its own, as in [servers.Alford], with its addresses below".to_owned(),
        );
    }
    if value.starts_with('{') {
        return Some(
            "give the server a table of its own, as in [servers.Alford], with its addresses below".to_owned(),
        );
    }
    if key == "links" || says("expected a sequence") || says("array") {
        return Some(
            "links are pairs of names in quotes, as in links = [[\"Alford\", \"Bolden\"]]".to_owned(),
        );
    }
    if key.is_empty() {
        return None;
    }
    if says("expected a string") || says("must be quoted") || says("invalid") || says("expected newline") {
        return quoted(key, bare, keys);
    }
    None
}

/// How a value is written that should have been in quotes.
fn quoted(key: &str, bare: &str, keys: &Keys) -> Option<String> {
    let (value, what) = match key {
        _ if Purpose::ALL.iter().any(|purpose| purpose.key() == key) => {
            (address(bare), "an IP address or a name, and a port,")
        }
        _ if Purpose::ALL.iter().any(|purpose| purpose.bound_key() == key) => {
            (literal(bare).to_string(), "an IP address and a port")
        }
        "expire_after" => (time(bare, EXPIRE_AFTER_SUGGESTED), "a time with its unit"),
        "max_clock_lead" => (time(bare, CLOCK_LEAD_SUGGESTED), "a time with its unit"),
        _ if (keys.is_of_herd)(key) || (keys.is_of_server)(key) => (bare.to_owned(), "the value"),
        _ => return None,
    };
    Some(if value == bare {
        format!("put the value in quotes, \" before and after: {key} = \"{value}\"")
    } else {
        format!("write {what} in quotes, as in {key} = \"{value}\"")
    })
}

/// The address that was meant: this machine's or port 12550 where a part is missing.
fn address(bare: &str) -> String {
    let with_port = format!("{bare}:{PORT_SUGGESTED}");
    let is_number = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let name = [bare, &with_port].into_iter().find_map(|text| text.parse::<Address>().ok());
    match name.filter(|it| it.literal().is_none() && it.port() > 0 && !is_number && !is_like_boolean(bare)) {
        Some(name) => name.to_string(),
        None => literal(bare).to_string(),
    }
}

/// The IP address that was meant.
fn literal(bare: &str) -> SocketAddr {
    let ip = bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT_SUGGESTED));
    let port = bare.parse::<u16>().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let meant = bare.parse::<SocketAddr>().ok().or(ip.ok()).or(port.ok()).filter(|meant| meant.port() > 0);
    meant.unwrap_or(SocketAddr::from(([127, 0, 0, 1], PORT_SUGGESTED)))
}

/// The time that was meant, or else one that is usual.
fn time(bare: &str, usual: std::time::Duration) -> String {
    let is_time = humantime::parse_duration(bare).is_ok_and(|time| !time.is_zero());
    if is_time { bare.to_owned() } else { shown(usual) }
}

/// For a key that is not known where it stands, which is in this line, after the lines before.
fn unknown(before: &str, line: &str, key: &str, keys: &Keys) -> Option<String> {
    let is_below_table = before.lines().any(|line| line.trim_start().starts_with('['));
    if let Some(table) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
        let table = table.trim_matches('[');
        return match table.strip_prefix("servers.") {
            Some(name) if name.contains('.') => {
                Some(format!("a name with a dot in it needs quotes: [servers.\"{name}\"]"))
            }
            Some(_) => None,
            None => {
                Some(format!("the table of a server is [servers.NAME], so write [servers.{}]", last(table)))
            }
        };
    }
    if is_below_table && (keys.is_of_herd)(key) {
        return Some(format!("`{key}` belongs at the top of the file, before the first table in [brackets]"));
    }
    if !is_below_table && (keys.is_of_server)(key) {
        return Some(format!("`{key}` belongs below the table of a server, such as [servers.Alford]"));
    }
    None
}

fn last(table: &str) -> &str {
    table.rsplit('.').next().unwrap_or(table)
}

fn is_like_boolean(value: &str) -> bool {
    ["true", "false", "yes", "no", "on", "off"].contains(&value.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_advised_is_accepted() {
        let herd =
            |value: &str| format!("{value}\n[servers.A]\nclient = '127.0.0.1:1'\npeer = '127.0.0.1:2'\n");
        let client = |value: &str| format!("[servers.A]\nclient = {value}\npeer = '127.0.0.1:2'\n");
        let peer = |value: &str| format!("[servers.A]\nclient = '127.0.0.1:2'\npeer = {value}\n");
        let times = [
            "30",
            "30 # days",
            "0",
            "1.5",
            "24h",
            "1d",
            "true",
            "1979-05-27",
            "0x10",
            "x",
            "-1",
            "",
            "[1]",
            "1 day",
        ];
        let addresses = [
            "23003",
            "23003 # the usual",
            "0",
            "70000",
            "127.0.0.1:1",
            "127.0.0.1",
            "::1",
            "[::1]:5",
            "localhost:80",
            "alford.example",
            "127.0.0.1:0",
            "1.5",
            "true",
            "",
            "*:80",
            ":80",
            "[\"127.0.0.1:1\"]",
            "127.0.0.1:1 # here",
        ];
        let mut broken: Vec<String> = Vec::new();
        for key in ["expire_after", "max_clock_lead", "\"expire_after\""] {
            broken.extend(times.map(|time| herd(&format!("{key} = {time}"))));
            broken.extend(times.map(|time| herd(&format!("{key}={time}"))));
        }
        for address in addresses {
            broken.extend([client(address), peer(address)]);
        }
        for (text, advice) in [
            (client("{ ip = '127.0.0.1' }"), "give the server a table of its own, as in [servers.Alford]"),
            (herd("colour = green"), "line 1, column "),
        ] {
            let message = crate::config::parse(&text).unwrap_err().to_string();
            assert!(message.contains(advice), "{message}");
        }
        let mut followed = 0;
        for text in broken {
            let Err(error) = crate::config::parse(&text) else { continue };
            let message = error.to_string();
            // Not all is a matter of how a value is written.
            let Some((key, advised)) = message.rsplit_once(" = \"") else { continue };
            let key = key.rsplit(' ').next().unwrap();
            let line = text.lines().find(|line| line.trim_matches('"').starts_with(key)).unwrap();
            let mended = text.replace(line, &format!("{key} = \"{advised}"));
            let again = crate::config::parse(&mended);
            assert!(again.is_ok(), "{text} gets {message}, and then {again:?}");
            followed += 1;
        }
        assert!(followed > 60, "{followed}");
    }
}
