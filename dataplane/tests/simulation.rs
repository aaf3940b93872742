//! Whole servers and their clients in virtual time, from a seed: hours of traffic over links that lose,
//! duplicate, reorder and delay, with everything that happens to clients and servers in the field.
//!
//! After every step the books of the server are closed (nothing unaccounted, no buffer and no slot lost), and
//! every inner packet that arrives anywhere is one that was sent there, whole and for the first time. After
//! every bad spell the link becomes good; 25 s later everything that is sent arrives (see `World::calm`).
//!
//! `SIMULATION_SEEDS=n` runs so many seeds, from `SIMULATION_FIRST` (else 0) on. A seed that fails is named,
//! and fails again in the same way; only boringtun makes its keys by itself.

#[cfg(test)]
#[path = "simulation/boring.rs"]
mod boring;
#[cfg(test)]
#[path = "simulation/dice.rs"]
mod dice;
#[cfg(test)]
#[path = "simulation/ledger.rs"]
mod ledger;
#[cfg(test)]
#[path = "simulation/link.rs"]
mod link;
#[cfg(test)]
#[path = "simulation/peer.rs"]
mod peer;
#[cfg(test)]
#[path = "simulation/plan.rs"]
mod plan;
#[cfg(test)]
#[path = "simulation/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use plan::Scenario;
use world::World;

const MINUTE: Duration = Duration::from_mins(1);

/// A number from the environment.
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs seeds one by one, names those that fail.
#[cfg(test)]
fn run(count: u64, scenario: impl Fn(u64) -> Scenario, act: impl Fn(&mut World)) {
    let first = variable("SIMULATION_FIRST").unwrap_or(0);
    let count = variable("SIMULATION_SEEDS").unwrap_or(count);
    let mut failed = Vec::new();
    for seed in first..first + count {
        let mut world = World::new(scenario(seed));
        if catch_unwind(AssertUnwindSafe(|| act(&mut world))).is_err() {
            println!(
                "seed {seed} failed at {:?}; to repeat: SIMULATION_FIRST={seed} SIMULATION_SEEDS=1",
                world.now
            );
            println!("{:?}\n{}", world.scenario, world.server.totals());
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "seeds {failed:?}");
}

#[test]
fn bad_spells_end_and_everything_flows_again() {
    run(3, Scenario::random, |world| {
        world.spells(MINUTE * 30);
        world.fall_silent();
    });
}

#[test]
fn sessions_are_renewed_for_hours_by_both_sides() {
    run(1, Scenario::steady, |world| {
        world.calm(MINUTE);
        let lost = world.ledger.lost();
        world.calm(MINUTE * 180);
        let tallies: Vec<_> = world.peers.iter().filter_map(peer::Peer::tally).collect();
        assert!(tallies.iter().all(|tally| tally.sessions >= 80), "every 120 s: {tallies:?}");
        let answered = tallies.iter().map(|tally| tally.answered).max().unwrap();
        let asked = tallies.iter().map(|tally| tally.sessions - tally.answered).max().unwrap();
        assert!(
            answered >= 80 && asked >= 80,
            "the server initiates, and so do clients: {tallies:?}"
        );
        assert_eq!(world.ledger.lost(), lost, "renewal costs no packet");
        world.fall_silent();
    });
}

#[test]
fn who_moves_is_reached_from_his_first_packet_on() {
    run(1, Scenario::steady, |world| {
        world.calm(MINUTE);
        for _ in 0..50 {
            world.follow();
            world.calm(MINUTE);
        }
        // A handshake from the new place, when one is due just then, may overtake the packet.
        assert!(world.server.totals().roamed >= 40, "{}", world.server.totals());
    });
}

#[test]
fn boringtun_clients_live_through_the_same() {
    run(1, Scenario::with_boringtun, |world| {
        world.spells(MINUTE * 15);
        world.fall_silent();
    });
}
