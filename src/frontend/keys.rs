//! The secrets of phones while a server runs.

use std::fmt;
use std::sync::Arc;

use crate::config::{OwnTracksKeys, given_file};
use crate::os::sync::RwLock;

/// The secrets of the moment.
pub struct PhoneKeys {
    current: RwLock<Arc<OwnTracksKeys>>,
}

impl PhoneKeys {
    /// With the secrets of a file that has been read.
    pub fn new(keys: OwnTracksKeys) -> PhoneKeys {
        warn_if_readable(&keys);
        PhoneKeys { current: RwLock::new(Arc::new(keys)) }
    }

    /// The secrets of the moment.
    pub fn current(&self) -> Arc<OwnTracksKeys> {
        Arc::clone(&self.current.read())
    }

    /// Reads the file again. If it is wrong, the secrets stay.
    pub fn reload(&self) {
        match self.current().reload() {
            Ok(keys) => {
                warn_if_readable(&keys);
                log::info!("{} is read again: keys {}", keys.path().display(), keys.count());
                *self.current.write() = Arc::new(keys);
            }
            Err(error) => log::warn!("the keys of phones are as they were before: {error}"),
        }
    }
}

impl fmt::Debug for PhoneKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PhoneKeys").finish_non_exhaustive()
    }
}

fn warn_if_readable(keys: &OwnTracksKeys) {
    if given_file::is_readable_by_others(keys.path()) {
        let path = keys.path().display();
        log::warn!("other users can read the keys of phones in {path}: chmod 600 {path}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::phones::encrypted::Key;

    #[test]
    fn keys_change_with_their_file_unless_that_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write("jane = 'one'");
        let keys = PhoneKeys::new(OwnTracksKeys::load(&path).unwrap());
        let of_jane = || keys.current().key_of("jane/phone").cloned();
        assert_eq!(of_jane(), Key::of("one"));
        write("jane = 'two'");
        keys.reload();
        assert_eq!(of_jane(), Key::of("two"));
        for wrong in ["", "jane = 5", "jane = ''"] {
            write(wrong);
            keys.reload();
            assert_eq!(of_jane(), Key::of("two"), "{wrong:?}");
        }
        std::fs::remove_file(&path).unwrap();
        keys.reload();
        assert_eq!(of_jane(), Key::of("two"));
    }
}
