//! Clients' IPv6 to the Internet and back: as it is, and under another prefix.

use std::net::Ipv6Addr;

use dataplane::fate::DropReason;
use dataplane::testing::packets::{self, Ip, Outline};
use dataplane::testing::rules::STRANGER_V6;
use dataplane::testing::server;
use dataplane::testing::site::{self, OUTSIDE_V6, UNTRANSLATED};
use shm::message::Item;
use wire::icmp::{self, v6::Error};
use wire::ipv6;

use crate::world::{ASKED, ASKS, World};

/// The address of a client that the Internet knows as it is.
fn known(client: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(UNTRANSLATED.to_bits() | u128::from(client + 1))
}

/// Clients with an inner address each and one of the Internet's own.
fn world(workers: usize, clients: usize) -> World {
    let mut world = World::new(workers, clients);
    for number in 0..u32::try_from(clients).unwrap() {
        let mut peer = site::peer(number);
        peer.allowed_ips.push(std::net::IpAddr::from(known(number)).into());
        world.scene.change(vec![Item::Peer(Box::new(peer))]);
    }
    world
}

/// Ends of the datagram; checksums are right.
fn ends(packet: &[u8]) -> (Outline, wire::udp::Ports) {
    let outline = packets::outline(packet).unwrap();
    let (ports, _) = packets::udp_in(&outline, packet).unwrap();
    (outline, ports)
}

fn v6(address: std::net::IpAddr) -> Ipv6Addr {
    let std::net::IpAddr::V6(address) = address else { panic!("{address}") };
    address
}

/// By which address the Internet sees what a client sends from this one.
fn asks(world: &mut World, client: usize, from: Ipv6Addr) -> Ipv6Addr {
    let sent = world.sends_one(client, &Ip::new(from, STRANGER_V6).udp(ASKS, ASKED, b"a question"));
    let (outline, ports) = ends(&sent);
    assert_eq!(outline.destination, STRANGER_V6);
    assert_eq!((ports.source, ports.destination), (ASKS, ASKED), "no ports are translated");
    assert_eq!(sent[7], 63, "it has taken a hop");
    v6(outline.source)
}

fn is_answered(
    world: &mut World,
    worker: usize,
    (client, from): (usize, Ipv6Addr),
    to: Ipv6Addr,
) -> bool {
    world.arrives(worker, &Ip::new(STRANGER_V6, to).udp(ASKED, ASKS, b"an answer"));
    let wanted = Ip { hop_limit: 63, ..Ip::new(STRANGER_V6, from) }.udp(ASKED, ASKS, b"an answer");
    world.got(client) == [wanted]
}

#[test]
fn addresses_of_the_internet_s_own_go_out_as_they_are_and_are_found_again_from_any_worker() {
    for workers in [1, 2, 16] {
        let mut world = world(workers, 3);
        for client in 0..3 {
            let from = known(u32::try_from(client).unwrap());
            assert_eq!(asks(&mut world, client, from), from);
            for worker in 0..workers {
                assert!(is_answered(&mut world, worker, (client, from), from));
            }
        }
        assert_eq!(world.totals().flows, 0, "nothing is remembered");
        assert_eq!(world.totals().dropped_all(), 0, "{}", world.totals());
        world.end();
    }
}

#[test]
fn inner_prefixes_are_known_by_another_and_found_again_from_any_worker() {
    for workers in [1, 2, 16] {
        let mut world = world(workers, 3);
        for client in 0..3 {
            let from = site::inner_v6(u32::try_from(client).unwrap());
            let outside = asks(&mut world, client, from);
            assert_eq!(outside.to_bits() >> 80, OUTSIDE_V6.to_bits() >> 80);
            assert_eq!(outside.segments()[4..], from.segments()[4..], "RFC 6296 3.4");
            for worker in 0..workers {
                assert!(is_answered(&mut world, worker, (client, from), outside));
            }
        }
        assert_eq!(world.totals().dropped_all(), 0, "{}", world.totals());
        world.end();
    }
}

#[test]
fn clients_reach_each_other_by_both_kinds_of_addresses() {
    for workers in [1, 2] {
        let mut world = world(workers, 2);
        let inner = [site::inner_v6(0), site::inner_v6(1)];
        let outside = [asks(&mut world, 0, inner[0]), asks(&mut world, 1, inner[1])];
        assert!(world.sends(0, &Ip::new(inner[0], outside[1]).udp(1, 2, b"hello")).is_empty());
        let wanted = Ip { hop_limit: 63, ..Ip::new(outside[0], inner[1]) };
        assert_eq!(world.got(1), [wanted.udp(1, 2, b"hello")], "RFC 6296 3.6");
        assert!(world.sends(0, &Ip::new(known(0), known(1)).udp(1, 2, b"hello")).is_empty());
        let wanted = Ip { hop_limit: 63, ..Ip::new(known(0), known(1)) };
        assert_eq!(world.got(1), [wanted.udp(1, 2, b"hello")]);
        world.end();
    }
}

/// An ICMPv6 error about this packet.
fn error_about(ip: Ip, error: Error, offender: &[u8]) -> Vec<u8> {
    let mut message = vec![0; icmp::HEADER_LEN + offender.len()];
    let len =
        icmp::v6::emit_error(&mut message, error, v6(ip.source), v6(ip.destination), offender);
    ip.packet(icmp::v6::PROTOCOL, &message[..len.unwrap()])
}

/// Who sends an ICMPv6 error to whom, the message, and what it quotes; the checksum is right.
fn error(packet: &[u8]) -> (Outline, icmp::Located, ipv6::Located, Vec<u8>) {
    let outline = packets::outline(packet).unwrap();
    let message = &packet[outline.payload_offset..outline.len];
    let located = icmp::v6::parse(v6(outline.source), v6(outline.destination), message).unwrap();
    assert!(located.is_error_v6(), "{located:?}");
    let quote = message[icmp::HEADER_LEN..].to_vec();
    (outline, located, ipv6::parse_quoted(&quote).unwrap(), quote)
}

#[test]
fn errors_are_about_what_their_reader_has_sent() {
    let router = Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 1);
    for workers in [1, 2] {
        let mut world = world(workers, 2);
        for from in [site::inner_v6(1), known(1)] {
            let sent =
                world.sends_one(1, &Ip::new(from, STRANGER_V6).udp(ASKS, ASKED, b"a question"));
            let outside = v6(packets::outline(&sent).unwrap().source);
            let what = Error::PacketTooBig { mtu: 1300 };
            world.arrives(0, &error_about(Ip::new(router, outside), what, &sent));
            let got = world.got(1);
            let (outline, message, quoted, _) = error(&got[0]);
            assert_eq!((outline.source, outline.destination), (router.into(), from.into()));
            assert_eq!(message.mtu_v6(), Some(1300));
            assert_eq!((quoted.source, quoted.destination), (from, STRANGER_V6));

            world.arrives(1, &Ip::new(STRANGER_V6, outside).udp(ASKED, ASKS, b"an answer"));
            let got = world.got(1);
            let about = error_about(Ip::new(from, STRANGER_V6), Error::PortUnreachable, &got[0]);
            let sent = world.sends_one(1, &about);
            let (outline, _, quoted, _) = error(&sent);
            assert_eq!(outline.source, outside);
            assert_eq!((quoted.source, quoted.destination), (STRANGER_V6, outside));
        }
        world.end();
    }
}

#[test]
fn who_sends_what_does_not_go_on_hears_of_it_as_he_has_sent_it() {
    for workers in [1, 2] {
        let mut world = world(workers, 2);
        let outside = asks(&mut world, 1, site::inner_v6(1));
        for to in [outside, known(1)] {
            let long = Ip::new(STRANGER_V6, to).udp(ASKED, ASKS, &[7; 1421 - 48]);
            let late = Ip { hop_limit: 1, ..Ip::new(STRANGER_V6, to) }.udp(ASKED, ASKS, b"late");
            for (packet, mtu) in [(long, Some(1420)), (late, None)] {
                world.arrives(0, &packet);
                let left = world.left();
                let (outline, message, _, quote) = error(&left[0]);
                assert_eq!(outline.source, site::SERVER_V6);
                assert_eq!(outline.destination, STRANGER_V6);
                assert_eq!(message.mtu_v6(), mtu);
                assert_eq!(quote, packet[..quote.len()], "nothing inner is told");
            }
        }
        world.end();
    }
}

#[test]
fn nobody_else_s_addresses_go_out_and_what_comes_for_nobody_does_not_go_back() {
    let mut world = world(2, 1);
    let nobody = Ipv6Addr::from_bits(UNTRANSLATED.to_bits() | 0xffff);
    let inner_nobody = Ipv6Addr::from_bits(OUTSIDE_V6.to_bits() | 0xffff);
    for to in [nobody, inner_nobody] {
        world.arrives(1, &Ip::new(STRANGER_V6, to).udp(ASKED, ASKS, b"are you there?"));
        assert!(world.left().is_empty(), "there is a route to the Internet, and it is not taken");
    }
    assert_eq!(world.dropped(DropReason::EgressNatUnknown), 2);
    // Clients' own addresses come from clients alone.
    world.arrives(0, &Ip::new(known(0), known(0)).udp(ASKED, ASKS, b"it is you"));
    world.arrives(0, &Ip::new(nobody, known(0)).udp(ASKED, ASKS, b"it is you"));
    assert_eq!(world.dropped(DropReason::ParseIpSource), 2);
    assert_eq!(world.got(0), Vec::<Vec<u8>>::new());
    // The kernel's other addresses are not the Internet's.
    let packet = Ip::new(site::BEHIND_V6, STRANGER_V6).udp(1, 2, b"");
    world.scene.put(server::LOCAL, &packets::from_local(&packet));
    world.scene.settle();
    assert_eq!(world.dropped(DropReason::EgressNoNat), 1);
    world.end();
}

#[test]
fn this_machine_is_known_outside_as_well() {
    let mut world = world(2, 1);
    let packet = Ip::new(site::LOCAL_V6, STRANGER_V6).udp(ASKS, ASKED, b"a question");
    world.scene.put(server::LOCAL, &packets::from_local(&packet));
    world.scene.settle();
    let left = world.left();
    let (outline, _) = ends(&left[0]);
    world.arrives(1, &Ip::new(STRANGER_V6, outline.source).udp(ASKED, ASKS, b"an answer"));
    let strays = world.scene.strays();
    let (place, frame) = &strays[0];
    assert!(matches!(place, server::Place::Local { .. }));
    let (_, to, _) = packets::datagram_in(frame).unwrap();
    assert_eq!(to, (site::LOCAL_V6, ASKS).into());
    world.end();
}
