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
        written.read(&older(&path)).map_err(fail)?;
        let octets = written.read(&path).map_err(fail)?;
        let mut file = open(&path).map_err(fail)?;
        let mut len = octets.len() as u64;
        if octets.last().is_some_and(|last| *last != b'\n') {
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
    /// Takes in the entries of a file; its octets, of which there are none when it is not there.
    fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let octets = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        // A line that was cut when control was killed is none.
        for line in octets.split(|octet| *octet == b'\n') {
            let Ok(entry) = serde_json::from_slice::<Entry>(line) else { continue };
            self.last = self.last.max(entry.number);
            self.keep(entry);
        }
        Ok(octets)
    }

    fn keep(&mut self, entry: Entry) {
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let Some((path, file, len)) = &mut self.file else { return Ok(()) };
        if *len >= FILE_LEN_MAX {
            match fs::rename(&*path, older(path)) {
                // Somebody has moved it away already.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed?,
            }
            (*file, *len) = (open(path)?, 0);
        }
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        if let Err(error) = file.write_all(&line) {
            // The next entry shall not stand behind a part of this one.
            file.set_len(*len)?;
            return Err(error);
        }
        *len += line.len() as u64;
        self.said = false;
        Ok(())
    }
}

/// The file of entries before those of a file.
fn older(path: &Path) -> PathBuf {
    path.with_extension("old.jsonl")
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
    fn entries_of_the_older_file_survive_a_restart_too_and_one_that_is_gone_is_no_obstacle() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dos-events.jsonl");
        let journal = Journal::open(directory.path()).unwrap();
        let long = Happened { why: "w".repeat(64 << 10), ..happened(0) };
        while !older(&path).exists() {
            journal.write(Duration::ZERO, long.clone());
        }
        let before = journal.after(0);
        drop(journal);
        let journal = Journal::open(directory.path()).unwrap();
        assert!(journal.after(0) == before, "{} entries", journal.after(0).len());
        fs::remove_file(&path).unwrap();
        for _ in 0..=FILE_LEN_MAX / (64 << 10) {
            journal.write(Duration::ZERO, long.clone());
        }
        assert!(path.exists());
    }

    /// Set for the process that writes into a directory until the file may grow no more.
    const FULL: &str = "MILLRACE_TEST_JOURNAL";

    #[test]
    fn what_was_written_in_part_is_taken_back() {
        if let Some(directory) = std::env::var_os(FULL) {
            let journal = Journal::open(Path::new(&directory)).unwrap();
            (0..20).for_each(|number| journal.write(Duration::ZERO, happened(number)));
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let this = std::env::current_exe().unwrap();
        let name = "dos::journal::tests::what_was_written_in_part_is_taken_back";
        // Two blocks of a file at most; to reach them is an error of the write, and no signal.
        let limited = "trap '' XFSZ; ulimit -f 2; exec \"$0\" --exact \"$1\"";
        let mut command = std::process::Command::new("sh");
        command.args(["-c", limited]).arg(this).arg(name).env(FULL, directory.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = fs::read_to_string(directory.path().join("dos-events.jsonl")).unwrap();
        assert!(text.ends_with('\n'), "{text}");
        let entries = Journal::open(directory.path()).unwrap().after(0);
        assert_eq!(entries.len(), text.lines().count());
        assert!((2..20).contains(&entries.len()), "{}", entries.len());
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
