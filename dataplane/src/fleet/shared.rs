//! The fleet as handshake threads read it; workers have a copy each.
#![expect(
    clippy::disallowed_types,
    reason = "handshake threads and the keeper take this lock, never a worker"
)]

use std::sync::{PoisonError, RwLock};

use super::{Fleet, Membership};

/// The fleet behind a lock.
#[derive(Debug)]
pub struct Shared(RwLock<Fleet>);

impl Shared {
    /// Shares it.
    pub const fn new(fleet: Fleet) -> Self {
        Self(RwLock::new(fleet))
    }

    /// The fleet now.
    pub fn get(&self) -> Fleet {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It is another from now on; gives the former.
    pub fn replace(&self, membership: Membership) -> Membership {
        let mut fleet = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut fleet.membership, membership)
    }
}
