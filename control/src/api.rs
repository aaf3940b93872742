//! The socket of the command line: lines of JSON, from this user alone.

mod answer;
mod argo;
mod dos;
mod fleet;
mod load;
pub mod message;
mod read;
mod rules;
mod show;
mod tenant;
mod walk;

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use shm::limits::RULESET_LEN_MAX;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::counters::Counters;
use crate::desk::Desk;
use crate::dos::journal::Journal;
use crate::model::{Cause, Refused};
use crate::source::Follower;
use crate::terminate::watch::Watch;
use message::{Answer, Request};

/// Connections at a time; more wait.
const CONNECTIONS_MAX: usize = 64;

/// Octets of a request: the longest rules of a tenant, of which JSON may write each octet as two, and a tenant besides.
const REQUEST_LEN_MAX: u64 = 2 * RULESET_LEN_MAX as u64 + (1 << 20);

/// How long somebody may leave an answer unread, or a request unfinished.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the socket gives access to.
#[derive(Debug)]
pub struct Api {
    /// The name of the instance.
    pub instance: String,
    /// The book and the way to it.
    pub desk: Desk,
    /// The directory that declares, and whoever follows it.
    pub source: Option<(PathBuf, Follower)>,
    /// The dataplane's counters.
    pub counters: Counters,
    /// What has become of rules.
    pub journal: Arc<Journal>,
    /// Where connections that are terminated are counted, if there are any.
    pub terminate: Option<Watch>,
}

/// Opens the socket. What a dead control has left in its place goes; a live one is not disturbed.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
    }
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else is there"));
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    // The daemon's umask has kept it so from the first moment; another caller's may not.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl Api {
    /// Serves until the task is dropped.
    pub async fn serve(self: Arc<Self>, listener: UnixListener) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let api = Arc::clone(&self);
                    tokio::spawn(async move {
                        if let Err(error) = api.converse(stream).await {
                            log::debug!("a connection of the command line has ended: {error}");
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    log::warn!("the command line's socket cannot accept: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn converse(&self, stream: UnixStream) -> io::Result<()> {
        let (reader, writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let mut writer = Lines { writer, octets: Vec::new() };
        let mut line = zeroize::Zeroizing::new(Vec::new());
        loop {
            line.clear();
            let mut bounded = (&mut reader).take(REQUEST_LEN_MAX);
            let read = bounded.read_until(b'\n', &mut line);
            if tokio::time::timeout(PATIENCE, read).await?? == 0 {
                return Ok(());
            }
            if !line.ends_with(b"\n") {
                let what = format!("is longer than {REQUEST_LEN_MAX} octets, or has no end");
                let refused = Refused::new(Cause::Invalid, what).at("request");
                return writer.end(&Answer::refused(&refused)).await;
            }
            let end = match serde_json::from_slice::<Request>(&line) {
                Ok(request) => match self.answer(request, &mut writer).await {
                    Ok(pending) => Answer::Done { pending },
                    Err(answer::Failure::Refused(refused)) => Answer::refused(&refused),
                    Err(answer::Failure::Connection(error)) => return Err(error),
                },
                Err(error) => {
                    let refused = Refused::new(Cause::Invalid, error.to_string()).at("request");
                    Answer::refused(&refused)
                }
            };
            writer.end(&end).await?;
        }
    }
}

/// Lines on their way out.
struct Lines {
    writer: OwnedWriteHalf,
    octets: Vec<u8>,
}

impl Lines {
    /// Octets that go out together.
    const CHUNK_LEN: usize = 64 << 10;

    async fn put(&mut self, answer: &Answer) -> io::Result<()> {
        serde_json::to_writer(&mut self.octets, answer)?;
        self.octets.push(b'\n');
        if self.octets.len() >= Self::CHUNK_LEN { self.flush().await } else { Ok(()) }
    }

    async fn end(&mut self, answer: &Answer) -> io::Result<()> {
        self.put(answer).await?;
        self.flush().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        let written = self.writer.write_all(&self.octets);
        tokio::time::timeout(PATIENCE, written).await??;
        self.octets.clear();
        Ok(())
    }
}
