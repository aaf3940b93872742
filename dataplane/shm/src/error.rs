//! Why shared memory could not be made or attached to: where, what, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::header::Refusal;
use crate::limits::INSTANCE_NAME_LEN_MAX;

/// What went wrong, and with which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: What,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The name of the instance is none.
    Name,
    /// The system refused an action.
    System(&'static str, Errno),
    /// The file is not there.
    Missing,
    /// A link, or another kind of file than there should be.
    Foreign,
    /// The file or directory belongs to another user.
    Owner(u32),
    /// The file or directory is open to others than its owner.
    Mode(u32),
    /// Another process has this role.
    Busy,
    /// A live process says that it owns the region, though its lock is free.
    Owned(u32),
    /// The region is not to be used.
    Refused(Refusal),
    /// Regions of two starts of the dataplane: it is starting at this moment.
    Changing,
    /// Sizes that no region can have.
    Sizes,
}

impl Error {
    pub(crate) fn new(path: &Path, what: What) -> Self {
        Self { path: path.to_owned(), what }
    }

    /// Whether it may help to try again soon: the dataplane is starting, or is not there yet.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self.what,
            What::Missing | What::Changing | What::Refused(Refusal::GivenUp | Refusal::Died(_))
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match self.what {
            What::Name => write!(
                f,
                "the name of an instance is 1 to {INSTANCE_NAME_LEN_MAX} letters a-z, digits and \
                 hyphens; choose another"
            ),
            What::System(action, errno) => write!(
                f,
                "cannot {action}: {errno}; see whether this user may, and whether there is room"
            ),
            What::Foreign => f.write_str("is a link or another kind of file; remove it"),
            What::Missing => f.write_str("is not there; start the dataplane"),
            What::Owner(uid) => {
                write!(f, "belongs to user {uid}; remove it, or run as that user")
            }
            What::Mode(mode) => write!(
                f,
                "has mode {mode:o}, open to others than its owner; remove it and start again"
            ),
            What::Busy => f.write_str("another process holds it; stop that one first"),
            What::Owned(pid) => {
                write!(f, "belongs to process {pid}, which runs without its lock; stop it first")
            }
            What::Refused(refusal) => refusal.fmt(f),
            What::Changing => f.write_str("is of another start than the rest; try again"),
            What::Sizes => {
                f.write_str("cannot have these sizes; take powers of two within the limits")
            }
        }
    }
}

impl std::error::Error for Error {}
