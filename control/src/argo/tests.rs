//! The table as a whole: what it is told goes in by events, what it chooses comes out as changes.

mod exploring;
mod naive;
mod simulation;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use shm::message::{Dial, DialFailure, Path};

use super::rows::{Group, Seed};
use super::table::{Centre, Subject};
use super::testing::Random;
use super::{Changes, Led, Table};

/// The second of Unix time at which all begins.
const BEGIN: u32 = 1_000_000;

/// Seconds of a round.
const ROUND: u32 = 10;

/// The first behind the time for which kept choices hold.
const LATER: u32 = BEGIN + 400;

fn prefix(number: u32) -> IpNet {
    Ipv4Net::new(Ipv4Addr::from(0x0a00_0000 | number << 8), 24).unwrap().into()
}

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0001 | number << 8).into()
}

fn centre(number: u16) -> Centre {
    Centre { number, headroom: None, relay: 0 }
}

/// So many prefixes with these exits, all led to the first.
fn subject(exits: &[u16], prefixes: u32) -> Subject {
    let group = Group::new(5, exits.into());
    let choice = group.default;
    Subject {
        here: 1,
        centres: [1, 7, 9].map(centre).into(),
        groups: vec![group],
        seeds: (0..prefixes).map(|at| Seed { prefix: prefix(at), group: 0, choice }).collect(),
    }
}

fn table(exits: &[u16], prefixes: u32) -> Table {
    let mut table = Table::new(BEGIN, ROUND);
    assert_eq!(table.follow(subject(exits, prefixes)), []);
    table
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Dials from an exit to a destination, each answered after so long behind the exit, whose way takes `way`, as a probe
/// tells before.
fn dials(table: &mut Table, (exit, way): (u16, u64), number: u32, times: &[u64], now: u32) {
    table.probe(exit, Some(ms(way)), now);
    for time in times {
        let answer = Ok(ms(way + time));
        table.dial(&Dial { to: address(number), exit, relay: 0, answer }, now);
    }
}

fn fails(table: &mut Table, exit: u16, number: u32, failure: DialFailure, now: u32) {
    table.dial(&Dial { to: address(number), exit, relay: 0, answer: Err(failure) }, now);
}

fn probes(table: &mut Table, centre: u16, rtt: u64, now: u32) {
    table.probe(centre, Some(ms(rtt)), now);
}

fn rounds(
    table: &mut Table,
    from: u32,
    count: u32,
    mut each: impl FnMut(&mut Table, u32),
) -> Vec<Changes> {
    let ends = (0..count).map(|round| from + round * ROUND);
    ends.map(|now| {
        each(table, now);
        table.round(now)
    })
    .collect()
}

fn led(number: u32, exit: u16) -> Led {
    Led { prefix: prefix(number), exit }
}

#[test]
fn a_prefix_is_led_by_the_exit_from_which_it_answers_sooner() {
    let mut table = table(&[0, 7], 1);
    dials(&mut table, (0, 0), 0, &[90; 20], LATER);
    dials(&mut table, (7, 20), 0, &[30; 20], LATER);
    let changes = rounds(&mut table, LATER, 5, |table, now| probes(table, 7, 20, now));
    let moved: Vec<&[Led]> = changes.iter().map(|changes| &*changes.led).collect();
    assert_eq!(moved, [&[][..], &[], &[led(0, 7)], &[], &[]]);
    let row = table.row(&prefix(0)).unwrap();
    let seen = table.explain(row, LATER + 50).unwrap();
    assert_eq!((seen.exit, seen.since, seen.held_until), (7, LATER + 20, LATER + 80));
    let [straight, other] = &seen.exits[..] else { panic!("{seen:?}") };
    assert_eq!((straight.cost, straight.way), (Some(ms(90)), Some(ms(0))));
    assert_eq!((other.cost, other.way, other.p50), (Some(ms(50)), Some(ms(20)), ms(30)));
    assert_eq!(straight.why.to_string(), "not better by more than 3 ms and a twentieth");
}

#[test]
fn what_is_not_known_is_no_reason_and_what_is_lost_falls_back() {
    let mut table = table(&[0, 7], 1);
    dials(&mut table, (7, 20), 0, &[30; 20], LATER);
    let changes = rounds(&mut table, LATER, 5, |table, now| probes(table, 7, 20, now));
    assert!(changes.iter().all(Changes::is_empty), "nothing is known of straight out");
    dials(&mut table, (0, 0), 0, &[90; 20], LATER);
    rounds(&mut table, LATER + 50, 3, |table, now| probes(table, 7, 20, now));
    // From here on nothing is heard.
    let silent = rounds(&mut table, LATER + 80, 8, |_, _| {});
    let fallen: Vec<usize> = (0..8).filter(|at| !silent[*at].is_empty()).collect();
    assert_eq!((fallen.len(), &silent[fallen[0]].led[..]), (1, &[led(0, 0)][..]));
    assert_eq!(LATER + 80 + u32::try_from(fallen[0]).unwrap() * ROUND, LATER + 140, "a minute");
}

#[test]
fn dials_that_nobody_hears_again_are_forgotten() {
    let mut table = table(&[0, 7], 1);
    dials(&mut table, (0, 0), 0, &[90; 40], LATER);
    dials(&mut table, (7, 20), 0, &[30; 40], LATER);
    rounds(&mut table, LATER, 3, |table, now| probes(table, 7, 20, now));
    table.age();
    let kept = rounds(&mut table, LATER + 30, 1, |table, now| probes(table, 7, 20, now));
    assert_eq!(kept[0].led, []);
    table.age();
    let lost = rounds(&mut table, LATER + 40, 1, |table, now| probes(table, 7, 20, now));
    assert_eq!(lost[0].led, [led(0, 0)]);
}

#[test]
fn a_prefix_of_which_little_is_known_is_judged_by_the_one_around_it() {
    let mut wide = subject(&[0, 7], 4);
    let around: IpNet = "10.0.0.0/16".parse().unwrap();
    wide.seeds.insert(0, Seed { prefix: around, group: 0, choice: 0 });
    let mut table = Table::new(BEGIN, ROUND);
    table.follow(wide);
    for number in 0..4 {
        dials(&mut table, (0, 0), number, &[90; 5], LATER);
        dials(&mut table, (7, 20), number, &[30; 5], LATER);
    }
    let changes = rounds(&mut table, LATER, 20, |table, now| probes(table, 7, 20, now));
    let moved: Vec<IpNet> =
        changes.iter().flat_map(|changes| &changes.led).map(|led| led.prefix).collect();
    assert_eq!(moved.len(), 5, "{moved:?}");
    let row = table.row(&prefix(2)).unwrap();
    let seen = table.explain(row, LATER).unwrap();
    assert_eq!((seen.exits[1].by, seen.exits[1].count), (Some(around), 20));
}

#[test]
fn what_the_destination_refuses_blames_nobody_and_three_failures_do_at_once() {
    let mut table = table(&[0, 7], 2);
    for number in 0..2 {
        dials(&mut table, (0, 0), number, &[20; 20], LATER);
        dials(&mut table, (7, 20), number, &[30; 20], LATER);
    }
    probes(&mut table, 7, 20, LATER);
    (0..9).for_each(|_| fails(&mut table, 0, 0, DialFailure::Refused, LATER));
    assert!(!table.is_urgent());
    (0..3).for_each(|_| fails(&mut table, 0, 0, DialFailure::TimedOut, LATER));
    assert!(table.is_urgent());
    assert_eq!(table.leave_failed(LATER).led, [led(0, 7)]);
    assert_eq!(table.moved(), (0, 1));
}

#[test]
fn all_that_went_by_a_centre_that_is_down_leaves_it_at_once() {
    let mut table = table(&[0, 7, 9], 200);
    for number in 0..200 {
        dials(&mut table, (0, 0), number, &[200; 20], LATER);
        dials(&mut table, (7, 20), number, &[30; 20], LATER);
        dials(&mut table, (9, 20), number, &[50; 20], LATER);
    }
    rounds(&mut table, LATER, 60, |table, now| {
        probes(table, 7, 20, now);
        probes(table, 9, 20, now);
    });
    let now = LATER + 600;
    (0..3).for_each(|_| table.probe(7, None, now));
    assert!(table.is_urgent());
    let left = table.leave_failed(now);
    assert_eq!(left.led.len(), 200);
    assert!(left.led.iter().all(|led| led.exit == 9));
    assert!(!table.is_urgent() && table.leave_failed(now).is_empty());
}

#[test]
fn no_more_is_led_to_a_centre_than_it_takes() {
    let mut subject = subject(&[0, 7], 100);
    subject.centres[1].headroom = Some(5);
    let mut table = Table::new(BEGIN, ROUND);
    table.follow(subject);
    for number in 0..100 {
        dials(&mut table, (7, 20), number, &[30; 20], LATER);
    }
    // Each prefix has two dials a second.
    let changes = rounds(&mut table, LATER, 60, |table, now| {
        probes(table, 7, 20, now);
        (0..100).for_each(|number| dials(table, (0, 0), number, &[90; 20], now));
    });
    let moved: usize = changes.iter().map(|changes| changes.led.len()).sum();
    assert_eq!(moved, 2, "five dials a second have room for two prefixes");
}

#[test]
fn kept_choices_hold_for_five_minutes_although_nothing_is_known() {
    let mut kept = subject(&[0, 7], 1);
    kept.seeds[0].choice = 1;
    let mut table = Table::new(BEGIN, ROUND);
    assert_eq!(table.follow(kept), []);
    let changes = rounds(&mut table, BEGIN, 32, |_, _| {});
    let fallen: Vec<usize> = (0..32).filter(|at| !changes[*at].led.is_empty()).collect();
    assert_eq!(fallen, [30]);
}

#[test]
fn a_book_that_knows_less_is_told_what_the_table_has_chosen() {
    let mut table = table(&[0, 7], 2);
    for number in 0..2 {
        dials(&mut table, (0, 0), number, &[90; 20], LATER);
        dials(&mut table, (7, 20), number, &[30; 20], LATER);
    }
    rounds(&mut table, LATER, 4, |table, now| probes(table, 7, 20, now));
    let told = table.follow(subject(&[0, 7], 3));
    assert_eq!(told, [led(0, 7), led(1, 7)]);
    // Other exits are another choice, of which nothing is known.
    assert_eq!(table.follow(subject(&[0, 9], 3)), []);
    let row = table.row(&prefix(0)).unwrap();
    assert_eq!(table.explain(row, LATER).unwrap().exit, 0);
}

#[test]
fn this_data_centre_by_its_name_is_straight_out() {
    let mut table = table(&[0, 1, 7], 1);
    dials(&mut table, (1, 0), 0, &[90; 20], LATER);
    dials(&mut table, (7, 20), 0, &[30; 20], LATER);
    let changes = rounds(&mut table, LATER, 3, |table, now| probes(table, 7, 20, now));
    assert_eq!(changes[2].led, [led(0, 7)]);
    let row = table.row(&prefix(0)).unwrap();
    let seen = table.explain(row, LATER).unwrap();
    assert_eq!(seen.exits[0].cost, Some(ms(90)));
    assert_eq!(seen.exits[1].why.to_string(), "is this data centre, as direct is");
}

#[test]
fn a_relay_shortens_the_way_for_all_that_go_there() {
    let mut table = table(&[0, 9], 3);
    for number in 0..3 {
        dials(&mut table, (0, 0), number, &[95; 20], LATER);
        dials(&mut table, (9, 100), number, &[10; 20], LATER);
    }
    let changes = rounds(&mut table, LATER, 12, |table, now| {
        probes(table, 7, 20, now);
        probes(table, 9, 100, now);
        table.tell(7, Path { to: 9, rtt: Some(ms(30)), lost: 0 }, now);
    });
    assert_eq!(changes[2].relays, [(9, 7)]);
    let moved: usize = changes.iter().map(|changes| changes.led.len()).sum();
    assert_eq!(moved, 3);
    // The way is known through which a dial has gone.
    let answer = Ok(ms(20 + 30 + 10));
    table.dial(&Dial { to: address(0), exit: 9, relay: 7, answer }, LATER + 120);
    let row = table.row(&prefix(0)).unwrap();
    let seen = table.explain(row, LATER + 120).unwrap();
    assert_eq!((seen.exits[1].relay, seen.exits[1].p90), (7, ms(10)));
}
