//! What survives a restart: the book with both its layers, and the records of those who made parts of it, in one file.
//!
//! The declared layer is kept as well, so that control starts with the last good configuration when its source is
//! broken or gone. Writing has a thread of its own: the desk goes on meanwhile, and many changes become one write.

mod code;
mod scribe;

use std::fmt;
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::desk::Record;
use crate::model::{Book, Change, Limits, Refused, Touched};
pub(crate) use scribe::{Job, Scribe};

/// Version of what stands in the file.
const FORMAT: u64 = 1;

/// Octets of the file that are held in memory.
const CACHE_LEN: usize = 32 << 20;

const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const FILES: TableDefinition<'_, u16, &str> = TableDefinition::new("files");
const PEERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("peers");
const NEXT_HOPS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("next_hops");
const ROUTES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("routes");
const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// The file.
pub struct Keep {
    path: PathBuf,
    database: Database,
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keep").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why the file cannot be used: which, what, and what to do.
#[derive(Debug)]
pub struct Error {
    path: PathBuf,
    what: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)
    }
}

impl std::error::Error for Error {}

impl Keep {
    /// Opens the file in a directory; makes both if need be. Nobody else can have it open, and nobody but this user can
    /// read it: preshared keys are in it.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let path = directory.join("state.redb");
        let fail = |what: String| Error { path: path.clone(), what };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
            let what =
                format!("cannot make the directory ({error}); set `state` to one that may be");
            Error { path: directory.to_owned(), what }
        })?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(|error| {
            fail(format!("cannot be opened ({error}); see whether this user may"))
        })?;
        let made = FileBackend::new(file).and_then(|backend| {
            redb::Builder::new().set_cache_size(CACHE_LEN).create_with_backend(backend)
        });
        let database = made.map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => {
                fail("another millrace-control has it open; stop that one first".to_owned())
            }
            error => fail(unusable(&error)),
        })?;
        let keep = Self { path, database };
        keep.begin()?;
        Ok(keep)
    }

    /// Makes what a new file lacks, and refuses one of another version.
    fn begin(&self) -> Result<(), Error> {
        let begun = || -> Result<u64, redb::Error> {
            let transaction = self.database.begin_write()?;
            let format = {
                let mut numbers = transaction.open_table(NUMBERS)?;
                let found = numbers.get("format")?.map(|format| format.value());
                if found.is_none() {
                    numbers.insert("format", FORMAT)?;
                }
                transaction.open_table(FILES)?;
                transaction.open_table(PEERS)?;
                transaction.open_table(NEXT_HOPS)?;
                transaction.open_table(ROUTES)?;
                transaction.open_table(RECORDS)?;
                found.unwrap_or(FORMAT)
            };
            transaction.commit()?;
            Ok(format)
        };
        match begun() {
            Ok(FORMAT) => Ok(()),
            Ok(other) => Err(self.error(format!(
                "is of format {other}, and this control knows {FORMAT}; use the version that wrote it"
            ))),
            Err(error) => Err(self.error(unusable(&error))),
        }
    }

    /// The book as it was kept.
    pub fn book(&self) -> Result<Book, Error> {
        let mut book = Book::default();
        let changes = self.changes(&mut book).map_err(|error| self.error(unusable(&error)))?;
        let changes = changes.ok_or_else(|| self.error(unusable(&"an entry is none")))?;
        // By a source, so that each keeps its own origin.
        let by = crate::model::BY_SOURCE;
        book.apply(by, &changes, &Limits::default())
            .map_err(|refused| self.error(unusable(&refused)))?;
        Ok(book)
    }

    /// All that is in the file as changes of an empty book; none when something cannot be read.
    fn changes(&self, book: &mut Book) -> Result<Option<Vec<Change>>, redb::Error> {
        let transaction = self.database.begin_read()?;
        for entry in transaction.open_table(FILES)?.iter()? {
            let (number, name) = entry?;
            if book.file(name.value()) != Some(number.value()) {
                return Ok(None);
            }
        }
        let mut changes = Vec::new();
        for entry in transaction.open_table(PEERS)?.iter()? {
            let (key, value) = entry?;
            let Some(peer) = code::read_peer(key.value(), value.value()) else { return Ok(None) };
            changes.push(Change::AddPeer(peer));
        }
        let mut names = std::collections::HashMap::from([
            (crate::model::REJECT, "reject".into()),
            (crate::model::LOCAL, "local".into()),
        ]);
        for entry in transaction.open_table(NEXT_HOPS)?.iter()? {
            let (id, value) = entry?;
            let Some(hop) = code::read_next_hop(value.value()) else { return Ok(None) };
            names.insert(id.value(), std::sync::Arc::clone(&hop.name));
            changes.push(Change::AddNextHop(hop));
        }
        for entry in transaction.open_table(ROUTES)?.iter()? {
            let (prefix, value) = entry?;
            let route = code::read_route(prefix.value(), value.value(), &names);
            let Some(route) = route else { return Ok(None) };
            changes.push(Change::AddRoute(route));
        }
        Ok(Some(changes))
    }

    /// Writes what was touched as it is in the book now, and records, in one moment.
    fn write(
        &self,
        book: &Book,
        touched: &Touched,
        records: &[(Box<[u8]>, Option<Box<[u8]>>)],
    ) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut files = transaction.open_table(FILES)?;
            for (number, name) in (0..).zip(book.files()) {
                files.insert(number, &**name)?;
            }
            let (mut peers, mut octets) = (transaction.open_table(PEERS)?, Vec::new());
            for key in touched.peers() {
                match book.peer(key) {
                    Some(peer) => {
                        code::write_peer(peer, &mut octets);
                        peers.insert(key.0.as_slice(), octets.as_slice())?;
                    }
                    None => drop(peers.remove(key.0.as_slice())?),
                }
            }
            zeroize::Zeroize::zeroize(&mut octets);
            let mut next_hops = transaction.open_table(NEXT_HOPS)?;
            for id in touched.next_hops() {
                match book.next_hop(*id) {
                    Some(hop) => {
                        code::write_next_hop(hop, &mut octets);
                        next_hops.insert(id, octets.as_slice())?;
                    }
                    None => drop(next_hops.remove(id)?),
                }
            }
            let (mut routes, mut key) = (transaction.open_table(ROUTES)?, Vec::new());
            for prefix in touched.routes() {
                code::write_prefix(prefix, &mut key);
                match book.route(prefix) {
                    Some(route) => {
                        code::write_route(route, &mut octets);
                        routes.insert(key.as_slice(), octets.as_slice())?;
                    }
                    None => drop(routes.remove(key.as_slice())?),
                }
            }
            let mut table = transaction.open_table(RECORDS)?;
            for (key, value) in records {
                match value {
                    Some(value) => drop(table.insert(&**key, &**value)?),
                    None => drop(table.remove(&**key)?),
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn records(&self, prefix: &[u8]) -> Result<Vec<Record>, redb::Error> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(RECORDS)?;
        let mut records = Vec::new();
        for entry in table.range(prefix..)? {
            let (key, value) = entry?;
            if !key.value().starts_with(prefix) {
                break;
            }
            records.push((key.value().into(), value.value().into()));
        }
        Ok(records)
    }

    fn error(&self, what: String) -> Error {
        Error { path: self.path.clone(), what }
    }
}

fn unusable(error: &dyn fmt::Display) -> String {
    format!(
        "cannot be read ({error}); restore it from a backup, or move it away to start with what the sources declare"
    )
}

/// The error of a file that the store cannot even call damaged.
pub fn damaged(path: &Path, what: &dyn fmt::Display) -> Error {
    Error { path: path.to_owned(), what: unusable(what) }
}

/// A refusal because of the disk.
fn unwritten(path: &Path, error: &redb::Error) -> Refused {
    let what = format!(
        "is in force but could not be written to {} ({error}); make room there, and say it again",
        path.display()
    );
    Refused::new(crate::model::Cause::Disk, what)
}
