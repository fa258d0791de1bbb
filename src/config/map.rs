//! What an operator may choose for the map page: whose tiles it shows.

use std::str::FromStr;

/// The most bytes of an address of tiles: it stands in a header field of each page.
const TILE_URL_BYTES_MAX: usize = 1_024;

/// What an operator may choose for the map page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapOptions {
    /// Where tiles come from, if they are shown; without them the map has the outline of the land.
    pub tiles: Option<TileUrl>,
    /// What is said of whose tiles they are.
    pub tiles_credit: Option<String>,
}

/// The address of tiles of 256 pixels in Web Mercator, with places for zoom, column and row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TileUrl {
    template: String,
    origin: String,
}

impl TileUrl {
    /// The whole, with `{z}`, `{x}` and `{y}` in it.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// Scheme, host and port, from where a page may load images.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

impl FromStr for TileUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<TileUrl, &'static str> {
        if text.len() > TILE_URL_BYTES_MAX {
            return Err("the address of tiles has more than 1024 bytes");
        }
        let scheme = if text.starts_with("https://") { "https://" } else { "http://" };
        let rest = text.strip_prefix(scheme).ok_or(
            "the address of tiles begins with https:// or http://, as in https://tile.example/{z}/{x}/{y}.png",
        )?;
        let (host, path) = rest.split_at(rest.find('/').ok_or("the address of tiles has no path")?);
        // It becomes a part of a policy, in which a space or a semicolon would begin something else.
        let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_of_host) {
            return Err("the address of tiles has a host of letters, digits, dots and dashes, and no user");
        }
        let mut fixed = path.to_owned();
        for place in ["{z}", "{x}", "{y}"] {
            if path.matches(place).count() != 1 {
                return Err("the address of tiles has each of {z}, {x} and {y} once");
            }
            fixed = fixed.replace(place, "");
        }
        if fixed.contains(['{', '}']) {
            return Err("the address of tiles has no places but {z}, {x} and {y}: write one host in full");
        }
        if !fixed.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'<>\\".contains(&byte)) {
            return Err("the address of tiles has characters in it that no address has");
        }
        Ok(TileUrl { template: text.to_owned(), origin: format!("{scheme}{host}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_those_of_the_addresses() {
        for (text, origin) in [
            ("https://tile.example/{z}/{x}/{y}.png", "https://tile.example"),
            ("http://127.0.0.1:8080/a/{z}/{y}/{x}@2x.png?key=1;2#3", "http://127.0.0.1:8080"),
            ("http://[::1]:80/{z}{x}{y}", "http://[::1]:80"),
        ] {
            let url: TileUrl = text.parse().unwrap();
            assert_eq!((url.origin(), url.template()), (origin, text));
        }
    }

    #[test]
    fn addresses_that_could_not_work_say_why() {
        for (text, why) in [
            ("", "begins with"),
            ("ftp://a/{z}/{x}/{y}", "begins with"),
            ("//a/{z}/{x}/{y}", "begins with"),
            ("https://tile.example", "no path"),
            ("https:///{z}/{x}/{y}", "host"),
            ("https://user@a/{z}/{x}/{y}", "no user"),
            ("https://a b/{z}/{x}/{y}", "host"),
            ("https://a;script-src */{z}/{x}/{y}", "host"),
            ("https://{s}.a/{z}/{x}/{y}", "host"),
            ("https://a/{z}/{x}", "each of"),
            ("https://a/{z}/{x}/{y}/{y}", "each of"),
            ("https://a/{s}/{z}/{x}/{y}", "no places but"),
            ("https://a/{z}/{x}/{y} .png", "characters"),
            ("https://a/{z}/{x}/{y}\r\nX: y", "characters"),
            ("https://a/{z}/{x}/{y}\u{e9}", "characters"),
        ] {
            let refused = text.parse::<TileUrl>().unwrap_err();
            assert!(refused.contains(why), "{text:?}: {refused}");
        }
        assert!(format!("https://a/{{z}}/{{x}}/{{y}}{}", "a".repeat(1_024)).parse::<TileUrl>().is_err());
    }
}
