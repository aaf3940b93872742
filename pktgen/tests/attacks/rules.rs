//! What the dos stage is told for the attacks that it shall see: a tenant, and the rule that each attack breaks.
#![expect(clippy::wildcard_enum_match_arm, reason = "few attacks need a rule of their own")]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use dataplane::testing::packets;
use dataplane::testing::scene::Scene as World;
use dataplane::testing::server::{Place, WIRE};
use ipnet::IpNet;
use pktgen::attack::{Attack, Scene};
use shm::message::{
    Check, Class, Instruction, Item, Matter, Mode, NextHop, Per, Reach, Rule, SynGuard, Tenant,
    Unit,
};

/// The tenant's prefixes, behind the server's kernel.
const TENANT_V4: (Ipv4Addr, u8) = (Ipv4Addr::new(198, 51, 101, 0), 24);
const TENANT_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0), 48);
const ID: u32 = 1;
const RULE: u32 = 7;
const HOP: u32 = 9;

/// After which a tenant's flows are all known.
const LEARNED: Duration = Duration::from_secs(31);

/// Frames that limits of one packet let pass: one for each of the two families.
pub(crate) const WARM_UP: usize = 64;

/// Has attackers know the tenant.
pub(crate) fn show(scene: &mut Scene) {
    (scene.tenant_v4, scene.tenant_v6) = (Some(TENANT_V4), Some(TENANT_V6));
}

/// Tells the server of its tenant and of the rule that the attack breaks.
pub(crate) fn tell(world: &mut World, attack: Attack) {
    let mut items = vec![Item::NextHop { id: HOP, hop: NextHop::Local }];
    for prefix in prefixes() {
        items.push(Item::Route { prefix, next_hop: HOP });
    }
    items.push(Item::Tenant(Box::new(tenant(attack))));
    if let Some((reach, matter)) = matter(attack) {
        let (id, mode) = (RULE, Mode::Enforce);
        items.push(Item::Rule(Box::new(Rule { id, mode, reach, expires: None, matter })));
    }
    if attack == Attack::DosBlocked {
        let prefixes = ["198.18.0.0/15", "2001:2::/48"].map(|net| net.parse().unwrap());
        items.push(Item::Listed { rule: RULE, prefixes: prefixes.to_vec() });
    }
    world.change(items);
    if attack == Attack::DosState {
        world.wait(LEARNED);
    }
}

/// How many frames pass before each further one is lost.
pub(crate) fn warm_up(attack: Attack) -> usize {
    match attack {
        Attack::DosSourceLimit | Attack::DosDestinationLimit | Attack::DosBudget => WARM_UP,
        _ => 0,
    }
}

fn prefixes() -> [IpNet; 2] {
    let v4 = IpNet::new(TENANT_V4.0.into(), TENANT_V4.1).unwrap();
    [v4, IpNet::new(TENANT_V6.0.into(), TENANT_V6.1).unwrap()]
}

fn tenant(attack: Attack) -> Tenant {
    let guards = attack == Attack::DosSyn;
    Tenant {
        id: ID,
        mode: Mode::Enforce,
        syn: if guards { SynGuard::FirstDrop } else { SynGuard::Off },
        syn_above: 0,
        flows: attack == Attack::DosState,
        out_of_state: 0,
        prefixes: prefixes().to_vec(),
    }
}

/// What the rule is that the attack breaks, where the built-in checks and the tenant do not suffice.
fn matter(attack: Attack) -> Option<(Reach, Matter)> {
    let (tenant, all) = (Reach::Tenant(ID), Reach::All);
    let limit = |per, class| {
        let unit = Unit::Packets;
        (tenant, Matter::Limit { per, class, unit, per_second: 1, burst: 1 })
    };
    let (v4_len, v6_len) = (32, 128);
    Some(match attack {
        Attack::DosBogon => (tenant, Matter::Check(Check::Bogon)),
        Attack::DosReflection => (tenant, Matter::Check(Check::Reflection)),
        Attack::DosBlocked => (all, Matter::Block),
        Attack::DosSignature => (all, Matter::Signature(signature())),
        Attack::DosSourceLimit => limit(Per::Source { v4_len, v6_len }, Class::Udp),
        Attack::DosDestinationLimit => limit(Per::Destination { v4_len, v6_len }, Class::Udp),
        Attack::DosBudget => limit(Per::Whole, Class::Icmp),
        _ => return None,
    })
}

/// `udp and src port 4321 and length 341 without the IP header`, as libpcap would say it.
fn signature() -> Vec<Instruction> {
    let op = |code, k| Instruction { code, jt: 0, jf: 0, k };
    let unless = |k, jf| Instruction { code: 0x15, jt: 0, jf, k };
    vec![
        op(0x30, 0),
        op(0x74, 4),
        unless(4, 8),
        // IPv4: protocol, total length, then the port behind the header.
        op(0x30, 9),
        unless(17, 13),
        op(0x28, 2),
        unless(361, 11),
        op(0xb1, 0),
        op(0x48, 0),
        unless(4_321, 8),
        op(0x06, 1),
        // IPv6: version, next header, payload length, port.
        unless(6, 6),
        op(0x30, 6),
        unless(17, 4),
        op(0x28, 4),
        unless(341, 2),
        op(0x28, 40),
        Instruction { code: 0x15, jt: 1, jf: 0, k: 4_321 },
        op(0x06, 0),
        op(0x06, 1),
    ]
}

/// Whether a datagram of an honest client gets to the tenant.
pub(crate) fn passes(world: &mut World) -> bool {
    let from: SocketAddr = "198.51.102.9:5000".parse().unwrap();
    let to: SocketAddr = "198.51.101.200:8000".parse().unwrap();
    drop(world.strays());
    world.put(WIRE, &packets::datagram(from, to, b"does it pass?"));
    world.settle();
    let is_it = |octets: &[u8]| {
        packets::datagram_in(octets)
            .is_some_and(|found| found == (from, to, b"does it pass?".as_slice()))
    };
    let strays = world.strays();
    strays.iter().any(|(place, octets)| matches!(place, Place::Local { .. }) && is_it(octets))
}
