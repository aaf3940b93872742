//! What clients hear of packets that cannot be translated, and that nobody hears of it twice or too often.

use dataplane::fate::DropReason;
use dataplane::limits::ICMP_ERRORS_BURST;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::STRANGER;
use dataplane::testing::server::LOCAL;
use dataplane::testing::site::{self, EVERY_CLIENTS, Nat};
use dataplane::testing::transit;
use wire::icmp::v4::Error;
use wire::tcp::Flags;

use crate::segment;
use crate::world::{ASKED, ASKS, World, error, out, tcp};

/// ICMP's destination unreachable, and its codes.
const UNREACHABLE: u8 = 3;
const PROTOCOL: u8 = 2;
const PROHIBITED: u8 = 13;

/// SCTP, which nobody translates here.
fn other_protocol() -> Vec<u8> {
    out().packet(132, &[7; 32])
}

/// The code of the error that a client gets for its packet, which is quoted as it was but for a hop.
fn told(world: &mut World, client: usize, packet: &[u8]) -> u8 {
    assert!(world.sends(client, packet).is_empty());
    let got = world.got(client);
    assert_eq!(got.len(), 1, "{}", world.totals());
    let (outline, message, quote) = error(&got[0]);
    assert_eq!(
        (outline.source, outline.destination),
        (site::LOCAL_V4.into(), EVERY_CLIENTS.into())
    );
    assert_eq!(message.kind, UNREACHABLE);
    let mut sent = packet.to_vec();
    wire::ipv4::Header::of(&mut sent).unwrap().decrement_ttl().unwrap();
    assert_eq!(quote, sent[..quote.len()]);
    message.code
}

#[test]
fn a_packet_of_another_protocol_is_answered_so() {
    for workers in [1, 2] {
        let mut world = World::new(workers, 2);
        for client in 0..2 {
            assert_eq!(told(&mut world, client, &other_protocol()), PROTOCOL);
        }
        assert_eq!(world.totals().icmp_errors, 2);
        assert_eq!(world.dropped(DropReason::EgressNatProtocol), 0, "counted once");
        world.end();
    }
}

#[test]
fn who_may_have_no_more_flows_or_finds_no_room_hears_that_it_is_prohibited() {
    for (flows, flows_per_client) in [(64, 2), (2, 64)] {
        let mut world = World::with(1, 2, Nat { flows, flows_per_client, setups: 64 });
        for port in 1..=2 {
            world.sends_one(0, &out().udp(port, ASKED, b""));
        }
        let code = told(&mut world, 0, &out().udp(3, ASKED, b"one too many"));
        assert_eq!(code, PROHIBITED, "RFC 5508 REQ-8");
        world.end();
    }
    // Each of sixteen workers has a sixteenth of the ports.
    let mut world = World::new(16, 1);
    for port in 1..=64_512 / 16 {
        world.sends_one(0, &out().udp(port, ASKED, b""));
    }
    assert_eq!(told(&mut world, 0, &out().udp(9999, ASKED, b"no port")), PROHIBITED);
    world.end();
}

#[test]
fn a_segment_of_no_connection_is_reset_by_the_end_that_it_was_for() {
    let cases = [
        // Flags and numbers, and those of the reset (RFC 9293 3.5.2).
        (Flags::ACK, (100, 7), (Flags::RST, 7, 0)),
        (Flags::SYN | Flags::ACK, (100, 7), (Flags::RST, 7, 0)),
        (Flags::FIN, (100, 0), (Flags::RST | Flags::ACK, 0, 101)),
        (Flags(0), (u32::MAX, 0), (Flags::RST | Flags::ACK, 0, u32::MAX)),
    ];
    let mut world = World::new(2, 2);
    for (number, (flags, numbers, wanted)) in cases.into_iter().enumerate() {
        let client = number % 2;
        let sent = segment(out(), (ASKS, 80), flags, numbers, &[]);
        assert!(world.sends(client, &sent).is_empty());
        let got = world.got(client);
        let (outline, reset, _) = tcp(&got[0]);
        assert_eq!((outline.source, outline.destination), (STRANGER.into(), EVERY_CLIENTS.into()));
        assert_eq!((reset.source_port, reset.destination_port), (80, ASKS));
        let found = (reset.flags, reset.sequence_number, reset.acknowledgment_number);
        assert_eq!(found, wanted, "{flags:?}");
    }
    assert_eq!(world.totals().resets, 4);
    assert_eq!(world.totals().flows, 0);
    // A reset is not answered with another.
    world.sends(0, &segment(out(), (ASKS, 80), Flags::RST, (7, 0), &[]));
    assert_eq!(world.got(0), Vec::<Vec<u8>>::new());
    assert_eq!(world.dropped(DropReason::EgressNatState), 1);
    world.end();
}

#[test]
fn errors_and_later_pieces_are_answered_with_nothing() {
    let mut world = World::new(1, 1);
    let mut later = other_protocol();
    transit::fragment(&mut later, 7, 800, false);
    let unknown = out().packet(wire::icmp::v4::PROTOCOL, &[40, 0, 0xd7, 0xff, 0, 0, 0, 0]);
    let quoted = Ip::new(STRANGER, EVERY_CLIENTS).udp(1, 2, b"");
    let about = out().error_about(Error::PortUnreachable, &quoted);
    for packet in [later, unknown, about] {
        world.sends(0, &packet);
        assert_eq!(world.got(0), Vec::<Vec<u8>>::new());
    }
    assert_eq!((world.totals().icmp_errors, world.totals().resets), (0, 0));
    world.end();
}

#[test]
fn answers_are_limited_each_kind_by_itself() {
    let mut world = World::new(1, 1);
    let burst = usize::try_from(ICMP_ERRORS_BURST).unwrap();
    let mut heard = [0; 2];
    for _ in 0..2 * burst {
        world.sends(0, &other_protocol());
        heard[0] += world.got(0).len();
    }
    for _ in 0..2 * burst {
        world.sends(0, &segment(out(), (ASKS, 80), Flags::ACK, (1, 1), &[]));
        heard[1] += world.got(0).len();
    }
    assert_eq!(heard, [burst; 2]);
    let left = [DropReason::EgressNatProtocol, DropReason::EgressNatState];
    assert!(left.iter().all(|reason| world.dropped(*reason) == u64::from(ICMP_ERRORS_BURST)));
    world.end();
}

#[test]
fn this_machine_s_kernel_hears_it_as_well() {
    let mut world = World::new(1, 1);
    let packet = Ip::new(site::LOCAL_V4, STRANGER).packet(132, &[7; 32]);
    world.scene.put(LOCAL, &packets::from_local(&packet));
    world.scene.settle();
    let strays = world.scene.strays();
    let (_, told) = packets::packet_in(&strays[0].1).unwrap();
    let (outline, message, _) = error(told);
    assert_eq!(outline.destination, site::LOCAL_V4);
    assert_eq!((message.kind, message.code), (UNREACHABLE, PROTOCOL));
    world.end();
}
