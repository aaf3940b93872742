//! Frames that are refused by their outer headers.
#![expect(clippy::wildcard_enum_match_arm, reason = "the root of the test sorts the reasons")]

use dataplane::counters::Totals;
use dataplane::fate::DropReason as Why;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::scene::Scene;
use dataplane::testing::server::WIRE;
use dataplane::testing::site;
use wire::{ipv4, ipv6, udp};

const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;

/// Puts one bad frame in.
pub(super) fn provoke(reason: Why, scene: &mut Scene) -> Totals {
    let before = scene.server.totals();
    scene.server.put_as(WIRE, &bad(reason), |packet| packet.whole = reason != Why::ParseSegmented);
    scene.settle();
    before
}

fn gateway_v4() -> Ip {
    Ip::new(site::GATEWAY_V4, site::SERVER_V4)
}

fn gateway_v6() -> Ip {
    Ip::new(site::GATEWAY_V6, site::SERVER_V6)
}

fn bad(reason: Why) -> Vec<u8> {
    let good = gateway_v4().udp(1000, site::LISTEN_PORT, b"no message");
    let us = site::port_link(0);
    let frame = |packet: &[u8]| packets::frame(us, site::GATEWAY, None, packet);
    let with = |offset: usize, octet: u8| {
        let mut packet = good.clone();
        packet[offset] = octet;
        frame(&packet)
    };
    match reason {
        Why::ParseSegmented => frame(&good),
        Why::ParseTruncated => frame(&good)[..10].to_vec(),
        Why::ParseForeignStation => packets::frame([2, 9, 9, 9, 9, 9], site::GATEWAY, None, &good),
        Why::ParseVlan => packets::frame(us, site::GATEWAY, Some(7), &good),
        Why::ParseNeighbourMessage => {
            packets::arp_request((site::GATEWAY, site::GATEWAY_V4), site::SERVER_V4)[..30].to_vec()
        }
        Why::ParseIpVersion => packets::frame_of(us, site::GATEWAY, (None, ipv6::ETHERTYPE), &good),
        Why::ParseIpHeaderLength => with(0, 0x44),
        Why::ParseIpTotalLength => frame(&good[..good.len() - 1]),
        Why::ParseIpChecksum => with(8, 1),
        Why::ParseIpExtension => frame(
            &gateway_v6()
                .packet(ROUTING, &[udp::PROTOCOL, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ),
        Why::ParseIpSource => {
            let martian = Ip { source: [127, 0, 0, 1].into(), ..gateway_v4() };
            frame(&martian.udp(1000, site::LISTEN_PORT, b"no message"))
        }
        Why::ParseForeignAddress => {
            let foreign = Ip { destination: [192, 0, 2, 77].into(), ..gateway_v4() };
            frame(&foreign.udp(1000, site::LISTEN_PORT, b"no message"))
        }
        Why::ParseFragment => {
            let first = [udp::PROTOCOL, 0, 0, 1, 0, 0, 0, 9, 3, 0xe8, 0xca, 0x6c, 0, 16, 0, 0];
            frame(&gateway_v6().packet(FRAGMENT, &first))
        }
        Why::ParseUdpLength => {
            frame(&gateway_v4().packet(udp::PROTOCOL, &[3, 0xe8, 0xca, 0x6c, 0, 4, 0, 0]))
        }
        Why::ParseUdpChecksum => with(ipv4::HEADER_LEN + udp::HEADER_LEN, b'N'),
        Why::ParseNoKernel => frame(&gateway_v4().echo(1, b"anybody?")),
        other => panic!("{other:?} is provoked elsewhere"),
    }
}
