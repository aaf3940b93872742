//! The golden scenes of tenants' tunnels: every header that GRE can have, both ways, and what is refused.

use dataplane::fate::DropReason;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::{PROTECTED, PROTECTED_V6, STRANGER, STRANGER_V6};
use dataplane::testing::site::{self, Plan};
use dataplane::testing::transit::{self, ROUTER, ROUTER_V6, plain, tunnel};
use shm::message::{DontFragment, Item, Tunnel};
use wire::gre;

use super::Stage;
use crate::case::{self, Case};

/// Tunnels with each of the optional fields, over either family, by the names of their cases.
const TUNNELS: [(&str, &str); 6] = [
    ("gre_plain", "GRE over IPv4 without optional fields."),
    ("gre_key", "GRE over IPv4 with a key."),
    ("gre_checksum", "GRE over IPv4 with a checksum, which nobody sends unless asked to."),
    ("gre_key_and_checksum", "GRE over IPv4 with checksum and key, in this order."),
    ("gre_over_v6", "GRE over IPv6, whose flow label tells flows apart."),
    ("gre_over_v6_key_and_checksum", "GRE over IPv6 with checksum and key."),
];

/// What control says of the tenant whose case has this name.
pub(crate) fn items(name: &str) -> Option<Vec<Item>> {
    if let Some(reason) = REFUSED.iter().find(|(reason, _)| reason.name() == name) {
        return Some(transit::rules(reason.0));
    }
    let dont_fragment =
        if name == "gre_cleared" { DontFragment::Clear } else { DontFragment::Honour };
    let tunnel = Tunnel {
        key: name.contains("_key").then_some(0x0708_090a),
        checksum: name.contains("checksum"),
        dont_fragment,
        ..tunnel(1)
    };
    let over_v6 =
        Tunnel { local: site::SERVER_V6.into(), remote: ROUTER_V6.into(), ..tunnel.clone() };
    let tunnel = if name.contains("over_v6") { over_v6 } else { tunnel };
    if !name.starts_with("gre_") {
        return None;
    }
    let mut items = transit::tenant(tunnel, "");
    items.extend(transit::internet());
    Some(items)
}

pub(crate) fn all() -> Vec<Case> {
    let mut cases: Vec<_> = TUNNELS.iter().map(|(name, about)| both_ways(name, about)).collect();
    cases.extend([keepalive(), split(), cleared(), too_big(false), too_big(true), report()]);
    cases.extend(REFUSED.map(|(reason, about)| refused(reason, about)));
    cases
}

fn stage(name: &str) -> Stage {
    let mut stage = Stage::new(&Plan::new(1));
    stage.scene.change(case::rules(name));
    stage
}

impl Stage {
    /// This comes from the network.
    pub(crate) fn arrive(&mut self, packet: &[u8]) {
        self.scene.arrive(packet);
        self.later();
    }
}

/// A packet of each family into the tunnel, and answers out of it, with and without a sequence number.
fn both_ways(name: &str, about: &str) -> Case {
    let mut stage = stage(name);
    let key = name.contains("_key").then_some(0x0708_090a);
    let with_checksum = name.contains("checksum");
    stage.arrive(&Ip { tos: 0xb8, ..Ip::new(STRANGER, PROTECTED) }.udp(4000, 53, b"a question"));
    stage.arrive(&Ip { tos: 2, ..Ip::new(STRANGER_V6, PROTECTED_V6) }.udp(4000, 53, b"another"));
    let v4 = Ip::new(PROTECTED, STRANGER).udp(53, 4000, b"an answer");
    let v6 = Ip::new(PROTECTED_V6, STRANGER_V6).udp(53, 4000, b"another");
    for (inner, sequence) in [(&v4, None), (&v6, None), (&v4, Some(7)), (&v6, Some(8))] {
        let fields = gre::Fields { key, sequence, with_checksum, ..plain(inner) };
        let outer = if name.contains("over_v6") {
            Ip::new(ROUTER_V6, site::SERVER_V6)
        } else {
            Ip::new(ROUTER, site::SERVER_V4)
        };
        stage.arrive(&transit::wrapped(outer, &fields, inner));
    }
    stage.end(name, about).under(name)
}

fn keepalive() -> Case {
    let mut stage = stage("gre_keepalive");
    let inside = Ip::new(site::SERVER_V4, ROUTER).packet(gre::PROTOCOL, &[0; 4]);
    stage.arrive(&transit::from_router(&plain(&inside), &inside));
    let about = "A keepalive bears its own answer, which goes back to the router.";
    stage.end("gre_keepalive", about).under("gre_keepalive")
}

/// A packet that is one octet too long for its tunnel.
fn long(may_fragment: bool) -> Vec<u8> {
    let mut packet = Ip::new(STRANGER, PROTECTED).udp(4000, 53, &[b'x'; 1477 - 28]);
    if may_fragment {
        transit::fragment(&mut packet, 9, 0, false);
    }
    packet
}

fn split() -> Case {
    let mut stage = stage("gre_split");
    stage.arrive(&long(true));
    let about = "A packet that is too long for its tunnel and may be fragmented goes in two parts.";
    stage.end("gre_split", about).under("gre_split")
}

fn cleared() -> Case {
    let mut stage = stage("gre_cleared");
    stage.arrive(&long(false));
    let about =
        "A tunnel that clears the bit fragments what must not be, and outer packets may be.";
    stage.end("gre_cleared", about).under("gre_cleared")
}

fn too_big(is_v6: bool) -> Case {
    let name = if is_v6 { "gre_too_big_v6" } else { "gre_too_big_v4" };
    let mut stage = stage(name);
    if is_v6 {
        stage.arrive(&Ip::new(STRANGER_V6, PROTECTED_V6).udp(4000, 53, &[b'x'; 1477 - 48]));
    } else {
        stage.arrive(&long(false));
    }
    let about =
        "What is too long for its tunnel is answered with what fits, from our outer address.";
    stage.end(name, about).under(name)
}

fn report() -> Case {
    let mut stage = stage("gre_report");
    let question = Ip::new(STRANGER, PROTECTED).udp(4000, 53, &[b'x'; 1300]);
    stage.arrive(&question);
    let last = stage.scene.seen.iter().rfind(|seen| seen.is_output).unwrap();
    let outer = packets::packet_in(&last.octets).unwrap().1[..128].to_vec();
    let error = wire::icmp::v4::Error::FragmentationNeeded { mtu: 1300 };
    let on_the_way = std::net::Ipv4Addr::new(198, 51, 100, 99);
    stage.arrive(&Ip::new(on_the_way, site::SERVER_V4).error_about(error, &outer));
    stage.arrive(&question);
    let about =
        "A router on the tunnel's way takes less: the sender is told what fits, and told again.";
    stage.end("gre_report", about).under("gre_report")
}

/// What is refused of packets to the tenant and from its router.
const REFUSED: [(DropReason, &str); 9] = [
    (DropReason::TenantFragment, "The same fragment twice; the first goes on waiting."),
    (DropReason::TenantRule, "A datagram that a rule of its tenant drops."),
    (DropReason::TenantPolicy, "A datagram that no rule of its tenant accepts."),
    (DropReason::EgressGreHeader, "GRE of version 1, which is another protocol."),
    (DropReason::EgressGreTunnel, "GRE with a key that its tunnel does not have."),
    (DropReason::EgressGrePayload, "GRE around what is no packet."),
    (
        DropReason::EgressGreSource,
        "A packet out of a tunnel from an address that is not its tenant's.",
    ),
    (DropReason::EgressGreRecursion, "GRE to us in GRE to us."),
    (DropReason::EgressGreEcn, "Congestion outside, where the packet inside cannot say so."),
];

fn refused(reason: DropReason, about: &str) -> Case {
    let mut stage = stage(reason.name());
    for packet in transit::packets(reason) {
        stage.arrive(&packet);
    }
    stage.end(reason.name(), about).under(reason.name())
}
