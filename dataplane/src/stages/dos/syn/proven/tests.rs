//! Claims about the table of proven sources.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::testing::START;

/// A well-mixed word for a number.
fn source(number: u64) -> u64 {
    (number + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(29)
        .wrapping_mul(0xd6e8_feb8_6659_fd93)
}

proptest! {
    #[test]
    fn knows_just_whom_a_set_of_sources_knows(
        steps in prop::collection::vec((0_u64..300, any::<bool>(), 0_u64..200), 1..400),
    ) {
        // With 512 sets for 300 sources none is ever full.
        let table = Proven::new(1 << 12);
        let mut model: HashMap<u64, Instant> = HashMap::new();
        let mut now = START;
        for (number, proves, pause) in steps {
            now = now + Duration::from_secs(pause);
            if proves {
                prop_assert!(table.prove(source(number), now));
                model.insert(number, now + PROVEN_TIME);
            }
            let proven = model.get(&number).is_some_and(|end| *end > now);
            let want = if proven { Standing::Proven } else { Standing::Unproven };
            prop_assert_eq!(table.standing(source(number), now), want);
        }
    }
}

#[test]
fn gives_up_nobody_for_another() {
    let table = Proven::new(1 << 7);
    let kept: Vec<u64> =
        (0..10_000).map(source).filter(|source| table.prove(*source, START)).collect();
    assert_eq!(kept.len(), 1 << 7, "it holds what it has room for");
    assert!(kept.iter().all(|source| table.standing(*source, START) == Standing::Proven));
    assert_eq!(table.standing(source(20_000), START), Standing::Full);
    let later = START + PROVEN_TIME + Duration::from_secs(1);
    assert_eq!(table.standing(source(20_000), later), Standing::Unproven);
    assert!(table.prove(source(20_000), later), "what has ended makes room");
}

#[test]
fn a_source_that_is_proven_again_takes_no_second_place() {
    let table = Proven::new(1);
    for seconds in 0..100 {
        assert!(table.prove(source(1), START + Duration::from_secs(seconds)));
    }
    let used = table.sets.iter().flat_map(|set| &set.0);
    assert_eq!(used.filter(|entry| entry.load(Ordering::Relaxed) != 0).count(), 1);
}

#[test]
fn one_family_cannot_fill_the_half_of_the_other() {
    let table = Proven::new(1 << 10);
    for number in 0..100_000 {
        table.prove(source(number) | 1, START);
    }
    assert_eq!(table.standing(source(100_001) | 1, START), Standing::Full);
    assert_eq!(table.standing(source(100_001) & !1, START), Standing::Unproven);
}

#[test]
fn what_one_worker_proves_all_know() {
    let table = Proven::new(1 << 16);
    std::thread::scope(|scope| {
        for worker in 0..4_u64 {
            let table = &table;
            scope.spawn(move || {
                (0..5_000).for_each(|n| assert!(table.prove(source(worker * 2_500 + n), START)));
            });
        }
    });
    assert!((0..12_500).all(|n| table.standing(source(n), START) == Standing::Proven));
}

#[test]
fn has_the_size_that_its_capacity_says() {
    assert_eq!(Proven::new(crate::limits::PROVEN_MAX).octets(), 16 << 20);
}
