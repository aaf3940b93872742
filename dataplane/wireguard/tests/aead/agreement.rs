//! All lengths, all sizes of batches, all mixes: the same octets as the library.

use proptest::prelude::*;
use wireguard::aead::{Implementation, open_with, seal_with};

use crate::batch::{Packet, Stream, check, implementations};

#[test]
fn every_length_agrees_alone_and_among_its_like() {
    let mut stream = Stream(1);
    for implementation in implementations("every_length") {
        for len in 0..=2048 {
            check(implementation, &[stream.packet(len)]);
        }
        for len in (0..=2048).step_by(3) {
            // Batches of every kind: those that fill lanes, and those that do not.
            let count = [2, 3, 7, 8, 16, 17, 31, 32][len % 8];
            let packets: Vec<Packet> = (0..count).map(|_| stream.packet(len)).collect();
            check(implementation, &packets);
        }
    }
}

#[test]
fn every_size_of_batch_agrees() {
    let mut stream = Stream(2);
    for implementation in implementations("every_size_of_batch") {
        check(implementation, &[]);
        for count in 1..=64 {
            for len in [0, 1, 64, 300, 1420] {
                let packets: Vec<Packet> = (0..count).map(|_| stream.packet(len)).collect();
                check(implementation, &packets);
            }
            let mixed: Vec<Packet> = (0..count)
                .map(|_| {
                    let len = [0, 64, 576, 1420, 33][stream.below(5)];
                    stream.packet(len)
                })
                .collect();
            check(implementation, &mixed);
        }
    }
}

#[test]
fn more_jobs_than_a_burst_and_longer_ones_than_a_datagram_agree() {
    let mut stream = Stream(3);
    for implementation in implementations("more_and_longer") {
        let packets: Vec<Packet> = (0..200).map(|n| stream.packet(n % 90)).collect();
        check(implementation, &packets);
        let packets: Vec<Packet> = [20_000, 9_000, 65_535, 3, 9_001, 16_383, 0, 65, 4_000]
            .into_iter()
            .map(|len| stream.packet(len))
            .collect();
        check(implementation, &packets);
        check(implementation, &packets[2..3]);
    }
}

#[test]
fn one_key_under_many_counters_agrees() {
    let mut stream = Stream(4);
    for implementation in implementations("one_key") {
        let first = stream.packet(100);
        let counters = [0, 1, 2, u64::from(u32::MAX), 1 << 32, u64::MAX - 1, u64::MAX];
        let packets: Vec<Packet> = counters
            .into_iter()
            .cycle()
            .take(40)
            .map(|counter| Packet { counter, ..first.clone() })
            .collect();
        check(implementation, &packets);
    }
}

#[test]
fn no_jobs_are_no_work() {
    for implementation in Implementation::ALL {
        open_with(implementation, &mut []);
        seal_with(implementation, &mut []);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn random_mixes_agree(
        lens in prop::collection::vec(
            prop_oneof![0..70_usize, 0..600_usize, 0..1500_usize, Just(64), Just(1420)],
            1..=70,
        ),
        seed: u64,
    ) {
        let mut stream = Stream(seed);
        let packets: Vec<Packet> = lens.into_iter().map(|len| stream.packet(len)).collect();
        for implementation in Implementation::ALL.into_iter().filter(|one| one.available()) {
            check(implementation, &packets);
        }
    }
}
