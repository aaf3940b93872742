//! The desk's thread: takes requests in turn, judges each against the whole book, tells the dataplane, and is the only
//! one that changes the book.
//!
//! One transaction is on its way at a time. What is asked for meanwhile waits, and then goes as one transaction.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use shm::message::{Event, Scope};
use tokio::sync::oneshot;

use super::batch::{Batch, Edit};
use super::surveys::Surveys;
use super::{Applied, Notice, Record, Shared, Status};
use crate::dataplane::{Feed, Link, Outcome};
use crate::keep::{Job, Scribe};
use crate::model::{BY_SOURCE, Book, Cause, Change, Declaration, Limits, Origin, Refused};

/// Requests that become one transaction.
const BATCH_MAX: usize = 1024;

/// How long the thread rests when nothing moves: short after something did, longer with time.
const REST_MIN: Duration = Duration::from_micros(50);
const REST_MAX: Duration = Duration::from_millis(5);

/// A dataplane that has refused the book is given it again so much later when it has changed, and otherwise so much.
const RETRY_CHANGED: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(10);

/// How long an orderly end waits for the dataplane's answer.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// What makes changes of a book.
pub(super) type Decide = Box<dyn FnOnce(&mut Book) -> Result<Vec<Change>, Refused> + Send>;

/// What the desk is asked for.
pub(super) enum Request {
    Edit { origin: Origin, decide: Decide, answer: oneshot::Sender<Result<Applied, Refused>> },
    Survey(oneshot::Sender<bool>),
    Records(Box<[u8]>, oneshot::Sender<Result<Vec<Record>, Refused>>),
    End(oneshot::Sender<()>),
}

impl Request {
    /// The request to make a declaration the declared layer.
    pub(super) fn declare(
        declaration: Declaration,
        answer: oneshot::Sender<Result<Applied, Refused>>,
    ) -> Self {
        let decide = Box::new(move |book: &mut Book| declaration.changes(book));
        Self::Edit { origin: BY_SOURCE, decide, answer }
    }
}

pub(super) struct Owner {
    pub(super) shared: Arc<Shared>,
    requests: Receiver<Request>,
    waiting: VecDeque<Request>,
    link: Option<Link>,
    scribe: Scribe,
    pub(super) surveys: Surveys,
    flight: Option<Flight>,
    /// Whether the dataplane has the book, but for what is on its way.
    in_step: bool,
    /// When the dataplane has refused the book.
    refused: Option<Instant>,
    /// Whether it has changed since.
    changed: bool,
    /// The last number of a transaction or survey; from the clock, so that a later control has others.
    id: u64,
    ending: Option<(oneshot::Sender<()>, Instant)>,
    /// What the link has said last.
    trouble: Option<String>,
}

/// The transaction on its way.
enum Flight {
    Snapshot(u64),
    Batch(u64, Box<Batch>),
}

impl Flight {
    fn id(&self) -> u64 {
        match self {
            Self::Snapshot(id) | Self::Batch(id, _) => *id,
        }
    }
}

impl Owner {
    pub(super) fn new(
        shared: Arc<Shared>,
        requests: Receiver<Request>,
        link: Option<Link>,
        scribe: Scribe,
    ) -> Self {
        let id = u64::try_from(unix_now().as_micros()).unwrap_or_default();
        Self {
            shared,
            requests,
            waiting: VecDeque::new(),
            link,
            scribe,
            surveys: Surveys::default(),
            flight: None,
            in_step: false,
            refused: None,
            changed: false,
            id,
            ending: None,
            trouble: None,
        }
    }

    /// Turn after turn until nobody can ask any more.
    pub(super) fn run(mut self) {
        let (mut rest, mut heard) = (REST_MIN, Vec::new());
        loop {
            let now = Instant::now();
            let moved = self.turn(now, &mut heard);
            rest = if moved || self.is_busy() { REST_MIN } else { REST_MAX.min(rest * 2) };
            if self.has_ended(now) {
                return;
            }
            // Without a dataplane nothing moves but by requests.
            let rest = if self.link.is_none() && !moved { Duration::from_secs(1) } else { rest };
            if moved {
                continue;
            }
            match self.requests.recv_timeout(rest) {
                Ok(request) => self.take(request),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if self.is_busy() => std::thread::sleep(rest),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.flight.is_some() || self.surveys.are_flying() || !self.waiting.is_empty()
    }

    /// One turn; tells whether anything has moved.
    fn turn(&mut self, now: Instant, heard: &mut Vec<Event>) -> bool {
        let outcome = self.link.as_mut().map_or(Outcome::Same, |link| link.turn(now, heard));
        let mut moved = !heard.is_empty();
        self.hear(heard, now);
        match outcome {
            Outcome::Attached => self.attached(now),
            Outcome::Detached => self.detached(),
            Outcome::Same => {}
        }
        self.fly_surveys(now);
        while self.waiting.len() < BATCH_MAX {
            match self.requests.try_recv() {
                Ok(request) => {
                    self.take(request);
                    moved = true;
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        self.try_again(now);
        if self.flight.is_none() && !self.waiting.is_empty() {
            self.fly(now);
            moved = true;
        }
        moved
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Edit { .. } => self.waiting.push_back(request),
            Request::Survey(answer) => {
                let attached = self.link.as_ref().is_some_and(Link::is_attached);
                self.surveys.ask(answer, attached);
            }
            Request::Records(prefix, answer) => self.scribe.put(Job::Records(prefix, answer)),
            Request::End(answer) => self.ending = Some((answer, Instant::now() + END_PATIENCE)),
        }
    }

    /// Makes one transaction of all that waits.
    fn fly(&mut self, now: Instant) {
        let mut batch = Batch::new(self.shared.book());
        let limits = self.limits();
        for request in self.waiting.drain(..) {
            if let Request::Edit { origin, decide, answer } = request {
                batch.add(origin, decide, answer, &limits);
            }
        }
        self.send(batch, now);
    }

    /// Sends a batch if there is somebody to send it to and something to say; else it is settled at once.
    fn send(&mut self, mut batch: Batch, now: Instant) {
        batch.touched.tidy();
        let attached = self.link.as_ref().is_some_and(Link::is_attached);
        if !attached || !self.in_step {
            self.settle(batch, 0, true);
            self.changed = true;
            return;
        }
        let difference = batch.difference(&self.shared.book());
        if difference.is_empty() {
            self.settle(batch, 0, false);
            return;
        }
        self.id += 1;
        // What changes nearly everything is said as everything: it is less, and never more than is taken.
        let (scope, feed) = if difference.messages() > batch.book.messages() {
            (Scope::Snapshot, Feed::snapshot(batch.book.clone()))
        } else {
            (Scope::Delta, Feed::delta(difference))
        };
        if let Some(link) = &mut self.link {
            link.send(self.id, scope, feed, now);
        }
        self.flight = Some(Flight::Batch(self.id, Box::new(batch)));
    }

    /// A batch is in force, or pending: readers see it, and it goes to disk; then whoever waits hears of it.
    fn settle(&mut self, batch: Batch, transaction: u64, pending: bool) {
        let Batch { book, touched, edits, .. } = batch;
        let applied = Applied { transaction, pending };
        let gone = touched.peers().filter(|key| book.peer(key).is_none());
        self.shared.lives.forget(gone);
        self.shared.publish(book.clone());
        let (mut records, mut answers) = (Vec::new(), Vec::new());
        for Edit { changes, answer, .. } in edits {
            records.extend(
                changes.into_iter().filter(|change| matches!(change, Change::Record { .. })),
            );
            answers.push((answer, applied));
        }
        drop(self.shared.notices.send(Notice::Changed));
        self.scribe.put(Job::Write { book, touched, records, answers });
    }

    fn attached(&mut self, now: Instant) {
        self.in_step = false;
        self.trouble = None;
        self.snapshot(now);
        self.status(|status| {
            status.attached = true;
            status.trouble = None;
        });
        drop(self.shared.notices.send(Notice::Attached));
    }

    fn snapshot(&mut self, now: Instant) {
        self.id += 1;
        let book = self.shared.book();
        if let Some(link) = &mut self.link {
            link.send(self.id, Scope::Snapshot, Feed::snapshot(book), now);
        }
        self.flight = Some(Flight::Snapshot(self.id));
        self.refused = None;
        self.changed = false;
    }

    fn detached(&mut self) {
        self.in_step = false;
        self.refused = None;
        self.surveys.give_up();
        if let Some(Flight::Batch(_, batch)) = self.flight.take() {
            self.settle(*batch, 0, true);
        }
        self.status(|status| status.attached = false);
        drop(self.shared.notices.send(Notice::Detached));
    }

    /// Gives the whole book again to a dataplane that has refused it.
    fn try_again(&mut self, now: Instant) {
        let interval = if self.changed { RETRY_CHANGED } else { RETRY };
        let due = self.refused.is_some_and(|refused| now.duration_since(refused) >= interval);
        if due && self.flight.is_none() {
            self.snapshot(now);
        }
        let trouble = self.link.as_ref().and_then(Link::trouble);
        if trouble.is_some() && self.trouble.as_deref() != trouble {
            self.trouble = trouble.map(str::to_owned);
            self.status(|status| status.trouble.clone_from(&self.trouble));
        }
    }

    pub(super) fn applied(&mut self, id: u64) {
        if self.flight.as_ref().is_none_or(|flight| flight.id() != id) {
            return;
        }
        if let Some(link) = &mut self.link {
            link.settle();
        }
        self.status(|status| {
            status.transaction = id;
            status.applied += 1;
        });
        match self.flight.take() {
            Some(Flight::Batch(_, batch)) => self.settle(*batch, id, false),
            Some(Flight::Snapshot(_)) => {
                self.in_step = true;
                self.status(|status| status.trouble = None);
                let counts = self.shared.book().counts();
                log::info!("the dataplane has {} peers and {} routes", counts.peers, counts.routes);
            }
            None => {}
        }
    }

    pub(super) fn refused(&mut self, id: u64, item: u64, what: &str, now: Instant) {
        if self.flight.as_ref().is_none_or(|flight| flight.id() != id) {
            return;
        }
        if let Some(link) = &mut self.link {
            link.settle();
        }
        self.status(|status| status.refused += 1);
        match self.flight.take() {
            Some(Flight::Batch(_, batch)) => self.part(*batch, item, what, now),
            Some(Flight::Snapshot(_)) => {
                let trouble = format!("the dataplane does not take the book: {what}");
                log::error!("{trouble}");
                self.status(|status| status.trouble = Some(trouble));
                self.refused = Some(now);
            }
            None => {}
        }
    }

    /// The dataplane has refused a batch: alone, its only change is refused; else each gets its own try.
    fn part(&mut self, batch: Batch, item: u64, what: &str, now: Instant) {
        let place = batch.difference(&self.shared.book()).title(item);
        let mut edits = batch.edits;
        if edits.len() > 1 {
            // From the last to the first, because each goes before the others.
            for edit in edits.into_iter().rev() {
                self.waiting.push_front(edit.again());
            }
            self.fly_first(now);
            return;
        }
        if let Some(edit) = edits.pop() {
            let refused = Refused::new(Cause::Dataplane, what);
            let refused = match place {
                Some(place) => refused.at(place),
                None => refused,
            };
            drop(edit.answer.send(Err(refused)));
        }
        self.fly_first(now);
    }

    /// Sends what waits one by one, for the batch that it was in was refused.
    fn fly_first(&mut self, now: Instant) {
        let Some(Request::Edit { origin, decide, answer }) = self.waiting.pop_front() else {
            return;
        };
        let mut batch = Batch::new(self.shared.book());
        batch.add(origin, decide, answer, &self.limits());
        self.send(batch, now);
    }

    fn fly_surveys(&mut self, now: Instant) {
        if let Some(link) = &mut self.link {
            self.surveys.turn(now, |id| link.survey(id), &mut self.id);
        }
    }

    fn has_ended(&mut self, now: Instant) -> bool {
        let Some((_, end)) = &self.ending else { return false };
        if self.is_busy() && now < *end {
            return false;
        }
        if let Some(Flight::Batch(_, batch)) = self.flight.take() {
            self.settle(*batch, 0, true);
        }
        // Everything is on disk before anybody hears that this is the end.
        self.scribe = Scribe::begin(None);
        if let Some((answer, _)) = self.ending.take() {
            let _ended = answer.send(());
        }
        true
    }

    fn limits(&self) -> Limits {
        *self.shared.limits.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.shared.status.write().unwrap_or_else(PoisonError::into_inner));
    }
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
