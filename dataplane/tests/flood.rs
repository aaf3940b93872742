//! Floods of handshake messages against a server whose handshake threads have little time, in virtual time, from a
//! seed. Whatever the flood is made of: clients that were there before keep their sessions and lose no packet. New ones
//! get in within a few tries, unless there are more attackers as patient as they than the threads can answer.

#[cfg(test)]
#[path = "flood/crowd.rs"]
mod crowd;
#[cfg(test)]
#[path = "flood/world.rs"]
mod world;

use std::time::Duration;

use crowd::{Crowd, Letter};
use dataplane::fate::DropReason;
use dataplane::limits::JOBS_UNDER_LOAD;
use dataplane::testing::site;
use world::{FLOOD, World};

/// Clients with a session, whose renewal falls into the flood.
const CLIENTS: usize = 1_000;
/// New clients that come during the flood.
const NEWCOMERS: usize = 20;
/// What the handshake thread can do.
const JOBS_PER_SECOND: u32 = 500;
/// How much more comes.
const TIMES: u32 = 10;
/// When a stranger that keeps to the protocol is through: it asks, asks again with the cookie 5 s later, and once or
/// twice more.
const TRIES: Duration = Duration::from_secs(16);

/// Runs a server through a flood; gives it back with its clients.
#[cfg(test)]
fn withstand(seed: u64, crowd: Crowd) -> World {
    let mut world = World::new(seed, CLIENTS, NEWCOMERS, Duration::from_secs(1) / JOBS_PER_SECOND);
    world.connect();
    world.flood(crowd, JOBS_PER_SECOND * TIMES);
    let (sent, arrived) = world.data();
    assert!(sent > 20_000 && arrived == sent, "{arrived} of {sent} data packets, seed {seed}");
    for client in &world.scene.clients[..CLIENTS] {
        let tally = client.tally;
        assert_eq!(
            (tally.sessions, tally.given_up),
            (2, 0),
            "client {}, seed {seed}",
            client.number
        );
    }
    let totals = world.scene.server.totals();
    assert_eq!(totals.unaccounted(), 0, "seed {seed}\n{totals}");
    world
}

/// As [`withstand`], and new clients get in as well.
#[cfg(test)]
fn withstand_and_admit(seed: u64, crowd: Crowd) -> World {
    let world = withstand(seed, crowd);
    let waits = &world.waits;
    assert_eq!(waits.len(), NEWCOMERS, "all newcomers are in, seed {seed}: {waits:?}");
    assert!(waits.iter().all(|wait| *wait <= TRIES), "seed {seed}: {waits:?}");
    world
}

#[test]
fn invented_addresses_get_cookies_and_nothing_else() {
    let world = withstand_and_admit(1, Crowd::spoofed());
    let totals = world.scene.server.totals();
    assert!(totals.cookies > 100_000, "{totals}");
    // Each time that there was no load for a second, so many come before it is noticed.
    let most = (FLOOD.as_secs() + 1) * JOBS_UNDER_LOAD as u64;
    assert!(totals.dropped(DropReason::HandshakeUnknownPeer) < most, "{totals}");
}

#[test]
fn a_botnet_of_proven_addresses_uses_its_share_and_no_more() {
    let world = withstand_and_admit(2, Crowd::bots(2_000, Letter::Garbage));
    let totals = world.scene.server.totals();
    let [limit, budget] = [DropReason::DosHandshakeLimit, DropReason::DosHandshakeBudget];
    assert!(totals.dropped(limit) > 100_000 && totals.dropped(budget) > 1_000, "{totals}");
    let half = u64::from(JOBS_PER_SECOND) * FLOOD.as_secs() / 2;
    let done = totals.dropped(DropReason::HandshakeInvalid);
    assert!((half / 2..half * 11 / 10).contains(&done), "{done} of {half}\n{totals}");
}

#[test]
fn a_botnet_with_a_key_that_nobody_has_registered_is_no_worse() {
    let world = withstand_and_admit(3, Crowd::bots(2_000, Letter::Unregistered));
    let totals = world.scene.server.totals();
    assert!(totals.dropped(DropReason::HandshakeUnknownPeer) > 1_000, "{totals}");
}

#[test]
fn a_botnet_that_sends_a_clients_message_again_is_no_worse() {
    let world = withstand_and_admit(4, Crowd::bots(2_000, Letter::Replayed));
    let totals = world.scene.server.totals();
    assert!(totals.dropped(DropReason::HandshakeReplay) > 1_000, "{totals}");
}

#[test]
fn one_source_may_come_so_often_and_no_more() {
    let world = withstand_and_admit(5, Crowd::bots(1, Letter::Garbage));
    let totals = world.scene.server.totals();
    assert!(totals.dropped(DropReason::DosHandshakeLimit) > 50_000, "{totals}");
}

#[test]
fn a_source_that_is_known_does_not_open_the_door_to_who_is_behind_it() {
    let world = withstand_and_admit(6, Crowd::behind(site::outer_v4(0), Letter::Garbage));
    let totals = world.scene.server.totals();
    assert!(totals.dropped(DropReason::DosHandshakeLimit) > 50_000, "{totals}");
}

#[test]
fn a_botnet_as_patient_as_clients_harms_nobody_who_is_known() {
    // Nothing tells its members from new clients, so these have to be lucky.
    let world = withstand(7, Crowd::patient(40_000, Letter::Garbage));
    let totals = world.scene.server.totals();
    assert!(totals.dropped(DropReason::DosHandshakeBudget) > 50_000, "{totals}");
}
