//! The producing side of transactions.

use std::fmt;

use zeroize::Zeroize;

use super::digest::Digest;
use crate::memory::Memory;
use crate::message::{COMMAND_WORDS, Command, Item, Scope, TooMany};
use crate::ring::{Corrupt, Producer, Rejected};

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The ring has no room for it now; come again when the dataplane has read on.
    Full,
    /// The ring is corrupt; [`Writer::restart`] and write the whole transaction again.
    Corrupt(Corrupt),
    /// The item cannot be written.
    TooMany(TooMany),
    /// Nothing has begun.
    NotOpen,
    /// A transaction is open already.
    Open,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the commands ring is full; wait for the dataplane"),
            Self::Corrupt(corrupt) => write!(f, "the commands ring is corrupt: {corrupt}"),
            Self::TooMany(error) => error.fmt(f),
            Self::NotOpen => f.write_str("no transaction is open; begin one"),
            Self::Open => f.write_str("a transaction is open; commit or abort it"),
        }
    }
}

impl std::error::Error for WriteError {}

impl From<Rejected> for WriteError {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Full => Self::Full,
            Rejected::Corrupt(corrupt) => Self::Corrupt(corrupt),
        }
    }
}

/// Writes transactions into the commands ring. Each call writes all that it was asked for or nothing.
#[derive(Debug)]
pub struct Writer<M> {
    ring: Producer<M, COMMAND_WORDS>,
    open: Option<Open>,
    messages: Vec<[u64; COMMAND_WORDS]>,
}

struct Open {
    id: u64,
    digest: Digest,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<M: Memory> Writer<M> {
    /// Writes into this ring.
    pub fn new(ring: Producer<M, COMMAND_WORDS>) -> Self {
        Self { ring, open: None, messages: Vec::new() }
    }

    /// Begins a transaction. Its number should be another one than the last ones had: what becomes of it is
    /// told under it.
    pub fn begin(&mut self, id: u64, scope: Scope) -> Result<(), WriteError> {
        if self.open.is_some() {
            return Err(WriteError::Open);
        }
        self.ring.push(&Command::begin(id, scope))?;
        self.open = Some(Open { id, digest: Digest::new(id, scope) });
        Ok(())
    }

    /// Adds an item to the open transaction.
    pub fn item(&mut self, item: &Item) -> Result<(), WriteError> {
        let Self { ring, open: Some(open), messages } = self else {
            return Err(WriteError::NotOpen);
        };
        item.encode(messages).map_err(WriteError::TooMany)?;
        let written = write_all(ring, messages);
        if written.is_ok() {
            for message in &*messages {
                open.digest.add(message);
            }
        }
        messages.iter_mut().for_each(Zeroize::zeroize);
        messages.clear();
        written
    }

    /// Commits the open transaction.
    pub fn commit(&mut self) -> Result<(), WriteError> {
        let Open { id, digest } = self.open.as_ref().ok_or(WriteError::NotOpen)?;
        self.ring.push(&Command::commit(*id, digest.count(), digest.value()))?;
        self.open = None;
        Ok(())
    }

    /// Takes the open transaction back.
    pub fn abort(&mut self) -> Result<(), WriteError> {
        let Open { id, .. } = self.open.as_ref().ok_or(WriteError::NotOpen)?;
        self.ring.push(&Command::abort(*id))?;
        self.open = None;
        Ok(())
    }

    /// Asks for the states of all peers, also while a transaction is open.
    pub fn survey(&mut self, id: u64) -> Result<(), WriteError> {
        Ok(self.ring.push(&Command::survey(id))?)
    }

    /// Begins a new epoch; what was open is lost.
    pub fn restart(&mut self) {
        self.open = None;
        self.ring.restart();
    }

    /// The ring.
    pub fn ring(&self) -> &Producer<M, COMMAND_WORDS> {
        &self.ring
    }
}

fn write_all<M: Memory>(
    ring: &mut Producer<M, COMMAND_WORDS>,
    messages: &[[u64; COMMAND_WORDS]],
) -> Result<(), WriteError> {
    // An item's messages go together, so that the digest is over what is in the ring.
    if messages.len() > 1 && ring.free().map_err(WriteError::Corrupt)? < messages.len() {
        return Err(WriteError::Full);
    }
    // Nothing into a list is no message, for which there is always room.
    if messages.is_empty() {
        return Ok(());
    }
    match ring.push_batch(messages).map_err(WriteError::Corrupt)? {
        0 => Err(WriteError::Full),
        _ => Ok(()),
    }
}
