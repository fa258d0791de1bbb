//! Files that the command line names: only files, and read up to a limit; and values that stand alone in one.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// The bits of a file's mode that let others than its owner read it.
const READABLE_BY_OTHERS: u32 = 0o044;

/// What programs of Windows put before text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Opens a file that is to be read to its end. What is no file may have no end, or let us wait for ever for its
/// beginning.
///
/// # Errors
/// If it is no file, or the system refuses.
pub fn open(path: &Path) -> io::Result<File> {
    match what_else(path)? {
        None => File::open(path),
        Some(name) => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {name}: name a file"))),
    }
}

/// What something is that is no file.
///
/// # Errors
/// If it is missing, or the system refuses.
pub fn what_else(path: &Path) -> io::Result<Option<&'static str>> {
    let kind = fs::metadata(path)?.file_type();
    Ok(match kind {
        _ if kind.is_file() => None,
        _ if kind.is_dir() => Some("a directory"),
        _ if kind.is_fifo() => Some("a pipe"),
        _ if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    })
}

/// The first `bytes_max` bytes of a file of text, without a byte order mark.
///
/// # Errors
/// If it is no file, the system refuses, or it is no text of bytes.
pub fn text(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    open(path)?.take(bytes_max).read_to_end(&mut text)?;
    if text.starts_with(&[0xff, 0xfe]) || text.starts_with(&[0xfe, 0xff]) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is UTF-16: save it as UTF-8"));
    }
    // UTF-16 without its mark, or no text at all.
    if text.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it has zero bytes: save it as UTF-8 text"));
    }
    Ok(text.strip_prefix(BYTE_ORDER_MARK).map(<[u8]>::to_vec).unwrap_or(text))
}

/// A whole file of UTF-8 of at most `bytes_max` bytes, without a byte order mark.
///
/// # Errors
/// Those of [`text`], or if it is longer or not UTF-8.
pub fn utf8(path: &Path, bytes_max: u64) -> io::Result<String> {
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let text = text(path, bytes_max + 1)?;
    if text.len() as u64 > bytes_max {
        return Err(wrong(format!("it has more than {bytes_max} bytes: is it the right file?")));
    }
    String::from_utf8(text).map_err(|_| wrong("it is not UTF-8: save it as such".to_owned()))
}

/// The value of a secret or a key that stands alone in `text`: white space, line ends and quotes around it are what
/// editors and shells put there.
pub fn value(text: &[u8]) -> &[u8] {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).trim_ascii();
    match text {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner.trim_ascii(),
        _ => text,
    }
}

/// Whether others than its owner may read a file with a secret in it.
pub fn is_readable_by_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.mode() & READABLE_BY_OTHERS != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, name) in [
            (pipe.as_path(), "a pipe"),
            (dir.path(), "a directory"),
            (socket.as_path(), "a socket"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            let refused = text(path, 10).unwrap_err().to_string();
            assert_eq!(refused, format!("it is {name}: name a file"));
        }
    }

    #[test]
    fn text_has_neither_marks_nor_an_end_too_far_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text");
        for (bytes, expected) in
            [(&b"\xef\xbb\xbfabc"[..], &b"abc"[..]), (b"abcdefghij", b"abcdefgh"), (b"", b"")]
        {
            fs::write(&path, bytes).unwrap();
            assert_eq!(text(&path, 8).unwrap(), expected);
        }
        for bytes in [b"\xff\xfea\0", b"\xfe\xff\0a"] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(text(&path, 8).unwrap_err().to_string(), "it is UTF-16: save it as UTF-8");
        }
        for bytes in [&b"a\0b\0"[..], b"\0a\0b", b"abc\0"] {
            fs::write(&path, bytes).unwrap();
            let refused = text(&path, 8).unwrap_err().to_string();
            assert_eq!(refused, "it has zero bytes: save it as UTF-8 text");
        }
    }

    #[test]
    fn what_is_around_a_value_is_not_part_of_it() {
        for text in [
            "k e y",
            "k e y\n",
            "k e y\r\n",
            " \tk e y \r\n\r\n",
            "'k e y'",
            "\"k e y\"\r\n",
            "\u{feff}\"k e y\"\n",
            "\"k e y\n\"",
        ] {
            assert_eq!(value(text.as_bytes()), b"k e y", "{text:?}");
        }
        for odd in ["\"key", "key'", "'key\"", "\"", "ke\"y"] {
            assert_eq!(value(odd.as_bytes()), odd.as_bytes());
        }
        assert_eq!(value(b"\"\""), b"");
    }

    #[test]
    fn others_are_the_group_and_the_world() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, readable) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true), (0o622, false)]
        {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_readable_by_others(file.path()), readable, "{mode:o}");
        }
        assert!(!is_readable_by_others(Path::new("/nowhere/at/all")));
    }
}
