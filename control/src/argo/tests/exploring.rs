//! Exits of which nothing is known are tried by few, and taken when they are better.

use super::*;

/// A world in which flows go where they are led, and nowhere else.
struct World {
    table: Table,
    led: Vec<u16>,
    now: u32,
    /// Dials by exits that are not the prefix's choice, and all.
    dials: [u64; 2],
}

impl World {
    fn new(exits: &[u16], prefixes: u32) -> Self {
        let table = table(exits, prefixes);
        Self { table, led: vec![0; prefixes as usize], now: LATER, dials: [0; 2] }
    }

    /// A round in which each prefix has so many dials, which take so long behind their exits, or fail.
    fn round(&mut self, count: usize, time: impl Fn(u16) -> Option<u64>) -> Vec<Led> {
        self.now += ROUND;
        let mut all = Vec::new();
        for centre in [7, 9] {
            probes(&mut self.table, centre, 20, self.now);
        }
        for number in 0..self.led.len() {
            let exit = self.led[number];
            let way = if exit == 0 { 0 } else { 20 };
            let number = u32::try_from(number).unwrap();
            for _ in 0..count {
                match time(exit) {
                    Some(time) => dials(&mut self.table, (exit, way), number, &[time], self.now),
                    None => fails(&mut self.table, exit, number, DialFailure::TimedOut, self.now),
                }
            }
            let row = self.table.row(&prefix(number)).unwrap();
            let choice = self.table.explain(row, self.now).unwrap().exit;
            self.dials[0] += if exit == choice { 0 } else { count as u64 };
            self.dials[1] += count as u64;
        }
        if self.table.is_urgent() {
            all.extend(self.table.leave_failed(self.now).led);
        }
        all.extend(self.table.round(self.now).led);
        for led in &all {
            let place =
                (0..self.led.len()).find(|at| prefix(u32::try_from(*at).unwrap()) == led.prefix);
            self.led[place.unwrap()] = led.exit;
        }
        all
    }
}

#[test]
fn a_better_exit_is_found_although_nobody_went_there() {
    let mut world = World::new(&[0, 7, 9], 200);
    let time = |exit| {
        Some(match exit {
            0 => 120,
            7 => 30,
            _ => 200,
        })
    };
    for _ in 0..600 {
        world.round(6, time);
    }
    let chosen = world.led.iter().filter(|exit| **exit == 7).count();
    assert!(chosen >= 100, "{chosen} of 200 go by the best exit after 100 minutes");
    let [tried, all] = world.dials;
    assert!(tried > 0 && tried * 50 < all, "{tried} of {all} dials were trials");
}

#[test]
fn an_exit_whose_way_alone_costs_too_much_is_not_tried() {
    let mut world = World::new(&[0, 7], 50);
    let led: usize = (0..60).map(|_| world.round(10, |_| Some(24)).len()).sum();
    assert_eq!(led, 0, "the way takes 20 ms of 24");
    let mut world = World::new(&[0, 7], 50);
    let led: usize = (0..60).map(|_| world.round(3, |_| Some(90)).len()).sum();
    assert_eq!(led, 0, "with three dials a round nothing would be learned");
}

#[test]
fn a_trial_that_fails_ends_at_once_and_is_not_made_again_for_half_an_hour() {
    let mut world = World::new(&[0, 7], 1);
    let time = |exit| (exit == 0).then_some(120);
    let mut begun = Vec::new();
    for _ in 0..400 {
        for led in world.round(10, time) {
            if led.exit == 7 {
                begun.push(world.now);
            }
        }
    }
    assert!((2..=3).contains(&begun.len()), "{begun:?}");
    assert!(begun.windows(2).all(|pair| pair[1] - pair[0] >= 1800), "{begun:?}");
    assert_eq!(world.dials[0], begun.len() as u64 * 10, "a round each");
    assert_eq!(world.led, [0]);
}

#[test]
fn a_trial_ends_with_its_centre() {
    let mut world = World::new(&[0, 7], 1);
    let begun = (0..10).find(|_| !world.round(10, |_| Some(120)).is_empty());
    assert!(begun.is_some());
    assert_eq!(world.led, [7]);
    for _ in 0..3 {
        world.table.probe(7, None, world.now);
    }
    assert_eq!(world.table.leave_failed(world.now).led, [led(0, 0)]);
}

#[test]
fn a_trial_goes_on_when_the_book_changes() {
    let mut world = World::new(&[0, 7], 1);
    assert!((0..10).any(|_| !world.round(10, |_| Some(120)).is_empty()));
    assert_eq!(world.led, [7]);
    // The book leads it where it was told; another prefix is new.
    let mut more = subject(&[0, 7], 2);
    more.seeds[0].choice = 1;
    assert_eq!(world.table.follow(more), []);
    assert_eq!(world.round(20, |_| Some(90)), [led(0, 0)], "enough was learned");
}
