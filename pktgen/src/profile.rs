//! Profiles: a run in one TOML file, read once into a checked [`Profile`]. Every error says where, and the remedy.

mod check;
mod clients;
mod file;
mod responder;
mod streams;
mod traffic;
mod words;

pub use streams::{Hop, Pace, Replay, Streams, Synth};

use std::fmt;
use std::io::Read as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::attack::{Attack, Knowledge};
use crate::client::{Hostile, Plan};
use crate::pace::{Pattern, Rate};

/// The longest attack with one session, which lives 180 s (whitepaper 6.1) and is a moment old when it is lent.
const SESSION_TIME_MAX: Duration = Duration::from_secs(150);

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

/// The longest profile, octets.
const FILE_LEN_MAX: u64 = 1 << 24;

/// What stands for the path in errors when there is no file.
const NO_FILE: &str = "the command line";

/// A prefix of each family, its first address and its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tenants {
    /// Of IPv4.
    pub v4: Option<(Ipv4Addr, u8)>,
    /// Of IPv6.
    pub v6: Option<(Ipv6Addr, u8)>,
}

/// A checked profile.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Where it was read from.
    pub path: PathBuf,
    /// The device.
    pub device: Device,
    /// The clients.
    pub plan: Plan,
    /// The attacks.
    pub attacks: Vec<Assault>,
    /// Prefixes behind the server that attacks aim at, one of each family at most.
    pub tenants: Tenants,
    /// What the client knows that turns hostile when an attack needs it.
    pub hostile: Hostile,
    /// The times.
    pub times: Times,
    /// Largest share of missing packets that is good, 0..=1; none allows any.
    pub loss_allowed: Option<f64>,
    /// What stands behind the server, if that is here too.
    pub responder: Option<crate::responder::Plan>,
    /// Packets from patterns and captures.
    pub streams: Streams,
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
    /// Reads and checks a file, or nothing but `changes`. Each of these is `key=value`, the key with dots
    /// (`traffic.rate=2kpps`), and takes precedence over the file.
    pub fn read(path: Option<&Path>, changes: &[String]) -> Result<Self, Error> {
        let Some(path) = path else { return Self::parse("", Path::new(NO_FILE), changes) };
        let wrong = |what| Error { path: path.to_owned(), line: None, what };
        let mut octets = Vec::new();
        let file = std::fs::File::open(path);
        file.and_then(|file| file.take(FILE_LEN_MAX + 1).read_to_end(&mut octets)).map_err(
            |error| wrong(format!("cannot be read ({error}); name a readable file with --profile")),
        )?;
        if u64::try_from(octets.len()).is_ok_and(|len| len > FILE_LEN_MAX) {
            return Err(wrong(format!(
                "is longer than {FILE_LEN_MAX} octets, so it is no profile"
            )));
        }
        let text = String::from_utf8(octets).map_err(|_| {
            wrong("is no text, so it is no profile; a replay's capture is its file".into())
        })?;
        Self::parse(&text, path, changes)
    }

    /// Adds a client that turns hostile if an attack needs a session, or what somebody has sent and nobody else
    /// sends.
    ///
    /// # Errors
    /// When the run outlasts a session.
    pub fn enlist(&mut self) -> Result<(), Error> {
        let knowledge = |assault: &Assault| assault.attack.knowledge();
        let needed = self.attacks.iter().map(knowledge).max().unwrap_or(Knowledge::Common);
        let nobody_else = self.plan.clients == 0;
        let is_needed =
            needed == Knowledge::Session || needed == Knowledge::Captured && nobody_else;
        self.plan.hostile = is_needed.then_some(self.hostile);
        if is_needed && self.times.traffic > SESSION_TIME_MAX {
            let secs = SESSION_TIME_MAX.as_secs();
            let what = format!(
                "an attack works with a session, and none lasts longer than 180 s; set run.secs to {secs} at most"
            );
            return Err(Error { path: self.path.clone(), line: None, what });
        }
        Ok(())
    }

    /// Leaves the clients, their traffic and the attacks out: what remains needs no server.
    pub fn only_streams(&mut self) {
        self.plan.clients = 0;
        (self.plan.traffic, self.plan.hostile) = (None, None);
        self.plan.hops.clear();
        self.attacks.clear();
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
