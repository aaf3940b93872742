//! Frames from the network: packets to the tenant, and what its routers send, each of a flow of its own.

use std::net::Ipv4Addr;

use dataplane::testing::packets::{self, Ip};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use wire::tcp::{self, Flags};
use wire::{gre, ipv4, udp};

use super::servers::{KIND, ROUTERS, TENANT};
use crate::rules::packets::Packet;
use crate::rules::rulesets::TCP;
use crate::service::client::{GATEWAY_LINK, PORT_LINK, SERVER};

/// Which packets come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Inside {
    /// To the tenant, and only the last of so many rules holds it.
    Last(u32),
    /// To the tenant, drawn from a random one of so many rules.
    Any(u32),
    /// From the tenant to the Internet, in GRE.
    Reply,
}

/// How many frames of a kind are made. Bursts are copies of them, so that making them leaves the caches to what is measured.
pub(crate) const FRAMES: usize = 1024;

/// Frames of a kind, with so many octets inside.
pub(crate) fn made(inside: Inside, len: usize, random: &mut ChaCha8Rng) -> Vec<Vec<u8>> {
    let mut frame = || packets::frame(PORT_LINK, GATEWAY_LINK, None, &packet(inside, len, random));
    std::iter::repeat_with(&mut frame).take(FRAMES).collect()
}

fn packet(inside: Inside, len: usize, random: &mut ChaCha8Rng) -> Vec<u8> {
    // One that somebody on the Internet may have: those for benchmarks would be counted as bogons. Nothing leaves memory.
    let stranger = Ipv4Addr::new(11, 18, 0, 0).to_bits() | random.next_u32() & 0x1_ffff;
    let (place, count) = match inside {
        Inside::Last(count) => (count - 1, count),
        Inside::Any(count) => (random.next_u32() % count, count),
        Inside::Reply => (0, 2),
    };
    let rule = KIND.rule(TENANT, (place, count));
    let drawn = Packet::drawn([&rule; 5], random);
    // Nothing comes from port 0.
    let to_tenant = Packet { source: stranger, source_port: drawn.source_port.max(1), ..drawn };
    match inside {
        Inside::Last(_) | Inside::Any(_) => octets(&to_tenant, len),
        Inside::Reply => {
            let from_tenant = Packet {
                source: to_tenant.destination,
                destination: to_tenant.source,
                source_port: to_tenant.destination_port,
                destination_port: to_tenant.source_port,
                ..to_tenant
            };
            in_gre(&octets(&from_tenant, len), random)
        }
    }
}

/// A packet of this many octets.
fn octets(packet: &Packet, len: usize) -> Vec<u8> {
    let from = Ipv4Addr::from_bits(packet.source);
    let ip = Ip::new(from, Ipv4Addr::from_bits(packet.destination));
    let (source_port, destination_port) = (packet.source_port, packet.destination_port);
    if packet.protocol == TCP {
        let fields = tcp::Fields {
            source_port,
            destination_port,
            sequence_number: 1,
            acknowledgment_number: 1,
            flags: Flags::ACK,
            window: 1_000,
        };
        return ip.tcp(&fields, &[], &vec![0; len - ipv4::HEADER_LEN - tcp::HEADER_LEN]);
    }
    let payload = vec![0; len - ipv4::HEADER_LEN - udp::HEADER_LEN];
    ip.udp(source_port, destination_port, &payload)
}

/// The packet as one of the tenant's routers sends it.
pub(crate) fn in_gre(inner: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let protocol = ipv4::ETHERTYPE;
    let fields = gre::Fields { protocol, key: None, sequence: None, with_checksum: false };
    let mut payload = vec![0; fields.header_len()];
    payload.extend(inner);
    let router = ROUTERS.get(random.next_u32() as usize % ROUTERS.len());
    let written = gre::emit(&mut payload, &fields);
    debug_assert!(written.is_ok(), "room was made for the header");
    Ip::new(router.copied().unwrap_or(SERVER), SERVER).packet(gre::PROTOCOL, &payload)
}
