//! The directory of one instance: who may be in it, and the locks that make each role unique.
//!
//! `/dev/shm` is open to everybody, so a stranger may have made the directory first: it is used only if it
//! is ours and closed to others, and files in it are opened relative to it and never through a link.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::error::{Error, What};
use crate::limits::INSTANCE_NAME_LEN_MAX;

const DIRECTORY_MODE: u32 = 0o700;
pub(crate) const FILE_MODE: u32 = 0o600;

/// Where an instance has its shared memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(PathBuf);

impl Place {
    /// The place of an instance: `/dev/shm/millrace-NAME`.
    pub fn of(name: &str) -> Result<Self, Error> {
        Self::beneath(Path::new("/dev/shm"), name)
    }

    /// The same beneath another directory, which must be in memory for speed, and may be anywhere for tests.
    pub fn beneath(root: &Path, name: &str) -> Result<Self, Error> {
        let path = root.join(format!("millrace-{name}"));
        let fits = |octet: u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if name.is_empty() || name.len() > INSTANCE_NAME_LEN_MAX || !name.bytes().all(fits) {
            return Err(Error::new(&path, What::Name));
        }
        Ok(Self(path))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// An open directory that was found to be ours alone.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    handle: File,
}

impl Directory {
    /// Opens it, and makes it first if need be.
    pub(crate) fn make(place: &Place) -> Result<Self, Error> {
        match mkdirat(CWD, place.path(), Mode::from_raw_mode(DIRECTORY_MODE)) {
            Ok(()) | Err(Errno::EXIST) => Self::open(place),
            Err(errno) => Err(Error::new(place.path(), What::System("make the directory", errno))),
        }
    }

    /// Opens it.
    pub(crate) fn open(place: &Place) -> Result<Self, Error> {
        let path = place.path();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = openat(CWD, path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::NOENT => Error::new(path, What::Missing),
            Errno::LOOP | Errno::NOTDIR => Error::new(path, What::Foreign),
            errno => Error::new(path, What::System("open the directory", errno)),
        })?;
        let handle = File::from(handle);
        check_private(&handle, path)?;
        Ok(Self { path: path.to_owned(), handle })
    }

    /// The path of a file in it, for errors.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a file in it that is there, and is ours alone.
    pub(crate) fn open_file(&self, name: &str, flags: OFlags) -> Result<File, Error> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mode = Mode::from_raw_mode(FILE_MODE);
        let path = self.path_of(name);
        let file = openat(&self.handle, name, flags, mode).map_err(|errno| match errno {
            Errno::NOENT => Error::new(&path, What::Missing),
            Errno::LOOP | Errno::NXIO => Error::new(&path, What::Foreign),
            errno => Error::new(&path, What::System("open it", errno)),
        })?;
        let file = File::from(file);
        check_private(&file, &path)?;
        Ok(file)
    }

    /// Takes the lock of a role. The kernel lets go of it when a process ends, however it ends.
    pub(crate) fn lock(&self, role: &str) -> Result<Lock, Error> {
        let file = self.open_file(role, OFlags::RDWR | OFlags::CREATE)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock(file)),
            Err(Errno::WOULDBLOCK) => Err(Error::new(&self.path_of(role), What::Busy)),
            Err(errno) => Err(Error::new(&self.path_of(role), What::System("lock it", errno))),
        }
    }

    /// Removes a file, which need not be there.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        match unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::new(&self.path_of(name), What::System("remove it", errno))),
        }
    }

    /// Gives a file another name, in the place of what has that name.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        rustix::fs::renameat(&self.handle, from, &self.handle, to)
            .map_err(|errno| Error::new(&self.path_of(to), What::System("put it in place", errno)))
    }

    /// Whether a name stands for this very file.
    pub(crate) fn holds(&self, name: &str, identity: (u64, u64)) -> bool {
        rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|found| (found.st_dev, found.st_ino) == identity)
    }
}

/// The lock of a role, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that is between fork and exec has a copy of it.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Refuses what belongs to another user or is open to others. Whoever holds a private file of this user runs
/// as this user or as root, and could end this process anyway.
fn check_private(file: &File, path: &Path) -> Result<(), Error> {
    let metadata = file
        .metadata()
        .map_err(|error| Error::new(path, What::System("look at it", errno(&error))))?;
    if metadata.uid() != geteuid().as_raw() {
        return Err(Error::new(path, What::Owner(metadata.uid())));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::new(path, What::Mode(mode)));
    }
    if !metadata.is_dir() && !metadata.is_file() {
        return Err(Error::new(path, What::Foreign));
    }
    Ok(())
}

pub(crate) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
