//! Claims about flow tracking.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::super::syn::Places;
use super::super::syn::tests::{ends, packet, read};
use super::*;
use crate::testing::START;

const TRACKED: Policy = Policy { tracked: true, out_of_state: 0, since: START };

/// After this tracking is under way.
const WARM: Instant = Instant(START.0 + FLOWS_WARM_UP.as_secs() * 1_000_000_000);

fn segment((client, server): (IpAddr, IpAddr), port: u16, flags: Flags) -> (Segment, Place) {
    let segment = read(&packet((client, port), (server, 443), (flags, 1, 1), &[]));
    (segment, Places::new([1; 16]).of(&segment))
}

fn judge(flows: &mut Flows, port: u16, flags: Flags, now: Instant) -> Result<(), DropReason> {
    let (segment, place) = segment(ends()[0], port, flags);
    flows.judge(&segment, place, (0, TRACKED), now)
}

/// A list of flows: whether each closes, and when it ends.
#[derive(Default)]
struct Model(HashMap<u16, (bool, Instant)>);

impl Model {
    /// Whether the segment passes; `None` when it comes so close to an end that the table's grain decides.
    fn judge(&mut self, port: u16, flags: Flags, now: Instant) -> Option<bool> {
        let grain = Duration::from_secs(u64::from(GRAIN) + 1);
        let live = self.0.get(&port).copied().filter(|(_, end)| *end > now);
        let unsure = self
            .0
            .get(&port)
            .is_some_and(|(_, end)| now.since(*end) < grain && end.since(now) < grain);
        if unsure {
            return None;
        }
        let entry = match (live, flags) {
            (None, Flags::SYN) => (false, now + FLOW_OPENING),
            (None, _) => return Some(false),
            (Some((_, end)), Flags::SYN) => (false, end.max(now + FLOW_OPENING)),
            (Some(_), Flags::RST) => (true, now + FLOW_RESET),
            (Some(_), Flags::FIN) | (Some((true, _)), _) => (true, now + FLOW_CLOSING),
            (Some((false, _)), _) => (false, now + FLOW_IDLE),
        };
        self.0.insert(port, entry);
        Some(true)
    }
}

proptest! {
    #[test]
    fn lets_pass_just_what_a_list_of_flows_lets_pass(
        steps in prop::collection::vec((0_u16..12, 0_usize..4, 0_u64..40), 1..300),
    ) {
        let mut flows = Flows::new(1 << 12, 2);
        let mut model = Model::default();
        let mut now = WARM;
        for (port, which, pause) in steps {
            now = now + Duration::from_secs(pause);
            let flags = [Flags::SYN, Flags::ACK, Flags::FIN, Flags::RST][which];
            let Some(want) = model.judge(port, flags, now) else {
                // Nothing is claimed of this moment; both begin anew.
                now = now + Duration::from_secs(10_000);
                model.0.clear();
                continue;
            };
            prop_assert_eq!(judge(&mut flows, port, flags, now).is_ok(), want, "{} {:?}", port, flags);
        }
    }
}

#[test]
fn drops_what_belongs_to_no_flow_by_its_name() {
    let mut flows = Flows::new(1 << 10, 2);
    for flags in [Flags::ACK, Flags::FIN | Flags::ACK, Flags::RST, Flags::SYN | Flags::ACK] {
        assert_eq!(judge(&mut flows, 7, flags, WARM), Err(DropReason::DosState), "{flags:?}");
    }
    assert_eq!(flows.tally.dropped, 4);
    assert_eq!(judge(&mut flows, 7, Flags::SYN, WARM), Ok(()));
    assert_eq!(judge(&mut flows, 7, Flags::ACK, WARM), Ok(()));
}

#[test]
fn learns_flows_under_way_within_the_tenants_budget() {
    let mut flows = Flows::new(1 << 14, 2);
    let policy = Policy { out_of_state: 100, ..TRACKED };
    let mut learned = Vec::new();
    // Two thousand flows that have moved here send every second, for ten seconds.
    for ms in 0..10_000_u64 {
        for half in 0..2 {
            let port = u16::try_from(ms % 1_000 * 2 + half).unwrap();
            let (segment, place) = segment(ends()[0], port, Flags::ACK);
            let now = WARM + Duration::from_millis(ms);
            if flows.judge(&segment, place, (0, policy), now).is_ok() {
                learned.push(port);
            }
        }
    }
    let passed = flows.tally.passed;
    assert!((1_000..=1_110).contains(&passed), "{passed}");
    assert_eq!(flows.tally.learned, passed, "what passed is known from then on");
    assert!(learned.len() as u64 > passed, "and its next segments pass without spending");
}

#[test]
fn a_reset_of_no_flow_spends_but_is_not_learned() {
    let mut flows = Flows::new(1 << 10, 2);
    let policy = Policy { out_of_state: 1, ..TRACKED };
    let (reset, place) = segment(ends()[0], 7, Flags::RST);
    assert_eq!(flows.judge(&reset, place, (0, policy), WARM), Ok(()));
    assert!(!flows.knows(place, WARM));
    assert_eq!(judge(&mut flows, 8, Flags::ACK, WARM), Err(DropReason::DosState));
}

#[test]
fn learns_everything_and_drops_nothing_when_a_tenant_begins() {
    let mut flows = Flows::new(1 << 12, 2);
    for port in 0..1_000 {
        assert_eq!(judge(&mut flows, port, Flags::ACK, START), Ok(()));
    }
    assert_eq!(judge(&mut flows, 1, Flags::ACK, START + Duration::from_secs(20)), Ok(()));
    assert_eq!(judge(&mut flows, 1, Flags::ACK, WARM), Ok(()), "it has shown itself");
    assert_eq!(judge(&mut flows, 2_000, Flags::ACK, WARM), Err(DropReason::DosState));
    let (segment, place) = segment(ends()[0], 2_001, Flags::ACK);
    let another = Policy { since: WARM, ..TRACKED };
    assert_eq!(flows.judge(&segment, place, (1, another), WARM), Ok(()), "the next tenant begins");
}

#[test]
fn a_forged_reset_does_not_end_a_flow_that_goes_on() {
    let mut flows = Flows::new(1 << 10, 2);
    judge(&mut flows, 7, Flags::SYN, WARM).unwrap();
    judge(&mut flows, 7, Flags::ACK, WARM).unwrap();
    judge(&mut flows, 7, Flags::RST, WARM).unwrap();
    for seconds in (5..200).step_by(5) {
        assert_eq!(judge(&mut flows, 7, Flags::ACK, WARM + Duration::from_secs(seconds)), Ok(()));
    }
    judge(&mut flows, 7, Flags::RST, WARM + Duration::from_secs(200)).unwrap();
    let late = WARM + Duration::from_secs(215);
    assert_eq!(judge(&mut flows, 7, Flags::ACK, late), Err(DropReason::DosState));
}

#[test]
fn rests_when_too_many_flows_find_no_room_and_comes_back() {
    let mut flows = Flows::new(1 << 6, 2);
    for port in 0..64 {
        assert_eq!(judge(&mut flows, port, Flags::SYN, WARM), Ok(()), "a SYN passes anyway");
    }
    assert!(flows.tally.refused > 4, "{:?}", flows.tally);
    assert_eq!(flows.tally.rests, 1);
    // A segment of no flow, where there would be room.
    let has_room = |port: &u16| {
        let place = segment(ends()[0], *port, Flags::ACK).1;
        flows.sets[flows.index(place)].has_room(seconds(WARM))
    };
    let stray = (9_000..10_000).find(has_room).unwrap();
    let (stray, place) = segment(ends()[0], stray, Flags::RST);
    let mut at = |now| flows.judge(&stray, place, (0, TRACKED), now);
    assert_eq!(at(WARM), Ok(()), "nothing is dropped meanwhile");
    assert_eq!(at(WARM + FLOWS_REST), Err(DropReason::DosState));
}

#[test]
fn what_may_have_found_no_room_passes() {
    let mut flows = Flows::new(1 << 6, 2);
    (0..2_000).for_each(|port| judge(&mut flows, port, Flags::SYN, WARM).unwrap());
    let after = WARM + FLOWS_REST;
    assert_eq!(judge(&mut flows, 9_999, Flags::ACK, after), Ok(()));
    let later = WARM + FLOW_OPENING + Duration::from_secs(1);
    assert_eq!(judge(&mut flows, 9_999, Flags::ACK, later), Err(DropReason::DosState));
    assert_eq!(judge(&mut flows, 5, Flags::SYN, later), Ok(()));
    assert_eq!(judge(&mut flows, 5, Flags::ACK, later), Ok(()), "what never went on makes room");
}

#[test]
fn no_flow_is_given_up_for_another() {
    let mut flows = Flows::new(1 << 6, 2);
    (0..40).for_each(|port| judge(&mut flows, port, Flags::SYN, WARM).unwrap());
    let known = |flows: &Flows| -> Vec<u16> {
        (0..40).filter(|port| flows.knows(segment(ends()[0], *port, Flags::ACK).1, WARM)).collect()
    };
    let before = known(&flows);
    (1_000..5_000).for_each(|port| judge(&mut flows, port, Flags::SYN, WARM).unwrap());
    assert!(before.len() > 30);
    assert_eq!(known(&flows), before);
}

#[test]
fn a_tenant_that_is_not_tracked_fills_nothing() {
    let mut flows = Flows::new(1 << 6, 2);
    let (syn, place) = segment(ends()[0], 1, Flags::SYN);
    assert_eq!(flows.judge(&syn, place, (1, Policy::default()), START), Ok(()));
    assert!(!flows.knows(place, START));
}

#[test]
fn has_the_size_that_its_capacity_says() {
    assert_eq!(Flows::new(crate::limits::FLOWS_MAX as usize, 1).octets(), 16 << 20);
}
