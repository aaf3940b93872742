//! What survives a restart: the book with both its layers, and the records of those who made parts of it, in one file.
//!
//! The declared layer is kept as well, so that control starts with the last good configuration when its source is
//! broken or gone. Writing has a thread of its own: the desk goes on meanwhile, and many changes become one write.

mod code;
mod rules;
mod scribe;

use std::collections::HashMap;
use std::fmt;
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::argo::Led;
use crate::desk::Record;
use crate::model::{Book, Change, LOCAL, REJECT, Refused, Touched};
pub(crate) use scribe::{Job, Scribe};

/// Version of what stands in the file.
const FORMAT: u64 = 1;

/// Octets of the file that are held in memory.
const CACHE_LEN: usize = 32 << 20;

/// Entries that are read before they are put into the book together.
const LOAD_LEN: usize = 1 << 16;

const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const FILES: TableDefinition<'_, u16, &str> = TableDefinition::new("files");
const PEERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("peers");
const CENTRES: TableDefinition<'_, u16, &[u8]> = TableDefinition::new("centres");
const NEXT_HOPS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("next_hops");
const ROUTES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("routes");
const FLEET: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("fleet");
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

/// A record's key, and its value unless it goes.
type RecordChange = (Box<[u8]>, Option<Box<[u8]>>);

/// Why the file cannot be used: which, what, and what to do.
#[derive(Debug)]
pub struct Error {
    path: PathBuf,
    what: String,
    /// Whether another process has the file open, which may be about to end.
    pub is_taken: bool,
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
        let fail = |what: String| Error { path: path.clone(), what, is_taken: false };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
            let what =
                format!("cannot make the directory ({error}); set `state` to one that may be");
            Error { path: directory.to_owned(), what, is_taken: false }
        })?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(|error| {
            fail(format!("cannot be opened ({error}); see whether this user may"))
        })?;
        let made = FileBackend::new(file).and_then(|backend| {
            redb::Builder::new().set_cache_size(CACHE_LEN).create_with_backend(backend)
        });
        let database = made.map_err(|error| {
            if matches!(error, redb::DatabaseError::DatabaseAlreadyOpen) {
                let what = "another millrace-control has it open; stop that one first".to_owned();
                return Error { is_taken: true, ..fail(what) };
            }
            fail(unusable(&error))
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
                transaction.open_table(CENTRES)?;
                transaction.open_table(NEXT_HOPS)?;
                transaction.open_table(ROUTES)?;
                transaction.open_table(FLEET)?;
                rules::make_tables(&transaction)?;
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
        let mut loading = Loading { book: Book::default(), changes: Vec::new() };
        match self.load(&mut loading) {
            Ok(()) => Ok(loading.book),
            Err(what) => Err(self.error(unusable(&what))),
        }
    }

    /// Everything in the file, in the order in which one thing names another.
    fn load(&self, loading: &mut Loading) -> Result<(), String> {
        let transaction = self.database.begin_read().map_err(said)?;
        for entry in entries(&transaction, FILES)? {
            let (number, name) = entry.map_err(said)?;
            if loading.book.file(name.value()) != Some(number.value()) {
                return Err("a file has a number that is another's".to_owned());
            }
        }
        for entry in entries(&transaction, PEERS)? {
            let (key, value) = entry.map_err(said)?;
            let peer = code::read_peer(key.value(), value.value()).ok_or("a peer is none")?;
            loading.put(Change::AddPeer(peer))?;
        }
        for entry in entries(&transaction, CENTRES)? {
            let (number, value) = entry.map_err(said)?;
            let centre = code::read_centre(number.value(), value.value());
            loading.put(Change::PutCentre(centre.ok_or("a centre is none")?))?;
        }
        let mut led = Vec::new();
        let mut names: HashMap<u32, Arc<str>> =
            HashMap::from([(REJECT, "reject".into()), (LOCAL, "local".into())]);
        for entry in entries(&transaction, NEXT_HOPS)? {
            let (id, value) = entry.map_err(said)?;
            let hop = code::read_next_hop(value.value()).ok_or("a next hop is none")?;
            names.insert(id.value(), Arc::clone(&hop.name));
            loading.put(Change::AddNextHop(hop))?;
        }
        for entry in entries(&transaction, ROUTES)? {
            let (prefix, value) = entry.map_err(said)?;
            let route = code::read_route(prefix.value(), value.value(), &names);
            let (route, exit) = route.ok_or("a route is none")?;
            if exit != 0 {
                led.push(Led { prefix: route.prefix, exit });
            }
            loading.put(Change::AddRoute(route))?;
        }
        loading.flush()?;
        loading.put(Change::Lead(led.into()))?;
        for entry in entries(&transaction, FLEET)? {
            let (_, value) = entry.map_err(said)?;
            let fleet = code::read_fleet(value.value()).ok_or("the fleet is none")?;
            loading.put(Change::PutFleet(Arc::new(fleet)))?;
        }
        rules::load(&transaction, loading)?;
        loading.flush()
    }

    /// Writes what was touched as it is in the book now, and records, in one moment.
    fn write(
        &self,
        book: &Book,
        touched: &Touched,
        records: &[RecordChange],
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
            let mut centres = transaction.open_table(CENTRES)?;
            for number in touched.centres() {
                match book.centre(*number) {
                    Some(centre) => {
                        code::write_centre(centre, &mut octets);
                        centres.insert(number, octets.as_slice())?;
                    }
                    None => drop(centres.remove(number)?),
                }
            }
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
            if touched.fleet() {
                write_fleet(&transaction, book, &mut octets)?;
            }
            rules::write(&transaction, book, touched, &mut octets)?;
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
        Error { path: self.path.clone(), what, is_taken: false }
    }
}

/// Writes the fleet, or that there is none.
fn write_fleet(
    transaction: &redb::WriteTransaction,
    book: &Book,
    octets: &mut Vec<u8>,
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(FLEET)?;
    match book.fleet() {
        Some(fleet) => {
            code::write_fleet(fleet, octets);
            table.insert("fleet", octets.as_slice())?;
        }
        None => drop(table.remove("fleet")?),
    }
    Ok(())
}

/// A book that is being read, a part at a time.
struct Loading {
    book: Book,
    changes: Vec<Change>,
}

impl Loading {
    fn put(&mut self, change: Change) -> Result<(), String> {
        self.changes.push(change);
        if self.changes.len() < LOAD_LEN { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), String> {
        // In the order of their addresses they go faster into the greater ones of the book's trees. The sort is stable:
        // what else there is stays behind what it names.
        let first = |change: &Change| match change {
            Change::AddPeer(peer) => (0, peer.allowed_ips.first().copied()),
            Change::PutCentre(_) => (1, None),
            Change::AddNextHop(_) => (2, None),
            Change::AddRoute(route) => (3, Some(route.prefix)),
            Change::PutPeer(_)
            | Change::RemovePeer(_)
            | Change::PutRoute(_)
            | Change::RemoveRoute(_)
            | Change::PutNextHop(_)
            | Change::RemoveNextHop(_)
            | Change::PutFleet(_)
            | Change::RemoveFleet
            | Change::AddRule(_)
            | Change::PutRule(_)
            | Change::RemoveRule(_)
            | Change::ExpireRule { .. }
            | Change::ListPrefixes { .. }
            | Change::AddTenant(_)
            | Change::PutTenant(_)
            | Change::SetRules { .. }
            | Change::RemoveTenant(_)
            | Change::RemoveCentre(_)
            | Change::Lead(_)
            | Change::Relay(_)
            | Change::PutDetect(_)
            | Change::Record { .. } => (4, None),
        };
        self.changes.sort_by_key(first);
        let restored = self.book.restore(&self.changes);
        self.changes.clear();
        restored.map_err(|refused| refused.to_string())
    }
}

fn said(error: impl fmt::Display) -> String {
    error.to_string()
}

fn entries<K: redb::Key + 'static, V: redb::Value + 'static>(
    transaction: &redb::ReadTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<redb::Range<'static, K, V>, String> {
    transaction
        .open_table(table)
        .and_then(|table| Ok(table.range::<K::SelfType<'_>>(..)?))
        .map_err(said)
}

fn unusable(error: &dyn fmt::Display) -> String {
    format!(
        "cannot be read ({error}); restore it from a backup, or move it away to start with what the sources declare"
    )
}

/// The error of a file that the store cannot even call damaged.
pub fn damaged(path: &Path, what: &dyn fmt::Display) -> Error {
    Error { path: path.to_owned(), what: unusable(what), is_taken: false }
}

/// A refusal because of the disk.
fn unwritten(path: &Path, error: &redb::Error) -> Refused {
    let what = format!(
        "is in force but could not be written to {} ({error}); make room there, and say it again",
        path.display()
    );
    Refused::new(crate::model::Cause::Disk, what)
}
