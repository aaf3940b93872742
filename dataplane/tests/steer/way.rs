//! What the way between servers does to what travels on it: it is only so wide, and it may be congested.

use std::net::IpAddr;

use dataplane::fate::DropReason;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::server::{LOCAL, WIRE};
use dataplane::testing::site;
use wire::{icmp, ipv4, ipv6, udp};

use super::{astray, id, with_id};

#[test]
fn a_client_is_told_when_its_packets_do_not_fit_the_way_to_its_server() {
    for is_v6 in [false, true] {
        let (mut link, owner, landing) = astray(with_id(), is_v6, 1);
        assert!(link.reaches(0, owner));
        let client = link.clients[0].address;
        let server = site::server(client.ip());
        let sealed = link.sealed_message(owner, id(0), 1440);
        let packet = Ip::new(client.ip(), server.ip()).udp(client.port(), server.port(), &sealed);
        link.servers[landing].put(WIRE, &packets::from_gateway(&packet));
        link.settle();
        let strays = link.strays(landing);
        let (outline, error) =
            strays.iter().find_map(|(_, octets)| packets::packet_in(octets)).unwrap();
        assert_eq!((outline.source, outline.destination), (server.ip(), client.ip()));
        let message = &error[outline.payload_offset..];
        // The way is 1500 octets wide, and its headers take 40.
        let mtu = if is_v6 {
            let to = (site::SERVER_V6, client.ip());
            let IpAddr::V6(client) = to.1 else { unreachable!("it has IPv6") };
            icmp::v6::parse(to.0, client, message).unwrap().mtu_v6()
        } else {
            icmp::v4::parse(message).unwrap().mtu_v4().map(u32::from)
        };
        assert_eq!(mtu, Some(1460));
        assert!(message.windows(64).any(|part| packet.starts_with(part)), "it quotes the packet");
        assert_eq!(link.totals(owner).passed_here, link.totals(landing).passed_on);
        link.close();
    }
}

#[test]
fn inner_packets_are_small_enough_for_the_way_between_servers() {
    let (mut link, owner, landing) = astray(with_id(), false, 1);
    assert!(link.reaches(0, owner));
    let inner_mtu = 1500 - 60 - 80;
    let headers = ipv4::HEADER_LEN + udp::HEADER_LEN;
    let packet =
        |len: usize| Ip::new(site::BEHIND_V4, site::inner_v4(0)).udp(1, 2, &vec![7; len - headers]);
    link.servers[landing].put(LOCAL, &packets::from_local(&packet(inner_mtu)));
    link.settle();
    assert_eq!(link.clients[0].inbox.pop(), Some(packet(inner_mtu)));
    link.servers[landing].put(LOCAL, &packets::from_local(&packet(inner_mtu + 1)));
    link.settle();
    assert!(link.clients[0].inbox.is_empty());
    let answer = link.strays(landing);
    let (outline, error) = answer.iter().find_map(|(_, frame)| packets::packet_in(frame)).unwrap();
    let mtu = icmp::v4::parse(&error[outline.payload_offset..]).unwrap().mtu_v4();
    assert_eq!(mtu.map(usize::from), Some(inner_mtu));
    link.close();
}

#[test]
fn congestion_between_servers_reaches_the_inner_packet() {
    let (mut link, owner, _) = astray(with_id(), false, 1);
    assert!(link.reaches(0, owner));
    link.congested = true;
    let inner = Ip { tos: 0b10, ..Ip::new(site::inner_v4(0), site::LOCAL_V4) }.echo(1, b"ecn");
    link.tos = 0b10;
    link.send(0, &inner);
    let delivered = link.strays(owner);
    let (_, packet) = delivered.iter().find_map(|(_, octets)| packets::packet_in(octets)).unwrap();
    assert_eq!(ipv4::parse(packet).unwrap().tos, 0b11);
}

#[test]
fn congestion_between_servers_reaches_a_packet_on_its_way_to_a_client() {
    for workers in [1, 2] {
        for is_v6 in [false, true] {
            let (mut link, owner, landing) = astray(with_id(), false, workers);
            assert!(link.reaches(0, owner));
            link.congested = true;
            let (from, to) = if is_v6 {
                (site::LOCAL_V6.into(), site::inner_v6(0).into())
            } else {
                (IpAddr::from(site::LOCAL_V4), IpAddr::from(site::inner_v4(0)))
            };
            for (tos, arrives) in [(0b10, Some(0b11)), (0b00, None)] {
                let packet = Ip { tos, ..Ip::new(from, to) }.echo(1, b"ecn");
                link.servers[landing].put(LOCAL, &packets::from_local(&packet));
                link.settle();
                let arrived = link.clients[0].inbox.pop();
                let tos = arrived.map(|packet| {
                    if is_v6 {
                        ipv6::parse(&packet).unwrap().traffic_class
                    } else {
                        ipv4::parse(&packet).unwrap().tos
                    }
                });
                assert_eq!(tos, arrives, "IPv6: {is_v6}, {workers} workers");
            }
            assert_eq!(link.totals(owner).dropped(DropReason::WireguardEcn), 1);
            link.close();
        }
    }
}

#[test]
fn no_icmp_error_is_sent_about_an_icmp_error_that_does_not_fit_the_way() {
    let (mut link, owner, landing) = astray(with_id(), false, 1);
    assert!(link.reaches(0, owner));
    let client = link.clients[0].address;
    let server = site::server(client.ip());
    let [a, b, c] = id(0).0;
    let quoted = Ip::new(server.ip(), client.ip()).udp(
        server.port(),
        client.port(),
        &[4, a, b, c, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    // Routers may quote all of a packet (RFC 1812 4.3.2.3), and append to it (RFC 4884).
    let message = [&[3, 0, 0, 0, 0, 0, 0, 0], quoted.as_slice(), &[0; 1400]].concat();
    let error = Ip::new(site::GATEWAY_V4, server.ip()).packet(icmp::v4::PROTOCOL, &message);
    link.servers[landing].put(WIRE, &packets::from_gateway(&error));
    link.settle();
    assert_eq!(link.totals(landing).dropped(DropReason::SteerTooBig), 1);
    assert!(link.strays(landing).is_empty());
    link.close();
}
