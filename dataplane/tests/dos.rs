//! Rules from control to the packet: what they match, whom they concern, how long they last, and what control hears.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use dataplane::fate::DropReason;
use dataplane::testing::client;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::scene::Scene;
use dataplane::testing::server::{Options, WIRE};
use dataplane::testing::site::{self, Plan};
use dataplane::testing::unix;
use ipnet::IpNet;
use shm::message::{
    Class, Item, Matter, Mode, NextHop, Per, PublicKey, Reach, Rule, SynGuard, Tenant, Unit,
};

const STRANGER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 250);
const PROTECTED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const TENANT: u32 = 40;

/// A server with a client, which is the way to a tenant's prefix.
fn stage() -> Scene {
    let mut scene = Scene::new(&Plan::new(2), Options::default());
    scene.join(false, client::Options::default());
    scene.join(false, client::Options::default());
    scene.send(0, &[]);
    scene.send(1, &[]);
    change(&mut scene, vec![tenant(Mode::Enforce)]);
    let key = PublicKey(site::peer(1).public_key.0);
    change(
        &mut scene,
        vec![
            Item::NextHop { id: 1, hop: NextHop::Client(key) },
            Item::Route { prefix: net(PROTECTED, 24), next_hop: 1 },
        ],
    );
    scene
}

fn change(scene: &mut Scene, items: Vec<Item>) {
    let now = scene.now;
    scene.server.change(items, now);
}

fn net(address: impl Into<IpAddr>, len: u8) -> IpNet {
    IpNet::new(address.into(), len).unwrap().trunc()
}

fn tenant(mode: Mode) -> Item {
    Item::Tenant(Box::new(Tenant {
        id: TENANT,
        mode,
        syn: SynGuard::Off,
        syn_above: 0,
        flows: false,
        out_of_state: 0,
        prefixes: vec![net(PROTECTED, 24)],
    }))
}

fn rule(id: u32, reach: Reach, matter: Matter) -> Rule {
    Rule { id, mode: Mode::Enforce, reach, expires: None, matter }
}

fn put(scene: &mut Scene, packet: &[u8]) {
    scene.put(WIRE, &packets::from_gateway(packet));
    scene.settle();
}

/// Whether a datagram to the tenant comes out at the client that is the way there.
fn passes(scene: &mut Scene, source: impl Into<IpAddr>) -> bool {
    let sealed = scene.server.totals().sealed;
    put(scene, &Ip::new(source, PROTECTED).udp(4000, 53, b"a question"));
    scene.server.totals().sealed == sealed + 1
}

fn dropped(scene: &Scene, reason: DropReason) -> u64 {
    scene.server.totals().dropped(reason)
}

#[test]
fn what_comes_to_a_tenant_goes_its_way() {
    let mut scene = stage();
    assert!(passes(&mut scene, STRANGER));
    let other = Ip::new(STRANGER, Ipv4Addr::new(203, 0, 114, 7)).udp(4000, 53, b"");
    put(&mut scene, &other);
    assert_eq!(dropped(&scene, DropReason::ParseForeignAddress), 1);
    change(&mut scene, vec![Item::TenantRemove(TENANT)]);
    assert!(!passes(&mut scene, STRANGER));
    assert_eq!(dropped(&scene, DropReason::ParseForeignAddress), 2);
}

#[test]
fn a_list_concerns_whom_it_reaches_and_an_allow_list_outdoes_it() {
    let mut scene = stage();
    let list = |id, reach, matter, address: Ipv4Addr, len| {
        vec![
            Item::Rule(Box::new(rule(id, reach, matter))),
            Item::Listed { rule: id, prefixes: vec![net(address, len)] },
        ]
    };
    change(&mut scene, list(1, Reach::Own, Matter::Block, STRANGER, 24));
    assert!(passes(&mut scene, STRANGER), "it is for our own addresses");
    change(&mut scene, list(2, Reach::Tenant(TENANT), Matter::Block, STRANGER, 16));
    assert!(!passes(&mut scene, STRANGER));
    assert_eq!(dropped(&scene, DropReason::DosBlocked), 1);
    change(&mut scene, list(3, Reach::All, Matter::Allow, STRANGER, 32));
    assert!(passes(&mut scene, STRANGER));
    assert!(!passes(&mut scene, Ipv4Addr::new(198, 51, 100, 251)), "others stay out");
    change(&mut scene, vec![Item::Unlisted { rule: 2, prefixes: vec![net(STRANGER, 16)] }]);
    assert!(passes(&mut scene, Ipv4Addr::new(198, 51, 100, 251)));
}

#[test]
fn nothing_of_a_tenant_in_monitor_mode_is_dropped() {
    let mut scene = stage();
    let all = vec![
        Item::Rule(Box::new(rule(1, Reach::All, Matter::Block))),
        Item::Listed { rule: 1, prefixes: vec![net(Ipv4Addr::UNSPECIFIED, 0)] },
    ];
    change(&mut scene, all);
    assert!(!passes(&mut scene, STRANGER));
    change(&mut scene, vec![tenant(Mode::Monitor)]);
    assert!(passes(&mut scene, STRANGER));
    put(&mut scene, &Ip::new(PROTECTED, PROTECTED).udp(1, 2, b"land"));
    assert_eq!(dropped(&scene, DropReason::DosLand), 0);
    change(&mut scene, vec![tenant(Mode::Enforce)]);
    assert!(!passes(&mut scene, STRANGER));
}

#[test]
fn a_rule_ends_with_its_time_though_control_is_silent() {
    let mut scene = stage();
    let regions = scene.server.open_border();
    let start = unix(scene.now);
    let expires = Some(Duration::from_secs(start.as_secs() + 5));
    let matter = Matter::Limit {
        per: Per::Source { v4_len: 32, v6_len: 64 },
        class: Class::Udp,
        unit: Unit::Packets,
        per_second: 1,
        burst: 1,
    };
    let limit = Rule { expires, ..rule(1, Reach::All, matter) };
    change(&mut scene, vec![Item::Rule(Box::new(limit))]);
    assert!(passes(&mut scene, STRANGER));
    assert!(!passes(&mut scene, STRANGER));
    assert!(passes(&mut scene, Ipv4Addr::new(198, 51, 100, 1)), "every source has its own");
    scene.wait(Duration::from_secs(6));
    assert!((0..5).all(|_| passes(&mut scene, STRANGER)));
    drop(regions);
    assert_eq!(scene.server.totals().unaccounted(), 0);
}

#[test]
fn floods_of_others_leave_clients_untouched() {
    let mut scene = stage();
    let matter = Matter::Limit {
        per: Per::Whole,
        class: Class::Udp,
        unit: Unit::Packets,
        per_second: 10,
        burst: 10,
    };
    change(&mut scene, vec![Item::Rule(Box::new(rule(1, Reach::All, matter)))]);
    for at in 0..500_u32 {
        let source = Ipv4Addr::from_bits(u32::from_be_bytes([100, 0, 0, 0]) + at * 977);
        let to = if at % 2 == 0 { PROTECTED } else { site::SERVER_V4 };
        scene.put(WIRE, &packets::from_gateway(&Ip::new(source, to).udp(4000, 5000, &[0; 100])));
        if at % 50 == 0 {
            scene.settle();
            assert!(scene.passes(0, 1) && scene.passes(1, 0), "packet {at}");
        }
    }
    scene.settle();
    assert!(dropped(&scene, DropReason::DosBudget) > 400);
    assert_eq!(scene.server.totals().unaccounted(), 0);
}
