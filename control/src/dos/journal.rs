//! The journal: what has become of rules, by whom and why. The newest entries are in memory, all are in a file beside what
//! control keeps.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Entries in memory.
pub const ENTRIES_MAX: usize = 4096;

/// Octets of the file, after which it becomes the older one, and the older one goes.
const FILE_LEN_MAX: u64 = 16 << 20;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A rule is there.
    Made,
    /// It says something else.
    Changed,
    /// It ends later.
    Prolonged,
    /// Its time is over.
    Expired,
    /// It was taken out.
    Removed,
    /// Somebody is too heavy, and no rule is made.
    NotEnforced,
}

impl What {
    /// In words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Changed => "changed",
            Self::Prolonged => "prolonged",
            Self::Expired => "expired",
            Self::Removed => "removed",
            Self::NotEnforced => "not enforced",
        }
    }
}

/// What has happened to a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// What.
    pub what: What,
    /// To which, by its name.
    pub rule: String,
    /// By whom.
    pub by: String,
    /// Why.
    pub why: String,
    /// Packets per second that were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets: Option<u64>,
    /// Octets per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub octets: Option<u64>,
    /// Packets per second of them that were dropped already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
}

/// An entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number; each is greater than the one before.
    pub number: u64,
    /// When, in milliseconds of Unix time.
    pub at_ms: u64,
    /// What has happened.
    #[serde(flatten)]
    pub happened: Happened,
}

/// The journal.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Written>);

#[derive(Debug, Default)]
struct Written {
    entries: VecDeque<Entry>,
    last: u64,
    file: Option<(PathBuf, File, u64)>,
    /// Whether it was said that the file cannot be written.
    said: bool,
}

impl Journal {
    /// That of a directory, with what was written before.
    pub fn open(directory: &Path) -> Result<Self, String> {
        let path = directory.join("dos-events.jsonl");
        let fail = |error: io::Error| {
            let path = path.display();
            format!("{path}: cannot be used ({error}); see whether this user may write there")
        };
        let mut written = Written::default();
        let text = match fs::read(&path) {
            Ok(octets) => String::from_utf8_lossy(&octets).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(fail(error)),
        };
        // A line that was cut when control was killed is none.
        for entry in text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok()) {
            written.last = written.last.max(entry.number);
            written.keep(entry);
        }
        let mut file = open(&path).map_err(fail)?;
        let mut len = text.len() as u64;
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n").map_err(fail)?;
            len += 1;
        }
        written.file = Some((path, file, len));
        Ok(Self(Mutex::new(written)))
    }

    /// Writes what has happened at a time since the Unix epoch.
    pub fn write(&self, at: Duration, happened: Happened) {
        let at_ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        let mut written = self.lock();
        written.last += 1;
        let entry = Entry { number: written.last, at_ms, happened };
        if let Err(error) = written.append(&entry)
            && !written.said
        {
            written.said = true;
            log::warn!("the event log cannot be written ({error}); make room there");
        }
        written.keep(entry);
    }

    /// Entries with greater numbers than one, of those in memory, the oldest first.
    pub fn after(&self, number: u64) -> Vec<Entry> {
        let written = self.lock();
        let newer = written.entries.iter().filter(|entry| entry.number > number);
        newer.cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn keep(&mut self, entry: Entry) {
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let Some((path, file, len)) = &mut self.file else { return Ok(()) };
        if *len >= FILE_LEN_MAX {
            fs::rename(&*path, path.with_extension("old.jsonl"))?;
            (*file, *len) = (open(path)?, 0);
        }
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        file.write_all(&line)?;
        *len += line.len() as u64;
        self.said = false;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happened(number: usize) -> Happened {
        Happened {
            what: What::Made,
            rule: format!("rule{number}"),
            by: "a test".to_owned(),
            why: "w".repeat(100),
            packets: Some(7),
            octets: None,
            dropped: None,
        }
    }

    #[test]
    fn the_newest_entries_survive_a_restart_and_a_line_that_was_cut() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path()).unwrap();
        for number in 0..ENTRIES_MAX + 10 {
            journal.write(Duration::from_millis(1234), happened(number));
        }
        let before = journal.after(0);
        assert_eq!((before.len(), before[0].number, before[0].at_ms), (ENTRIES_MAX, 11, 1234));
        let path = directory.path().join("dos-events.jsonl");
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"{\"number\":9999,\"at").unwrap();
        drop((file, journal));
        let journal = Journal::open(directory.path()).unwrap();
        assert_eq!(journal.after(0), before);
        journal.write(Duration::ZERO, happened(0));
        let last = before.last().unwrap().number;
        let newer = journal.after(last);
        assert_eq!((newer.len(), newer[0].number), (1, last + 1));
        drop(journal);
        assert_eq!(Journal::open(directory.path()).unwrap().after(last), newer);
    }

    #[test]
    fn the_file_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path()).unwrap();
        let long = Happened { why: "w".repeat(64 << 10), ..happened(0) };
        for _ in 0..600 {
            journal.write(Duration::ZERO, long.clone());
        }
        let len: u64 = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!((FILE_LEN_MAX..2 * FILE_LEN_MAX + (1 << 20)).contains(&len), "{len}");
    }
}
