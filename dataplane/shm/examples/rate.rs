//! Times the commands ring between two threads that map it from two sides, and transactions on one:
//! `cargo run --release -p shm --example rate`. Round trips of a cache line before and after tell how far
//! apart the two cores were; where these two differ much, the rates between threads are void. A side that has
//! to wait gives its core away, as the keeper does; on a busy machine both sides then take turns on one core.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a program that measures and tells"
)]

use std::error::Error;
use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::yield_now;
use std::time::Instant;

use shm::attach::Sizes;
use shm::limits::ITEMS_MAX;
use shm::mapping::Mapping;
use shm::message::{COMMAND_WORDS, Item, Scope};
use shm::ring::{Consumer, Corrupt, Producer};
use shm::transaction::{Reader, Received, WriteError, Writer};
use shm::{Control, Dataplane, Place};

const BATCH: usize = 32;
const MESSAGES: usize = 1 << 17;
const ROUTES: u32 = 1_100_000;

type Sides = (Producer<Arc<Mapping>, COMMAND_WORDS>, Consumer<Arc<Mapping>, COMMAND_WORDS>);

fn main() -> Result<(), Box<dyn Error>> {
    let place = Place::of(&format!("rate-{}", std::process::id()))?;
    let dataplane = Dataplane::create(&place, Sizes::default(), 1)?;
    let control = Control::attach(&place)?;
    let mut sides = (control.commands, dataplane.commands);
    println!("a cache line there and back: {:4.0} ns", round_trip());
    println!(
        "one by one, two threads:     {:6.1} M messages/s",
        best(&mut sides, |s| threads(s, 1))?
    );
    println!(
        "batches of {BATCH}, two threads:  {:6.1} M messages/s",
        best(&mut sides, |s| threads(s, BATCH))?
    );
    println!("a cache line there and back: {:4.0} ns", round_trip());
    println!("batches of {BATCH}, one thread:   {:6.1} M messages/s", best(&mut sides, alternate)?);
    println!(
        "{ROUTES} routes as one snapshot, written and gathered on one thread: {:.0} ms",
        snapshot(sides)?
    );
    drop(dataplane.owner);
    drop(control.attachment);
    Ok(std::fs::remove_dir_all(place.path())?)
}

/// Other programs share the machine: the best of many short runs is the nearest to the truth.
fn best(
    sides: &mut Sides,
    run: impl Fn(&mut Sides) -> Result<f64, Corrupt>,
) -> Result<f64, Corrupt> {
    (0..100).try_fold(0.0, |best, _| Ok(f64::max(best, run(sides)?)))
}

/// Nanoseconds for a word to another thread and back, the best of some runs.
fn round_trip() -> f64 {
    const TRIPS: u64 = 5000;
    let run = || {
        let word = AtomicU64::new(0);
        let wait = |value| {
            while word.load(Ordering::Acquire) != value {
                spin_loop();
            }
        };
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for trip in 0..TRIPS {
                    wait(2 * trip + 1);
                    word.store(2 * trip + 2, Ordering::Release);
                }
            });
            for trip in 0..TRIPS {
                word.store(2 * trip + 1, Ordering::Release);
                wait(2 * trip + 2);
            }
        });
        start.elapsed().as_secs_f64() * 1e9 / TRIPS as f64
    };
    (0..20).map(|_| run()).fold(f64::INFINITY, f64::min)
}

/// Millions of messages per second from one thread to another.
fn threads((producer, consumer): &mut Sides, batch: usize) -> Result<f64, Corrupt> {
    let messages = vec![[7; COMMAND_WORDS]; batch];
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut sent = 0;
            while sent < MESSAGES {
                match producer.push_batch(&messages) {
                    Ok(0) => yield_now(),
                    Ok(count) => sent += count,
                    Err(_) => return,
                }
            }
        });
        let mut received = 0;
        while received < MESSAGES {
            match consumer.take(batch, |taken| _ = black_box(taken.message))? {
                0 => yield_now(),
                count => received += count,
            }
        }
        Ok(())
    })?;
    Ok(MESSAGES as f64 / start.elapsed().as_secs_f64() / 1e6)
}

/// Millions of messages per second when one thread writes and reads in turns.
fn alternate((producer, consumer): &mut Sides) -> Result<f64, Corrupt> {
    let messages = [[7; COMMAND_WORDS]; BATCH];
    let start = Instant::now();
    for _ in 0..MESSAGES / BATCH {
        producer.push_batch(&messages)?;
        consumer.take(BATCH, |taken| _ = black_box(taken.message))?;
    }
    Ok(MESSAGES as f64 / start.elapsed().as_secs_f64() / 1e6)
}

/// Milliseconds for a full routing table through writer, ring and reader.
fn snapshot((producer, consumer): Sides) -> Result<f64, Box<dyn Error>> {
    let (mut writer, mut reader) = (Writer::new(producer), Reader::new(consumer, ITEMS_MAX));
    // What the runs before have left is no transaction.
    while reader.poll(usize::MAX).is_some() {}
    let mut best = f64::INFINITY;
    for id in 0..5 {
        let start = Instant::now();
        writer.begin(id, Scope::Snapshot)?;
        for number in 0..ROUTES {
            let prefix = ipnet::Ipv4Net::new((number << 8).into(), 24)?.into();
            let item = Item::Route { prefix, next_hop: number & 0xff };
            while writer.item(&item) == Err(WriteError::Full) {
                assert!(reader.poll(usize::MAX).is_none(), "nothing is complete yet");
            }
        }
        assert!(reader.poll(usize::MAX).is_none(), "nor now");
        writer.commit()?;
        let received = reader.poll(usize::MAX);
        best = best.min(start.elapsed().as_secs_f64() * 1e3);
        assert!(
            matches!(received, Some(Received::Transaction(whole)) if whole.items.len() == ROUTES as usize)
        );
    }
    Ok(best)
}
