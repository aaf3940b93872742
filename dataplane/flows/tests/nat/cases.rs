//! Cases that break a splice, as far as they are the flow's: 17 to 19, 28, 30, 34 and 42. The number stands in the name of each
//! test.

use crate::fragments::cut;
use crate::splice::{NEXT_HOP, lease, shifting, splice};
use crate::world::{
    ACK, EGRESS, FIN_ACK, INNER, RST, Random, SERVER, World, assert_intact, ends, numbers, segment,
    tcp_of,
};
use flows::Refusal;
use wire::ipv4;
use wire::tcp::Flags;

const MINUTE: f64 = 60.0;

/// A world with a spliced flow, whose numbers are shifted, and its port.
fn spliced() -> (World, u16) {
    let mut world = World::new();
    let (_, port) = splice(&mut world, &shifting([500, 0], [0; 2]));
    (world, port)
}

/// The client's segments and the next hop's, by number and acknowledgment.
fn out(flags: Flags, at: (u32, u32), data: &[u8]) -> Vec<u8> {
    segment(ends(INNER, 4000, SERVER, 443), numbers(flags, at.0, at.1), data)
}

fn back(port: u16, flags: Flags, at: (u32, u32), data: &[u8]) -> Vec<u8> {
    segment(ends(NEXT_HOP, 8080, EGRESS, port), numbers(flags, at.0, at.1), data)
}

/// Both ends close, and each knows that the other has.
fn close(world: &mut World, port: u16) {
    world.sent(1, &out(FIN_ACK, (1000, 7000), b""));
    world.taken(&back(port, FIN_ACK, (7000, 1501), b""));
    world.sent(1, &out(ACK, (1001, 7001), b""));
}

/// The other end of a connection remembers its port for two minutes at most: by then it has forgotten, and so have clocks.
#[test]
fn case_17_and_18_a_port_rests_until_the_other_end_has_forgotten_it_and_the_longest_rested_is_taken()
 {
    let addresses = [EGRESS.into()];
    let mut config = crate::world::config(&addresses);
    config.ports = 1024..=1025;
    let mut world = World::of(&config);
    let (_, first) = splice(&mut world, &shifting([500, 0], [0; 2]));
    let other = lease(&mut world, 1, false);
    world.flows.release(other, world.now);
    close(&mut world, first);
    world.wait(4.0 * MINUTE + 1.0);
    world.sweep();
    assert!(world.flows.is_empty());
    // The sweep has taken seconds.
    world.wait(110.0);
    let second = lease(&mut world, 1, false);
    assert_ne!(second.port, first, "it has rested for less than two minutes");
    let random = world.random.next();
    assert!(world.flows.lease(1, false, (world.now, random)).is_err());
    world.wait(10.0);
    assert_eq!(lease(&mut world, 1, false).port, first);
}

#[test]
fn case_19_nobody_in_the_middle_forgets_for_four_minutes_what_both_ends_have_closed_or_one_has_reset()
 {
    let (mut world, port) = spliced();
    close(&mut world, port);
    world.wait(4.0 * MINUTE - 1.0);
    // The last acknowledgment was lost.
    world.taken(&back(port, FIN_ACK, (7000, 1501), b""));
    world.sent(1, &out(ACK, (1001, 7001), b""));
    world.wait(2.0);
    assert_eq!(world.refused_back(&back(port, ACK, (7001, 1501), b"")), Refusal::NoMapping);
    let (mut world, port) = spliced();
    world.taken(&back(port, RST, (7000, 0), b""));
    world.wait(4.0 * MINUTE - 1.0);
    world.sweep();
    assert_eq!(world.flows.len(), 0, "in time");
    let (mut world, port) = spliced();
    world.taken(&back(port, RST, (7000, 0), b""));
    world.wait(4.0 * MINUTE - 10.0);
    world.sweep();
    assert_eq!(world.flows.len(), 1, "not before");
}

#[test]
fn case_28_a_silent_splice_is_kept_for_two_hours_and_four_minutes() {
    let (mut world, port) = spliced();
    world.sent(1, &out(ACK, (1000, 7000), b"data"));
    world.wait(123.0 * MINUTE);
    world.taken(&back(port, ACK, (7000, 1504), b""));
    world.sent(1, &out(ACK, (1004, 7000), b""));
    world.wait(124.0 * MINUTE + 1.0);
    assert_eq!(world.refused_back(&back(port, ACK, (7000, 1504), b"")), Refusal::NoMapping);
}

/// The checksum stands in the first piece, and is right over all of them.
#[test]
fn case_30_a_segment_in_pieces_is_shifted_as_a_whole() {
    let (mut world, _) = spliced();
    let whole = out(ACK, (1000, 7000), &[7; 3000]);
    let pieces: Vec<_> = cut(&whole, 1400).iter().map(|piece| world.sent(1, piece).0).collect();
    assert_eq!(pieces.len(), 3);
    let payload = pieces.iter().flat_map(|piece| &piece[ipv4::HEADER_LEN..]);
    let (left, _) = world.sent(1, &whole);
    assert!(payload.eq(&left[ipv4::HEADER_LEN..]), "as if it had not been cut");
    assert_eq!(tcp_of(&left).sequence_number, 1500);
}

/// It counts from the segment's own number.
#[test]
fn case_34_an_urgent_pointer_passes() {
    let (mut world, port) = spliced();
    let urgent = |packet: Vec<u8>| {
        let mut packet = packet;
        // Its checksum counts the pointer.
        let (at, sum) = (ipv4::HEADER_LEN + 18, ipv4::HEADER_LEN + 16);
        packet[at..at + 2].copy_from_slice(&77_u16.to_be_bytes());
        let old = !u16::from_be_bytes([packet[sum], packet[sum + 1]]);
        let (new, carry) = old.overflowing_add(77);
        packet[sum..sum + 2].copy_from_slice(&(!(new + u16::from(carry))).to_be_bytes());
        assert_intact(&packet);
        packet
    };
    let flags = Flags(ACK.0 | Flags::URG.0);
    let (left, _) = world.sent(1, &urgent(out(flags, (1000, 7000), &[7; 100])));
    let (came, _) = world.taken(&urgent(back(port, flags, (7000, 1600), &[7; 100])));
    for packet in [left, came] {
        assert!(tcp_of(&packet).flags.has(Flags::URG));
        assert_eq!(packet[ipv4::HEADER_LEN + 18..][..2], 77_u16.to_be_bytes());
    }
}

/// What a device has joined on its way in is one segment with one number, and one that is to be cut on its way out as well.
#[test]
fn case_42_a_frame_of_many_segments_is_shifted_as_one() {
    let (mut world, port) = spliced();
    let mut random = Random(42);
    for len in [1460, 9000, 65_000] {
        let data: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        let (left, _) = world.sent(1, &out(ACK, (1000, 7000), &data));
        assert_eq!(tcp_of(&left).sequence_number, 1500);
        assert!(left.ends_with(&data));
        let (came, _) = world.taken(&back(port, ACK, (7000, 1500), &data));
        assert_eq!(tcp_of(&came).acknowledgment_number, 1000);
        assert!(came.ends_with(&data));
    }
}
