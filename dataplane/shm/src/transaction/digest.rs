//! The digest over a transaction's items.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::message::{COMMAND_WORDS, Scope};

/// A running digest and the count of messages in it.
#[derive(Clone)]
pub(crate) struct Digest {
    hasher: SipHasher13,
    count: u64,
}

impl Digest {
    /// The digest of no items; number and scope are part of it.
    pub(crate) fn new(id: u64, scope: Scope) -> Self {
        Self { hasher: SipHasher13::new_with_keys(id, scope.code().into()), count: 0 }
    }

    /// Adds a message.
    pub(crate) fn add(&mut self, message: &[u64; COMMAND_WORDS]) {
        for word in message {
            self.hasher.write_u64(*word);
        }
        self.count += 1;
    }

    /// The count of messages.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The digest over them.
    pub(crate) fn value(&self) -> u64 {
        self.hasher.finish()
    }
}
