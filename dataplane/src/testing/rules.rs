//! For each reason of the filter to drop a packet: what control says, and the packet.
#![expect(
    clippy::wildcard_enum_match_arm,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "tests ask for reasons of the filter, with packets that fit"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use shm::message::{
    Check, Class, Instruction, Item, Matter, Mode, Per, Reach, Rule, SynGuard, Tenant, Unit,
};
use wire::tcp::{self, Flags};

use super::packets::Ip;
use super::site;
use crate::fate::DropReason as Why;

/// Where strangers send from.
pub const STRANGER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 250);
/// The same in IPv6.
pub const STRANGER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 9);
/// An address of the tenant.
pub const PROTECTED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
/// The same in IPv6.
pub const PROTECTED_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x7e, 0, 0, 0, 0, 7);

/// Whether only the second of two such packets is dropped.
pub fn is_limit(reason: Why) -> bool {
    matches!(reason, Why::DosSourceLimit | Why::DosDestinationLimit | Why::DosBudget)
}

/// What control says for the packet to be dropped.
pub fn rules(reason: Why) -> Vec<Item> {
    let limit = |per| Matter::Limit {
        per,
        class: Class::Udp,
        unit: Unit::Packets,
        per_second: 1,
        burst: 1,
    };
    let (v4_len, v6_len) = (32, 64);
    let matter = match reason {
        Why::DosBogon => Matter::Check(Check::Bogon),
        Why::DosReflection => Matter::Check(Check::Reflection),
        Why::DosBlocked => Matter::Block,
        Why::DosSignature => {
            Matter::Signature(vec![Instruction { code: 6, jt: 0, jf: 0, k: u32::MAX }])
        }
        Why::DosSourceLimit => limit(Per::Source { v4_len, v6_len }),
        Why::DosDestinationLimit => limit(Per::Destination { v4_len, v6_len }),
        Why::DosBudget => limit(Per::Whole),
        Why::DosLand => return vec![tenant(SynGuard::Off, false)],
        Why::DosSyn => return vec![tenant(SynGuard::FirstDrop, false)],
        Why::DosState => return vec![tenant(SynGuard::Off, true)],
        _ => return Vec::new(),
    };
    let rule = Rule { id: 7, mode: Mode::Enforce, reach: Reach::Own, expires: None, matter };
    let mut items = vec![Item::Rule(Box::new(rule))];
    if reason == Why::DosBlocked {
        let prefixes = vec![IpAddr::from(STRANGER).into()];
        items.push(Item::Listed { rule: 7, prefixes });
    }
    items
}

/// The tenant of [`PROTECTED`].
pub fn tenant(syn: SynGuard, flows: bool) -> Item {
    let net = |address: IpAddr, len| IpNet::new(address, len).expect("it fits").trunc();
    Item::Tenant(Box::new(Tenant {
        id: 9,
        mode: Mode::Enforce,
        syn,
        syn_above: 0,
        flows,
        out_of_state: 0,
        prefixes: vec![net(PROTECTED.into(), 24), net(PROTECTED_V6.into(), 64)],
    }))
}

/// What takes it back.
pub fn undone(item: &Item) -> Option<Item> {
    match item {
        Item::Rule(rule) => Some(Item::RuleRemove(rule.id)),
        Item::Tenant(tenant) => Some(Item::TenantRemove(tenant.id)),
        _ => None,
    }
}

/// The packet that is dropped then, from its IP header on.
pub fn packet(reason: Why) -> Vec<u8> {
    let ours = Ip::new(STRANGER, site::SERVER_V4);
    let theirs = |source: Ipv4Addr| Ip::new(source, PROTECTED);
    match reason {
        Why::DosFragment => {
            let mut packet = ours.packet(tcp::PROTOCOL, &[0; 8]);
            more_fragments(&mut packet);
            packet
        }
        Why::DosTransport => ours.packet(tcp::PROTOCOL, &[0x11; tcp::HEADER_LEN - 1]),
        Why::DosFlags => segment(ours, Flags::SYN | Flags::FIN),
        Why::DosLand => theirs(PROTECTED).udp(1000, 2000, b"land"),
        Why::DosBogon => Ip::new(Ipv4Addr::new(10, 9, 8, 7), site::SERVER_V4).udp(1, 2, b""),
        Why::DosReflection => ours.udp(53, 2000, b"an answer"),
        Why::DosSyn => segment(theirs(STRANGER), Flags::SYN),
        Why::DosState => segment(theirs(STRANGER), Flags::ACK),
        _ => ours.udp(1000, 2000, b"a datagram"),
    }
}

/// A segment to port 443 without data.
pub fn segment(ip: Ip, flags: Flags) -> Vec<u8> {
    let fields = tcp::Fields {
        source_port: 1000,
        destination_port: 443,
        sequence_number: 1,
        acknowledgment_number: 2,
        flags,
        window: 1000,
    };
    ip.tcp(&fields, &[], &[])
}

/// Marks an IPv4 packet as the first of several fragments, checksum and all.
fn more_fragments(packet: &mut [u8]) {
    let header = packet.get_mut(..wire::ipv4::HEADER_LEN).expect("it has a header");
    let mut set = |at: usize, octets: [u8; 2]| {
        header.get_mut(at..at + 2).expect("it lies within").copy_from_slice(&octets);
        wire::checksum::Sum::of(header).finish().to_be_bytes()
    };
    set(6, [0x20, 0]);
    let sum = set(10, [0; 2]);
    set(10, sum);
}
