//! Times the commands ring between two threads, and transactions on one:
//! `cargo run --release -p shm --example rate`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a program that measures and tells"
)]

use std::hint::{black_box, spin_loop};
use std::time::Instant;

use shm::limits::{COMMAND_SLOTS, ITEMS_MAX};
use shm::memory::private;
use shm::message::{COMMAND_WORDS, Item, Scope};
use shm::ring::{Consumer, Geometry, Producer};
use shm::transaction::{Reader, Received, WriteError, Writer};

const BATCH: usize = 32;
const MESSAGES: usize = 1 << 17;
const ROUTES: u32 = 1_100_000;

fn main() {
    // Other programs share the machine: the best of many short runs is the nearest to the truth.
    let best = |run: fn() -> f64| (0..100).map(|_| run()).fold(0.0, f64::max);
    println!("one by one, two threads:    {:6.1} M messages/s", best(|| threads(1)));
    println!("batches of {BATCH}, two threads: {:6.1} M messages/s", best(|| threads(BATCH)));
    println!("batches of {BATCH}, one thread:  {:6.1} M messages/s", best(alternate));
    println!(
        "a table of {ROUTES} routes as one snapshot, written and gathered on one thread: {:.0} ms",
        { (0..3).map(|_| snapshot()).fold(f64::INFINITY, f64::min) }
    );
}

fn geometry() -> Geometry<COMMAND_WORDS> {
    Geometry::new(COMMAND_SLOTS).expect("a power of two")
}

/// Millions of messages per second from one thread to another.
fn threads(batch: usize) -> f64 {
    let memory = private(geometry().words());
    let mut producer = Producer::attach(memory.clone(), geometry()).expect("memory for it");
    let mut consumer = Consumer::attach(memory, geometry()).expect("memory for it");
    let messages = vec![[7; COMMAND_WORDS]; batch];
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut sent = 0;
            while sent < MESSAGES {
                match producer.push_batch(&messages).expect("a sound ring") {
                    0 => spin_loop(),
                    count => sent += count,
                }
            }
        });
        let mut received = 0;
        while received < MESSAGES {
            match consumer.take(batch, |taken| _ = black_box(taken.message)).expect("a sound ring")
            {
                0 => spin_loop(),
                count => received += count,
            }
        }
    });
    MESSAGES as f64 / start.elapsed().as_secs_f64() / 1e6
}

/// Millions of messages per second when one thread writes and reads in turns.
fn alternate() -> f64 {
    let memory = private(geometry().words());
    let mut producer = Producer::attach(memory.clone(), geometry()).expect("memory for it");
    let mut consumer = Consumer::attach(memory, geometry()).expect("memory for it");
    let messages = [[7; COMMAND_WORDS]; BATCH];
    let start = Instant::now();
    for _ in 0..MESSAGES / BATCH {
        producer.push_batch(&messages).expect("a sound ring");
        consumer.take(BATCH, |taken| _ = black_box(taken.message)).expect("a sound ring");
    }
    MESSAGES as f64 / start.elapsed().as_secs_f64() / 1e6
}

/// Milliseconds for a full routing table through writer, ring and reader.
fn snapshot() -> f64 {
    let memory = private(geometry().words());
    let mut writer = Writer::new(Producer::attach(memory.clone(), geometry()).expect("memory"));
    let mut reader = Reader::new(Consumer::attach(memory, geometry()).expect("memory"), ITEMS_MAX);
    let start = Instant::now();
    writer.begin(1, Scope::Snapshot).expect("an empty ring");
    for number in 0..ROUTES {
        let prefix = ipnet::Ipv4Net::new((number << 8).into(), 24).expect("a prefix").into();
        let item = Item::Route { prefix, next_hop: number & 0xff };
        while writer.item(&item) == Err(WriteError::Full) {
            assert!(reader.poll(usize::MAX).is_none(), "nothing is complete yet");
        }
    }
    assert!(reader.poll(usize::MAX).is_none());
    writer.commit().expect("an empty ring");
    let Some(Received::Transaction(transaction)) = reader.poll(usize::MAX) else { return f64::NAN };
    assert_eq!(transaction.items.len(), ROUTES as usize);
    start.elapsed().as_secs_f64() * 1e3
}
