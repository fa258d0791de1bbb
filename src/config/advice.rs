//! What to write instead, for mistakes in a herd file that the TOML library names in words of its own.

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
    if key == "links" || says("expected a sequence") || says("array") {
        return Some(
            "links are pairs of names in quotes, as in links = [[\"Alford\", \"Bolden\"]]".to_owned(),
        );
    }
    if key.is_empty() {
        return None;
    }
    if says("expected a string") || says("must be quoted") || says("invalid") || says("expected newline") {
        return Some(format!("put the value in quotes, \" before and after: {key} = \"{bare}\""));
    }
    None
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
