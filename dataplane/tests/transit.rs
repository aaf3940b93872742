//! The way to a tenant and back: fragments, rules, tunnels, sizes, errors, keepalives, and the health of tunnels.

#[cfg(test)]
#[path = "transit/health.rs"]
mod health;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use dataplane::fate::DropReason;
use dataplane::limits::ICMP_ERRORS_BURST;
use dataplane::testing::client;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::{PROTECTED, PROTECTED_V6, STRANGER, STRANGER_V6};
use dataplane::testing::scene::Scene;
use dataplane::testing::server::{Options, Place};
use dataplane::testing::site::{self, Plan};
use dataplane::testing::transit::{self, ROUTER, ROUTER_V6, from_router, in_gre, plain, tunnel};
use ipnet::IpNet;
use shm::message::{DontFragment, Item, Matter, Mode, Reach, Rule, SynGuard, Tenant, Tunnel};
use wire::tcp::{self, Flags, OptionField};
use wire::{gre, icmp, ipv4};

/// The example of a tenant that serves files.
const EXAMPLE: &str = "policy drop\nip daddr 203.0.113.7 tcp dport 20-21 counter accept\n";

/// A server with a tenant, and the way to the Internet for what the tenant sends.
#[cfg(test)]
fn stage(tunnel: Tunnel, rules: &str) -> Scene {
    let mut scene = Scene::new(&Plan::new(2), Options::default());
    let mut items = transit::tenant(tunnel, rules);
    items.extend(transit::internet());
    scene.change(items);
    scene
}

/// What the server sends when this comes from the network.
#[cfg(test)]
fn answers(scene: &mut Scene, packet: &[u8]) -> Vec<Vec<u8>> {
    scene.strays();
    scene.arrive(packet);
    scene.strays().into_iter().map(|(_, frame)| frame).collect()
}

/// The inner packets that go to the tenant's router when this comes from the network.
#[cfg(test)]
fn reaching(scene: &mut Scene, packet: &[u8]) -> Vec<Vec<u8>> {
    let frames = answers(scene, packet);
    frames.iter().filter_map(|frame| in_gre(frame)).map(|(.., inner)| inner).collect()
}

#[cfg(test)]
fn dropped(scene: &Scene, reason: DropReason) -> u64 {
    scene.server.totals().dropped(reason)
}

#[cfg(test)]
fn segment(ip: Ip, port: u16, flags: Flags, options: &[u8]) -> Vec<u8> {
    let fields = tcp::Fields {
        source_port: 40_000,
        destination_port: port,
        sequence_number: 1,
        acknowledgment_number: 0,
        flags,
        window: 1000,
    };
    ip.tcp(&fields, options, &[])
}

#[cfg(test)]
fn question() -> Vec<u8> {
    Ip::new(STRANGER, PROTECTED).udp(4000, 53, b"a question")
}

#[test]
fn a_packet_to_a_tenant_goes_to_its_router_as_it_came_but_for_a_hop() {
    for (key, checksum) in [(None, false), (Some(7), false), (None, true), (Some(0), true)] {
        let mut scene = stage(Tunnel { key, checksum, ..tunnel(1) }, "");
        let packet = question();
        let frames = answers(&mut scene, &packet);
        let [frame] = frames.as_slice() else { panic!("{} frames", frames.len()) };
        let (source, destination, header, inner) = in_gre(frame).unwrap();
        assert_eq!((source, destination), (site::SERVER_V4.into(), ROUTER.into()));
        assert_eq!((header.key, header.checksum.is_some()), (key, checksum));
        let mut wanted = packet;
        ipv4::Header::of(&mut wanted).unwrap().decrement_ttl().unwrap();
        assert_eq!(inner, wanted);
        assert_eq!(scene.server.totals().unaccounted(), 0);
    }
}

#[test]
fn a_tunnel_of_either_family_carries_packets_of_both() {
    let over_v6 = Tunnel { local: site::SERVER_V6.into(), remote: ROUTER_V6.into(), ..tunnel(1) };
    for tunnel in [tunnel(1), over_v6] {
        let mut scene = stage(tunnel.clone(), "");
        let v6 = Ip::new(STRANGER_V6, PROTECTED_V6).udp(4000, 53, b"a question");
        for packet in [question(), v6] {
            let frames = answers(&mut scene, &packet);
            let (_, destination, _, inner) = in_gre(&frames[0]).unwrap();
            assert_eq!((destination, inner.len()), (tunnel.remote, packet.len()));
        }
    }
}

#[test]
fn the_rules_of_the_example_let_two_ports_through_and_nothing_else() {
    let mut scene = stage(tunnel(1), EXAMPLE);
    for port in [20, 21] {
        let packet = segment(Ip::new(STRANGER, PROTECTED), port, Flags::SYN, &[]);
        assert_eq!(reaching(&mut scene, &packet).len(), 1, "port {port}");
    }
    let other = Ipv4Addr::new(203, 0, 113, 8);
    let closed = [
        segment(Ip::new(STRANGER, PROTECTED), 19, Flags::SYN, &[]),
        segment(Ip::new(STRANGER, PROTECTED), 22, Flags::SYN, &[]),
        segment(Ip::new(STRANGER, other), 21, Flags::SYN, &[]),
        Ip::new(STRANGER, PROTECTED).udp(4000, 21, b""),
        Ip::new(STRANGER, PROTECTED).echo(1, b"ping"),
        Ip::new(STRANGER_V6, PROTECTED_V6).udp(1, 21, b""),
    ];
    for packet in &closed {
        assert!(answers(&mut scene, packet).is_empty());
    }
    assert_eq!(dropped(&scene, DropReason::TenantPolicy), closed.len() as u64);
    // Other rules: from here on, for all packets, and nothing of the former ones.
    scene.change(transit::ruleset("tcp dport 21 drop"));
    assert_eq!(reaching(&mut scene, &closed[0]).len(), 1);
    let files = segment(Ip::new(STRANGER, PROTECTED), 21, Flags::SYN, &[]);
    assert!(answers(&mut scene, &files).is_empty());
    assert_eq!(dropped(&scene, DropReason::TenantRule), 1);
}

#[test]
fn a_limit_lets_its_rate_through_and_the_rest_meets_the_next_rule() {
    let mut scene =
        stage(tunnel(1), "udp dport 53 limit rate 1/second burst 2 packets accept\ndrop");
    let passed: usize = (0..5).map(|_| reaching(&mut scene, &question()).len()).sum();
    assert_eq!((passed, dropped(&scene, DropReason::TenantRule)), (2, 3));
    scene.wait(Duration::from_secs(1));
    assert_eq!(reaching(&mut scene, &question()).len(), 1);
}

#[test]
fn named_sets_are_asked_for_sources_and_destinations_and_change_under_the_rules() {
    let mut scene = Scene::new(&Plan::new(2), Options::default());
    let set = |id| {
        let (mode, reach, expires) = (Mode::Off, Reach::All, None);
        Item::Rule(Box::new(Rule { id, mode, reach, expires, matter: Matter::Set }))
    };
    let held: IpNet = IpAddr::from(STRANGER).into();
    let mut items = vec![
        set(12),
        set(13),
        Item::Listed { rule: 13, prefixes: vec!["203.0.113.0/29".parse().unwrap()] },
    ];
    items.extend(transit::tenant(tunnel(1), "ip saddr @12 drop\nip daddr != @13 drop"));
    scene.change(items);
    assert_eq!(reaching(&mut scene, &question()).len(), 1);
    let outside = Ip::new(STRANGER, Ipv4Addr::new(203, 0, 113, 9)).udp(1, 2, b"");
    assert!(answers(&mut scene, &outside).is_empty());
    scene.change(vec![Item::Listed { rule: 12, prefixes: vec![held] }]);
    assert!(answers(&mut scene, &question()).is_empty());
    scene.change(vec![Item::Unlisted { rule: 12, prefixes: vec![held] }]);
    assert_eq!(reaching(&mut scene, &question()).len(), 1);
}

/// A datagram in two pieces.
#[cfg(test)]
fn pieces(payload: &[u8]) -> [Vec<u8>; 2] {
    let whole = Ip::new(STRANGER, PROTECTED).udp(4000, 53, payload);
    let at = ipv4::HEADER_LEN + 16;
    let piece = |upper: &[u8], offset, more| {
        let mut packet = Ip::new(STRANGER, PROTECTED).packet(17, upper);
        transit::fragment(&mut packet, 5, offset, more);
        packet
    };
    [piece(&whole[ipv4::HEADER_LEN..at], 0, true), piece(&whole[at..], 16, false)]
}

#[test]
fn the_pieces_of_a_datagram_are_judged_by_the_ports_of_the_first_whichever_comes_first() {
    for order in [[0, 1], [1, 0]] {
        for (rules, passed) in [("udp dport 53 accept\ndrop", 2), ("udp dport 53 drop", 0)] {
            let mut scene = stage(tunnel(1), rules);
            let pieces = pieces(&[7; 40]);
            assert!(answers(&mut scene, &pieces[order[0]]).is_empty(), "it waits");
            assert_eq!(reaching(&mut scene, &pieces[order[1]]).len(), passed, "{rules}");
            assert_eq!(dropped(&scene, DropReason::TenantRule), 2 - passed as u64);
            assert_eq!(scene.server.totals().unaccounted(), 0);
            assert_eq!(scene.server.totals().held, 0);
        }
    }
}

#[test]
fn what_is_not_complete_never_reaches_the_tenant() {
    let mut scene = stage(tunnel(1), "");
    let [_, later] = pieces(&[7; 40]);
    assert!(answers(&mut scene, &later).is_empty());
    assert_eq!(scene.server.totals().held, 1);
    scene.wait(Duration::from_secs(3));
    assert_eq!(dropped(&scene, DropReason::TenantFragmentLost), 1);
    assert_eq!((scene.server.totals().held, scene.server.totals().unaccounted()), (0, 0));
}

/// The longest packet of a tunnel over IPv4 without optional fields, over a port of 1500.
const MTU: usize = 1476;

#[cfg(test)]
fn of_len(len: usize, may_fragment: bool) -> Vec<u8> {
    let payload = vec![7; len - ipv4::HEADER_LEN - 8];
    let mut packet = Ip::new(STRANGER, PROTECTED).udp(4000, 53, &payload);
    if may_fragment {
        transit::fragment(&mut packet, 9, 0, false);
    }
    packet
}

#[test]
fn a_packet_that_does_not_fit_is_answered_where_it_must_not_be_split_and_split_where_it_may() {
    let mut scene = stage(tunnel(1), "");
    assert_eq!(reaching(&mut scene, &of_len(MTU, false)).len(), 1);
    let frames = answers(&mut scene, &of_len(MTU + 1, false));
    let (outline, packet) = packets::packet_in(&frames[0]).unwrap();
    assert_eq!((outline.source, outline.destination), (site::SERVER_V4.into(), STRANGER.into()));
    let error = icmp::v4::parse(&packet[outline.payload_offset..outline.len]).unwrap();
    assert_eq!(error.mtu_v4(), Some(u16::try_from(MTU).unwrap()));
    // Allowed to be split, it comes in pieces that make the whole again.
    let whole = of_len(MTU + 1, true);
    let pieces = reaching(&mut scene, &whole);
    assert_eq!(pieces.len(), 2);
    let mut payload = vec![0; whole.len() - ipv4::HEADER_LEN];
    for piece in &pieces {
        let located = ipv4::parse(piece).unwrap();
        assert!(piece.len() <= MTU && !located.dont_fragment());
        let (at, len) = (located.fragment_offset(), located.payload_len);
        payload[at..at + len].copy_from_slice(&piece[located.payload_offset..][..len]);
    }
    assert_eq!(payload, whole[ipv4::HEADER_LEN..]);
    // A tunnel that clears the bit splits whatever comes.
    let cleared = Tunnel { dont_fragment: DontFragment::Clear, ..tunnel(1) };
    scene.change(vec![Item::Tunnel(Box::new(cleared))]);
    // Such packets may all bear the same identification, and their pieces may not.
    let mut names: Vec<u16> = (0..2)
        .flat_map(|_| reaching(&mut scene, &of_len(MTU + 1, false)))
        .map(|piece| ipv4::parse(&piece).unwrap().identification)
        .collect();
    names.dedup();
    assert_eq!(names.len(), 2);
    assert_eq!(scene.server.totals().unaccounted(), 0);
}

#[test]
fn an_ipv6_packet_that_does_not_fit_is_answered_with_what_does() {
    let mut scene = stage(tunnel(1), "");
    let packet = Ip::new(STRANGER_V6, PROTECTED_V6).udp(1, 2, &vec![7; MTU]);
    let frames = answers(&mut scene, &packet);
    let (outline, packet) = packets::packet_in(&frames[0]).unwrap();
    let message = &packet[outline.payload_offset..outline.len];
    let error = icmp::v6::parse(site::SERVER_V6, STRANGER_V6, message).unwrap();
    assert_eq!(
        (outline.destination, error.mtu_v6()),
        (STRANGER_V6.into(), Some(u32::try_from(MTU).unwrap()))
    );
}

#[test]
fn segments_are_asked_to_fit_in_both_directions() {
    let mss = |packet: &[u8]| {
        let located = ipv4::parse(packet).unwrap();
        let segment = &packet[located.payload_offset..];
        let mut options = tcp::parse(segment).unwrap().options(segment);
        options.find_map(|option| match option {
            Ok(OptionField::MaximumSegmentSize(mss)) => Some(mss),
            _ => None,
        })
    };
    let mut scene = stage(tunnel(1), "");
    let option = [2, 4, 5, 180];
    let there = segment(Ip::new(STRANGER, PROTECTED), 80, Flags::SYN, &option);
    assert_eq!(mss(&reaching(&mut scene, &there)[0]), Some(1436));
    let back = segment(Ip::new(PROTECTED, STRANGER), 80, Flags::SYN | Flags::ACK, &option);
    let frames = answers(&mut scene, &from_router(&plain(&back), &back));
    assert_eq!(mss(packets::packet_in(&frames[0]).unwrap().1), Some(1436));
}

#[test]
fn what_the_router_sends_goes_out_as_it_is_whatever_fields_its_header_has() {
    let mut scene = stage(Tunnel { key: Some(9), ..tunnel(1) }, "");
    let packet = Ip::new(PROTECTED, STRANGER).udp(53, 4000, b"an answer");
    for with_checksum in [false, true] {
        for sequence in [None, Some(4)] {
            let fields = gre::Fields { key: Some(9), sequence, with_checksum, ..plain(&packet) };
            let frames = answers(&mut scene, &from_router(&fields, &packet));
            let (outline, sent) = packets::packet_in(&frames[0]).unwrap();
            let mut wanted = packet.clone();
            ipv4::Header::of(&mut wanted).unwrap().decrement_ttl().unwrap();
            assert_eq!(&sent[..outline.len], wanted);
        }
    }
}

#[test]
fn a_keepalive_comes_back_to_the_router_that_sent_it() {
    let mut scene = stage(tunnel(1), "policy drop");
    let inside = Ip::new(site::SERVER_V4, ROUTER).packet(gre::PROTOCOL, &[0, 0, 0, 0]);
    let frames = answers(&mut scene, &from_router(&plain(&inside), &inside));
    let (outline, sent) = packets::packet_in(&frames[0]).unwrap();
    assert_eq!(&sent[..outline.len], inside);
    assert_eq!(scene.server.totals().keepalives, 1);
}

#[test]
fn a_router_on_the_way_of_a_tunnel_that_takes_less_is_believed_and_its_word_passed_on() {
    let mut scene = stage(tunnel(1), "");
    let frames = answers(&mut scene, &of_len(1400, false));
    let (outline, outer) = packets::packet_in(&frames[0]).unwrap();
    let outer = outer[..outline.len].to_vec();
    let error = icmp::v4::Error::FragmentationNeeded { mtu: 1300 };
    let on_the_way = Ipv4Addr::new(198, 51, 100, 99);
    let report = Ip::new(on_the_way, site::SERVER_V4).error_about(error, &outer[..100]);
    let frames = answers(&mut scene, &report);
    let (outline, packet) = packets::packet_in(&frames[0]).unwrap();
    assert_eq!(outline.destination, IpAddr::from(STRANGER));
    let error = icmp::v4::parse(&packet[outline.payload_offset..outline.len]).unwrap();
    assert_eq!(error.mtu_v4(), Some(1300 - 24));
    // From here on what is longer is answered at once.
    let frames = answers(&mut scene, &of_len(1277, false));
    assert!(in_gre(&frames[0]).is_none());
    assert_eq!(reaching(&mut scene, &of_len(1276, false)).len(), 1);
    assert_eq!(scene.server.totals().tunnel_reports, 1);
}

#[test]
fn a_client_reaches_a_tenant_by_the_tenants_rules() {
    let mut scene = stage(tunnel(1), "udp dport 53 accept\ndrop");
    scene.join(false, client::Options::default());
    scene.send(0, &[]);
    scene.strays();
    let ask = |port| Ip::new(site::inner_v4(0), PROTECTED).udp(4000, port, b"a question");
    scene.send(0, &ask(53));
    assert_eq!(scene.strays().iter().filter(|(_, frame)| in_gre(frame).is_some()).count(), 1);
    scene.send(0, &ask(54));
    assert_eq!(dropped(&scene, DropReason::TenantRule), 1);
}

#[test]
fn a_client_of_another_worker_meets_the_tenants_rules_once() {
    let plan = Plan { workers: 2, ..Plan::new(2) };
    let mut scene = Scene::new(&plan, Options::default());
    scene.change(transit::tenant(tunnel(1), "udp dport 53 counter accept\ndrop"));
    for number in 0..2 {
        scene.join(false, client::Options::default());
        scene.send(number, &[]);
    }
    scene.strays();
    for number in 0..2 {
        // Whichever worker the network gives it to, its owner opens it.
        for worker in 0..2 {
            for port in [53, 54] {
                let from = site::inner_v4(u32::try_from(number).unwrap());
                let packet = Ip::new(from, PROTECTED).udp(4000, port, b"a question");
                for frame in scene.withhold(number, &packet) {
                    scene.put(Place::Wire { port: 0, worker }, &frame);
                }
                scene.settle();
            }
        }
    }
    let frames = scene.strays();
    assert_eq!(frames.iter().filter(|(_, frame)| in_gre(frame).is_some()).count(), 4);
    assert_eq!(dropped(&scene, DropReason::TenantRule), 4);
    assert_eq!(scene.server.totals().unaccounted(), 0);
}

#[test]
fn pieces_that_wait_while_their_prefix_becomes_another_tenants_reach_nobody() {
    let mut scene = stage(tunnel(1), "udp dport 53 accept\ndrop");
    let [first, second] = pieces(&[7; 40]);
    answers(&mut scene, &first);
    let Item::Tenant(before) = dataplane::testing::rules::tenant(SynGuard::Off, false) else {
        panic!("a tenant")
    };
    let other = Tunnel { id: 2, tenant: 10, ..tunnel(1) };
    scene.change(vec![
        Item::TunnelRemove(1),
        Item::TenantRemove(transit::TENANT),
        Item::Tenant(Box::new(Tenant { id: 10, ..*before })),
        Item::Tunnel(Box::new(other)),
    ]);
    assert!(answers(&mut scene, &second).is_empty());
    assert_eq!(dropped(&scene, DropReason::TenantFragmentLost), 2);
}

#[test]
fn a_fragment_that_does_not_fit_is_answered_as_a_whole_packet_is() {
    let mut scene = Scene::new(&Plan::new(2), Options::default());
    scene.change(transit::tenant(tunnel(1), ""));
    let mut pieces = [0, 1].map(|part| {
        let payload = vec![7; if part == 0 { MTU - 20 + 8 } else { 8 }];
        let mut packet = Ip::new(STRANGER, PROTECTED).packet(17, &payload);
        transit::fragment(&mut packet, 9, if part == 0 { 0 } else { 1464 }, part == 0);
        packet
    });
    // Pieces of what must not be fragmented further.
    for packet in &mut pieces {
        packet[6] |= 0x40;
        transit::mend(packet);
    }
    // Ports that are none would be looked at.
    pieces[0][20..24].copy_from_slice(&[0, 9, 0, 53]);
    assert!(answers(&mut scene, &pieces[0]).is_empty());
    let frames = answers(&mut scene, &pieces[1]);
    let error = frames.iter().find(|frame| in_gre(frame).is_none()).unwrap();
    let (outline, packet) = packets::packet_in(error).unwrap();
    assert_eq!((outline.source, outline.destination), (site::SERVER_V4.into(), STRANGER.into()));
    let message = icmp::v4::parse(&packet[outline.payload_offset..outline.len]).unwrap();
    assert_eq!(message.mtu_v4(), Some(u16::try_from(MTU).unwrap()));
}

#[test]
fn what_comes_out_of_a_tunnel_for_its_own_tenant_does_not_go_round() {
    let mut scene = stage(tunnel(1), "");
    let packet = Ip::new(PROTECTED, Ipv4Addr::new(203, 0, 113, 99)).udp(1, 2, b"");
    assert!(answers(&mut scene, &from_router(&plain(&packet), &packet)).is_empty());
    assert_eq!(dropped(&scene, DropReason::EgressLoop), 1);
}

#[test]
fn pieces_out_of_a_tunnel_for_its_own_tenant_do_not_go_round_either() {
    let mut scene = stage(tunnel(1), "");
    let to = Ip::new(PROTECTED, Ipv4Addr::new(203, 0, 113, 99));
    let whole = to.udp(1, 2, &[7; 24]);
    let [mut first, mut second] =
        [20..36, 36..52].map(|octets: std::ops::Range<usize>| to.packet(17, &whole[octets]));
    transit::fragment(&mut first, 9, 0, true);
    transit::fragment(&mut second, 9, 16, false);
    for piece in [first, second] {
        assert!(answers(&mut scene, &from_router(&plain(&piece), &piece)).is_empty());
    }
    assert_eq!(dropped(&scene, DropReason::EgressLoop), 2);
}

#[test]
fn forged_reports_do_not_silence_what_senders_are_owed() {
    let mut scene = stage(tunnel(1), "");
    // Protocol 47 in a quote is all that a stranger needs to know.
    let mut quote = Ip::new(site::SERVER_V4, STRANGER).packet(gre::PROTOCOL, &[0, 0, 8, 0]);
    quote.resize(64, 0);
    let error = icmp::v4::Error::FragmentationNeeded { mtu: 1300 };
    let forged = Ip::new(STRANGER, site::SERVER_V4).error_about(error, &quote);
    for _ in 0..2 * ICMP_ERRORS_BURST {
        let _for_the_kernel = answers(&mut scene, &forged);
    }
    assert_eq!(scene.server.totals().tunnel_reports, 0);
    let frames = answers(&mut scene, &of_len(MTU + 1, false));
    assert!(frames.iter().any(|frame| in_gre(frame).is_none()), "it is told what fits");
}
