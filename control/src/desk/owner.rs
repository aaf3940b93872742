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
use super::flight::{Flight, Sent};
use super::surveys::Surveys;
use super::{Applied, Notice, Record, Shared, Status};
use crate::dataplane::{Feed, Link, Outcome};
use crate::keep::{Job, Scribe};
use crate::model::{
    Aside, BY_SOURCE, Book, Change, Declaration, Difference, Limits, Origin, Refused, Thing,
};

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

    /// The request to make the fleet of a declaration that of the book.
    pub(super) fn declare_fleet(
        declaration: Declaration,
        answer: oneshot::Sender<Result<Applied, Refused>>,
    ) -> Self {
        let decide = Box::new(move |book: &mut Book| declaration.change_of_fleet(book));
        Self::Edit { origin: BY_SOURCE, decide, answer }
    }
}

pub(super) struct Owner {
    pub(super) shared: Arc<Shared>,
    requests: Receiver<Request>,
    pub(super) waiting: VecDeque<Request>,
    pub(super) link: Option<Link>,
    scribe: Scribe,
    pub(super) surveys: Surveys,
    pub(super) flight: Option<Flight>,
    /// What of the book the dataplane is not told, because it refuses it.
    pub(super) aside: Aside,
    /// When the book was first given of which ever more is left out.
    pub(super) tried: Instant,
    /// Whether the dataplane has the book, but for what is on its way.
    in_step: bool,
    /// When the dataplane has refused the book.
    pub(super) refused: Option<Instant>,
    /// Whether it has changed since.
    pub(super) changed: bool,
    /// The last number of a transaction or survey; from the clock, so that a later control has others.
    id: u64,
    ending: Option<(oneshot::Sender<()>, Instant)>,
    /// What the link has said last.
    trouble: Option<String>,
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
            aside: Aside::default(),
            tried: Instant::now(),
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
    pub(super) fn send(&mut self, mut batch: Batch, now: Instant) {
        batch.touched.tidy();
        let attached = self.link.as_ref().is_some_and(Link::is_attached);
        if !attached || !self.in_step {
            self.settle(batch, 0, true);
            self.changed = true;
            return;
        }
        let book = self.shared.book();
        let (mut aside, all) = self.aside.after(&book, &batch.book, &batch.touched);
        if let Some(why) = &batch.fleet_refused {
            aside.put(Thing::Fleet, Vec::new(), why);
        }
        let (old, new) = (self.aside.without(&book), aside.without(&batch.book));
        let difference = Difference::of_touched(&old, &new, &batch.touched);
        if difference.is_empty() && !all {
            self.leave_aside(aside, &batch.book);
            self.settle(batch, 0, false);
            return;
        }
        // What changes nearly everything is said as everything: it is less, and never more than is taken.
        let all = all || difference.messages() > new.messages();
        let sent = if all { Sent::All(new) } else { Sent::Changes(Arc::new(difference)) };
        self.say(sent, Some(Box::new(batch)), aside, now);
    }

    /// Gives the link a transaction.
    fn say(&mut self, sent: Sent, batch: Option<Box<Batch>>, aside: Aside, now: Instant) {
        self.id += 1;
        let (scope, feed) = match &sent {
            Sent::All(book) => (Scope::Snapshot, Feed::snapshot(book.clone())),
            Sent::Changes(difference) => (Scope::Delta, Feed::delta(Arc::clone(difference))),
        };
        if let Some(link) = &mut self.link {
            link.send(self.id, scope, feed, now);
        }
        self.flight = Some(Flight { id: self.id, sent, batch, aside });
    }

    /// What of a book the dataplane is not told from now on; the status says it.
    fn leave_aside(&mut self, aside: Aside, book: &Book) {
        if !aside.is_empty() || !self.aside.is_empty() {
            let trouble = aside.trouble(book);
            self.status(|status| {
                (status.trouble, status.left_out) = (trouble, aside.len());
            });
        }
        self.aside = aside;
    }

    /// A batch is in force, or pending: readers see it, and it goes to disk; then whoever waits hears of it.
    fn settle(&mut self, batch: Batch, transaction: u64, pending: bool) {
        let Batch { book, touched, edits, .. } = batch;
        let applied = Applied { transaction, pending };
        let gone = touched.peers().filter(|key| book.peer(key).is_none());
        self.shared.lives.forget(gone);
        self.shared.transit.follow(&self.shared.book(), &book, &touched);
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
        self.shared.heard.forget();
        self.shared.transit.forget();
        self.in_step = false;
        self.trouble = None;
        // Another dataplane may take what the one before it refused.
        (self.aside, self.tried) = (Aside::default(), now);
        self.snapshot(now);
        self.status(|status| {
            status.attached = true;
            (status.trouble, status.left_out) = (None, 0);
        });
        drop(self.shared.notices.send(Notice::Attached));
    }

    pub(super) fn snapshot(&mut self, now: Instant) {
        let (told, aside) = (self.aside.without(&self.shared.book()), self.aside.clone());
        self.say(Sent::All(told), None, aside, now);
        self.refused = None;
        self.changed = false;
    }

    fn detached(&mut self) {
        self.in_step = false;
        self.refused = None;
        self.surveys.give_up();
        self.land(0, true);
        self.status(|status| (status.attached, status.fleet) = (false, None));
        drop(self.shared.notices.send(Notice::Detached));
    }

    /// Gives the whole book again to a dataplane that has refused it.
    fn try_again(&mut self, now: Instant) {
        let interval = if self.changed { RETRY_CHANGED } else { RETRY };
        let due = self.refused.is_some_and(|refused| now.duration_since(refused) >= interval);
        if due && self.flight.is_none() {
            self.tried = now;
            self.snapshot(now);
        }
        let trouble = self.link.as_ref().and_then(Link::trouble);
        if trouble.is_some() && self.trouble.as_deref() != trouble {
            self.trouble = trouble.map(str::to_owned);
            self.status(|status| status.trouble.clone_from(&self.trouble));
        }
    }

    pub(super) fn applied(&mut self, id: u64) {
        if self.flight.as_ref().is_none_or(|flight| flight.id != id) {
            return;
        }
        if let Some(link) = &mut self.link {
            link.settle();
        }
        self.status(|status| {
            status.transaction = id;
            status.applied += 1;
        });
        self.land(id, false);
    }

    /// Whatever is on its way has arrived, or never will.
    fn land(&mut self, id: u64, pending: bool) {
        let Some(Flight { sent, batch, aside, .. }) = self.flight.take() else { return };
        if let Some(batch) = batch {
            self.leave_aside(aside, &batch.book);
            self.settle(*batch, id, pending);
        } else if let (Sent::All(told), false) = (sent, pending) {
            self.in_step = true;
            self.status(|status| status.trouble = None);
            self.leave_aside(aside, &self.shared.book());
            let counts = told.counts();
            log::info!("the dataplane has {} peers and {} routes", counts.peers, counts.routes);
        }
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
        self.land(0, true);
        // Everything is on disk before anybody hears that this is the end.
        self.scribe = Scribe::begin(None);
        if let Some((answer, _)) = self.ending.take() {
            let _ended = answer.send(());
        }
        true
    }

    pub(super) fn limits(&self) -> Limits {
        *self.shared.limits.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.shared.status.write().unwrap_or_else(PoisonError::into_inner));
    }
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
