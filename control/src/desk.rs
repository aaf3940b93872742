//! The desk: the one place where the book is changed, and the way to it for everybody else.
//!
//! A change is asked for here and judged by the desk's own thread against the whole book; then the dataplane is told,
//! and only what it has put in force becomes the book that readers see. Readers take the book as it is and keep it
//! as long as they like: it is a value.

mod batch;
mod flight;
mod hearing;
mod owner;
mod refusals;
mod surveys;

use std::fmt;
use std::net::SocketAddr;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{broadcast, oneshot};

use shm::Place;

use crate::argo::Argo;
use crate::dataplane::Link;
use crate::dos::Heard;
use crate::keep::{Error, Keep, Scribe};
use crate::live::Lives;
use crate::model::{
    Book, Cause, Change, Declaration, Difference, Limits, Origin, PublicKey, Refused,
};
use crate::transit::Transit;
use owner::{Owner, Request};

/// Requests that wait for the desk; more are refused, so that a flood costs no memory.
const REQUESTS_MAX: usize = 4096;

/// Notices that a slow subscriber may fall behind.
const NOTICES_MAX: usize = 4096;

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The transaction that carried it; 0 when the dataplane had nothing to be told.
    pub transaction: u64,
    /// Whether it waits for a dataplane: none is attached, or it did not answer. It is kept, and told when one comes.
    pub pending: bool,
}

/// What has happened, for whoever counts or logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A dataplane is attached.
    Attached,
    /// The dataplane is gone.
    Detached,
    /// The book has changed.
    Changed,
    /// A peer has completed a handshake.
    Handshake(PublicKey, SocketAddr),
    /// A peer speaks from elsewhere.
    EndpointMoved(PublicKey, SocketAddr),
    /// A round of what is heavy in the traffic is complete.
    Swept,
    /// A peer's last session is too old to be used.
    PeerExpired(PublicKey),
    /// So many events were lost, because they came faster than they were read.
    Lost(u64),
}

/// Who the dataplane is, as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its public key.
    pub public_key: PublicKey,
    /// Where it listens for `WireGuard`.
    pub listen_port: u16,
    /// How many peers it has room for.
    pub peers_max: u32,
}

/// How the dataplane sees its fleet, as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetSeen {
    /// Its own number.
    pub server: u8,
    /// The generation in force; 0 when none is.
    pub generation: u16,
    /// The digest over its owner table; 0 when there is none.
    pub digest: u64,
    /// Client ids that it holds; [`u64::MAX`] when they are not counted.
    pub held: u64,
}

/// How desk and dataplane stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether a dataplane is attached.
    pub attached: bool,
    /// Why none is, or what else is wrong with it; one sentence.
    pub trouble: Option<String>,
    /// Who it is, as it said when it was last attached.
    pub server: Option<Server>,
    /// How it sees its fleet, if it is in one.
    pub fleet: Option<FleetSeen>,
    /// The last transaction that it has put in force.
    pub transaction: u64,
    /// When it was last heard, since the Unix epoch.
    pub heard: Option<Duration>,
    /// Transactions that it has put in force, and those that it has refused.
    pub applied: u64,
    /// See there.
    pub refused: u64,
    /// Things of the book that the dataplane refuses: it is told all but these and what leads to them.
    pub left_out: usize,
    /// Events that were lost.
    pub lost: u64,
    /// What is wrong with the source, if it is; the declared layer then is the last good one.
    pub source_trouble: Option<String>,
}

/// The way to the desk. Clones lead to the same.
#[derive(Clone)]
pub struct Desk {
    requests: SyncSender<Request>,
    shared: Arc<Shared>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

/// What the desk's thread writes and others read.
#[derive(Debug)]
struct Shared {
    book: RwLock<Book>,
    limits: RwLock<Limits>,
    status: RwLock<Status>,
    lives: Lives,
    heard: Heard,
    transit: Transit,
    argo: Argo,
    notices: broadcast::Sender<Notice>,
}

impl Shared {
    fn book(&self) -> Book {
        self.book.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn publish(&self, book: Book) {
        let mut place = self.book.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *place, book);
        // Readers do not wait until what was replaced is gone.
        drop(place);
        drop(before);
    }
}

impl Desk {
    /// The desk of a dataplane, with what was kept. Waits for no dataplane: it is attached to when it comes.
    pub fn open(place: Place, keep: Keep) -> Result<Self, Error> {
        Self::open_at(place, keep, None)
    }

    /// The same where this server is in the data centre of that name.
    pub fn open_at(place: Place, keep: Keep, here: Option<Arc<str>>) -> Result<Self, Error> {
        let mut book = keep.book()?;
        book.set_here(here);
        Ok(Self::begin(book, Some(Link::new(place)), Some(keep)))
    }

    /// A desk whose book is kept in memory alone. For tests.
    pub fn forgetful(place: Place, book: Book) -> Self {
        Self::begin(book, Some(Link::new(place)), None)
    }

    /// A desk without a dataplane: every change is in force at once. For tests.
    pub fn detached(book: Book) -> Self {
        Self::begin(book, None, None)
    }

    fn begin(book: Book, link: Option<Link>, keep: Option<Keep>) -> Self {
        let (requests, waiting) = sync_channel(REQUESTS_MAX);
        let shared = Arc::new(Shared {
            book: RwLock::new(book),
            limits: RwLock::default(),
            status: RwLock::default(),
            lives: Lives::default(),
            heard: Heard::default(),
            transit: Transit::default(),
            argo: Argo::default(),
            notices: broadcast::Sender::new(NOTICES_MAX),
        });
        let owner = Owner::new(Arc::clone(&shared), waiting, link, Scribe::begin(keep));
        std::thread::spawn(move || owner.run());
        Self { requests, shared }
    }

    /// Another control that has the dataplane of a place already.
    pub fn rival(place: &Place) -> Option<shm::Error> {
        Link::is_taken(place)
    }

    /// Makes all of the changes or none. Comes back when the dataplane has put them in force, or at once when none
    /// is attached. [`Peer::origin`](crate::model::Peer::origin) and the like need not be set: it is `origin`.
    pub async fn change(&self, origin: Origin, changes: Vec<Change>) -> Result<Applied, Refused> {
        let (applied, ()) = self.edit(origin, move |_| Ok((changes, ()))).await?;
        Ok(applied)
    }

    /// Makes changes that depend on what is in the book, such as the next free address: `decide` sees the book as it
    /// is when the changes are made, and nothing comes between. It runs on the desk's thread: be quick there.
    pub async fn edit<T, F>(&self, origin: Origin, decide: F) -> Result<(Applied, T), Refused>
    where
        T: Send + 'static,
        F: FnOnce(&Book) -> Result<(Vec<Change>, T), Refused> + Send + 'static,
    {
        let (keep, kept) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        let decide = Box::new(move |book: &mut Book| {
            let (changes, more) = decide(book)?;
            // Nobody waits any more for what cannot be given: the request was dropped.
            drop(keep.send(more));
            Ok(changes)
        });
        self.send(Request::Edit { origin, decide, answer })?;
        let applied = answered.await.unwrap_or_else(|_| Err(ended()))?;
        let more = kept.await.map_err(|_| ended())?;
        Ok((applied, more))
    }

    /// Makes a declaration the declared layer, whole or not at all.
    pub async fn declare(&self, declaration: Declaration) -> Result<Applied, Refused> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::declare(declaration, answer))?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }

    /// The same for a thread that waits; not for tasks.
    pub fn declare_now(&self, declaration: Declaration) -> Result<Applied, Refused> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::declare(declaration, answer))?;
        answered.blocking_recv().unwrap_or_else(|_| Err(ended()))
    }

    /// Makes the fleet of a declaration that of the book, and nothing else; for a thread that waits.
    pub(crate) fn declare_fleet_now(&self, declaration: Declaration) -> Result<Applied, Refused> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::declare_fleet(declaration, answer))?;
        answered.blocking_recv().unwrap_or_else(|_| Err(ended()))
    }

    /// Whether a declaration could be the declared layer, and what it would differ for the dataplane. Changes nothing.
    pub fn check_declaration(
        &self,
        declaration: Declaration,
    ) -> Result<(Book, Difference), Refused> {
        let book = self.book();
        let mut candidate = book.clone();
        let touched = candidate.declare(declaration, &self.limits())?;
        let difference = Difference::of_touched(&book, &candidate, &touched);
        Ok((candidate, difference))
    }

    /// Whether changes would be made, and what they would differ for the dataplane. Changes nothing.
    pub fn check(&self, origin: Origin, changes: &[Change]) -> Result<Difference, Refused> {
        let book = self.book();
        let mut candidate = book.clone();
        let touched = candidate.apply(origin, changes, &self.limits())?;
        Ok(Difference::of_touched(&book, &candidate, &touched))
    }

    /// The book as it is now, at no cost.
    pub fn book(&self) -> Book {
        self.shared.book()
    }

    /// What the dataplane takes.
    pub fn limits(&self) -> Limits {
        *self.shared.limits.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of each peer beside the book. [`Desk::survey`] makes it new.
    pub fn lives(&self) -> &Lives {
        &self.shared.lives
    }

    /// What the dataplane tells of its filter.
    pub fn heard(&self) -> &Heard {
        &self.shared.heard
    }

    /// What the dataplane tells of tenants' tunnels and rules.
    pub fn transit(&self) -> &Transit {
        &self.shared.transit
    }

    /// What is measured of data centres and destinations, and the exits that follow from it.
    pub fn argo(&self) -> &Argo {
        &self.shared.argo
    }

    /// Asks the dataplane how all peers stand, so that [`Desk::lives`] is of now. Who asks while it is being answered
    /// gets the next answer, together with all others. False when no dataplane answers: what is known is older then.
    pub async fn survey(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Survey(answer)).is_ok() && answered.await.unwrap_or(false)
    }

    /// What happens from now on. Who is too slow misses the oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.shared.notices.subscribe()
    }

    /// How desk and dataplane stand.
    pub fn status(&self) -> Status {
        self.shared.status.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is wrong with the source, or that nothing is.
    pub fn set_source_trouble(&self, trouble: Option<String>) {
        let mut status = self.shared.status.write().unwrap_or_else(PoisonError::into_inner);
        status.source_trouble = trouble;
    }

    /// Ends in order: what is on its way is answered, and everything is on disk when this comes back.
    pub async fn end(&self) {
        let (answer, answered) = oneshot::channel();
        if self.send(Request::End(answer)).is_ok() {
            // The thread may have ended before.
            drop(answered.await);
        }
    }

    /// The records ([`Change::Record`]) whose keys begin with `prefix`, in order. For the start of whoever made them.
    pub async fn records(&self, prefix: &[u8]) -> Result<Vec<Record>, Refused> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Records(prefix.into(), answer))?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }

    fn send(&self, request: Request) -> Result<(), Refused> {
        self.requests.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => {
                Refused::new(Cause::Full, "too many changes wait already; try again later")
            }
            TrySendError::Disconnected(_) => ended(),
        })
    }
}

/// Key and value of a [`Change::Record`].
pub type Record = (Box<[u8]>, Box<[u8]>);

fn ended() -> Refused {
    Refused::new(Cause::Ended, "control is ending; try again when it has started")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Peer;

    #[tokio::test]
    async fn a_detached_desk_keeps_the_book_and_the_records_of_one_change_together() {
        let desk = Desk::detached(Book::default());
        let record = |value: Option<&[u8]>| Change::Record {
            key: (*b"test/1").into(),
            value: value.map(Into::into),
        };
        let peer = Peer::new(PublicKey([7; 32]));
        let changes = vec![Change::AddPeer(peer.clone()), record(Some(b"one"))];
        let applied = desk.change(Origin::Cli, changes).await.unwrap();
        assert!(applied.pending);
        let again = vec![Change::AddPeer(peer), record(None)];
        assert_eq!(desk.change(Origin::Uapi, again).await.unwrap_err().cause, Cause::Conflict);
        assert_eq!(desk.book().counts().peers, 1);
        let records = desk.records(b"test/").await.unwrap();
        assert_eq!(records, [((*b"test/1").into(), (*b"one").into())]);
    }
}
