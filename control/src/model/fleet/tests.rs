//! Claims about the fleet: each rule refuses with its own sentence, and no generation is forgotten.

use super::*;

fn member(server: u8) -> Member {
    let v4 = Some(std::net::Ipv4Addr::new(192, 0, 2, server));
    Member { server, weight: 100, state: MemberState::Active, v4, v6: None }
}

fn past(generation: u16) -> Past {
    Past { generation, weights: vec![(1, 100)] }
}

fn fleet(generation: u16, members: Vec<Member>, past: Vec<Past>) -> Fleet {
    Fleet::new(generation, members, past, Origin::Cli)
}

#[test]
fn each_rule_has_its_sentence_and_its_part() {
    let two = || vec![member(1), member(2)];
    let with = |change: fn(&mut Member)| {
        let mut members = two();
        change(&mut members[1]);
        fleet(5, members, Vec::new())
    };
    let draining = MemberState::Draining { deadline: None };
    let idle = |state| vec![Member { state, ..member(1) }, Member { weight: 0, ..member(2) }];
    let twice = Past { generation: 4, weights: vec![(1, 1), (1, 2)] };
    let nobody = Past { generation: 4, weights: vec![(1, 0)] };
    let cases = [
        (fleet(0, two(), vec![]), Part::Whole, "generation is 1 to 65535"),
        (fleet(5, vec![], vec![]), Part::Whole, "a fleet without a member"),
        (with(|member| member.server = 1), Part::Member(1), "two members have the number 1"),
        (with(|member| member.v4 = None), Part::Member(1), "member 2 has no address"),
        (
            with(|member| member.v4 = Some("192.0.2.1".parse().unwrap())),
            Part::Member(1),
            "192.0.2.1 is the address of two members, 1 and 2",
        ),
        (
            with(|member| member.v4 = Some("255.255.255.255".parse().unwrap())),
            Part::Member(1),
            "255.255.255.255 is no server's address",
        ),
        (
            with(|member| member.v6 = Some("ff02::1".parse().unwrap())),
            Part::Member(1),
            "ff02::1 is no server's address",
        ),
        (fleet(5, idle(draining), vec![]), Part::Whole, "no member is active with a weight"),
        (fleet(5, idle(MemberState::Down), vec![]), Part::Whole, "no member is active"),
        (fleet(5, two(), vec![past(5)]), Part::Past(0), "past generation 5 is not older than 5"),
        (fleet(5, two(), vec![past(4), past(4)]), Part::Past(1), "4 is not older than 4"),
        (fleet(5, two(), vec![past(3), past(4)]), Part::Past(1), "4 is not older than 3"),
        (fleet(5, two(), vec![past(0)]), Part::Past(0), "past generation 0 is not older"),
        (fleet(5, two(), vec![nobody]), Part::Past(0), "names no server with a weight"),
        (fleet(5, two(), vec![twice]), Part::Past(0), "names server 1 twice"),
        (
            fleet(100, two(), (10..75).rev().map(past).collect()),
            Part::Past(64),
            "65 past generations, and 64 are taken",
        ),
    ];
    for (fleet, part, sentence) in cases {
        let (at, what) = fleet.check().unwrap_err();
        assert!(what.contains(sentence), "{what}");
        assert_eq!(at, part, "{what}");
    }
    assert_eq!(fleet(5, two(), vec![past(4), past(3)]).check(), Ok(()));
    assert_eq!(fleet(1, two(), vec![past(65535), past(40000)]).check(), Ok(()));
}

#[test]
fn generations_are_compared_as_serial_numbers() {
    assert!(is_newer(2, 1) && is_newer(1, 65535) && is_newer(32768, 1));
    assert!(!is_newer(1, 1) && !is_newer(1, 2) && !is_newer(32770, 1));
    assert_eq!((next_generation(7), next_generation(65535)), (8, 1));
}

#[test]
fn what_is_not_said_of_the_past_is_remembered_and_what_is_said_counts_more() {
    let then = |generation| Past { generation, weights: vec![(1, generation)] };
    let old = fleet(65535, vec![member(1), member(2)], vec![then(65534), then(65530)]);
    let mut new = fleet(1, vec![member(1)], Vec::new());
    new.remember(&old);
    let both = Past { generation: 65535, weights: vec![(1, 100), (2, 100)] };
    assert_eq!(new.past, [both, then(65534), then(65530)]);
    let said = Past { generation: 65535, weights: vec![(3, 7)] };
    let mut new = fleet(1, vec![member(1)], vec![said.clone(), then(65533)]);
    new.remember(&old);
    assert_eq!(new.past, [said, then(65534), then(65533), then(65530)]);
    let mut same = old.clone();
    same.past.clear();
    same.remember(&old);
    assert_eq!(same, old, "the same generation is not its own past");
}

#[test]
fn of_too_long_a_past_the_oldest_is_forgotten() {
    let then = |generation| Past { generation, weights: vec![(1, generation)] };
    let old = fleet(300, vec![member(1)], (236..300).rev().map(then).collect());
    let mut new = fleet(301, vec![member(2)], Vec::new());
    new.remember(&old);
    let kept: Vec<u16> = new.past.iter().map(|past| past.generation).collect();
    assert_eq!(kept, (237..=300).rev().collect::<Vec<_>>());
    assert_eq!(new.check(), Ok(()));
}

#[test]
fn the_same_weights_are_remembered_once_and_those_in_force_not_at_all() {
    let then = |generation, weight| Past { generation, weights: vec![(1, weight)] };
    let was = vec![then(4, 50), then(3, 100), then(2, 50), then(1, 7)];
    let mut new = fleet(6, vec![member(1)], Vec::new());
    new.remember(&fleet(5, vec![member(1)], was));
    assert_eq!(new.past, [then(4, 50), then(1, 7)]);
}

#[test]
fn members_change_under_a_newer_generation_alone() {
    let old = fleet(5, vec![member(1), member(2)], Vec::new());
    let said = |new: Fleet| new.check_after(&old).map_err(|refused| refused.what);
    assert_eq!(said(fleet(5, vec![member(2), member(1)], vec![past(4)])), Ok(()));
    assert_eq!(said(fleet(6, vec![member(1)], Vec::new())), Ok(()));
    let what = said(fleet(5, vec![member(1)], Vec::new())).unwrap_err();
    assert!(what.contains("have changed and the generation is still 5; raise it to 6"), "{what}");
    let what = said(fleet(4, vec![member(1), member(2)], Vec::new())).unwrap_err();
    assert!(what.contains("4 is older than 5, which was in force; take 6"), "{what}");
}
