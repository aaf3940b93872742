//! Flows that CONNECT puts in: both ends replaced, numbers and windows shifted, one constant difference for checksums.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::world::{
    ACK, EGRESS, FIN_ACK, INNER, Numbers, RST, Random, SERVER, SYN, World, assert_intact, ends,
    ends_of, error, error_v6, numbers, segment, segment_with, tcp_of,
};
use flows::{End, Entry, FlowId, Lease, Opened, Path, Realm, Refusal, Splice, State, Verdict};
use wire::tcp::{Flags, OptionField};

pub(crate) const NEXT_HOP: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);
const OWN: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 1);

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

pub(crate) fn lease(world: &mut World, client: u32, v6: bool) -> Lease {
    let random = world.random.next();
    world.flows.lease(client, v6, (world.now, random)).unwrap()
}

fn entry(lease: Lease, realm: Realm, near: Path, next_hop: (IpAddr, u16)) -> Entry {
    let far = Path { source: next_hop, destination: (lease.address, lease.port) };
    Entry { client: 1, realm, near, far, lease }
}

fn client_path() -> Path {
    Path { source: (INNER.into(), 4000), destination: (SERVER.into(), 443) }
}

fn opened() -> [Opened; 2] {
    [Opened { acked: 1000, edge: 50_000, scale: 2 }, Opened { acked: 7000, edge: 90_000, scale: 3 }]
}

/// A splice that does so to numbers and windows.
pub(crate) fn shifting(shifts: [u32; 2], windows: [i8; 2]) -> Splice {
    Splice { sides: opened(), shifts, windows }
}

/// Puts a client's flow in, and says which port it has.
pub(crate) fn splice(world: &mut World, splice: &Splice) -> (FlowId, u16) {
    let lease = lease(world, 1, false);
    let port = lease.port;
    let entry = entry(lease, Realm::Client(1), client_path(), (NEXT_HOP.into(), 8080));
    (world.flows.splice(entry, splice, world.now).unwrap(), port)
}

#[test]
fn a_reserved_address_is_nobodys_until_it_is_named() {
    let mut world = World::new();
    let reserved = [IpAddr::from([100, 64, 77, 1]), v6("fd64::1").into()];
    world.flows.reserve(&reserved);
    for client in 0..16 {
        assert_eq!(lease(&mut world, client, false).address, IpAddr::from(EGRESS));
    }
    let about = (world.now, world.random.next());
    for address in reserved {
        let lease = world.flows.lease_at(1, address, about).unwrap();
        assert_eq!(lease.address, address);
        let held = world.flows.holding(1).ports;
        world.flows.release(lease, world.now);
        assert_eq!(world.flows.holding(1).ports, held - 1);
    }
    let elsewhere = world.flows.lease_at(1, [100, 64, 77, 3].into(), about);
    assert_eq!(elsewhere, Err(Refusal::NoAddress));
}

#[test]
fn an_aligned_splice_replaces_both_ends_and_no_number() {
    let mut world = World::new();
    let (_, port) = splice(&mut world, &shifting([0; 2], [0; 2]));
    assert_eq!(world.flows.holding(1), flows::Holding { flows: 1, ports: 1, setups: 0 });
    let (out, _) =
        world.sent(1, &segment(ends(INNER, 4000, SERVER, 443), numbers(ACK, 1000, 7000), b"data"));
    assert_eq!(ends_of(&out), ends(EGRESS, port, NEXT_HOP, 8080));
    assert_eq!((tcp_of(&out).sequence_number, tcp_of(&out).acknowledgment_number), (1000, 7000));
    let back = ends(NEXT_HOP, 8080, EGRESS, port);
    let (back, client) = world.taken(&segment(back, numbers(ACK, 7000, 1004), b"data"));
    assert_eq!((ends_of(&back), client), (ends(SERVER, 443, INNER, 4000), 1));
}

/// The SACK blocks of a segment.
fn blocks(packet: &[u8]) -> Vec<u32> {
    let located = tcp_of(packet);
    let mut options =
        located.options(&packet[packet.len() - located.payload_offset - located.payload_len..]);
    let sack = options.find_map(|option| {
        if let OptionField::Sack(blocks) = option.unwrap() { Some(blocks.to_vec()) } else { None }
    });
    let sack = sack.unwrap_or_default();
    sack.chunks(4).map(|edge| u32::from_be_bytes(edge.try_into().unwrap())).collect()
}

/// Options with SACK blocks at an odd or even place, padded.
fn sack_options(random: &mut Random, edges: &[u32]) -> Vec<u8> {
    let mut options: Vec<u8> = vec![1; usize::try_from(random.below(3)).unwrap()];
    if !edges.is_empty() {
        options.extend([5, u8::try_from(2 + edges.len() * 4).unwrap()]);
        options.extend(edges.iter().flat_map(|edge| edge.to_be_bytes()));
    }
    options.resize(options.len().next_multiple_of(4), 0);
    options
}

/// A number, often one that is about to go round.
fn number(random: &mut Random) -> u32 {
    let any = u32::try_from(random.next() >> 32).unwrap();
    match random.below(4) {
        0 => any % 3,
        1 => u32::MAX - any % 3,
        _ => any,
    }
}

fn random_segment(random: &mut Random) -> (Numbers, Vec<u8>, Vec<u8>) {
    let flags = [ACK, ACK, ACK, FIN_ACK, RST, Flags(ACK.0 | Flags::PSH.0)];
    let flags = flags[usize::try_from(random.below(6)).unwrap()];
    let edges: Vec<u32> = (0..random.below(4) * 2).map(|_| number(random)).collect();
    let options = sack_options(random, &edges);
    let window = u16::try_from(random.next() >> 48).unwrap();
    let (sequence, acknowledgment) = (number(random), number(random));
    let data = vec![0xab; usize::try_from(random.below(9)).unwrap()];
    (Numbers { flags, sequence, acknowledgment, window }, options, data)
}

/// What a shifted segment has to look like.
fn check(came: &[u8], left: &[u8], (own, others, windows): (u32, u32, i8)) {
    assert_intact(left);
    let (came_tcp, left_tcp) = (tcp_of(came), tcp_of(left));
    assert_eq!(left_tcp.sequence_number, came_tcp.sequence_number.wrapping_add(own));
    let others_if = |set: bool| if set { others } else { 0 };
    let acks = came_tcp.flags.has(ACK);
    let acknowledgment = came_tcp.acknowledgment_number.wrapping_sub(others_if(acks));
    assert_eq!(left_tcp.acknowledgment_number, acknowledgment);
    let window = if windows >= 0 {
        (u32::from(came_tcp.window) << windows).min(65_535)
    } else {
        (u32::from(came_tcp.window) >> -windows).max(u32::from(came_tcp.window > 0))
    };
    assert_eq!(u32::from(left_tcp.window), window);
    let shifted: Vec<u32> = blocks(came).iter().map(|edge| edge.wrapping_sub(others)).collect();
    assert_eq!(blocks(left), shifted);
}

/// 4000 packets each way: the constant difference gives the checksum that computing anew gives, also where numbers go round.
#[test]
fn shifts_keep_checksums_right_over_all_wraps() {
    for seed in 1..41 {
        let mut world = World::new();
        world.random = Random(seed);
        let mut random = Random(seed * 7919);
        // One side's stand elsewhere than both sides'.
        let shifts = match random.below(4) {
            0 => [number(&mut random), 0],
            1 => [0, number(&mut random)],
            _ => [number(&mut random), number(&mut random)],
        };
        let (flow, port) = splice(&mut world, &shifting(shifts, [3, -2]));
        for turn in 0..100 {
            let (numbers, options, data) = random_segment(&mut random);
            let packet = segment_with(ends(INNER, 4000, SERVER, 443), numbers, &options, &data);
            let (left, _) = world.sent(1, &packet);
            check(&packet, &left, (shifts[0], shifts[1], 3));
            let (numbers, options, data) = random_segment(&mut random);
            let back = ends(NEXT_HOP, 8080, EGRESS, port);
            let packet = segment_with(back, numbers, &options, &data);
            let (left, _) = world.taken(&packet);
            check(&packet, &left, (shifts[1], shifts[0], -2));
            assert!(world.flows.flow(flow).is_some(), "seed {seed} turn {turn}");
        }
    }
}

/// Case 14: an exit has said a scale of 8, and the origin has none.
#[test]
fn a_window_that_is_open_stays_open() {
    let mut world = World::new();
    let (_, port) = splice(&mut world, &shifting([0; 2], [8, -8]));
    let back = ends(NEXT_HOP, 8080, EGRESS, port);
    for (came, left) in [(0, 0), (1, 1), (255, 1), (256, 1), (1000, 3), (65_535, 255)] {
        let numbers = Numbers { window: came, ..numbers(ACK, 7000, 1000) };
        let (back, _) = world.taken(&segment(back, numbers, b""));
        assert_eq!(tcp_of(&back).window, left, "{came}");
    }
}

#[test]
fn a_broken_list_of_options_does_no_harm() {
    for options in [[5, 0, 0, 0], [5, 1, 0, 0], [5, 40, 0, 0], [1, 1, 1, 5], [8, 3, 5, 2]] {
        let mut world = World::new();
        splice(&mut world, &shifting([1, 2], [0; 2]));
        let out = ends(INNER, 4000, SERVER, 443);
        let (left, _) = world.sent(1, &segment_with(out, numbers(ACK, 1000, 7002), &options, b""));
        assert_eq!(left[40..44], options);
    }
}

/// Tracking goes on in each side's own numbers.
#[test]
fn a_shifted_connection_closes_as_any_other() {
    let mut world = World::new();
    let (flow, port) = splice(&mut world, &shifting([500, 0], [0; 2]));
    let out = ends(INNER, 4000, SERVER, 443);
    let back = ends(NEXT_HOP, 8080, EGRESS, port);
    world.sent(1, &segment(out, numbers(FIN_ACK, 1000, 7000), b"ab"));
    let view = world.flows.flow(flow).unwrap();
    assert_eq!(view.state(), State::NearFinished);
    world.taken(&segment(back, numbers(ACK, 7000, 1503), b""));
    world.taken(&segment(back, numbers(FIN_ACK, 7000, 1503), b""));
    assert_eq!(world.flows.flow(flow).unwrap().state(), State::Closing);
    world.sent(1, &segment(out, numbers(ACK, 1003, 7001), b""));
    let view = world.flows.flow(flow).unwrap();
    assert_eq!(view.state(), State::Closed);
    assert_eq!(
        (view.numbers_to(End::Near), view.numbers_to(End::Far)),
        ((7001, 1003), (1503, 7001))
    );
    // Case 23: the client's next connection is the next session's.
    let mut packet = segment(out, numbers(SYN, 90_000, 0), b"");
    let query = world.ask(&packet, Realm::Client(1)).unwrap();
    assert_eq!(world.flows.carry(&query, &mut packet, world.now), Verdict::Unknown);
    assert!(world.flows.is_empty());
}

/// Case 29, with numbers that are not the client's.
#[test]
fn an_error_about_a_shifted_segment_is_about_the_one_that_was_sent() {
    let mut world = World::new();
    splice(&mut world, &shifting([u32::MAX, 77], [0; 2]));
    for quoted in [28, 40, 60] {
        let packet = segment(ends(INNER, 4000, SERVER, 443), numbers(ACK, 1000, 7000), b"data");
        let (out, _) = world.sent(1, &packet);
        let router = Ipv4Addr::new(10, 99, 0, 1);
        for (from, seen) in [(router, router), (NEXT_HOP, SERVER)] {
            let (back, _) = world.taken(&error(from, EGRESS, &out, quoted));
            assert_eq!(back[28..], packet[..quoted.min(packet.len())]);
            assert_eq!(back[12..16], seen.octets(), "the next hop stands for the server");
        }
    }
}

/// An exit: both sides are the network's.
#[test]
fn an_exit_has_the_network_at_both_sides() {
    let mut world = World::new();
    let near = Path { source: (NEXT_HOP.into(), 3333), destination: (OWN.into(), 443) };
    let lease = lease(&mut world, 1, false);
    let port = lease.port;
    let entry = entry(lease, Realm::Network, near, (SERVER.into(), 443));
    let flow = world.flows.splice(entry, &shifting([0; 2], [0; 2]), world.now).unwrap();
    let mut packet = segment(ends(NEXT_HOP, 3333, OWN, 443), numbers(ACK, 1000, 7000), b"");
    let to = |to| Verdict::Carried { flow, to, hairpin: false };
    assert_eq!(world.back(&mut packet), to(End::Far));
    assert_eq!(ends_of(&packet), ends(EGRESS, port, SERVER, 443));
    let mut packet = segment(ends(SERVER, 443, EGRESS, port), numbers(ACK, 7000, 1000), b"");
    assert_eq!(world.back(&mut packet), to(End::Near));
    assert_eq!(ends_of(&packet), ends(OWN, 443, NEXT_HOP, 3333));
    let mut packet = segment(ends(NEXT_HOP, 3333, OWN, 443), numbers(ACK, 1000, 7000), b"");
    let query = world.ask(&packet, Realm::Client(1)).unwrap();
    assert_eq!(world.flows.carry(&query, &mut packet, world.now), Verdict::Unknown);
}

#[test]
fn a_splice_of_ipv6_goes_both_ways_and_so_do_errors() {
    let addresses = [EGRESS.into(), v6("2001:db8:e::1").into()];
    let mut world = World::of(&crate::world::config(&addresses));
    let (client, server, hop) = (v6("fd00::7"), v6("2001:db8:5::443"), v6("2001:db8:9::8080"));
    let near = Path { source: (client.into(), 4000), destination: (server.into(), 443) };
    let lease = lease(&mut world, 1, true);
    let (egress, port) = (v6("2001:db8:e::1"), lease.port);
    assert_eq!(lease.address, egress);
    let entry = entry(lease, Realm::Client(1), near, (hop.into(), 8080));
    world.flows.splice(entry, &shifting([9, u32::MAX - 4], [0; 2]), world.now).unwrap();
    let packet = segment(ends(client, 4000, server, 443), numbers(ACK, 1000, 7000), b"data");
    let (out, _) = world.sent(1, &packet);
    assert_eq!(ends_of(&out), ends(egress, port, hop, 8080));
    assert_eq!(tcp_of(&out).sequence_number, 1009);
    let (report, _) = world.taken(&error_v6(v6("2001:db8:9::1"), egress, &out, 200));
    assert_eq!(report[48..], packet[..]);
    let answer = segment(ends(hop, 8080, egress, port), numbers(ACK, 7000, 1013), b"data");
    let (back, client_number) = world.taken(&answer);
    assert_eq!((ends_of(&back), client_number), (ends(server, 443, client, 4000), 1));
    let (report, _) = world.sent(1, &error_v6(client, server, &back, 200));
    assert_eq!(report[48..], answer[..]);
}

#[test]
fn an_ipv6_packet_without_a_splice_is_not_translated() {
    let addresses = [v6("2001:db8:e::1").into()];
    let mut world = World::of(&crate::world::config(&addresses));
    let ends = ends(v6("fd00::7"), 4000, v6("2001:db8:5::443"), 443);
    assert_eq!(world.refused(1, &segment(ends, numbers(SYN, 1, 0), b"")), Refusal::Family);
}

#[test]
fn what_cannot_be_put_in_gives_its_lease_back() {
    let mut world = World::new();
    let aligned = shifting([0; 2], [0; 2]);
    splice(&mut world, &aligned);
    let again = lease(&mut world, 1, false);
    let entry_again = entry(again, Realm::Client(1), client_path(), (NEXT_HOP.into(), 8080));
    let (refusal, lease) = world.flows.splice(entry_again, &aligned, world.now).unwrap_err();
    assert_eq!(refusal, Refusal::Conflict, "the same from the client");
    let mixed = entry(lease, Realm::Client(1), client_path(), (v6("2001:db8::1").into(), 8080));
    let (refusal, lease) = world.flows.splice(mixed, &aligned, world.now).unwrap_err();
    assert_eq!(refusal, Refusal::Family);
    world.flows.release(lease, world.now);
    assert_eq!(world.flows.holding(1), flows::Holding { flows: 1, ports: 1, setups: 0 });
    assert_eq!(world.flows.len(), 1);
}

/// What has ended and was not swept yet is in nobody's way.
#[test]
fn a_flow_that_is_over_gives_way_to_a_splice() {
    let mut world = World::new();
    let packet = segment(ends(INNER, 4000, SERVER, 443), numbers(SYN, 1, 0), b"");
    world.sent(1, &packet);
    world.wait(241.0);
    let (flow, _) = splice(&mut world, &shifting([0; 2], [0; 2]));
    assert_eq!(world.flows.len(), 1);
    let packet = segment(ends(INNER, 4000, SERVER, 443), numbers(ACK, 1000, 7000), b"");
    assert_eq!(world.sent(1, &packet).1, flow);
}

/// Case 26: what an exit needs to keep the origin's connection alive.
#[test]
fn a_quiet_splice_can_be_watched_for_signs_of_life() {
    let mut world = World::new();
    let (flow, port) = splice(&mut world, &shifting([5, 6], [0; 2]));
    assert!(!world.flows.unwatch(flow), "not before it is watched");
    world.sent(1, &segment(ends(INNER, 4000, SERVER, 443), numbers(ACK, 1000, 7006), b""));
    world.wait(15.0);
    let idle = world.flows.idle(flow, world.now).unwrap().as_millis();
    assert!((14_900..15_100).contains(&idle), "{idle}");
    world.flows.watch(flow);
    world.flows.watch(flow);
    assert_eq!(world.flows.flow(flow).unwrap().numbers_to(End::Far), (1005, 7000));
    let packet = segment(ends(NEXT_HOP, 8080, EGRESS, port), numbers(ACK, 7000, 1005), b"");
    let mut same = packet.clone();
    assert_eq!((world.back(&mut same), &same), (Verdict::Watched { flow }, &packet));
    assert!(world.flows.flow(flow).unwrap().is_watched());
    assert!(world.flows.unwatch(flow));
    let (back, _) = world.taken(&packet);
    assert_eq!(tcp_of(&back).sequence_number, 7006, "as it was before");
    // A watch does not keep what is over.
    world.flows.watch(flow);
    world.wait(7441.0);
    assert_eq!(world.refused_back(&packet), Refusal::NoMapping);
    assert_eq!(world.flows.idle(flow, world.now), None);
}

/// A thousand of each through a table of 64: whatever stayed behind of one would be in another's way.
#[test]
fn nothing_is_left_of_flows_that_have_ended() {
    let addresses = [EGRESS.into(), v6("2001:db8:e::1").into()];
    let mut world = World::of(&crate::world::config(&addresses));
    for round in 0..4000_u32 {
        let is_v6 = round % 4 == 0;
        let of = |last: u16| -> IpAddr {
            if is_v6 {
                v6(&format!("2001:db8::{last}")).into()
            } else {
                [10, 0, 0, last as u8].into()
            }
        };
        let near = Path { source: (of(1), 4000), destination: (of(2), 443) };
        let first = lease(&mut world, 1, is_v6);
        let entry = entry(first, Realm::Client(1), near, (of(3), 8080));
        let splice = shifting([round % 7, 0], [0; 2]);
        let flow = world.flows.splice(entry, &splice, world.now).unwrap();
        world.flows.remove(flow, world.now);
        assert!(world.flows.is_empty());
        assert_eq!(world.flows.holding(1), flows::Holding::default());
        world.wait(1.0);
    }
}
