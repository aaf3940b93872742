//! The rings between workers and handshake threads, and what travels in them. All are bounded; none waits.

mod jobs;
mod slots;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrayvec::ArrayVec;
use crossbeam::queue::ArrayQueue;
use shm::message::Dial;
use wireguard::message::{ClientId, INITIATION_LEN};
use wireguard::noise::{Identified, Keys};
use wireguard::session::{Indices, Role};
use wireguard::time::Instant;

use crate::fleet::{Membership, Passage};
use crate::frame::Endpoint;
use crate::limits::{
    DIALS_WAITING_MAX, MEASURED_MAX, NEWS_MAX, ORDERS_MAX, SLOTS_PER_PEER, SURVEY_ROWS,
    TASKS_OUT_MAX,
};
use crate::neighbours::{Heard, Name};
use crate::stages::dos::sketch::Sheet;
use crate::stages::dos::{Known, Rules, Sender};
use crate::stages::egress::meter::{Answer, Ask};
use crate::stages::egress::probe;
use crate::stages::route::Routes;
use crate::stages::wireguard::sessions::Setup;

use jobs::Jobs;
use slots::Slots;

/// A handshake message with its path, in either direction.
#[derive(Clone, Debug)]
pub struct Message {
    octets: [u8; INITIATION_LEN],
    len: usize,
    /// Where it came from or shall go.
    pub endpoint: Endpoint,
    /// The client id that it bore or shall bear; its octets in the message are zeros.
    pub client_id: ClientId,
    /// Another server knows who has sent it, and that it is this server's.
    pub named: bool,
    /// What is known of where it came from.
    pub sender: Sender,
}

impl Message {
    /// Copies a message; none is longer than an initiation.
    pub fn new(octets: &[u8], endpoint: Endpoint, client_id: ClientId) -> Option<Self> {
        let len = octets.len();
        let (named, sender) = (false, Sender::Known);
        let mut message =
            Self { octets: [0; INITIATION_LEN], len, endpoint, client_id, named, sender };
        message.octets.get_mut(..octets.len())?.copy_from_slice(octets);
        Some(message)
    }

    /// The message.
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

/// Work for a handshake thread.
#[derive(Debug)]
pub enum Job {
    /// A message that has passed the worker's checks.
    Arrived(Message),
    /// An initiation whose sender another thread has found out and this one keeps.
    Identified(Box<(Identified, Message)>),
    /// Begin a handshake with this peer (its number on the server).
    Initiate(u32, Endpoint),
    /// Begin a handshake with the peers that have this client id, who speak from there.
    Prompt(ClientId, Endpoint),
    /// Forget the handshake under way with this peer.
    Abandon(u32),
    /// These peers are no more: forget all of them, then let the token go.
    Forget(Box<[u32]>, Token),
}

/// Held by an order until it is carried out: who waits for that counts the holders.
pub type Token = Arc<()>;

/// Work for a worker.
#[derive(Debug)]
pub enum Order {
    /// A handshake is done: begin a session, then send the reply.
    Install(Box<Install>),
    /// Send a handshake message of this peer (its number on the worker).
    Send(u32, Message),
    /// Pass a message on to the server that has the client with this id.
    PassOn(Box<(Message, ClientId, Passage)>),
    /// Call this peer (its number on the worker) at this address, unless it is here.
    Call(u32, Endpoint),
    /// The fleet is another than before. The keeper keeps the former view; then the token goes.
    Fleet(Membership, Token),
    /// Other rules than before. The keeper keeps the former ones; then the token goes.
    Rules(Arc<Rules>, Token),
    /// Ask through a tunnel whether its other end is there.
    Probe(Box<Probe>),
    /// Ask a machine of another data centre how far it is.
    Measure(Ask),
    /// Another worker has heard that a tunnel (by its number) takes packets of this length at most.
    PathMtu(u16, u16),
    /// Another worker has heard of a neighbour.
    Learned(Name, Heard),
    /// Peers of this worker (their numbers on it) are new, changed, or, without a setup, no more. Then the
    /// token goes.
    Peers(Box<[(u32, Option<Setup>)]>, Token),
    /// Other routes than before. The keeper keeps the old ones, so that no worker has to free them.
    Routes(Arc<Routes>),
    /// How do the peers stand.
    Survey(Box<Survey>),
    /// What has come since the last such order: an empty sheet for a written one.
    Sketch(Box<Sheet>),
}

/// An inner packet that asks through a tunnel whether its other end is there.
#[derive(Debug)]
pub struct Probe {
    /// The number of the tunnel.
    pub tunnel: u16,
    octets: ArrayVec<u8, { probe::LEN_MAX }>,
}

impl Probe {
    /// Of at most [`probe::LEN_MAX`] octets; what is behind them is cut off.
    pub fn new(tunnel: u16, octets: &[u8]) -> Self {
        Self { tunnel, octets: octets.iter().copied().take(probe::LEN_MAX).collect() }
    }

    /// The packet.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

/// A peer as workers name it to the keeper. What they tell may wait for so long that the number is another peer's when it
/// is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerId {
    /// Its number on the server.
    pub number: u32,
    /// Which of the peers that had the number, one after the other.
    pub incarnation: u32,
}

/// What workers tell the keeper; all of it may be lost when the ring is full.
#[derive(Debug)]
pub enum News {
    /// A handshake with this peer is complete.
    Handshake(PeerId, Endpoint, Instant),
    /// This peer speaks from elsewhere.
    Moved(PeerId, Endpoint, Instant),
    /// All sessions of this peer have ended.
    Expired(PeerId, Instant),
}

/// A sheet that goes to a worker empty and comes back with the states of some of its peers.
#[derive(Debug, Default)]
pub struct Survey {
    /// The first peer to look at, a number on the worker; the next one afterwards.
    pub from: u32,
    /// Whether all peers were looked at.
    pub done: bool,
    /// Those that were ever heard of or have an endpoint.
    pub rows: ArrayVec<Standing, SURVEY_ROWS>,
}

/// How a peer stands.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Which peer.
    pub peer: PeerId,
    /// Where it is.
    pub endpoint: Option<Endpoint>,
    /// When its last session began.
    pub handshake_at: Option<Instant>,
    /// Octets of accepted messages.
    pub received: u64,
    /// Octets of messages to it.
    pub sent: u64,
}

/// A new session.
#[derive(Debug)]
pub struct Install {
    /// The peer, as a number on its worker.
    pub peer: u32,
    /// The slot that was reserved for it.
    pub slot: u32,
    /// The index that stands for worker and slot, and the peer's.
    pub indices: Indices,
    /// Who began the handshake.
    pub role: Role,
    /// Keys of both directions.
    pub keys: Keys,
    /// The response, when we are the responder; else only where the peer is.
    pub reply: Option<Message>,
    /// Where the handshake came from.
    pub endpoint: Endpoint,
    /// The client id that the peer uses.
    pub client_id: ClientId,
}

/// Every ring between workers and handshake threads of one server.
#[derive(Debug)]
pub struct Exchange {
    jobs: Vec<Jobs>,
    /// Where peers have spoken from lately.
    known: Known,
    orders: Vec<ArrayQueue<Order>>,
    /// Free session slots by worker and thread: thread `t` of `n` hands out the slots `s` with `s % n == t`,
    /// so that the index in a response tells which thread waits for it.
    slots: Vec<Vec<Slots>>,
    /// For each worker's slots, whether a handshake thread waits for a message under its index. So an answer
    /// to nothing costs a glance, not a place in a thread's ring.
    expected: Vec<Box<[AtomicBool]>>,
    news: ArrayQueue<News>,
    /// Sheets that come back, at most one for each worker.
    surveys: ArrayQueue<(usize, Box<Survey>)>,
    /// Written sheets of sketches, at most one of each worker.
    sketches: ArrayQueue<(usize, Box<Sheet>)>,
    /// How clients' connections came about, of each worker.
    dials: Vec<ArrayQueue<Dial>>,
    /// What other data centres have answered to probes.
    measured: ArrayQueue<Answer>,
}

impl Exchange {
    /// Rings for so many workers and threads, with `slots` session slots for each worker. First in, first
    /// out: a retired slot rests as long as the spare ones last. `seed` keeps secret where sources are remembered.
    pub fn new(workers: usize, threads: usize, slots: u32, seed: u64) -> Self {
        let free = |thread: usize| Slots::new(thread, threads.max(1), slots);
        Self {
            jobs: (0..threads).map(|_| Jobs::new()).collect(),
            known: Known::new(workers * slots as usize / SLOTS_PER_PEER, seed),
            orders: (0..workers).map(|_| ArrayQueue::new(ORDERS_MAX + TASKS_OUT_MAX)).collect(),
            slots: (0..workers).map(|_| (0..threads).map(free).collect()).collect(),
            expected: (0..workers)
                .map(|_| (0..slots).map(|_| AtomicBool::default()).collect())
                .collect(),
            news: ArrayQueue::new(NEWS_MAX),
            surveys: ArrayQueue::new(workers.max(1)),
            sketches: ArrayQueue::new(workers.max(1)),
            measured: ArrayQueue::new(MEASURED_MAX),
            dials: (0..workers).map(|_| ArrayQueue::new(DIALS_WAITING_MAX)).collect(),
        }
    }

    /// Tells the keeper; false when it is lost.
    pub fn tell(&self, news: News) -> bool {
        // A client that moves with every packet shall not drown what others tell.
        let quiet = !matches!(news, News::Moved(..)) || self.news.len() < NEWS_MAX / 2;
        quiet && self.news.push(news).is_ok()
    }

    /// What the keeper is told next.
    pub fn next_news(&self) -> Option<News> {
        self.news.pop()
    }

    /// News that the keeper has not heard yet.
    pub fn news_waiting(&self) -> usize {
        self.news.len()
    }

    /// Gives a worker's sheet back to the keeper.
    pub fn surveyed(&self, worker: usize, survey: Box<Survey>) {
        // There is a place for each worker's one sheet.
        drop(self.surveys.push((worker, survey)));
    }

    /// The next sheet that has come back, and whose.
    pub fn next_survey(&self) -> Option<(usize, Box<Survey>)> {
        self.surveys.pop()
    }

    /// Gives the keeper what a worker has sketched.
    pub fn sketched(&self, worker: usize, sheet: Box<Sheet>) {
        // There is a place for each worker's one sheet.
        drop(self.sketches.push((worker, sheet)));
    }

    /// The next sheet that a worker has sketched on, and whose.
    pub fn next_sketch(&self) -> Option<(usize, Box<Sheet>)> {
        self.sketches.pop()
    }

    /// Tells the keeper how a connection came about; false when it is lost.
    pub fn dialled(&self, worker: usize, dial: Dial) -> bool {
        self.dials.get(worker).is_some_and(|dials| dials.push(dial).is_ok())
    }

    /// The next connection of a worker that the keeper has not heard of.
    pub fn next_dial(&self, worker: usize) -> Option<Dial> {
        self.dials.get(worker)?.pop()
    }

    /// Gives the keeper another data centre's answer; one that finds no room counts as lost.
    pub fn measured(&self, answer: Answer) {
        let _: Result<(), Answer> = self.measured.push(answer);
    }

    /// The next such answer.
    pub fn next_measured(&self) -> Option<Answer> {
        self.measured.pop()
    }

    /// How many handshake threads there are.
    pub fn threads(&self) -> usize {
        self.jobs.len()
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.orders.len()
    }

    /// Where peers have spoken from lately.
    pub const fn known(&self) -> &Known {
        &self.known
    }

    /// Gives a thread work of ours or of somebody known; false when there is no room.
    pub fn submit(&self, thread: usize, job: Job) -> bool {
        self.submit_of(Sender::Known, thread, job)
    }

    /// Gives a thread work, in the ring of its sender's kind; false when there is no room for that.
    pub fn submit_of(&self, sender: Sender, thread: usize, job: Job) -> bool {
        self.jobs.get(thread).is_some_and(|jobs| jobs.submit(sender, job))
    }

    /// Gives a thread the keeper's work, which has places of its own however many handshakes come; gives it back when
    /// these are taken.
    pub fn submit_or(&self, thread: usize, job: Job) -> Option<Job> {
        match self.jobs.get(thread) {
            Some(jobs) => jobs.submit_or(job),
            None => Some(job),
        }
    }

    /// Jobs that wait for a thread and are no strangers'.
    pub fn jobs_waiting(&self, thread: usize) -> usize {
        self.jobs.get(thread).map_or(0, Jobs::waiting)
    }

    /// Jobs of strangers that wait for a thread.
    pub fn strangers_waiting(&self, thread: usize) -> usize {
        self.jobs.get(thread).map_or(0, Jobs::strangers_waiting)
    }

    /// The next job of a thread that is no stranger's.
    pub fn next_job(&self, thread: usize) -> Option<Job> {
        self.jobs.get(thread)?.next()
    }

    /// The next job of a stranger for a thread.
    pub fn next_stranger(&self, thread: usize) -> Option<Job> {
        self.jobs.get(thread)?.next_stranger()
    }

    /// Says whether a thread spends more than its budget on handshakes.
    pub fn set_over_budget(&self, thread: usize, is_over: bool) {
        if let Some(jobs) = self.jobs.get(thread) {
            jobs.set_over_budget(is_over);
        }
    }

    /// Whether any thread has more to do than its budget or its rings are for.
    pub fn is_busy(&self) -> bool {
        self.jobs.iter().any(Jobs::is_busy)
    }

    /// Gives a worker an order; false when its ring is full.
    pub fn order(&self, worker: usize, order: Order) -> bool {
        let queue = self.orders.get(worker).filter(|queue| queue.len() < ORDERS_MAX);
        queue.is_some_and(|queue| queue.push(order).is_ok())
    }

    /// Gives a worker an order of the keeper's, which have places of their own; gives it back when these are taken.
    pub fn order_or(&self, worker: usize, order: Order) -> Option<Order> {
        match self.orders.get(worker) {
            Some(queue) => queue.push(order).err(),
            None => Some(order),
        }
    }

    /// Gives a worker an order that can be done without; false when its ring is half full, so that the rest
    /// is left to sessions.
    pub fn mention(&self, worker: usize, order: Order) -> bool {
        let quiet = self.orders.get(worker).is_some_and(|queue| queue.len() < ORDERS_MAX / 2);
        quiet && self.order(worker, order)
    }

    /// The next order of a worker.
    pub fn next_order(&self, worker: usize) -> Option<Order> {
        self.orders.get(worker)?.pop()
    }

    /// Takes a free session slot of a worker for a thread.
    pub fn take_slot(&self, worker: usize, thread: usize) -> Option<u32> {
        self.slots.get(worker)?.get(thread)?.take()
    }

    /// Gives a slot back.
    pub fn free_slot(&self, worker: usize, slot: u32) {
        if let Some(queues) = self.slots.get(worker)
            && let Some(queue) = queues.get(slot as usize % queues.len().max(1))
        {
            queue.give(slot);
        }
    }

    /// Says whether a message under this slot's index is waited for.
    pub fn expect(&self, worker: usize, slot: u32, expected: bool) {
        if let Some(bit) = self.expected.get(worker).and_then(|slots| slots.get(slot as usize)) {
            bit.store(expected, Ordering::Relaxed);
        }
    }

    /// Whether a message under this slot's index is waited for.
    pub fn is_expected(&self, worker: usize, slot: u32) -> bool {
        self.expected
            .get(worker)
            .and_then(|slots| slots.get(slot as usize))
            .is_some_and(|bit| bit.load(Ordering::Relaxed))
    }

    /// Free slots of a worker.
    pub fn slots_free(&self, worker: usize) -> usize {
        self.slots.get(worker).map_or(0, |queues| queues.iter().map(Slots::count).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{JOBS_MAX, JOBS_UNDER_LOAD, STRANGERS_MAX};

    #[test]
    fn every_slot_is_with_the_thread_that_its_number_names() {
        let exchange = Exchange::new(2, 3, 10, 1);
        assert_eq!(exchange.slots_free(1), 10);
        for thread in 0..3 {
            while let Some(slot) = exchange.take_slot(1, thread) {
                assert_eq!(slot as usize % 3, thread);
            }
        }
        exchange.free_slot(1, 7);
        assert_eq!((exchange.take_slot(1, 0), exchange.take_slot(1, 1)), (None, Some(7)));
    }

    #[test]
    fn a_full_ring_refuses() {
        let exchange = Exchange::new(1, 1, 1, 1);
        for _ in 0..JOBS_MAX {
            assert!(exchange.submit(0, Job::Abandon(0)));
        }
        assert!(!exchange.submit(0, Job::Abandon(0)));
        assert!(!exchange.submit(1, Job::Abandon(0)), "no such thread");
    }

    #[test]
    fn strangers_take_no_place_of_those_who_are_known() {
        let exchange = Exchange::new(1, 1, 1, 1);
        let fill = |sender| {
            let job = || Job::Abandon(0);
            std::iter::repeat_with(|| exchange.submit_of(sender, 0, job()))
                .take_while(|ok| *ok)
                .count()
        };
        assert_eq!(
            fill(Sender::Eager),
            STRANGERS_MAX / 2,
            "who comes often leaves room for others"
        );
        assert_eq!(fill(Sender::Newcomer), STRANGERS_MAX / 2);
        assert_eq!(exchange.strangers_waiting(0), STRANGERS_MAX);
        assert_eq!((exchange.jobs_waiting(0), fill(Sender::Known)), (0, JOBS_MAX));
    }

    #[test]
    fn is_busy_by_either_ring_or_by_what_a_thread_says() {
        let exchange = Exchange::new(1, 2, 1, 1);
        assert!(!exchange.is_busy());
        exchange.set_over_budget(1, true);
        assert!(exchange.is_busy());
        exchange.set_over_budget(1, false);
        for sender in [Sender::Known, Sender::Newcomer] {
            let mut count = 0;
            while !exchange.is_busy() {
                assert!(exchange.submit_of(sender, 0, Job::Abandon(0)));
                count += 1;
            }
            assert_eq!(count, JOBS_UNDER_LOAD, "{sender:?}");
            while exchange.next_job(0).or_else(|| exchange.next_stranger(0)).is_some() {}
        }
    }

    #[test]
    fn the_keeper_gets_through_however_full_others_keep_the_rings() {
        let exchange = Exchange::new(1, 1, 1, 1);
        while exchange.submit(0, Job::Abandon(0)) {}
        assert!(exchange.submit_or(0, Job::Forget(Box::default(), Token::default())).is_none());
        while exchange.order(0, Order::Peers(Box::default(), Token::default())) {}
        let order = Order::Peers(Box::default(), Token::default());
        assert!(exchange.order_or(0, order).is_none());
    }

    #[test]
    fn a_message_is_never_longer_than_an_initiation() {
        let new = |len| Message::new(&vec![1; len], Endpoint::NONE, ClientId::ZERO);
        assert_eq!(new(148).unwrap().octets().len(), 148);
        assert!(new(149).is_none());
    }
}
