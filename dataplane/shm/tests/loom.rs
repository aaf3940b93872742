//! Every order in which producer and consumer may see each other's words, under the memory model.
//!
//! The ring is the same code as anywhere else, over words that loom watches; no flag is needed to run this.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::sync::atomic::AtomicU64;
use loom::thread;
use shm::header::HEADER_WORDS;
use shm::memory::{LINE_WORDS, Memory, Word, private};
use shm::ring::{Consumer, Geometry, Producer, Rejected};

/// A word that loom watches; those of the header and the padding, which nobody uses, are plain to keep the
/// state small.
enum Watched {
    Yes(AtomicU64),
    No(std::sync::atomic::AtomicU64),
}

impl Word for Watched {
    fn load(&self, order: Ordering) -> u64 {
        match self {
            Self::Yes(word) => word.load(order),
            Self::No(word) => word.load(order),
        }
    }

    fn store(&self, value: u64, order: Ordering) {
        match self {
            Self::Yes(word) => word.store(value, order),
            Self::No(word) => word.store(value, order),
        }
    }
}

fn memory(geometry: Geometry<1>) -> Arc<[Watched]> {
    // Indices, epochs and slots.
    let watched = |at: usize| {
        let at = at.wrapping_sub(HEADER_WORDS);
        at < 2 || at == LINE_WORDS || at == LINE_WORDS + 1 || at >= 2 * LINE_WORDS
    };
    let plain = private(geometry.words());
    (0..plain.words().len())
        .map(|at| if watched(at) { Watched::Yes(AtomicU64::new(0)) } else { Watched::No(0.into()) })
        .collect()
}

/// All orders with up to three preemptions, which is where faults of order show, in seconds instead of hours.
fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

/// Takes until `count` messages are there.
fn take_all(consumer: &mut Consumer<Arc<[Watched]>, 1>, count: usize) -> Vec<u64> {
    let mut all = Vec::new();
    while all.len() < count {
        consumer.take(2, |taken| all.push(taken.message[0])).unwrap();
        thread::yield_now();
    }
    all
}

fn push(producer: &mut Producer<Arc<[Watched]>, 1>, message: u64) {
    while let Err(rejected) = producer.push(&[message]) {
        assert_eq!(rejected, Rejected::Full);
        thread::yield_now();
    }
}

#[test]
fn messages_arrive_whole_and_in_order_through_a_ring_of_one_slot() {
    model(|| {
        let geometry = Geometry::new(1).unwrap();
        let memory = memory(geometry);
        let mut producer = Producer::attach(memory.clone(), geometry).unwrap();
        let mut consumer = Consumer::attach(memory, geometry).unwrap();
        let other = thread::spawn(move || {
            push(&mut producer, 11);
            push(&mut producer, 12);
        });
        assert_eq!(take_all(&mut consumer, 2), [11, 12]);
        other.join().unwrap();
        assert_eq!(consumer.faults(), shm::ring::Faults::default());
    });
}

#[test]
fn a_new_producer_is_no_fault_to_a_consumer_at_work() {
    model(|| {
        let geometry = Geometry::new(2).unwrap();
        let memory = memory(geometry);
        let mut producer = Producer::attach(memory.clone(), geometry).unwrap();
        let mut consumer = Consumer::attach(memory.clone(), geometry).unwrap();
        let other = thread::spawn(move || {
            push(&mut producer, 11);
            drop(producer);
            let mut producer = Producer::attach(memory, geometry).unwrap();
            push(&mut producer, 12);
        });
        assert_eq!(take_all(&mut consumer, 2), [11, 12]);
        other.join().unwrap();
        assert_eq!(consumer.take(1, |_| ()), Ok(0));
        assert_eq!(consumer.producer_epoch(), 2);
    });
}

#[test]
fn a_new_consumer_is_no_fault_to_a_producer_at_work() {
    model(|| {
        let geometry = Geometry::new(1).unwrap();
        let memory = memory(geometry);
        let mut producer = Producer::attach(memory.clone(), geometry).unwrap();
        let consumer = Consumer::attach(memory.clone(), geometry).unwrap();
        let other = thread::spawn(move || {
            push(&mut producer, 11);
            let pushed = producer.push(&[12]);
            assert!(matches!(pushed, Ok(()) | Err(Rejected::Full)));
            (producer.faults(), pushed.is_ok())
        });
        drop(consumer);
        let mut consumer = Consumer::attach(memory, geometry).unwrap();
        let mut taken = Vec::new();
        consumer.take(1, |message| taken.push(message.message[0])).unwrap();
        let (faults, pushed) = other.join().unwrap();
        assert_eq!(faults, shm::ring::Faults::default());
        while consumer.take(1, |message| taken.push(message.message[0])) != Ok(0) {}
        // What its predecessor did not take is passed over; what it takes itself is in order.
        let possible: &[&[u64]] = if pushed { &[&[12], &[11, 12]] } else { &[&[], &[11]] };
        assert!(possible.contains(&&taken[..]) || taken.is_empty(), "{taken:?}, pushed: {pushed}");
    });
}
