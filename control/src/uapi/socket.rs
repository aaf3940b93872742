//! The socket's place in the file system, where `wg` looks for it.

use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use super::Error;

/// A socket that nobody but its owner may speak to. Its file goes with it.
pub(super) struct Socket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and inode, so that a successor's file of the same name is left alone.
    identity: (u64, u64),
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Socket {
    /// Listens at `DIRECTORY/INTERFACE.sock`, and takes the place of one whose process is dead.
    pub(super) fn listen(directory: &Path, interface: &str) -> Result<Self, Error> {
        let path = directory.join(format!("{interface}.sock"));
        let because = |what: &str| Error::new(format!("{}: {what}", path.display()));
        make_directory(directory).map_err(|error| {
            because(&format!("its directory cannot be made ({error}); start control as root"))
        })?;
        refuse_if_taken(&path).map_err(|what| because(&what))?;
        let (listener, identity) = bind(directory, interface, &path).map_err(|error| {
            because(&format!("cannot be made ({error}); free the place or start control as root"))
        })?;
        Ok(Self { listener, path, identity })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| identity(&file) == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!("{}: cannot be removed ({error}); remove it", self.path.display());
        }
    }
}

fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn make_directory(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

fn refuse_if_taken(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("cannot be looked at ({error}); remove it")),
        Ok(file) if !file.file_type().is_socket() => {
            return Err("is there and is no socket; remove it or name another interface".into());
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            log::info!("{}: the process that made it is dead; taking its place", path.display());
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("is there and cannot be reached ({error}); remove it")),
        Ok(_) => Err("is served by another process; stop that or name another interface".into()),
    }
}

/// Binds in a directory that only we can enter and moves the socket from there, so that it is never seen with another
/// mode, and takes a dead one's place in one step.
fn bind(
    directory: &Path,
    interface: &str,
    path: &Path,
) -> std::io::Result<(UnixListener, (u64, u64))> {
    let private = directory.join(format!(".{interface}.{}", std::process::id()));
    // One of a process that died here and had our number.
    if private.exists() {
        fs::remove_dir_all(&private)?;
    }
    DirBuilder::new().mode(0o700).create(&private)?;
    let unmoved = private.join("s");
    let bound = UnixListener::bind(&unmoved).and_then(|listener| {
        fs::set_permissions(&unmoved, Permissions::from_mode(0o600))?;
        let identity = identity(&fs::symlink_metadata(&unmoved)?);
        fs::rename(&unmoved, path)?;
        Ok((listener, identity))
    });
    fs::remove_dir_all(&private)?;
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(directory: &Path) -> Result<Socket, Error> {
        Socket::listen(directory, "wg9")
    }

    #[tokio::test]
    async fn only_the_owner_may_speak_to_it_and_it_goes_when_it_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let beneath = directory.path().join("run/wireguard");
        let socket = listen(&beneath).unwrap();
        let path = beneath.join("wg9.sock");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&beneath).unwrap().count(), 1);
        drop(socket);
        assert_eq!(fs::read_dir(&beneath).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_dead_process_gives_way_and_a_living_one_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wg9.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        fs::create_dir(directory.path().join(format!(".wg9.{}", std::process::id()))).unwrap();
        let socket = listen(directory.path()).unwrap();
        let refused = listen(directory.path()).unwrap_err().to_string();
        assert!(refused.contains("wg9.sock: is served by another process; stop that"), "{refused}");
        assert!(path.exists());
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wg9.sock");
        fs::write(&path, "mine").unwrap();
        assert!(listen(directory.path()).unwrap_err().to_string().contains("is no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[tokio::test]
    async fn a_successor_of_the_same_name_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let socket = listen(directory.path()).unwrap();
        fs::remove_file(socket.path()).unwrap();
        let successor = listen(directory.path()).unwrap();
        drop(socket);
        assert!(successor.path().exists());
    }
}
