//! The ring on one thread: order, room, who comes back, and each index that cannot be.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::memory::{Memory, private};

type Words = Arc<[AtomicU64]>;

fn ring(slots: u32) -> (Words, Producer<Words, 2>, Consumer<Words, 2>) {
    let geometry = Geometry::new(slots).unwrap();
    let memory = private(geometry.words());
    let producer = Producer::attach(memory.clone(), geometry).unwrap();
    let consumer = Consumer::attach(memory.clone(), geometry).unwrap();
    (memory, producer, consumer)
}

fn take(consumer: &mut Consumer<Words, 2>, max: usize) -> Result<Vec<u64>, Corrupt> {
    let mut all = Vec::new();
    consumer.take(max, |taken| all.push(taken.message[0]))?;
    Ok(all)
}

#[test]
fn keeps_order_and_refuses_when_full() {
    let (_, mut producer, mut consumer) = ring(4);
    assert_eq!(producer.push_batch(&[[1, 0], [2, 0], [3, 0]]), Ok(3));
    assert_eq!(producer.push_batch(&[[4, 0], [5, 0], [6, 0]]), Ok(1));
    assert_eq!(producer.push(&[7, 0]), Err(Rejected::Full));
    assert_eq!(take(&mut consumer, 2), Ok(vec![1, 2]));
    assert_eq!(producer.free(), Ok(2));
    assert_eq!(producer.push(&[8, 0]), Ok(()));
    assert_eq!(take(&mut consumer, 9), Ok(vec![3, 4]), "what was known without another look");
    assert_eq!(take(&mut consumer, 9), Ok(vec![8]));
    assert_eq!(take(&mut consumer, 9), Ok(vec![]));
}

#[test]
fn a_geometry_is_a_power_of_two_within_the_limit() {
    for slots in [0, 3, SLOTS_MAX * 2, u32::MAX] {
        assert_eq!(Geometry::<2>::new(slots), None);
    }
    assert_eq!(Geometry::<2>::new(1).unwrap().words(), HEADER_WORDS + 32 + 4);
    let geometry = Geometry::<2>::new(4).unwrap();
    assert_eq!(Producer::attach(private(geometry.words() - 1), geometry).err(), Some(TooShort));
    assert_eq!(Consumer::attach(private(geometry.words() - 1), geometry).err(), Some(TooShort));
}

#[test]
fn a_consumed_slot_holds_nothing() {
    let (memory, mut producer, mut consumer) = ring(4);
    producer.push(&[0xdead, 0xbeef]).unwrap();
    let holds = |value| memory.iter().any(|word| word.load(Relaxed) == value);
    assert!(holds(0xdead) && holds(0xbeef));
    take(&mut consumer, 1).unwrap();
    assert!(!holds(0xdead) && !holds(0xbeef));
}

#[test]
fn what_a_killed_producer_wrote_and_did_not_publish_is_wiped() {
    let (memory, mut producer, _) = ring(4);
    producer.push(&[1, 1]).unwrap();
    let half_written = SLOTS + 4;
    memory.store(half_written + 2, 0x5ec2_e711, Relaxed);
    drop(producer);
    Producer::attach(memory.clone(), Geometry::<2>::new(4).unwrap()).unwrap();
    assert_eq!(memory.load(half_written + 2, Relaxed), 0);
    assert_eq!(memory.load(SLOTS + 2, Relaxed), 1, "the published one stays");
}

#[test]
fn a_producer_index_that_cannot_be_is_named_and_takes_nothing() {
    for (index, fault) in [
        (2, Corrupt::Backwards),
        (0, Corrupt::Backwards),
        (u64::MAX, Corrupt::Backwards),
        (8, Corrupt::Beyond),
        (u64::MAX / 2, Corrupt::Beyond),
        (5, Corrupt::Stale),
        (7, Corrupt::Stale),
    ] {
        let (memory, mut producer, mut consumer) = ring(4);
        producer.push_batch(&[[1, 0], [2, 0], [3, 0]]).unwrap();
        take(&mut consumer, 9).unwrap();
        memory.store(HEAD, index, Relaxed);
        assert_eq!(take(&mut consumer, 9), Err(fault), "index {index}");
        assert_eq!(take(&mut consumer, 9), Err(fault), "it stays so");
        let Faults { backwards, beyond, stale } = consumer.faults();
        assert_eq!(backwards + beyond + stale, 1, "and is counted once");
        producer.restart();
        assert_eq!(take(&mut consumer, 9), Ok(vec![]), "stale slots are passed over");
        producer.push(&[9, 0]).unwrap();
        assert_eq!(take(&mut consumer, 9), Ok(vec![9]), "a new epoch mends it, index {index}");
    }
}

#[test]
fn a_consumer_index_that_cannot_be_is_named_and_overwrites_nothing() {
    // Between 1 and the producer's 6 lie more than four: an index that the producer has never allowed.
    for index in [1, 7, u64::MAX / 2, u64::MAX] {
        let (memory, mut producer, mut consumer) = ring(4);
        producer.push_batch(&[[1, 0], [2, 0], [3, 0]]).unwrap();
        take(&mut consumer, 2).unwrap();
        producer.free().unwrap();
        producer.push_batch(&[[4, 0], [5, 0], [6, 0]]).unwrap();
        memory.store(TAIL, index, Relaxed);
        let before: Vec<u64> = memory.iter().map(|word| word.load(Relaxed)).collect();
        assert_eq!(producer.push(&[7, 0]), Err(Rejected::Corrupt(Corrupt::Beyond)));
        assert!(producer.push(&[7, 0]).is_err(), "it stays so");
        let after: Vec<u64> = memory.iter().map(|word| word.load(Relaxed)).collect();
        assert_eq!(before, after);
        consumer.restart();
        assert_eq!(producer.push(&[8, 0]), Ok(()), "a new epoch mends it");
        assert_eq!(take(&mut consumer, 9), Ok(vec![8]));
    }
}

#[test]
fn a_consumer_index_that_runs_backwards_within_the_slots_is_named() {
    let (memory, mut producer, mut consumer) = ring(4);
    producer.push_batch(&[[1, 0], [2, 0], [3, 0]]).unwrap();
    take(&mut consumer, 2).unwrap();
    assert_eq!(producer.free(), Ok(3));
    memory.store(TAIL, 1, Relaxed);
    assert_eq!(producer.free(), Err(Corrupt::Backwards));
}

#[test]
fn a_new_producer_goes_on_behind_what_was_published() {
    let (memory, mut producer, mut consumer) = ring(4);
    producer.push_batch(&[[1, 0], [2, 0]]).unwrap();
    let first = producer.epoch();
    drop(producer);
    let mut producer = Producer::attach(memory, Geometry::new(4).unwrap()).unwrap();
    producer.push(&[3, 0]).unwrap();
    let mut epochs = Vec::new();
    consumer.take(9, |taken| epochs.push((taken.message[0], taken.epoch))).unwrap();
    assert_eq!(epochs, [(1, first), (2, first), (3, first + 1)]);
    assert_eq!(consumer.producer_epoch(), first + 1);
}

#[test]
fn a_new_consumer_begins_at_the_present_and_frees_the_rest() {
    let (memory, mut producer, consumer) = ring(4);
    producer.push_batch(&[[1, 0]; 4]).unwrap();
    let before = producer.consumer_epoch();
    drop(consumer);
    let mut consumer = Consumer::attach(memory, Geometry::new(4).unwrap()).unwrap();
    assert_eq!(take(&mut consumer, 9), Ok(vec![]));
    assert_eq!(producer.free(), Ok(4));
    assert_ne!(producer.consumer_epoch(), before);
    producer.push(&[2, 0]).unwrap();
    assert_eq!(take(&mut consumer, 9), Ok(vec![2]));
}

#[test]
fn indices_near_their_end_wrap_without_harm() {
    let (memory, producer, consumer) = ring(4);
    drop((producer, consumer));
    memory.store(HEAD, u64::MAX - 1, Relaxed);
    memory.store(TAIL, u64::MAX - 1, Relaxed);
    let geometry = Geometry::new(4).unwrap();
    let mut producer = Producer::attach(memory.clone(), geometry).unwrap();
    let mut consumer = Consumer::attach(memory, geometry).unwrap();
    for round in 0..9 {
        assert_eq!(producer.push(&[round, 0]), Ok(()));
        assert_eq!(take(&mut consumer, 9), Ok(vec![round]));
    }
}
