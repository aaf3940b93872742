//! A region: one file of an instance, mapped, with a header that was checked.
//!
//! # What is trusted
//!
//! The kernel, and that only processes of the owner's user (or root) can open the files: the directory has
//! mode 0700, the files 0600, and both are refused otherwise. Nothing that such a process writes into a region
//! is trusted: it is compared and checked where it is read.
//!
//! What a writer can do to a mapping apart from its content is to cut its file short, after which an access
//! beyond the end raises SIGBUS. Seals against that exist for memfds alone, which have no name in a directory,
//! and write access to a file cannot be given without the right to truncate it. So it is bounded instead: only
//! a process of the owner's user can do it, which could as well send SIGKILL; no function of this crate
//! truncates a region that has got its name; [`Standing::Cut`] tells of a file that was; and all of a
//! file's pages are reserved before it is mapped, so that a full `/dev/shm` is an error at start and not a SIGBUS later.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::process::geteuid;

use crate::directory::{Directory, errno};
use crate::error::{Error, What};
use crate::header::{Header, Kind, MAGIC, Refusal, STATE, State, USED_WORDS};
use crate::limits::REGION_LEN_MAX;
use crate::mapping::{Access, Mapping};
use crate::memory::{Memory, WORD_LEN, index};
use crate::process::Process;

/// A mapped region.
#[derive(Debug)]
pub struct Region {
    memory: Arc<Mapping>,
    header: Header,
    file: File,
    identity: (u64, u64),
}

/// How a region stands that was attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In use.
    InUse,
    /// Its owner has ended in order, or a new owner has taken over: attach again.
    GivenUp,
    /// Another file has its name: attach again.
    Replaced,
    /// Its owner is dead: wait for the next one.
    Died,
    /// Somebody has cut the file short: leave it at once.
    Cut,
}

impl Region {
    /// Makes a region of `words` words, which has no name yet, so that nobody ever opens half a region.
    pub(crate) fn create(
        directory: &Directory,
        (kind, sizes): (Kind, [u64; 2]),
        words: usize,
        (owner, generation): (Process, u64),
    ) -> Result<Self, Error> {
        let draft = format!("{}.new", kind.name());
        let fail = |action, errno| {
            Error::new(&directory.path_of(kind.name()), What::System(action, errno))
        };
        let len = words.checked_mul(WORD_LEN).and_then(|len| u64::try_from(len).ok());
        let len = len.filter(|len| *len <= REGION_LEN_MAX);
        let len = len.ok_or_else(|| Error::new(&directory.path_of(kind.name()), What::Sizes))?;
        directory.remove(&draft)?;
        let file = directory.open_file(&draft, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
        fallocate(&file, FallocateFlags::empty(), 0, len)
            .map_err(|errno| fail("reserve memory for it", errno))?;
        let memory = Mapping::map(file.as_fd(), words, Access::Write)
            .map_err(|errno| fail("map it", errno))?;
        let memory = Arc::new(memory);
        let header = Header { kind, len, uid: geteuid().as_raw(), owner, generation, sizes };
        for (at, word) in header.words().iter().enumerate().skip(1) {
            memory.store(at, *word, Ordering::Relaxed);
        }
        memory.store(0, MAGIC, Ordering::Release);
        let identity = identity(&file).map_err(|errno| fail("look at it", errno))?;
        Ok(Self { memory, header, file, identity })
    }

    /// Gives a region that was made its name: from here on others attach.
    pub(crate) fn publish(&self, directory: &Directory) -> Result<(), Error> {
        let name = self.header.kind.name();
        directory.rename(&format!("{name}.new"), name)
    }

    /// Attaches to a region that is in use.
    pub(crate) fn attach(directory: &Directory, kind: Kind, access: Access) -> Result<Self, Error> {
        let path = directory.path_of(kind.name());
        let fail = |action, errno| Error::new(&path, What::System(action, errno));
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
        };
        let file = directory.open_file(kind.name(), flags)?;
        let header = read_header(&file, kind)
            .and_then(|header| {
                let dead = What::Refused(Refusal::Died(header.owner.id));
                if header.owner.is_alive() { Ok(header) } else { Err(dead) }
            })
            .map_err(|what| Error::new(&path, what))?;
        let words = index(header.len) / WORD_LEN;
        let memory = Mapping::map(file.as_fd(), words, access);
        let memory = Arc::new(memory.map_err(|errno| fail("map it", errno))?);
        let identity = identity(&file).map_err(|errno| fail("look at it", errno))?;
        Ok(Self { memory, header, file, identity })
    }

    /// Its memory.
    pub fn memory(&self) -> Arc<Mapping> {
        Arc::clone(&self.memory)
    }

    /// Its header, as it was when it was checked.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How it stands. System calls; ask some times a second.
    pub(crate) fn standing(&self, directory: &Directory) -> Standing {
        let len = self.file.metadata().map_or(0, |metadata| metadata.len());
        if len < self.header.len {
            return Standing::Cut;
        }
        if self.memory.load(STATE, Ordering::Relaxed) != State::InUse as u64 {
            return Standing::GivenUp;
        }
        if !directory.holds(self.header.kind.name(), self.identity) {
            return Standing::Replaced;
        }
        if self.header.owner.is_alive() { Standing::InUse } else { Standing::Died }
    }

    /// Gives it up and removes its name; the owner's last act.
    pub(crate) fn give_up(&self, directory: &Directory) {
        write_given_up(&self.file);
        if directory.holds(self.header.kind.name(), self.identity) {
            // A file that cannot be removed is recognised by its state.
            drop(directory.remove(self.header.kind.name()));
        }
    }
}

/// Makes sure that what an earlier owner has left under this name is used no more: whoever is still attached
/// sees that it was given up. Refuses when that owner is alive.
pub(crate) fn retire(directory: &Directory, kind: Kind) -> Result<(), Error> {
    let file = match directory.open_file(kind.name(), OFlags::RDWR) {
        Ok(file) => file,
        Err(Error { what: What::Missing, .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    if let Ok(header) = read_header(&file, kind) {
        if header.owner.is_alive() {
            let what = What::Owned(header.owner.id);
            return Err(Error::new(&directory.path_of(kind.name()), what));
        }
        write_given_up(&file);
    }
    directory.remove(kind.name())
}

/// Writes the state by a system call, which a file that was cut short cannot turn into a signal.
fn write_given_up(file: &File) {
    let state = State::GivenUp as u64;
    // The mark is a courtesy: the name of the file goes as well.
    drop(file.write_all_at(&state.to_ne_bytes(), (STATE * WORD_LEN) as u64));
}

/// Reads and checks a header by system calls: nothing is mapped before.
fn read_header(file: &File, kind: Kind) -> Result<Header, What> {
    let look = |error: std::io::Error| What::System("read it", errno(&error));
    let len = file.metadata().map_err(look)?.len();
    let mut octets = [0; USED_WORDS * WORD_LEN];
    if len < octets.len() as u64 {
        return Err(What::Refused(Refusal::TooShort(len)));
    }
    file.read_exact_at(&mut octets, 0).map_err(look)?;
    let words = zerocopy::transmute!(octets);
    Header::check(&words, kind, len, geteuid().as_raw()).map_err(What::Refused)
}

fn identity(file: &File) -> Result<(u64, u64), rustix::io::Errno> {
    file.metadata().map(|found| (found.dev(), found.ino())).map_err(|error| errno(&error))
}
