//! Two tunnels over a quiet link: what they say to each other and what they refuse.

use crate::world::{Options, World, inner, number};
use core::time::Duration;
use proptest::prelude::*;
use wireguard::aead::{Job, TAILROOM, open, seal};
use wireguard::cookie::Secrets;
use wireguard::message::{ClientId, put_client_id, take_client_id};
use wireguard::secret::Secret;
use wireguard::session;
use wireguard::time::Instant;
use wireguard::tunnel::{Refused, Tunnel};
use zerocopy::IntoBytes;

const SECOND: Duration = Duration::from_secs(1);

/// A world in which both ends have exchanged a packet.
fn connected(options: Options) -> World {
    let mut world = World::new(options);
    world.send(0, &inner(1, 100)).unwrap();
    world.run(SECOND);
    world.send(1, &inner(2, 200)).unwrap();
    world.run(SECOND);
    assert_eq!(world.ends[1].delivered, [inner(1, 100)]);
    assert_eq!(world.ends[0].delivered, [inner(2, 200)]);
    world
}

/// The octets of the last datagram that an end put on the wire.
fn last(world: &World, from: usize) -> Vec<u8> {
    world.seen.iter().rfind(|seen| seen.from == from).unwrap().octets.clone()
}

#[test]
fn a_packet_waits_for_the_handshake_and_both_ways_carry_data() {
    let world = connected(Options { preshared: [8; 32], ..Options::default() });
    assert_eq!(world.kinds(0, Instant::ZERO), [1, 4]);
    assert_eq!(world.kinds(1, Instant::ZERO), [2, 4]);
    assert!(world.ends.iter().all(|end| end.refused.is_empty()));
}

#[test]
fn texts_are_padded_to_16_octets() {
    let world = connected(Options::default());
    let lens: Vec<usize> = world
        .seen
        .iter()
        .filter(|seen| seen.octets[0] == 4)
        .map(|seen| seen.octets.len())
        .collect();
    assert_eq!(lens, [32 + 112, 32 + 208]);
}

#[test]
fn the_staged_packets_arrive_in_order_and_the_oldest_give_way() {
    let mut world = World::new(Options::default());
    for n in 0..20 {
        world.send(0, &inner(n, 40)).unwrap();
    }
    world.run(SECOND);
    let numbers: Vec<u64> = world.ends[1].delivered.iter().map(|packet| number(packet)).collect();
    assert_eq!(numbers, (4..20).collect::<Vec<u64>>());
}

#[test]
fn a_responder_does_not_send_before_the_session_is_proven() {
    let mut world = World::new(Options::default());
    world.send(0, &inner(1, 40)).unwrap();
    world.run(Duration::from_millis(10));
    // The response is on its way; the responder's own packet may not use the new session yet.
    world.send(1, &inner(2, 40)).unwrap();
    assert_eq!(world.kinds(1, Instant::ZERO), [2, 1]);
    world.run(SECOND);
    assert_eq!(world.ends[0].delivered, [inner(2, 40)]);
}

#[test]
fn drops_a_replayed_datagram() {
    let mut world = connected(Options::default());
    let (octets, from) = (last(&world, 0), world.ends[0].address);
    let refused = Err(Refused::Session(session::Refused::Replayed));
    assert_eq!(world.inject(1, &octets, from), refused);
    assert_eq!(world.ends[1].delivered.len(), 1);
}

#[test]
fn drops_a_replayed_initiation() {
    let mut world = connected(Options::default());
    let octets = world.seen[0].octets.clone();
    assert_eq!(world.inject(1, &octets, world.ends[0].address), Err(Refused::Stale));
    assert_eq!(world.kinds(1, Instant::ZERO), [2, 4], "no answer");
}

#[test]
fn every_spoiled_octet_of_a_data_message_is_refused() {
    let mut world = World::new(Options::default());
    world.send(0, &inner(1, 40)).unwrap();
    world.run(SECOND);
    world.send(0, &inner(2, 40)).unwrap();
    let octets = last(&world, 0);
    for at in (0..octets.len()).filter(|at| !(1..4).contains(at)) {
        let mut spoiled = octets.clone();
        spoiled[at] ^= 0x80;
        let from = "203.0.113.9:9".parse().unwrap();
        assert!(world.inject(1, &spoiled, from).is_err(), "octet {at}");
    }
    assert_eq!(world.ends[1].tunnel.endpoint(), Some(world.ends[0].address), "no roaming");
    assert_eq!(world.inject(1, &octets, world.ends[0].address), Ok(()));
}

#[test]
fn roams_on_authentic_data_only() {
    let mut world = connected(Options::default());
    world.ends[0].address = "198.51.100.7:7777".parse().unwrap();
    world.send(0, &inner(3, 40)).unwrap();
    world.run(SECOND);
    assert_eq!(world.ends[1].tunnel.endpoint(), Some(world.ends[0].address));
    world.send(1, &inner(4, 40)).unwrap();
    world.run(SECOND);
    assert_eq!(world.ends[0].delivered.last(), Some(&inner(4, 40)));
}

#[test]
fn where_only_the_second_call_is_answered_there_the_peer_is() {
    let mut world = World::new(Options::default());
    world.link.loss = 1000;
    world.send(0, &inner(1, 40)).unwrap();
    world.link.loss = 0;
    world.ends[1].address = "198.51.100.9:9".parse().unwrap();
    world.run(Duration::from_millis(30));
    world.race(0, world.ends[1].address);
    world.run(SECOND);
    assert_eq!(world.ends[0].tunnel.endpoint(), Some(world.ends[1].address));
    assert_eq!(world.ends[1].delivered, [inner(1, 40)]);
}

#[test]
fn a_late_answer_to_the_second_call_gives_a_session_but_moves_no_peer() {
    let mut world = World::new(Options::default());
    world.link.delay = Duration::from_millis(100);
    let (first, second) = (world.ends[1].address, "198.51.100.9:9".parse().unwrap());
    world.send(0, &inner(1, 40)).unwrap();
    world.run(Duration::from_millis(30));
    world.race(0, second);
    // The first call lands at the one address, the second at the other.
    world.run(Duration::from_millis(80));
    world.ends[1].address = second;
    world.run(SECOND);
    assert_eq!(world.ends[0].established.len(), 2);
    assert_eq!(world.ends[0].tunnel.endpoint(), Some(first));
}

#[test]
fn a_tunnel_without_an_endpoint_says_so() {
    let mut world = World::new(Options::default());
    assert_eq!(world.send(1, &inner(1, 40)), Err(Refused::NoEndpoint));
}

#[test]
fn refuses_what_is_too_long_or_no_ip_packet() {
    let mut world = connected(Options::default());
    assert_eq!(world.send(0, &vec![0x45; 65_536]), Err(Refused::TooLong));
    assert_eq!(world.send(0, &[0x15; 64]), Ok(()));
    world.run(SECOND);
    assert_eq!(world.ends[1].refused, [Refused::Inner]);
    let longest = inner(5, 65_535);
    assert_eq!(world.send(0, &longest), Ok(()));
    world.run(SECOND);
    assert_eq!(world.ends[1].delivered.last(), Some(&longest));
}

#[test]
fn under_load_a_cookie_proves_the_address_first() {
    let mut world = World::new(Options::default());
    let secrets = Secrets::new(Secret::new([3; 32]), crate::world::UNIX);
    world.ends[1].cookies = Some(secrets);
    world.send(0, &inner(1, 40)).unwrap();
    world.run(SECOND);
    assert_eq!(world.kinds(1, Instant::ZERO), [3]);
    assert_eq!(world.ends[1].refused, [Refused::NoCookie]);
    assert!(world.ends[1].established.is_empty());
    world.run(10 * SECOND);
    assert_eq!(world.ends[1].delivered, [inner(1, 40)]);
}

#[test]
fn an_initiator_under_load_demands_a_cookie_of_the_response() {
    let mut world = World::new(Options::default());
    world.ends[0].cookies = Some(Secrets::new(Secret::new([3; 32]), crate::world::UNIX));
    world.send(0, &inner(1, 40)).unwrap();
    world.run(12 * SECOND);
    assert_eq!(world.kinds(0, Instant::ZERO)[..2], [1, 3]);
    assert_eq!(world.ends[1].delivered, [inner(1, 40)]);
}

#[test]
fn the_client_id_is_stamped_on_all_and_echoed() {
    let id = ClientId([0xa8, 0x1a, 0x15]);
    let world = connected(Options { client_id: Some(id), ..Options::default() });
    assert!(world.seen.len() >= 4);
    for seen in &world.seen {
        assert_eq!(seen.octets[1..4], id.0, "message of type {}", seen.octets[0]);
    }
}

#[test]
fn a_client_id_of_zero_is_echoed_as_zero() {
    let world = connected(Options::default());
    assert!(world.seen.iter().all(|seen| seen.octets[1..4] == [0; 3]));
}

#[test]
fn a_cookie_reply_echoes_the_client_id() {
    let id = ClientId([1, 2, 3]);
    let mut world = World::new(Options { client_id: Some(id), ..Options::default() });
    world.ends[1].cookies = Some(Secrets::new(Secret::new([3; 32]), crate::world::UNIX));
    world.send(0, &inner(1, 40)).unwrap();
    world.run(SECOND);
    let reply = last(&world, 1);
    assert_eq!((reply[0], &reply[1..4]), (3, &id.0[..]));
}

#[test]
fn an_id_stamped_after_the_mac_is_taken_and_before_the_mac_refused() {
    let mut world = World::new(Options::default());
    world.link.loss = 1000;
    world.send(0, &inner(1, 40)).unwrap();
    let from = world.ends[0].address;
    let mut before = world.seen[0].octets.clone();
    // What a client does that computes mac1 over its id.
    put_client_id(&mut before, ClientId([7, 7, 7]));
    let peer_public = wireguard::noise::public(&Secret::new([2; 32]));
    wireguard::cookie::Checker::new(&peer_public).put_mac1(&mut before);
    assert_eq!(world.inject(1, &before, from), Err(Refused::Mac));
    let mut after = world.seen[0].octets.clone();
    put_client_id(&mut after, ClientId([7, 7, 7]));
    assert_eq!(world.inject(1, &after, from), Ok(()));
    assert_eq!(take_client_id(&mut last(&world, 1)), ClientId([7, 7, 7]));
}

#[test]
fn initiations_are_taken_at_most_fifty_times_a_second() {
    let mut world = World::new(Options::default());
    world.link.loss = 1000;
    let from = world.ends[0].address;
    let mut initiations = Vec::new();
    for n in 0..2 {
        world.send(0, &inner(n, 40)).unwrap();
        initiations.push(last(&world, 0));
        world.run(Duration::from_millis(5400));
    }
    assert_eq!(world.inject(1, &initiations[0], from), Ok(()));
    assert_eq!(world.inject(1, &initiations[1], from), Err(Refused::TooOften));
    world.run(Duration::from_millis(20));
    assert_eq!(world.inject(1, &initiations[1], from), Ok(()));
}

#[test]
fn both_ends_initiating_at_once_lose_no_packet() {
    let mut world = World::new(Options::default());
    world.ends[1].tunnel.set_endpoint(world.ends[0].address);
    for round in 0..50 {
        world.send(0, &inner(round, 40)).unwrap();
        world.send(1, &inner(round, 40)).unwrap();
        world.run(Duration::from_millis(100));
    }
    assert_eq!(world.ends[0].delivered.len(), 50);
    assert_eq!(world.ends[1].delivered.len(), 50);
}

#[test]
fn packets_of_a_batch_pass_in_two_halves() {
    let mut world = connected(Options::default());
    let packet = inner(9, 48);
    let mut datagram = [0; 16 + 48 + TAILROOM];
    {
        let outgoing = world.ends[0].tunnel.outgoing(world.now).unwrap();
        datagram[..16].copy_from_slice(outgoing.header.as_bytes());
        datagram[16..64].copy_from_slice(&packet);
        let counter = outgoing.header.counter.get();
        seal(&mut [Job::new(outgoing.key, counter, &mut datagram[16..], 48).unwrap()]);
        assert_eq!(outgoing.to, world.ends[1].address);
    }
    let ticket = {
        let incoming = world.ends[1].tunnel.incoming(&datagram[..80], world.now).unwrap();
        let mut jobs = [Job::new(incoming.key, incoming.counter, &mut datagram[16..], 48).unwrap()];
        open(&mut jobs);
        assert!(jobs[0].accepted());
        assert_eq!(jobs[0].text(), packet);
        incoming.ticket
    };
    let (from, now) = (world.ends[0].address, world.now);
    assert_eq!(ticket.len(), 48);
    assert_eq!(world.ends[1].tunnel.opened(ticket, from, now), Ok(false));
    let again = Err(Refused::Session(session::Refused::Replayed));
    assert_eq!(world.ends[1].tunnel.opened(ticket, from, now), again);
}

#[test]
fn a_batch_that_outlives_120_seconds_asks_for_a_handshake() {
    let mut world = connected(Options::default());
    world.run(Duration::from_secs(130));
    let now = world.now;
    assert!(world.ends[0].tunnel.outgoing(now).is_ok());
    assert_eq!(world.ends[0].tunnel.deadline(), Some(now));
    world.run(SECOND);
    assert_eq!(world.kinds(0, now), [1, 4], "an initiation, then the keepalive that confirms it");
}

proptest! {
    #[test]
    fn whatever_arrives_nothing_panics_and_time_goes_on(
        seed: u64,
        datagrams in prop::collection::vec((any::<prop::sample::Index>(), any::<u16>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..200)), 1..30),
    ) {
        let mut world = connected(Options { seed, ..Options::default() });
        let from = "203.0.113.5:55".parse().unwrap();
        for (base, at, value, raw) in datagrams {
            let mut mutated = base.get(&world.seen).octets.clone();
            let place = usize::from(at) % mutated.len();
            mutated[place] = value;
            mutated.truncate(if value == 0 { place } else { mutated.len() });
            for end in 0..2 {
                let _verdict = world.inject(end, &mutated, from);
                let _verdict = world.inject(end, &raw, from);
                let mut typed = raw.clone();
                typed.resize([148, 92, 64, 32][usize::from(value % 4)], value);
                typed[0] = value % 5;
                let _verdict = world.inject(end, &typed, from);
            }
            world.run(Duration::from_millis(u64::from(at)));
        }
    }
}

#[test]
fn a_tunnel_is_small() {
    assert!(size_of::<Tunnel>() <= 3 * 1024 + 1024, "{}", size_of::<Tunnel>());
    assert!(size_of::<Tunnel<16>>() <= 3 * 256 + 1024, "{}", size_of::<Tunnel<16>>());
}
