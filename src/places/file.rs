//! Files that an operator names: read up to a limit, because a wrong name must not cost the memory of the machine.

use std::io::Read;
use std::path::Path;

use super::error::OpenError;
use crate::config::given_file;

/// The first `bytes_max` bytes of the file at `path`.
pub(super) fn read_up_to(path: &Path, bytes_max: u64) -> Result<Vec<u8>, OpenError> {
    let mut bytes = Vec::new();
    given_file::open(path)
        .and_then(|file| {
            // Growing would take twice the memory. What is no file has no length, and grows.
            bytes.reserve_exact(file.metadata()?.len().min(bytes_max) as usize + 1);
            file.take(bytes_max).read_to_end(&mut bytes)
        })
        .map_err(|error| OpenError::Unreadable(path.to_owned(), error.to_string()))?;
    Ok(bytes)
}
