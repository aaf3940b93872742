//! Two tunnels for hours over a bad link, with roaming and restarts, from a seed.

use crate::world::{Link, Options, World, inner, number};
use core::time::Duration;
use std::collections::HashSet;
use wireguard::time::Instant;

/// One life of two ends: what happens is rolled from the seed.
fn live(seed: u64, restarts: bool) -> World {
    let mut world = World::new(Options { seed, preshared: [9; 32], ..Options::default() });
    world.link = Link {
        loss: world.dice.roll() % 300,
        duplicate: world.dice.roll() % 200,
        delay: Duration::from_millis(1 + world.dice.roll() % 100),
        spread: Duration::from_millis(world.dice.roll() % 300),
    };
    world.ends[1].tunnel.set_endpoint(world.ends[0].address);
    let mut sent = [0_u64; 2];
    for _ in 0..2000 {
        let end = (world.dice.roll() % 2) as usize;
        for _ in 0..world.dice.roll() % 4 {
            let len = 40 + (world.dice.roll() % 1300) as usize;
            if world.send(end, &inner(sent[end], len)).is_ok() {
                sent[end] += 1;
            }
        }
        // One end roams. If both did at once, neither could find the other again.
        if world.dice.permille(5) {
            let port = (world.dice.roll() % 60_000 + 1) as u16;
            world.ends[seed as usize % 2].address.set_port(port);
        }
        if restarts && world.dice.permille(3) {
            world.restart(end);
        }
        let pause = if world.dice.permille(10) { 200_000 } else { 1500 };
        let pause = world.dice.roll() % pause;
        world.run(Duration::from_millis(pause));
    }
    for (end, &sent) in sent.iter().enumerate() {
        let numbers: Vec<u64> =
            world.ends[1 - end].delivered.iter().map(|packet| number(packet)).collect();
        assert!(numbers.iter().all(|&n| n < sent), "seed {seed}: delivered what nobody sent");
        let distinct: HashSet<u64> = numbers.iter().copied().collect();
        assert_eq!(distinct.len(), numbers.len(), "seed {seed}: delivered twice");
        assert!(numbers.len() as u64 > sent / 4, "seed {seed}: {} of {}", numbers.len(), sent);
    }
    world
}

/// On a link that became good, a packet of each end arrives.
fn heals(world: &mut World, seed: u64) {
    world.link =
        Link { loss: 0, duplicate: 0, delay: Duration::from_millis(10), spread: Duration::ZERO };
    // Whoever roamed unheard, or restarted, is found again within the time for unanswered data.
    for n in 0..40 {
        for end in 0..2 {
            let _refused = world.send(end, &inner(1_000_000 + n, 40));
        }
        world.run(Duration::from_secs(1));
    }
    for end in &world.ends {
        let healed = end.delivered.iter().any(|packet| number(packet) == 1_000_039);
        assert!(healed, "seed {seed}: the link did not heal");
    }
}

#[test]
fn a_bad_link_loses_packets_but_never_repeats_or_invents_one() {
    for seed in 0..12 {
        let mut world = live(seed, false);
        let mut nonces = HashSet::new();
        for seen in world.seen.iter().filter(|seen| seen.octets[0] == 4) {
            // Indices come again only after 256 others, far apart in time.
            let epoch = seen.at.since(Instant::ZERO).as_secs() / 3000;
            assert!(
                nonces.insert((seen.from, epoch, seen.octets[4..16].to_vec())),
                "seed {seed}: a counter was used twice"
            );
        }
        let rekeys = world.ends.iter().map(|end| end.established.len()).sum::<usize>();
        assert!(rekeys >= 15, "seed {seed}: only {rekeys} sessions");
        heals(&mut world, seed);
    }
}

#[test]
fn either_end_may_restart_at_any_time() {
    for seed in 100..112 {
        let mut world = live(seed, true);
        heals(&mut world, seed);
    }
}

#[test]
fn no_end_initiates_twice_within_five_seconds() {
    for seed in 200..206 {
        let world = live(seed, false);
        for end in 0..2 {
            let times: Vec<Instant> = world
                .seen
                .iter()
                .filter(|seen| seen.from == end && seen.octets[0] == 1)
                .map(|seen| seen.at)
                .collect();
            for pair in times.windows(2) {
                assert!(pair[1].since(pair[0]) >= Duration::from_secs(5), "seed {seed}");
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let [first, second] = [7, 7].map(|seed| live(seed, true));
    assert_eq!(first.seen.len(), second.seen.len());
    let same =
        first.seen.iter().zip(&second.seen).all(|(a, b)| a.octets == b.octets && a.at == b.at);
    assert!(same);
}
