//! Unix sockets in a folder with a path of any length.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The name of the socket in the folder of a journal, by which the server that runs there is told what to do.
pub const ADMIN_SOCKET: &str = "admin.sock";

/// The permissions of a socket: only its own user may connect.
const MODE: u32 = 0o600;

/// Listens on a socket of this name. What is there by that name is removed, so the folder must be ours.
///
/// # Errors
/// If it cannot be made there.
pub fn listen(dir: &Path, name: &str) -> io::Result<UnixListener> {
    let path = dir.join(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = with_short_path(dir, name, |short| UnixListener::bind(short))?;
    fs::set_permissions(&path, Permissions::from_mode(MODE))?;
    Ok(listener)
}

/// Connects to the socket of this name.
///
/// # Errors
/// If there is none, or no server listens.
pub fn connect(dir: &Path, name: &str) -> io::Result<UnixStream> {
    with_short_path(dir, name, |short| UnixStream::connect(short))
}

/// The system takes paths of 107 bytes at most for a socket, and that of a folder may be longer.
fn with_short_path<T>(dir: &Path, name: &str, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let folder = File::open(dir)?;
    with(&PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_in_a_folder_with_a_long_path_is_reached_and_made_again() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("d".repeat(200));
        fs::create_dir(&dir).unwrap();
        assert!(connect(&dir, "s").is_err());
        for _ in 0..2 {
            let listener = listen(&dir, "s").unwrap();
            let _stream = connect(&dir, "s").unwrap();
            listener.accept().unwrap();
            assert_eq!(fs::metadata(dir.join("s")).unwrap().permissions().mode() & 0o777, MODE);
        }
    }
}
