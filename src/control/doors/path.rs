//! Places in the file system that doors take.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// For the owner and the group of the process.
const MODE: u32 = 0o660;

/// Names the place in what the system says of it.
pub(super) fn named(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Opens what is at `path` for the owner and the group.
pub(super) fn open_to_group(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(MODE))
}

/// A socket that nobody listens on, as `connected` found, is left over from a process that died.
pub(super) fn remove_stale(path: &Path, connected: io::Result<()>) -> io::Result<()> {
    match connected {
        Ok(()) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}
