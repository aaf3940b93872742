//! Whose segments lead nowhere hears a reset at once, and does not wait for his own timers: clients, and other data centres.

use std::net::{IpAddr, Ipv4Addr};

use dataplane::fate::DropReason;
use dataplane::limits::ICMP_ERRORS_BURST;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::STRANGER;
use dataplane::testing::scene::Scene;
use dataplane::testing::site::{CENTRE_V4, CONNECT_PORT, EVERY_CLIENTS, SERVER_V4};
use shm::message::Item;
use wire::tcp::{self, Flags};

use super::{Segment, segment, segments_out, stage};

/// Where the data centre takes requests.
const REQUESTS: u16 = 443;

/// What a client sends to somebody.
fn sends(scene: &mut Scene, to: (Ipv4Addr, u16), flags: Flags) {
    let fields = tcp::Fields {
        source_port: 1,
        destination_port: to.1,
        sequence_number: 1000,
        acknowledgment_number: if flags.has(Flags::ACK) { 5000 } else { 0 },
        flags,
        window: 1000,
    };
    scene.send(0, &Ip::new(EVERY_CLIENTS, to.0).tcp(&fields, &[], &[]));
}

/// The resets that the client has got since the last look: sequence and acknowledgment number.
fn resets(scene: &mut Scene) -> Vec<(u32, Option<u32>)> {
    let packets = std::mem::take(&mut scene.clients[0].inbox);
    let read = |packet: &Vec<u8>| {
        let outline = packets::outline(packet)?;
        let Segment { sequence, flags, .. } = segment((outline, packet.as_slice()))?;
        let located = tcp::parse(packet.get(outline.payload_offset..outline.len)?).ok()?;
        let acked = flags.has(Flags::ACK).then_some(located.acknowledgment_number);
        flags.has(Flags::RST).then_some((sequence, acked))
    };
    packets.iter().filter_map(read).collect()
}

#[test]
fn a_segment_of_no_connection_is_reset_also_where_the_way_is_another_data_centre() {
    let mut scene = stage();
    sends(&mut scene, (STRANGER, 80), Flags::ACK);
    assert_eq!(resets(&mut scene), [(5000, None)], "believed by its sender (RFC 9293 3.5.2)");
    sends(&mut scene, (STRANGER, 80), Flags(Flags::RST.0 | Flags::ACK.0));
    assert_eq!(resets(&mut scene), [], "no reset of a reset");
    let totals = scene.server.totals();
    assert_eq!((totals.resets, totals.dropped(DropReason::EgressNatState)), (1, 1));
    assert!(segments_out(&mut scene).is_empty(), "nobody else hears of it");
    assert_eq!(totals.unaccounted(), 0);
}

#[test]
fn a_client_that_asks_a_data_centre_itself_is_reset_and_silences_no_other_reset() {
    let mut scene = stage();
    let prefix = IpAddr::from(CENTRE_V4).into();
    scene.change(vec![Item::Route { prefix, next_hop: 4 }]);
    sends(&mut scene, (CENTRE_V4, REQUESTS), Flags::SYN);
    assert_eq!(resets(&mut scene), [(0, Some(1001))], "believed by its sender");
    let dropped = |scene: &Scene| scene.server.totals().dropped(DropReason::EgressConnectSource);
    assert_eq!(dropped(&scene), 0, "it was answered");
    for _ in 0..ICMP_ERRORS_BURST + 9 {
        sends(&mut scene, (CENTRE_V4, REQUESTS), Flags::SYN);
    }
    let told = resets(&mut scene).len();
    assert_eq!((told, dropped(&scene)), (ICMP_ERRORS_BURST as usize - 1, 10), "a flood is not");
    sends(&mut scene, (STRANGER, 80), Flags::ACK);
    assert_eq!(resets(&mut scene).len(), 1, "of another kind");
    assert!(segments_out(&mut scene).is_empty(), "the data centre hears nothing");
    assert_eq!(scene.server.totals().unaccounted(), 0);
}

/// What somebody outside sends to our CONNECT port.
fn arrives(scene: &mut Scene, from: Ipv4Addr, flags: Flags) -> Vec<Segment> {
    let fields = tcp::Fields {
        source_port: 9,
        destination_port: CONNECT_PORT,
        sequence_number: 1000,
        acknowledgment_number: 5000,
        flags,
        window: 1000,
    };
    scene.arrive(&Ip::new(from, SERVER_V4).tcp(&fields, &[], b"go on"));
    segments_out(scene)
}

#[test]
fn another_data_centre_hears_that_its_connection_is_not_known_here_and_a_stranger_nothing() {
    let mut scene = stage();
    let told = arrives(&mut scene, CENTRE_V4, Flags::ACK);
    let [reset] = &told[..] else { panic!("{told:?}") };
    assert_eq!((reset.from, reset.to), ((SERVER_V4.into(), CONNECT_PORT), (CENTRE_V4.into(), 9)));
    assert_eq!((reset.sequence, reset.flags, reset.len), (5000, Flags::RST, 0), "believed");
    for (from, flags) in [(CENTRE_V4, Flags(Flags::RST.0 | Flags::ACK.0)), (STRANGER, Flags::ACK)] {
        assert!(arrives(&mut scene, from, flags).is_empty(), "{from} {flags:?}");
    }
    for _ in 0..ICMP_ERRORS_BURST + 9 {
        arrives(&mut scene, CENTRE_V4, Flags::ACK);
    }
    let totals = scene.server.totals();
    assert_eq!(totals.resets, u64::from(ICMP_ERRORS_BURST), "a flood is not answered");
    assert_eq!(totals.dropped(DropReason::EgressNatState), 1 + 10);
    assert_eq!((totals.dropped(DropReason::EgressConnectSource), totals.unaccounted()), (1, 0));
}
