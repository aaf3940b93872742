//! Connections for which there is no room.

use dataplane::testing::packets;
use dataplane::testing::rules::STRANGER;
use dataplane::testing::scene::Scene;
use dataplane::testing::site::{Nat, Plan};
use wire::tcp::Flags;

use super::{Segment, answer, plan, segment, segments_out, stage_of, syn};

const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);

/// What the client has got of TCP.
fn got(scene: &mut Scene) -> Vec<Segment> {
    let packets = std::mem::take(&mut scene.clients[0].inbox);
    let read = |packet: &Vec<u8>| segment((packets::outline(packet)?, packet.as_slice()));
    packets.iter().filter_map(read).collect()
}

#[test]
fn a_connection_that_finds_no_flow_is_refused_at_both_ends_and_its_port_comes_back() {
    let full = Nat { flows: 1, flows_per_client: 64, setups: 16 };
    // The client's only flow is that of its echo.
    let mut scene = stage_of(&Plan { nat: Some(full), ..plan() });
    scene.send(0, &syn(1, STRANGER));
    let sent = segments_out(&mut scene);
    let [request] = &sent[..] else { panic!("{sent:?}") };
    scene.arrive(&answer(request, 5000, SYN_ACK, b"HTTP/1.1 200 OK\r\n\r\n"));
    let told: Vec<_> =
        got(&mut scene).iter().map(|segment| segment.flags.has(Flags::RST)).collect();
    assert_eq!(told, [true], "the client hears it at once");
    let told = segments_out(&mut scene);
    let next = request.sequence.wrapping_add(1 + request.len);
    let resets: Vec<_> = told.iter().filter(|segment| segment.flags.has(Flags::RST)).collect();
    assert!(
        resets.iter().any(|segment| segment.sequence == next),
        "believed by the machine: {told:?}"
    );
    let totals = scene.server.totals();
    assert_eq!((totals.connects_opened, totals.connects_failed), (0, 1));
    assert_eq!((totals.connects_opening, totals.flows), (0, 1));
    assert_eq!(totals.unaccounted(), 0);
}
