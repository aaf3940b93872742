//! The desk's thread: takes requests in turn, judges each against the whole book, and is the only one that changes it.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, PoisonError};

use tokio::sync::oneshot;

use super::{Applied, Notice, Record, Shared};
use crate::model::{Book, Change, Origin, Refused};

/// What makes changes of a book.
pub(super) type Decide = Box<dyn FnOnce(&Book) -> Result<Vec<Change>, Refused> + Send>;

/// What the desk is asked for.
pub(super) enum Request {
    Edit { origin: Origin, decide: Decide, answer: oneshot::Sender<Result<Applied, Refused>> },
    Survey(oneshot::Sender<bool>),
    Records(Box<[u8]>, oneshot::Sender<Result<Vec<Record>, Refused>>),
}

pub(super) struct Owner {
    shared: Arc<Shared>,
    requests: Receiver<Request>,
    records: BTreeMap<Box<[u8]>, Box<[u8]>>,
}

impl Owner {
    pub(super) fn new(shared: Arc<Shared>, requests: Receiver<Request>) -> Self {
        Self { shared, requests, records: BTreeMap::new() }
    }

    pub(super) fn run(mut self) {
        while let Ok(request) = self.requests.recv() {
            // Whoever asked may have gone meanwhile; that changes nothing.
            match request {
                Request::Edit { origin, decide, answer } => {
                    drop(answer.send(self.edit(origin, decide)));
                }
                Request::Survey(answer) => drop(answer.send(false)),
                Request::Records(prefix, answer) => drop(answer.send(Ok(self.records(&prefix)))),
            }
        }
    }

    fn edit(&mut self, origin: Origin, decide: Decide) -> Result<Applied, Refused> {
        let mut book = self.shared.book.read().unwrap_or_else(PoisonError::into_inner).clone();
        let changes = decide(&book)?;
        let limits = *self.shared.limits.read().unwrap_or_else(PoisonError::into_inner);
        book.apply(origin, &changes, &limits)?;
        for change in changes {
            if let Change::Record { key, value } = change {
                match value {
                    Some(value) => drop(self.records.insert(key, value)),
                    None => drop(self.records.remove(&key)),
                }
            }
        }
        *self.shared.book.write().unwrap_or_else(PoisonError::into_inner) = book;
        drop(self.shared.notices.send(Notice::Changed));
        Ok(Applied { transaction: 0, pending: true })
    }

    fn records(&self, prefix: &[u8]) -> Vec<Record> {
        let from = self.records.range(Box::from(prefix)..);
        let ours = from.take_while(|(key, _)| key.starts_with(prefix));
        ours.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}
