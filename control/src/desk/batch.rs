//! Changes of many who ask at the same time, on their way as one transaction.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Applied;
use super::owner::{Decide, Request};
use crate::model::{Book, Change, Limits, Origin, Refused, Touched};

/// What one asked for.
pub(super) struct Edit {
    pub(super) origin: Origin,
    pub(super) changes: Vec<Change>,
    pub(super) answer: oneshot::Sender<Result<Applied, Refused>>,
}

impl Edit {
    /// As a request again: its changes are decided.
    pub(super) fn again(self) -> Request {
        let Self { origin, changes, answer } = self;
        Request::Edit { origin, decide: Box::new(move |_| Ok(changes)), answer }
    }
}

/// The book as it will be.
pub(super) struct Batch {
    pub(super) book: Book,
    pub(super) touched: Touched,
    pub(super) edits: Vec<Edit>,
    /// Why the dataplane does not take the fleet of the book, which then is left out.
    pub(super) fleet_refused: Option<Arc<str>>,
}

impl Batch {
    pub(super) fn new(book: Book) -> Self {
        Self { book, touched: Touched::default(), edits: Vec::new(), fleet_refused: None }
    }

    /// Adds what one asks for; whoever is refused hears it at once, and the book is as before.
    pub(super) fn add(
        &mut self,
        origin: Origin,
        decide: Decide,
        answer: oneshot::Sender<Result<Applied, Refused>>,
        limits: &Limits,
    ) {
        let mut book = self.book.clone();
        let made = decide(&mut book).and_then(|changes| {
            let touched = book.apply(origin, &changes, limits)?;
            Ok((changes, touched))
        });
        match made {
            Ok((changes, touched)) => {
                self.book = book;
                self.touched.merge(touched);
                self.edits.push(Edit { origin, changes, answer });
            }
            // Whoever asked may have gone meanwhile.
            Err(refused) => drop(answer.send(Err(refused))),
        }
    }
}
