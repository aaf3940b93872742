//! When tunnels speak and when they are silent (whitepaper 6).

use crate::world::{Options, World, inner};
use core::time::Duration;
use wireguard::time::Instant;

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn at(count: u64) -> Instant {
    Instant::ZERO + secs(count)
}

/// The gaps between successive times.
fn gaps(times: &[Duration]) -> Vec<Duration> {
    times.windows(2).map(|pair| pair[1].checked_sub(pair[0]).unwrap()).collect()
}

/// When an end sent messages of a type.
fn times(world: &World, from: usize, kind: u8) -> Vec<Duration> {
    let seen = world.seen.iter().filter(|seen| seen.from == from && seen.octets[0] == kind);
    seen.map(|seen| seen.at.since(Instant::ZERO)).collect()
}

#[test]
fn an_idle_session_falls_silent_after_one_keepalive() {
    let mut world = World::new(Options::default());
    world.send(0, &inner(1, 40)).unwrap();
    world.run(secs(1000));
    assert_eq!(world.kinds(0, Instant::ZERO), [1, 4]);
    assert_eq!(world.kinds(1, Instant::ZERO), [2, 4], "one passive keepalive, no ping-pong");
    assert_eq!(world.seen.last().unwrap().octets.len(), 32);
    let keepalive = world.seen.last().unwrap().at.since(at(10));
    assert!(keepalive < secs(1), "{keepalive:?}");
}

#[test]
fn initiations_repeat_every_five_seconds_with_jitter_and_give_up_at_ninety() {
    let mut world = World::new(Options::default());
    world.link.loss = 1000;
    world.send(0, &inner(1, 40)).unwrap();
    world.run(secs(500));
    let sent = times(&world, 0, 1);
    assert!((17..=18).contains(&sent.len()), "{sent:?}");
    let gaps = gaps(&sent);
    for gap in &gaps {
        assert!((secs(5)..=Duration::from_millis(5333)).contains(gap), "{gap:?}");
    }
    assert!(gaps.windows(2).any(|pair| pair[0] != pair[1]), "jitter varies");
    assert_eq!(world.ends[0].gave_up, [at(90)]);
}

#[test]
fn the_initiator_alone_rekeys_after_120_seconds_of_use() {
    let mut world = World::new(Options::default());
    for n in 0..400 {
        world.send(0, &inner(n, 40)).unwrap();
        world.run(Duration::from_millis(500));
        world.send(1, &inner(n, 40)).unwrap();
        world.run(Duration::from_millis(500));
    }
    let sent = times(&world, 0, 1);
    assert_eq!(sent.len(), 4, "{sent:?}");
    for (round, sent) in (0..).zip(&sent) {
        let due = secs(120 * round);
        assert!(*sent >= due && *sent < due + secs(2 * (round + 1)), "{sent:?} for {due:?}");
    }
    assert!(times(&world, 1, 1).is_empty());
    assert_eq!(world.ends[0].delivered.len(), 400);
    assert_eq!(world.ends[1].delivered.len(), 400);
}

#[test]
fn an_initiator_that_only_receives_rekeys_at_165_seconds() {
    let mut world = World::new(Options::default());
    world.send(0, &inner(0, 40)).unwrap();
    world.run(secs(1));
    for n in 0..170 {
        world.send(1, &inner(n, 40)).unwrap();
        world.run(secs(1));
    }
    // Its own passive keepalives are packets too, and past 120 s they ask for the new session.
    let sent = times(&world, 0, 1);
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(sent[1] >= secs(120) && sent[1] < secs(167), "{sent:?}");
    assert_eq!(world.ends[0].delivered.len(), 170);
}

#[test]
fn no_packet_travels_on_a_session_of_180_seconds() {
    let mut world = World::new(Options::default());
    world.send(0, &inner(1, 40)).unwrap();
    world.run(secs(179));
    assert!(world.ends[0].tunnel.current(world.now).is_some());
    world.run(secs(2));
    assert!(world.ends[0].tunnel.current(world.now).is_none());
    let before = world.now;
    world.send(0, &inner(2, 40)).unwrap();
    assert_eq!(world.kinds(0, before), [1], "a handshake comes first");
    world.run(secs(1));
    assert_eq!(world.ends[1].delivered.len(), 2);
}

#[test]
fn a_session_that_the_peer_lost_is_renewed_after_15_seconds() {
    let mut world = World::new(Options::default());
    world.send(0, &inner(1, 40)).unwrap();
    world.run(secs(20));
    world.restart(1);
    world.send(0, &inner(2, 40)).unwrap();
    world.run(secs(30));
    let sent = times(&world, 0, 1);
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(sent[1] >= secs(35) && sent[1] <= Duration::from_millis(35_400), "{sent:?}");
    assert!(world.ends[1].established.len() == 2);
}

#[test]
fn keys_are_forgotten_540_seconds_after_the_last_session() {
    let mut world = World::new(Options::default());
    world.send(0, &inner(1, 40)).unwrap();
    world.run(secs(530));
    assert!(world.ends[0].forgotten.is_empty());
    world.run(secs(20));
    assert_eq!(world.ends[0].forgotten.len(), 1);
    assert_eq!(world.ends[1].forgotten.len(), 1);
    assert_eq!(world.ends[0].tunnel.deadline(), None);
}

#[test]
fn a_persistent_keepalive_connects_and_keeps_the_session_young() {
    let persistent = [secs(25), Duration::ZERO];
    let mut world = World::new(Options { persistent, ..Options::default() });
    world.run(secs(400));
    assert!(!world.ends[1].established.is_empty(), "nobody sent data");
    assert!(world.ends[0].tunnel.current(world.now).is_some());
    let rekeys = times(&world, 0, 1).len();
    assert!((3..=4).contains(&rekeys), "{rekeys}");
    let keepalives = times(&world, 0, 4);
    assert!(gaps(&keepalives).iter().all(|gap| *gap <= secs(25)), "{keepalives:?}");
}

#[test]
fn an_absent_peer_is_not_asked_for_ever() {
    let persistent = [secs(25), Duration::ZERO];
    let mut world = World::new(Options { persistent, ..Options::default() });
    world.link.loss = 1000;
    world.run(secs(3600));
    let sent = times(&world, 0, 1).len();
    // Eight series of 18 in an hour, instead of 560 initiations.
    assert!((6 * 17..=10 * 18).contains(&sent), "{sent}");
    world.link.loss = 0;
    world.send(0, &inner(1, 40)).unwrap();
    world.run(secs(6));
    assert_eq!(world.ends[1].delivered.len(), 1, "a user's packet ends the pause");
}
