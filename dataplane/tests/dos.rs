//! Rules from control to the packet: what they match, whom they concern, how long they last, and what control hears.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use dataplane::fate::DropReason;
use dataplane::limits::FLOWS_WARM_UP;
use dataplane::testing::client;
use dataplane::testing::fleet;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::{PROTECTED, STRANGER};
use dataplane::testing::scene::Scene;
use dataplane::testing::server::{Options, WIRE};
use dataplane::testing::site::{self, Plan};
use dataplane::testing::unix;
use ipnet::IpNet;
use shm::message::{
    Check, Class, Instruction, Item, Matter, MemberState, Mode, NextHop, Per, PublicKey, Reach,
    Rule, SynGuard, Tenant, Unit,
};
use wire::tcp::{self, Flags};

const TENANT: u32 = 40;

/// A server with a client, which is the way to a tenant's prefix.
fn stage() -> Scene {
    let mut scene = Scene::new(&Plan::new(2), Options::default());
    scene.join(false, client::Options::default());
    scene.join(false, client::Options::default());
    scene.send(0, &[]);
    scene.send(1, &[]);
    scene.change(vec![tenant(Mode::Enforce)]);
    let key = PublicKey(site::peer(1).public_key.0);
    scene.change(vec![
        Item::NextHop { id: 1, hop: NextHop::Client(key) },
        Item::Route { prefix: net(PROTECTED, 24), next_hop: 1 },
    ]);
    scene
}

#[cfg(test)]
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

/// Whether a datagram to the tenant comes out at the client that is the way there.
fn passes(scene: &mut Scene, source: impl Into<IpAddr>) -> bool {
    let sealed = scene.server.totals().sealed;
    scene.arrive(&Ip::new(source, PROTECTED).udp(4000, 53, b"a question"));
    scene.server.totals().sealed == sealed + 1
}

/// A limit of one datagram per second and source.
fn one_per_second() -> Matter {
    Matter::Limit {
        per: Per::Source { v4_len: 32, v6_len: 64 },
        class: Class::Udp,
        unit: Unit::Packets,
        per_second: 1,
        burst: 1,
    }
}

fn dropped(scene: &Scene, reason: DropReason) -> u64 {
    scene.server.totals().dropped(reason)
}

#[test]
fn what_comes_to_a_tenant_goes_its_way() {
    let mut scene = stage();
    assert!(passes(&mut scene, STRANGER));
    let other = Ip::new(STRANGER, Ipv4Addr::new(203, 0, 114, 7)).udp(4000, 53, b"");
    scene.arrive(&other);
    assert_eq!(dropped(&scene, DropReason::ParseForeignAddress), 1);
    scene.change(vec![Item::TenantRemove(TENANT)]);
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
    scene.change(list(1, Reach::Own, Matter::Block, STRANGER, 24));
    assert!(passes(&mut scene, STRANGER), "it is for our own addresses");
    scene.change(list(2, Reach::Tenant(TENANT), Matter::Block, STRANGER, 16));
    assert!(!passes(&mut scene, STRANGER));
    assert_eq!(dropped(&scene, DropReason::DosBlocked), 1);
    scene.change(list(3, Reach::All, Matter::Allow, STRANGER, 32));
    assert!(passes(&mut scene, STRANGER));
    assert!(!passes(&mut scene, Ipv4Addr::new(198, 51, 100, 251)), "others stay out");
    scene.change(vec![Item::Unlisted { rule: 2, prefixes: vec![net(STRANGER, 16)] }]);
    assert!(passes(&mut scene, Ipv4Addr::new(198, 51, 100, 251)));
}

#[test]
fn who_is_blocked_tells_nothing_of_our_messages_either() {
    let plan = Plan { fleet: Some(fleet::SERVER), ..Plan::new(1) };
    let mut scene = Scene::new(&plan, Options::default());
    let members = vec![fleet::member(fleet::SERVER, MemberState::Active)];
    scene.change(vec![fleet::told(1, members)]);
    let client = Ipv4Addr::new(192, 0, 2, 50);
    let quoted =
        Ip::new(site::SERVER_V4, client).udp(site::LISTEN_PORT, 4000, &[4, 1, 2, 3, 0, 0, 0, 0]);
    let error = Ip::new(STRANGER, site::SERVER_V4).error(&quoted);
    scene.arrive(&error);
    assert_eq!(scene.server.totals().reports, 1);
    scene.change(vec![
        Item::Rule(Box::new(rule(1, Reach::Own, Matter::Block))),
        Item::Listed { rule: 1, prefixes: vec![net(STRANGER, 32)] },
    ]);
    scene.arrive(&error);
    assert_eq!(scene.server.totals().reports, 1);
    assert_eq!(dropped(&scene, DropReason::DosBlocked), 1);
}

#[test]
fn nothing_of_a_tenant_in_monitor_mode_is_dropped() {
    let mut scene = stage();
    let all = vec![
        Item::Rule(Box::new(rule(1, Reach::All, Matter::Block))),
        Item::Listed { rule: 1, prefixes: vec![net(Ipv4Addr::UNSPECIFIED, 0)] },
    ];
    scene.change(all);
    assert!(!passes(&mut scene, STRANGER));
    scene.change(vec![tenant(Mode::Monitor)]);
    assert!(passes(&mut scene, STRANGER));
    scene.arrive(&Ip::new(PROTECTED, PROTECTED).udp(1, 2, b"land"));
    assert_eq!(dropped(&scene, DropReason::DosLand), 0);
    scene.change(vec![tenant(Mode::Enforce)]);
    assert!(!passes(&mut scene, STRANGER));
}

#[test]
fn a_rule_ends_with_its_time_though_control_is_silent() {
    let mut scene = stage();
    let regions = scene.server.open_border();
    let start = unix(scene.now);
    let expires = Some(Duration::from_secs(start.as_secs() + 5));
    let limit = Rule { expires, ..rule(1, Reach::All, one_per_second()) };
    scene.change(vec![Item::Rule(Box::new(limit))]);
    assert!(passes(&mut scene, STRANGER));
    assert!(!passes(&mut scene, STRANGER));
    assert!(passes(&mut scene, Ipv4Addr::new(198, 51, 100, 1)), "every source has its own");
    scene.wait(Duration::from_secs(6));
    assert!((0..5).all(|_| passes(&mut scene, STRANGER)));
    drop(regions);
    assert_eq!(scene.server.totals().unaccounted(), 0);
}

#[test]
fn a_clock_that_goes_back_neither_loses_an_expiry_nor_forgets_to_undo_one() {
    let mut scene = stage();
    let regions = scene.server.open_border();
    let wall = scene.server.keeper.wall();
    let start = unix(scene.now);
    let expires = Some(Duration::from_secs(start.as_secs() + 60));
    let limit = Rule { expires, ..rule(1, Reach::All, one_per_second()) };
    scene.change(vec![Item::Rule(Box::new(limit))]);
    let holds = |scene: &mut Scene| {
        scene.wait(Duration::from_secs(1));
        !(passes(scene, STRANGER) & passes(scene, STRANGER))
    };
    assert!(holds(&mut scene));
    wall.set(start + Duration::from_hours(1), scene.now);
    assert!(!holds(&mut scene), "by that clock its time is over");
    wall.set(start, scene.now);
    assert!(holds(&mut scene), "by this one it is not");
    scene.wait(Duration::from_secs(61));
    assert!(!holds(&mut scene), "and in the end it is");
    drop(regions);
}

#[test]
fn a_rule_in_the_place_of_another_inherits_nothing() {
    let mut scene = stage();
    for id in [1, 2] {
        scene.change(vec![Item::Rule(Box::new(rule(id, Reach::All, one_per_second())))]);
        assert!(passes(&mut scene, STRANGER), "rule {id} has seen nobody yet");
        assert!(!passes(&mut scene, STRANGER));
        scene.change(vec![Item::RuleRemove(id)]);
    }
    let Matter::Limit { class, unit, per_second, burst, .. } = one_per_second() else { panic!() };
    for id in [3, 4] {
        let whole = Matter::Limit { per: Per::Whole, class, unit, per_second, burst };
        scene.change(vec![Item::Rule(Box::new(rule(id, Reach::All, whole)))]);
        assert!(passes(&mut scene, STRANGER), "rule {id} has seen nobody yet");
        scene.change(vec![Item::RuleRemove(id)]);
    }
    let blocked = Item::Listed { rule: 5, prefixes: vec![net(STRANGER, 32)] };
    let block = |id| Item::Rule(Box::new(rule(id, Reach::All, Matter::Block)));
    scene.change(vec![block(5), blocked, Item::RuleRemove(5)]);
    scene.change(vec![block(6)]);
    assert!(passes(&mut scene, STRANGER), "nothing is on that list");
}

#[test]
fn signatures_see_the_packet_without_what_the_link_has_added() {
    let mut scene = stage();
    let op = |code, k| Instruction { code, jt: 0, jf: 0, k };
    // `greater 45`: the length, and whether it is at least so much.
    let longer =
        vec![op(0x80, 0), Instruction { code: 0x35, jt: 0, jf: 1, k: 45 }, op(6, 1), op(6, 0)];
    let items = vec![Item::Rule(Box::new(rule(1, Reach::All, Matter::Signature(longer))))];
    scene.change(items);
    let short = Ip::new(STRANGER, PROTECTED).udp(4000, 53, b"short");
    let mut frame = packets::from_gateway(&short);
    frame.resize(60, 0);
    let sealed = scene.server.totals().sealed;
    scene.put(WIRE, &frame);
    scene.settle();
    assert_eq!(scene.server.totals().sealed, sealed + 1);
    scene.arrive(&Ip::new(STRANGER, PROTECTED).udp(4000, 53, &[0; 17]));
    assert_eq!(dropped(&scene, DropReason::DosSignature), 1);
}

#[test]
fn flows_that_were_not_followed_are_learned_before_others_are_held_back() {
    let mut scene = stage();
    let told = |mode, prefix: u8| {
        let Item::Tenant(mut tenant) = tenant(mode) else { panic!() };
        tenant.flows = true;
        tenant.prefixes = vec![net(PROTECTED, prefix)];
        Item::Tenant(tenant)
    };
    let fields = tcp::Fields {
        source_port: 1000,
        destination_port: 443,
        sequence_number: 1,
        acknowledgment_number: 2,
        flags: Flags::ACK,
        window: 1000,
    };
    let goes_on = |scene: &mut Scene, port| {
        let sealed = scene.server.totals().sealed;
        let fields = tcp::Fields { source_port: port, ..fields };
        scene.arrive(&Ip::new(STRANGER, PROTECTED).tcp(&fields, &[], &[]));
        scene.server.totals().sealed == sealed + 1
    };
    scene.change(vec![told(Mode::Off, 24)]);
    scene.wait(FLOWS_WARM_UP);
    scene.change(vec![told(Mode::Enforce, 24)]);
    assert!(goes_on(&mut scene, 1), "nobody looked at it before");
    scene.wait(FLOWS_WARM_UP / 2);
    assert!(goes_on(&mut scene, 1));
    scene.wait(FLOWS_WARM_UP / 2);
    assert!(goes_on(&mut scene, 1), "it was learned");
    assert!(!goes_on(&mut scene, 2), "it was not");
    scene.change(vec![told(Mode::Enforce, 25)]);
    assert!(!goes_on(&mut scene, 2), "all of a part of what was followed is known");
    scene.change(vec![told(Mode::Enforce, 23)]);
    assert!(goes_on(&mut scene, 2), "there is more than was followed");
}

#[test]
fn a_packet_that_is_too_long_for_the_kernels_interface_costs_nobody_else_his() {
    let mut scene = stage();
    scene.change(vec![Item::NextHop { id: 1, hop: NextHop::Local }]);
    let packet = |len| Ip::new(STRANGER, PROTECTED).udp(4000, 53, &vec![0; len]);
    let (delivered, mtu) = (scene.server.totals().delivered, 1420 - 28);
    scene.arrive(&packet(mtu));
    assert_eq!(scene.server.totals().delivered, delivered + 1);
    let before = scene.server.totals();
    scene.arrive(&packet(mtu + 1));
    let after = scene.server.totals();
    assert_eq!(
        after.icmp_errors,
        before.icmp_errors + 1,
        "its sender hears of it where it came from"
    );
    assert_eq!(after.delivered, before.delivered);
    let before = scene.server.totals();
    let inner = Ip::new(site::inner_v4(0), site::LOCAL_V4).udp(1, 2, &vec![0; mtu + 1]);
    scene.send(0, &inner);
    let after = scene.server.totals();
    assert_eq!(after.icmp_errors, before.icmp_errors + 1, "a client hears of it");
    assert_eq!(after.delivered, before.delivered);
}

#[test]
fn a_station_of_the_link_is_no_bogon_there() {
    let mut scene = stage();
    let matter = Matter::Check(Check::Bogon);
    scene.change(vec![Item::Rule(Box::new(rule(1, Reach::All, matter)))]);
    let delivered = scene.server.totals().delivered;
    scene.arrive(&Ip::new(site::GATEWAY_V4, site::SERVER_V4).udp(1, 2, b"neighbour"));
    assert_eq!(scene.server.totals().delivered, delivered + 1);
    scene.arrive(&Ip::new(STRANGER, site::SERVER_V4).udp(1, 2, b"stranger"));
    assert_eq!(dropped(&scene, DropReason::DosBogon), 1);
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
    scene.change(vec![Item::Rule(Box::new(rule(1, Reach::All, matter)))]);
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
