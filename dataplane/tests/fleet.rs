//! A whole fleet in virtual time, from a seed: servers behind one address, a router that sends every flow to another
//! server whenever their number changes, and clients that move all the time while the operator changes the fleet.
//!
//! Behind each server stands a service with state like a NAT's: a flow lives where its first packet came, and breaks when a
//! later one comes elsewhere. Every packet is numbered in both directions and must arrive within two seconds; a client
//! that shakes hands again before its timers say so has lost a session. After every step the books of every
//! server are closed.
//!
//! Newcomers join without a weight and get it when all servers know them; who has left stays known as down for the life of a
//! session. `FLEET_SEEDS=n` runs so many seeds, from `FLEET_FIRST` (else 0) on. A seed that fails is named, and fails
//! again in the same way.

#[cfg(test)]
#[path = "fleet/attack.rs"]
mod attack;
#[cfg(test)]
#[path = "fleet/caller.rs"]
mod caller;
#[cfg(test)]
#[path = "fleet/carry.rs"]
mod carry;
#[cfg(test)]
#[path = "simulation/dice.rs"]
mod dice;
#[cfg(test)]
#[path = "fleet/figures.rs"]
mod figures;
#[cfg(test)]
#[path = "fleet/flow.rs"]
mod flow;
#[cfg(test)]
#[path = "fleet/operator.rs"]
mod operator;
#[cfg(test)]
#[path = "fleet/plan.rs"]
mod plan;
#[cfg(test)]
#[path = "fleet/roll.rs"]
mod roll;
#[cfg(test)]
#[path = "fleet/router.rs"]
mod router;
#[cfg(test)]
#[path = "fleet/station.rs"]
mod station;
#[cfg(test)]
#[path = "fleet/traffic.rs"]
mod traffic;
#[cfg(test)]
#[path = "fleet/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use caller::Breach;
use plan::Scenario;
use wireguard::message::DATA;
use wireguard::time::Instant;
use world::World;

const MINUTE: Duration = Duration::from_mins(1);

/// Figures of a fleet that has broken nothing.
const UNHARMED: [usize; 5] = [0; 5];

/// A number from the environment.
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs seeds one by one, names those that fail.
#[cfg(test)]
fn run(count: u64, scenario: impl Fn(u64) -> Scenario, act: impl Fn(&mut World)) {
    let first = variable("FLEET_FIRST").unwrap_or(0);
    let count = variable("FLEET_SEEDS").unwrap_or(count);
    let mut failed = Vec::new();
    for seed in first..first + count {
        let mut world = World::new(scenario(seed));
        let is_good = catch_unwind(AssertUnwindSafe(|| act(&mut world))).is_ok();
        println!("seed {seed}, {} clients:\n{}", world.callers.len(), world.figures);
        if !is_good {
            println!("failed at {:?}; to repeat: FLEET_FIRST={seed} FLEET_SEEDS=1", world.now);
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "seeds {failed:?}");
}

/// What steering is for, shown without it.
#[test]
fn servers_that_do_not_know_each_other_break_sessions_and_flows() {
    run(1, Scenario::unsteered, |world| {
        world.unrest(8, MINUTE / 3);
        world.run(MINUTE * 6);
        world.close();
        let [_, sessions, flows, lost, _] = world.figures.harm();
        let clients = world.callers.len();
        assert!(sessions > clients && flows > clients && lost > 10 * clients);
    });
}

/// However the fleet changes, and however often within the life of one session.
#[test]
fn planned_changes_break_nothing() {
    run(1, Scenario::random, |world| {
        world.unrest(8, MINUTE / 4);
        world.run(MINUTE * 4);
        spared(world);
    });
}

/// Many changes in the life of one session, and all clients renew theirs afterwards. With `FLEET_SEEDS` there are thirty of
/// them.
#[test]
fn many_changes_in_one_session_break_nothing() {
    let time = if variable("FLEET_SEEDS").is_some() { MINUTE * 2 } else { MINUTE / 2 };
    run(1, Scenario::random, |world| {
        world.run(MINUTE);
        world.unrest(8, MINUTE / 15);
        world.run(time);
        world.operator.pace = None;
        world.run(MINUTE * 3);
        spared(world);
    });
}

/// Ends a run in which nothing may be lost.
#[cfg(test)]
fn spared(world: &mut World) {
    world.close();
    assert_eq!(world.figures.harm(), UNHARMED, "{:?}", world.figures.broken_sessions);
    assert!(world.figures.drops.is_empty(), "nothing is dropped");
}

/// Who knows all ids, hears everything and forges any address chooses at most which server looks at his packets.
#[test]
fn an_attacker_who_knows_all_ids_gains_nothing() {
    run(1, Scenario::random, |world| {
        world.attack();
        world.unrest(6, MINUTE / 3);
        world.run(MINUTE * 4);
        world.close();
        let attack = world.attack.take().unwrap();
        println!("{} acts, heard by type: {:?}", attack.acts, attack.heard);
        assert_eq!(world.figures.harm(), UNHARMED, "{:?}", world.figures.broken_sessions);
        let (own, foreign) = attack.sessions();
        assert!(own > 0 && foreign == 0, "{own} sessions of his own, {foreign} of nobody");
        let data = attack.heard.get(&DATA).copied().unwrap_or(0);
        assert_eq!(data, 0, "what is for clients comes to clients");
        let passed: u64 = world.figures.forwarded.values().sum();
        assert!(passed < 2 * (2 * world.figures.requests + attack.acts), "nothing goes round");
    });
}

/// Without the fleet's key nobody can aim at one server.
#[test]
fn ids_that_were_picked_with_another_key_spread_evenly() {
    run(3, Scenario::random, |world| {
        let owners = world.aim_with([0xaa; 32]);
        let all: u32 = owners.values().sum();
        let weights = world.operator.roll.active();
        let whole: u32 = weights.iter().map(|(_, weight)| u32::from(*weight)).sum();
        for (server, weight) in weights {
            let (count, share) = (owners[&server], all * u32::from(weight) / whole);
            assert!(count.abs_diff(share) < share / 10, "{count} instead of {share} for {server}");
        }
        assert!(all > 1000);
    });
}

/// A server that dies takes its sessions and flows with it, and nobody else's.
#[test]
fn clients_of_a_dead_server_come_back_at_once() {
    run(1, Scenario::random, |world| {
        world.join(1);
        for round in 0..3 {
            world.run(MINUTE * 2);
            let server = world.any_active();
            world.kill(server);
            world.run(MINUTE);
            if round == 1 {
                world.revive(server);
            } else {
                world.join(1);
            }
        }
        world.close();
        assert_eq!(world.figures.harm(), UNHARMED, "{:?}", world.figures.broken_sessions);
        let [with_id, stock] = &world.figures.recovery;
        assert!(with_id.len() >= 5 && stock.len() >= 5);
        // There and back, and once more for the handshake, by way of other servers.
        assert!(with_id.iter().all(|time| *time < MINUTE / 120), "with an id: {with_id:?}");
        // 15 seconds without an answer, or what was left of the session.
        assert!(stock.iter().all(|time| *time < MINUTE / 3), "stock: {stock:?}");
    });
}

/// A drain may have a limit in time: who is still there then comes back elsewhere, and nobody else notices.
#[test]
fn a_drain_ends_when_its_time_is_over() {
    run(1, Scenario::random, |world| {
        world.join(1);
        for _ in 0..3 {
            world.run(MINUTE * 2);
            let server = world.any_active();
            world.drain(server, Some(MINUTE));
            world.join(1);
        }
        world.run(MINUTE * 2);
        world.close();
        assert_eq!(world.figures.harm(), UNHARMED, "{:?}", world.figures.broken_sessions);
        assert!(world.figures.departures == 3 && world.figures.cut_flows > 0);
        let [with_id, stock] = &world.figures.recovery;
        assert!(with_id.iter().all(|time| *time < MINUTE / 120), "with an id: {with_id:?}");
        assert!(stock.iter().all(|time| *time < MINUTE / 3), "stock: {stock:?}");
    });
}

/// A link between servers that loses packets costs packets, and time where it loses handshakes, but no session and no flow.
#[test]
fn losses_between_servers_break_nothing() {
    run(1, Scenario::lossy, |world| {
        world.unrest(8, MINUTE / 3);
        world.run(MINUTE * 6);
        world.close();
        let figures = &world.figures;
        assert!(figures.broken_flows.is_empty());
        for (at, client, breach) in &figures.broken_sessions {
            // Whose only packet was lost has no answer for 15 seconds, or was silent since.
            let lost = |(sent, flow, ..): &&(Instant, u64, bool, u32)| {
                flow >> 32 == *client as u64 && at.since(*sent) < MINUTE / 2
            };
            let is_explained = figures.lost.iter().any(|lost_one| lost(&lost_one));
            assert!(
                *breach == Breach::Unanswered || is_explained,
                "{client} at {at:?}: {breach:?}"
            );
        }
        assert!(figures.lost.len() as u64 * 20 < figures.requests);
    });
}
