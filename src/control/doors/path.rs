//! Places in the file system that doors take.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// For the owner and the group of the process.
const MODE: u32 = 0o660;

/// Names the place in what the system says of it.
pub(super) fn named(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// What a door has put into the file system: for the owner and the group, and gone when the door closes.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Device and inode: what somebody else has put there since stays.
    id: (u64, u64),
}

impl Place {
    /// Takes what is at `path`, which the door has just made.
    pub(super) fn take(path: &Path) -> io::Result<Self> {
        let place = Self { path: path.to_owned(), id: id(path)? };
        fs::set_permissions(path, Permissions::from_mode(MODE))?;
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if id(&self.path).is_ok_and(|id| id == self.id)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "what a door was opened at cannot be removed");
        }
    }
}

fn id(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// A socket that nobody listens on, as `connected` found, is left over from a process that died.
///
/// # Errors
/// When somebody does, or what is there is no socket.
pub(super) fn remove_stale(path: &Path, connected: io::Result<()>) -> io::Result<()> {
    match connected {
        Ok(()) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
        // What is no socket refuses a connection as well.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => match fs::symlink_metadata(path)?.file_type()
        {
            found if found.is_socket() => fs::remove_file(path),
            _ => Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something that is no socket")),
        },
        Err(_) => Ok(()),
    }
}
