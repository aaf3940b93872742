//! Packets that no rule lets through: each rule is made, meets its packet, and is taken back.
#![expect(clippy::wildcard_enum_match_arm, reason = "the root of the test sorts the reasons")]

use std::net::Ipv4Addr;

use dataplane::counters::Totals;
use dataplane::fate::DropReason as Why;
use dataplane::limits::FLOWS_WARM_UP;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::scene::Scene;
use dataplane::testing::server::WIRE;
use dataplane::testing::site;
use ipnet::IpNet;
use shm::message::{
    Check, Class, Instruction, Item, Matter, Mode, Per, Reach, Rule, SynGuard, Tenant, Unit,
};
use wire::tcp::{self, Flags};

/// Where strangers send from, and an address of the tenant.
const STRANGER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 250);
const PROTECTED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

pub(super) fn provoke(reason: Why, scene: &mut Scene) -> Totals {
    let items = rules(reason);
    if !items.is_empty() {
        let now = scene.now;
        scene.server.change(items.clone(), now);
    }
    if reason == Why::DosState {
        scene.wait(FLOWS_WARM_UP);
    }
    let limited = matches!(reason, Why::DosSourceLimit | Why::DosDestinationLimit | Why::DosBudget);
    if limited {
        put(scene, &packet(reason));
    }
    let before = scene.server.totals();
    put(scene, &packet(reason));
    let back: Vec<Item> = items.iter().filter_map(undone).collect();
    if !back.is_empty() {
        let now = scene.now;
        scene.server.change(back, now);
    }
    before
}

fn put(scene: &mut Scene, packet: &[u8]) {
    scene.put(WIRE, &packets::from_gateway(packet));
    scene.settle();
}

/// What control says for the packet to be dropped.
fn rules(reason: Why) -> Vec<Item> {
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
        let prefixes = vec![IpNet::new(STRANGER.into(), 24).unwrap().trunc()];
        items.push(Item::Listed { rule: 7, prefixes });
    }
    items
}

fn tenant(syn: SynGuard, flows: bool) -> Item {
    Item::Tenant(Box::new(Tenant {
        id: 9,
        mode: Mode::Enforce,
        syn,
        syn_above: 0,
        flows,
        out_of_state: 0,
        prefixes: vec![IpNet::new(PROTECTED.into(), 24).unwrap().trunc()],
    }))
}

fn undone(item: &Item) -> Option<Item> {
    match item {
        Item::Rule(rule) => Some(Item::RuleRemove(rule.id)),
        Item::Tenant(tenant) => Some(Item::TenantRemove(tenant.id)),
        _ => None,
    }
}

fn packet(reason: Why) -> Vec<u8> {
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

fn segment(ip: Ip, flags: Flags) -> Vec<u8> {
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
    packet[6] = 0x20;
    packet[10..12].fill(0);
    let sum = wire::checksum::Sum::of(&packet[..20]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}
