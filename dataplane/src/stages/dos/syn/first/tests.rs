//! Claims about SYNs seen for the first time.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::limits::{FIRST_TIME, FIRST_WAIT};
use crate::testing::START;

fn flow(number: u64) -> u64 {
    (number + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(29)
        .wrapping_mul(0xd6e8_feb8_6659_fd93)
}

/// What is cut off of a time.
const GRAIN: Duration = Duration::from_nanos(STEP);

proptest! {
    #[test]
    fn meets_a_syn_as_a_list_of_all_of_them_says(
        steps in prop::collection::vec((0_u64..20, 0_u32..3, 0_u64..1_500), 1..300),
    ) {
        let mut table = First::new(1 << 14);
        let mut model: HashMap<(u64, u32), Instant> = HashMap::new();
        let mut now = START;
        for (number, isn, pause) in steps {
            now = now + Duration::from_millis(pause);
            let met = table.meet(flow(number), isn, now);
            let age = model.get(&(number, isn)).map(|first| now.since(*first));
            match age {
                Some(age) if age < FIRST_WAIT => prop_assert_eq!(met, Meeting::Soon),
                Some(age) if age > FIRST_WAIT + GRAIN && age + GRAIN <= FIRST_TIME => {
                    prop_assert_eq!(met, Meeting::Again);
                }
                Some(age) if age <= FIRST_WAIT + GRAIN => {
                    prop_assert!(matches!(met, Meeting::Soon | Meeting::Again));
                }
                // What the time's few bits leave open is not claimed.
                Some(_) => {}
                None => prop_assert!(matches!(met, Meeting::First | Meeting::Crowded)),
            }
            if matches!(met, Meeting::First | Meeting::Crowded) {
                model.insert((number, isn), now);
            }
        }
    }
}

#[test]
fn forgets_a_syn_after_its_time() {
    let mut table = First::new(1 << 10);
    table.meet(flow(1), 2, START);
    assert_eq!(table.meet(flow(1), 2, START + FIRST_TIME), Meeting::Again);
    let late = START + FIRST_TIME + Duration::from_secs(1);
    assert_eq!(table.meet(flow(1), 2, late), Meeting::First);
}

/// Of a hundred clients, how many SYNs are known again after their second while a flood of so many SYNs per second runs;
/// and whether the table says that it is crowded.
fn known_again(capacity: usize, per_second: u64) -> (usize, bool) {
    let mut table = First::new(capacity);
    let mut crowded = false;
    let (mut met, mut flood) = (0, 1_000_000);
    for ms in 0..4_000 {
        let now = START + Duration::from_millis(ms);
        for _ in 0..per_second / 1_000 {
            flood += 1;
            let meeting = table.meet(flow(flood), 7, now);
            crowded |= ms > 3_000 && meeting == Meeting::Crowded;
        }
        if (2_000..2_100).contains(&ms) {
            table.meet(flow(ms), 7, now);
        }
        if (3_000..3_100).contains(&ms) {
            met += usize::from(table.meet(flow(ms - 1_000), 7, now) == Meeting::Again);
        }
    }
    (met, crowded)
}

#[test]
fn remembers_a_client_through_a_flood_and_says_when_it_does_not() {
    let (met, crowded) = known_again(1 << 14, 1 << 11);
    assert!(met == 100 && !crowded, "{met} of 100, crowded: {crowded}");
    let (met, _) = known_again(1 << 14, 1 << 13);
    assert!(met >= 99, "{met} of 100 in a flood of half its room a second");
    let (met, crowded) = known_again(1 << 10, 1 << 14);
    assert!(met < 5 && crowded, "{met} of 100, crowded: {crowded}");
}

#[test]
fn has_the_size_that_its_capacity_says() {
    assert_eq!(First::new(crate::limits::FIRSTS_MAX).octets(), 16 << 20);
}
