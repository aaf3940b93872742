//! Profiles: a run in one TOML file, read once into a checked [`Profile`]. Every error says where, and the remedy.

mod check;
mod clients;
mod file;
mod traffic;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::attack::Attack;
use crate::client::Plan;
use crate::pace::{Pattern, Rate};

/// The device that a run uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// DPDK devargs or PCI address.
    pub name: String,
    /// The core; none leaves the thread to the scheduler.
    pub core: Option<usize>,
    /// Whether packet memory comes from hugepages.
    pub hugepages: bool,
    /// MiB of packet memory in ordinary pages.
    pub megabytes: u32,
    /// Whether to sleep when there is nothing to do, instead of polling on.
    pub sleep: bool,
}

/// An attack beside the clients' traffic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assault {
    /// Which.
    pub attack: Attack,
    /// How fast.
    pub rate: Rate,
    /// How it is spread.
    pub pattern: Pattern,
}

/// How long the parts of a run take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Until all clients have to be connected.
    pub connect: Duration,
    /// The traffic.
    pub traffic: Duration,
    /// For what is on its way at the end.
    pub drain: Duration,
}

/// A checked profile.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The device.
    pub device: Device,
    /// The clients.
    pub plan: Plan,
    /// The attacks.
    pub attacks: Vec<Assault>,
    /// The times.
    pub times: Times,
    /// Largest share of missing packets that is good, 0..=1; none allows any.
    pub loss_allowed: Option<f64>,
}

/// What is wrong with a profile, where, and what to do about it.
#[derive(Debug)]
pub struct Error {
    path: PathBuf,
    line: Option<usize>,
    what: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.what),
            None => write!(f, "{}: {}", self.path.display(), self.what),
        }
    }
}

impl std::error::Error for Error {}

impl Profile {
    /// Reads and checks a file. Each of `changes` is `key=value`, the key with dots (`traffic.rate=2kpps`), and
    /// takes precedence over the file.
    pub fn read(path: &Path, changes: &[String]) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let what = format!("cannot be read ({error}); name a readable file with --profile");
            Error { path: path.to_owned(), line: None, what }
        })?;
        Self::parse(&text, path, changes)
    }

    /// The same from a text; `path` is named in errors.
    pub fn parse(text: &str, path: &Path, changes: &[String]) -> Result<Self, Error> {
        if changes.is_empty() {
            return check::checked(text, path, true);
        }
        check::checked(&check::changed(text, path, changes)?, path, false)
    }
}

#[cfg(test)]
mod tests;
