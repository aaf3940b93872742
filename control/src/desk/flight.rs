//! The transaction that is on its way, and what a refusal of it means.

use std::sync::Arc;

use shm::transaction::{Obstacle, Reason};

use super::batch::Batch;
use crate::model::{Aside, Book, Difference, Thing};

/// The transaction that is on its way.
pub(super) struct Flight {
    pub(super) id: u64,
    pub(super) sent: Sent,
    /// The changes that it carries; none when it gives the book anew.
    pub(super) batch: Option<Box<Batch>>,
    /// What of the book it leaves out.
    pub(super) aside: Aside,
}

/// What it says.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(super) enum Sent {
    All(Book),
    Changes(Arc<Difference>),
}

impl Sent {
    fn thing(&self, message: u64) -> Option<Thing> {
        match self {
            Self::All(book) => book.thing(message),
            Self::Changes(difference) => difference.thing(message),
        }
    }
}

/// What the dataplane says when it refuses a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) item: u64,
    pub(super) detail: u16,
}

impl Refusal {
    /// What is in the way of building tables.
    pub(super) fn obstacle(&self) -> Option<Obstacle> {
        let unbuildable = self.reason == Reason::Unbuildable;
        unbuildable.then(|| Obstacle::from_code(self.detail)).flatten()
    }

    /// Why, and the remedy.
    pub(super) fn why(&self) -> String {
        self.obstacle().map_or_else(|| self.reason.to_string(), |obstacle| obstacle.to_string())
    }

    /// Which thing of the transaction is meant; none when it is all of them together.
    pub(super) fn thing(&self, sent: &Sent) -> Option<Thing> {
        match self.reason {
            Reason::Unbuildable
            | Reason::Malformed
            | Reason::TooManyAddresses
            | Reason::TooManyMembers
            | Reason::ProgramTooLong
            | Reason::Continuation => sent.thing(self.item),
            Reason::UnknownKind
            | Reason::Digest
            | Reason::Count
            | Reason::NestedBegin
            | Reason::ItemOutside
            | Reason::TooLarge
            | Reason::Aborted
            | Reason::ProducerDied
            | Reason::OtherTransaction
            | Reason::Desynchronised => None,
        }
    }
}
