//! Races between the outer families, and handshakes that the plan asks for.

use super::*;

/// Octets of the time between the two calls.
const DELAY: Duration = Duration::from_millis(250);

fn racing(clients: u32, delay: Duration) -> Plan {
    let mut plan = plan(clients);
    plan.families = Families::Race(delay);
    plan.traffic =
        Some(traffic(Kind::Echo, Target::Host(site::LOCAL_V4.into()), Family::V4, 1000.0));
    plan
}

/// Traffic for a second, of which nothing may be missing.
fn flows(world: &mut World) {
    let before = world.swarm.meter().sums();
    world.swarm.begin(world.now);
    world.run(Duration::from_secs(1), STEP);
    world.swarm.end(world.now);
    world.run(Duration::from_secs(1), STEP);
    let sums = world.swarm.meter().sums();
    assert!(sums.sent >= before.sent + 1000);
    assert_eq!(sums.missing, before.missing, "{sums:?} {:?}", world.swarm.tally());
    assert_eq!(world.swarm.tally().unaccounted(), 0);
}

#[test]
fn the_only_family_that_reaches_the_server_wins() {
    for (dead, wanted) in [([false, true], (5, 0)), ([true, false], (0, 5))] {
        let mut world = World::new(racing(5, DELAY));
        world.dead = dead;
        world.connect();
        let tally = *world.swarm.tally();
        assert_eq!((tally.won_v4, tally.won_v6), wanted, "{tally:?}");
        assert_eq!((tally.races, tally.late_answers), (5, 0));
        let over_v4 = |number| world.swarm.shared.places.of(number).is_ipv4();
        assert!((0..5).all(|number| over_v4(number) == dead[1]), "data leaves by the winner");
        flows(&mut world);
        world.drain();
    }
}

#[test]
fn nobody_calls_over_ipv4_when_ipv6_answers_within_the_delay() {
    let mut world = World::new(racing(5, DELAY));
    world.connect();
    world.run(Duration::from_secs(1), STEP);
    let tally = world.swarm.tally();
    assert_eq!((tally.won_v6, tally.won_v4, tally.handshakes_sent), (5, 0, 5), "{tally:?}");
    flows(&mut world);
    world.drain();
}

#[test]
fn both_calls_at_once_end_in_one_family_each() {
    let mut world = World::new(racing(20, Duration::ZERO));
    world.connect();
    let tally = *world.swarm.tally();
    assert_eq!((tally.won_v4 + tally.won_v6, tally.handshakes_sent), (20, 40), "{tally:?}");
    flows(&mut world);
    world.drain();
}

#[test]
fn the_late_answer_over_a_slow_family_is_counted_and_changes_nothing() {
    let mut world = World::new(racing(5, DELAY));
    world.slow[1] = Duration::from_millis(400);
    world.connect();
    world.run(Duration::from_millis(500), STEP);
    let tally = *world.swarm.tally();
    assert_eq!((tally.won_v4, tally.won_v6, tally.late_answers), (5, 0, 5), "{tally:?}");
    assert_eq!((tally.refused.total(), tally.sessions), (0, 5), "{tally:?}");
    flows(&mut world);
    world.drain();
}

#[test]
fn the_late_answer_to_the_newer_call_replaces_the_session_and_not_the_family() {
    let mut world = World::new(racing(5, DELAY));
    // IPv6 answers first, but by then the server has the session of the call over IPv4 in its place.
    world.slow = [Duration::from_millis(200), Duration::from_millis(300)];
    world.connect();
    world.run(Duration::from_secs(1), STEP);
    let tally = *world.swarm.tally();
    assert_eq!((tally.won_v6, tally.won_v4, tally.late_answers), (5, 0, 5), "{tally:?}");
    assert_eq!(tally.sessions, 10);
    assert!((0..5).all(|number| world.swarm.shared.places.of(number).is_ipv6()));
    flows(&mut world);
    world.drain();
}

#[test]
fn a_family_that_dies_is_raced_again_and_left() {
    let mut world = World::new(racing(5, DELAY));
    world.connect();
    assert_eq!(world.swarm.tally().won_v6, 5);
    world.dead[1] = true;
    world.swarm.begin(world.now);
    // Data is missed after 15 s, an answer to the handshake after 5 s more.
    world.run(Duration::from_secs(25), Duration::from_millis(5));
    world.swarm.end(world.now);
    let tally = *world.swarm.tally();
    assert_eq!((tally.won_v4, tally.races), (5, 10), "{tally:?}");
    flows(&mut world);
}

#[test]
fn a_server_under_load_is_raced_through_its_cookies() {
    let mut plan = racing(1500, DELAY);
    plan.connects_per_sec = 1e9;
    let mut world = World::new(plan);
    world.connect();
    let tally = world.swarm.tally();
    assert!(tally.cookies_received > 0 && tally.won_v4 + tally.won_v6 == 1500, "{tally:?}");
    flows(&mut world);
}

#[test]
fn reconnecting_clients_make_new_sessions_and_lose_nothing() {
    for families in [Families::Alternate, Families::Race(DELAY)] {
        let mut plan = racing(50, DELAY);
        plan.families = families;
        plan.reconnect = Some(RoamTime::Waves {
            after: Duration::from_millis(100),
            spread: Duration::from_millis(500),
            every: Duration::ZERO,
        });
        let mut world = World::new(plan);
        world.connect();
        let before = *world.swarm.tally();
        // An initiation follows another after five seconds at the earliest.
        world.run(Duration::from_secs(6), Duration::from_millis(10));
        flows(&mut world);
        let tally = *world.swarm.tally();
        assert_eq!((tally.reconnects, tally.sessions), (50, before.sessions + 50), "{tally:?}");
        assert_eq!(tally.races, before.races, "no race over a family that answers");
    }
}
