//! What stands before every path of HTTP behind a proxy that serves other programs, too.

use std::fmt;
use std::str::FromStr;

/// The most bytes of it: a proxy has room for the rest of a path beside it.
const BYTES_MAX: usize = 256;

/// A path without a slash at its end, such as `/proxyherd`; empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasePath(String);

impl BasePath {
    /// Its text, to stand before a path that begins with a slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BasePath {
    type Err = String;

    fn from_str(text: &str) -> Result<BasePath, String> {
        let path = text.trim_matches('/');
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        // What a proxy or a client would write in another way would never be met.
        let is_part = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(is_plain);
        match path {
            "" => Ok(BasePath::default()),
            path if path.len() < BYTES_MAX && path.split('/').all(is_part) => {
                Ok(BasePath(format!("/{path}")))
            }
            _ => Err(format!(
                "it takes a path such as /proxyherd, of at most {BYTES_MAX} bytes: letters, digits and -._~ between \
                 slashes"
            )),
        }
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_paths_are_brought_to_one_form() {
        let read = |text: &str| text.parse::<BasePath>().map(|path| path.to_string());
        for (text, path) in [
            ("", ""),
            ("/", ""),
            ("//", ""),
            ("/herd", "/herd"),
            ("herd/", "/herd"),
            ("/a/b.c-1~/", "/a/b.c-1~"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(path), "{text}");
        }
        for bad in [
            "/a//b",
            "/..",
            "/a/./b",
            "/a b",
            "/a?b",
            "/a%20b",
            "/\u{e9}",
            "http://h/a",
            &"a".repeat(BYTES_MAX),
        ] {
            assert!(read(bad).is_err_and(|why| why.contains("such as /proxyherd")), "{bad}");
        }
    }
}
