//! Datagrams in pieces: later fragments follow the first (RFC 4787 REQ-14).

use crate::world::{EGRESS, INNER, SERVER, World, datagram, ends, ends_of};
use flows::{Refusal, Verdict};
use std::net::Ipv4Addr;
use wire::checksum::Sum;
use wire::{ipv4, udp};

/// Cuts a packet of IPv4 into fragments of at most so many octets of payload.
pub(crate) fn cut(packet: &[u8], len: usize) -> Vec<Vec<u8>> {
    let (header, payload) = packet.split_at(ipv4::HEADER_LEN);
    let count = payload.len().div_ceil(len);
    let one = |(number, part): (usize, &[u8])| {
        let mut fragment = [header, part].concat();
        let total = u16::try_from(fragment.len()).unwrap();
        fragment[2..4].copy_from_slice(&total.to_be_bytes());
        let more = if number + 1 < count { 0x2000 } else { 0 };
        let field = u16::try_from(number * len / 8).unwrap() | more;
        fragment[6..8].copy_from_slice(&field.to_be_bytes());
        fragment[10..12].fill(0);
        let sum = Sum::of(&fragment[..ipv4::HEADER_LEN]).finish();
        fragment[10..12].copy_from_slice(&sum.to_be_bytes());
        fragment
    };
    payload.chunks(len).enumerate().map(one).collect()
}

/// Puts fragments in order together and verifies the datagram.
fn whole(fragments: &[Vec<u8>]) -> Vec<u8> {
    let payload = fragments.iter().flat_map(|fragment| &fragment[ipv4::HEADER_LEN..]);
    let payload: Vec<u8> = payload.copied().collect();
    let ip = ipv4::parse(&fragments[0]).unwrap();
    assert!(fragments.iter().all(|fragment| {
        let other = ipv4::parse(fragment).unwrap();
        (other.source, other.destination) == (ip.source, ip.destination)
    }));
    udp::verify_v4(ip.source, ip.destination, &payload).unwrap();
    payload
}

fn packet(source: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Vec<u8> {
    datagram(ends(source.0, source.1, to.0, to.1), &[7; 3000])
}

#[test]
fn all_pieces_go_out_and_come_back() {
    let mut world = World::new();
    let pieces = cut(&packet((INNER, 5000), (SERVER, 53)), 1400);
    let out: Vec<_> = pieces.iter().map(|piece| world.sent(3, piece).0).collect();
    whole(&out);
    let ((_, port), _) = ends_of(&out[0]);
    let pieces = cut(&packet((SERVER, 53), (EGRESS, port)), 1400);
    let back: Vec<_> = pieces.iter().map(|piece| world.taken(piece).0).collect();
    assert_eq!(whole(&back)[2..4], 5000_u16.to_be_bytes());
}

#[test]
fn a_later_piece_before_the_first_is_refused_by_name() {
    let mut world = World::new();
    let pieces = cut(&packet((INNER, 5000), (SERVER, 53)), 1400);
    assert_eq!(world.refused(3, &pieces[2]), Refusal::FragmentEarly);
    world.sent(3, &pieces[0]);
    world.sent(3, &pieces[2]);
    world.sent(3, &pieces[1]);
    assert_eq!(world.refused(4, &pieces[1]), Refusal::FragmentEarly, "another client's");
    world.wait(5.2);
    assert_eq!(world.refused(3, &pieces[1]), Refusal::FragmentEarly);
}

/// D8: clients with the same address may give their datagrams the same identification.
#[test]
fn datagrams_of_two_clients_do_not_mix() {
    let mut world = World::new();
    let pieces = cut(&packet((INNER, 5000), (SERVER, 53)), 1400);
    let flows = [3, 4].map(|client| world.sent(client, &pieces[0]).1);
    let again = [3, 4].map(|client| world.sent(client, &pieces[1]).1);
    assert_eq!(flows, again);
    assert_ne!(flows[0], flows[1]);
}

#[test]
fn a_piece_of_a_flow_that_has_ended_is_not_carried_by_another() {
    let mut world = World::new();
    let pieces = cut(&packet((INNER, 5000), (SERVER, 53)), 1400);
    let (_, flow) = world.sent(3, &pieces[0]);
    world.flows.remove(flow, world.now);
    let (_, other) = world.sent(4, &datagram(ends(INNER, 6000, SERVER, 53), b""));
    assert_eq!(flow, other, "the line is used again");
    assert_eq!(world.refused(3, &pieces[1]), Refusal::FragmentEarly);
}

/// What one client never sends the rest of is in no other's way.
#[test]
fn too_many_datagrams_in_pieces_leave_room_for_the_next() {
    let mut world = World::new();
    for number in 0..64_u16 {
        let mut piece = cut(&packet((INNER, 5000), (SERVER, 53)), 1400).swap_remove(0);
        ipv4::Header::of(&mut piece).unwrap().set_identification(number);
        assert!(matches!(world.out(3, &mut piece), Verdict::Carried { .. }), "{number}");
    }
    for piece in cut(&packet((INNER, 5000), (SERVER, 53)), 1400) {
        world.sent(4, &piece);
    }
}

#[test]
fn a_first_piece_without_the_whole_header_is_refused() {
    let mut world = World::new();
    let tcp = crate::world::segment(
        ends(INNER, 1, SERVER, 2),
        crate::world::numbers(crate::world::SYN, 1, 0),
        &[0; 20],
    );
    assert_eq!(world.refused(3, &cut(&tcp, 8)[0]), Refusal::Truncated);
}

fn identification(packet: &[u8]) -> u16 {
    ipv4::parse(packet).unwrap().identification
}

/// RFC 7857, RFC 6864 5.3.1: what may be cut on its way is numbered anew, as two clients may have used the same number.
#[test]
fn datagrams_that_may_be_cut_get_numbers_of_their_own() {
    let mut world = World::new();
    let whole = datagram(ends(INNER, 5000, SERVER, 53), b"");
    let packet = cut(&whole, 100).swap_remove(0);
    let numbers: Vec<u16> =
        (0..2000).map(|step| identification(&world.sent(step % 2, &packet).0)).collect();
    let (first, second) = numbers.split_at(1000);
    assert!(numbers.iter().all(|number| (1024..=2047).contains(number)), "this worker's alone");
    assert_eq!(first.iter().collect::<std::collections::HashSet<_>>().len(), 1000);
    assert_ne!(first, second);
    let (out, _) = world.sent(0, &whole);
    assert_eq!(identification(&out), 0x1234, "an atomic one bears any");
    let answer = datagram(ends(SERVER, 53, EGRESS, ends_of(&out).0.1), b"");
    let (back, _) = world.taken(&cut(&answer, 100)[0]);
    assert_eq!(identification(&back), 0x1234, "the sender's own are unique");
}

#[test]
fn pieces_of_one_datagram_have_one_number() {
    let mut world = World::new();
    let pieces = cut(&packet((INNER, 5000), (SERVER, 53)), 1400);
    let send = |world: &mut World, client| {
        let out: Vec<u16> =
            pieces.iter().map(|piece| identification(&world.sent(client, piece).0)).collect();
        assert!(out.iter().all(|number| *number == out[0]), "{out:?}");
        out[0]
    };
    let (one, other) = (send(&mut world, 3), send(&mut world, 4));
    assert_ne!(one, other);
}
