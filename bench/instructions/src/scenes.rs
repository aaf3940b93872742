//! The servers in memory whose ways are counted, and the frames of each.

use std::net::{IpAddr, Ipv4Addr};

use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::{PROTECTED, STRANGER};
use dataplane::testing::scene::Scene;
use dataplane::testing::server::Options;
use dataplane::testing::site::{self, CENTRE_V4, EVERY_CLIENTS, Nat, OUTSIDE_V4, Plan};
use dataplane::testing::{client, fleet, transit, via};
use ipnet::{IpNet, Ipv4Net};
use shm::message::{
    Centre, Class, Instruction, Item, Machine, Matter, MemberState, Mode, NextHop, Per, Reach,
    Rule, Unit,
};
use wireguard::index::Place;
use wireguard::message::ClientId;

/// Octets of every payload.
const PAYLOAD: [u8; 100] = [0; 100];
/// Clients with a session.
pub(crate) const CLIENTS: u32 = 16;
/// Whom clients reach through another data centre.
const FAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// Routes of the table that is looked up in; each has a prefix of 24 bits of its own, and some lie in a shorter one's.
const ROUTES: u32 = 20_000;
/// Addresses of the filter's list, and how many control tells at a time.
const LISTED: u32 = 8_192;
const LISTED_PER_ITEM: u32 = 1_024;
/// Rules of the tenant that has many.
const RULES: u16 = 1_000;

/// A server with clients, a tenant, a way to the Internet and one through another data centre.
pub(crate) fn server() -> Scene {
    with(transit::tenant(transit::tunnel(1), ""))
}

/// The same whose tenant has many rules.
pub(crate) fn ruled() -> Scene {
    let rule = |number| format!("udp sport {} udp dport {} accept", number % 50 + 1, number + 1);
    let rules = (0..RULES).map(rule).collect::<Vec<_>>().join("\n");
    with(transit::tenant(transit::tunnel(1), &format!("policy drop\n{rules}")))
}

/// The same that knows many routes.
pub(crate) fn routed() -> Scene {
    let mut items = transit::tenant(transit::tunnel(1), "");
    for number in 0..ROUTES {
        let len = if number.is_multiple_of(16) { 20 } else { 24 };
        let prefix = IpNet::V4(Ipv4Net::new_assert(distant(number), len).trunc());
        items.push(Item::Route { prefix, next_hop: 3 });
    }
    with(items)
}

/// The first whose filter has a list, a signature and a limit that none of its packets meets.
pub(crate) fn filtered() -> Scene {
    let source = Per::Source { v4_len: 32, v6_len: 64 };
    let limit = |per| Matter::Limit {
        per,
        class: Class::Udp,
        unit: Unit::Packets,
        per_second: 1_000_000,
        burst: 1_000_000,
    };
    // The packet's length, and whether it is none; the verdict is no either way but one.
    let signature = [(0x80, 0, 0), (0x15, 0, 1), (0x06, 0, 0), (0x06, 0, 0)]
        .map(|(code, jt, jf)| Instruction { code, jt, jf, k: 0 });
    let matters =
        [Matter::Block, Matter::Signature(signature.to_vec()), limit(source), limit(Per::Whole)];
    let mut items = transit::tenant(transit::tunnel(1), "");
    for (id, matter) in (1..).zip(matters) {
        let rule = Rule { id, mode: Mode::Enforce, reach: Reach::Own, expires: None, matter };
        items.push(Item::Rule(Box::new(rule)));
    }
    for first in (0..LISTED).step_by(LISTED_PER_ITEM as usize) {
        let address = |number| IpAddr::from(distant(number)).into();
        let prefixes = (first..first + LISTED_PER_ITEM).map(address).collect();
        items.push(Item::Listed { rule: 1, prefixes });
    }
    with(items)
}

fn with(mut items: Vec<Item>) -> Scene {
    let nat = Some(Nat { flows: 8192, flows_per_client: 8192, setups: 64 });
    let plan = Plan { nat, peers_max: Some(CLIENTS), ..Plan::new(CLIENTS as usize) };
    let mut scene = Scene::new(&plan, Options::default());
    items.insert(0, Item::NextHop { id: 3, hop: NextHop::Direct });
    items.push(Item::Route { prefix: IpAddr::from(STRANGER).into(), next_hop: 3 });
    let machines = vec![Machine { address: CENTRE_V4.into(), port: 443, weight: 1 }];
    items.push(Item::Centre(Box::new(Centre { number: 7, is_here: false, relay: 0, machines })));
    items.push(Item::NextHop { id: 4, hop: NextHop::Via { centre: 7, remote: None } });
    items.push(Item::Route { prefix: IpAddr::from(FAR).into(), next_hop: 4 });
    scene.change(items);
    for client in 0..CLIENTS as usize {
        scene.join(false, client::Options::default());
        scene.send(client, &[]);
    }
    scene
}

/// A server of a fleet of two, that has no client.
pub(crate) fn of_fleet() -> Scene {
    let plan = Plan { fleet: Some(fleet::SERVER), peers_max: Some(CLIENTS), ..Plan::new(0) };
    let mut scene = Scene::new(&plan, Options::default());
    let members = [fleet::SERVER, OTHER].map(|server| fleet::member(server, MemberState::Active));
    scene.change(vec![fleet::told(1, members.to_vec())]);
    // Its link address has to be known.
    scene.put(
        dataplane::testing::server::WIRE,
        &packets::arp_request(([2, 0, 0, 0, 0, 9], fleet::address(OTHER)), site::SERVER_V4),
    );
    scene.settle();
    scene
}

/// The other server of the fleet.
const OTHER: u8 = 2;

/// An address that one of the routes leads to.
fn distant(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits((20 << 24) + (number % ROUTES) * 0x0000_1100)
}

fn port(number: usize) -> u16 {
    u16::try_from(1 + number % 1000).unwrap_or(1)
}

/// A client's packet, sealed.
fn sealed(scene: &mut Scene, number: usize, packet: impl Fn(Ipv4Addr) -> Vec<u8>) -> Vec<u8> {
    let client = number % CLIENTS as usize;
    let inner = packet(site::inner_v4(u32::try_from(client).unwrap_or(0)));
    scene.withhold(client, &inner).pop().unwrap_or_default()
}

pub(crate) fn to_kernel(scene: &mut Scene, number: usize) -> Vec<u8> {
    sealed(scene, number, |from| Ip::new(from, site::LOCAL_V4).udp(1, 2, &PAYLOAD))
}

pub(crate) fn from_kernel(_: &mut Scene, number: usize) -> Vec<u8> {
    let to = site::inner_v4(u32::try_from(number).unwrap_or(0) % CLIENTS);
    packets::from_local(&Ip::new(site::LOCAL_V4, to).udp(1, 2, &PAYLOAD))
}

pub(crate) fn between_clients(scene: &mut Scene, number: usize) -> Vec<u8> {
    let to = site::inner_v4(u32::try_from(number + 1).unwrap_or(0) % CLIENTS);
    sealed(scene, number, |from| Ip::new(from, to).udp(1, 2, &PAYLOAD))
}

pub(crate) fn to_tenant(_: &mut Scene, number: usize) -> Vec<u8> {
    // The ports of a rule of its own, where there are rules.
    let source = port(number % 50);
    packets::from_gateway(&Ip::new(STRANGER, PROTECTED).udp(source, port(number), &PAYLOAD))
}

pub(crate) fn from_tenant(_: &mut Scene, number: usize) -> Vec<u8> {
    let packet = Ip::new(PROTECTED, STRANGER).udp(53, port(number), &PAYLOAD);
    packets::from_gateway(&transit::from_router(&transit::plain(&packet), &packet))
}

pub(crate) fn from_tenant_far(_: &mut Scene, number: usize) -> Vec<u8> {
    let to = distant(u32::try_from(number).unwrap_or(0).wrapping_mul(0x9e37));
    let packet = Ip::new(PROTECTED, to).udp(53, port(number), &PAYLOAD);
    packets::from_gateway(&transit::from_router(&transit::plain(&packet), &packet))
}

/// A client's packet to the Internet by one of a few flows, which the bursts that warm up open.
pub(crate) fn outward(scene: &mut Scene, number: usize) -> Vec<u8> {
    let port = port(number % 64);
    sealed(scene, number, |_| Ip::new(EVERY_CLIENTS, STRANGER).udp(port, 53, &PAYLOAD))
}

/// The same by a new flow each.
pub(crate) fn outward_new(scene: &mut Scene, number: usize) -> Vec<u8> {
    let port = port(number);
    sealed(scene, number, |_| Ip::new(EVERY_CLIENTS, STRANGER).udp(port, 53, &PAYLOAD))
}

/// The answer to one that was sent before.
pub(crate) fn inward(scene: &mut Scene, number: usize) -> Vec<u8> {
    let (client, asked) = (number % CLIENTS as usize, port(number % 64));
    scene.send(client, &Ip::new(EVERY_CLIENTS, STRANGER).udp(asked, 53, b"ask"));
    let sent = scene.strays();
    let ours = sent.iter().find_map(|(_, frame)| packets::datagram_in(frame));
    let ours = ours.map_or(0, |(from, ..)| from.port());
    packets::from_gateway(&Ip::new(STRANGER, OUTSIDE_V4).udp(53, ours, &PAYLOAD))
}

/// A client's packet through another data centre, of a few flows.
pub(crate) fn through(scene: &mut Scene, number: usize) -> Vec<u8> {
    let port = port(number % 64);
    sealed(scene, number, |_| Ip::new(EVERY_CLIENTS, FAR).udp(port, 53, &PAYLOAD))
}

/// A packet of one of the other data centre's clients.
pub(crate) fn guests(_: &mut Scene, number: usize) -> Vec<u8> {
    let handle = u32::try_from(number % 64).unwrap_or(0);
    let packet = Ip::new(EVERY_CLIENTS, STRANGER).udp(1, 53, &PAYLOAD);
    let ends = (CENTRE_V4.into(), site::SERVER_V4.into());
    packets::from_gateway(&via::sealed(ends, (false, handle), &packet))
}

/// Data of a client of the other server's.
pub(crate) fn of_the_other(_: &mut Scene, number: usize) -> Vec<u8> {
    let slot = u32::try_from(number).unwrap_or(0);
    let index = fleet::permutation().index(Place { server: OTHER.into(), worker: 0, slot });
    let mut message = vec![4, 0, 0, 0];
    message.extend(index.to_le_bytes());
    message.extend([0; 8 + 16]);
    message.extend(PAYLOAD);
    let from = site::outer_v4(slot % CLIENTS);
    packets::datagram(from, site::server(from.ip()), &message)
}

/// A client that calls for the first time.
pub(crate) fn initiation(scene: &mut Scene, number: usize) -> Vec<u8> {
    let number = u32::try_from(number).unwrap_or(0);
    let options = client::Options { client_id: Some(ClientId::ZERO), ..client::Options::default() };
    let mut caller =
        client::Client::new(number % CLIENTS, site::outer_v4(number), options, scene.now);
    // It has no session, so that the packet waits and the call goes out.
    let _ = caller.send(&[], scene.now);
    caller.frames().pop().unwrap_or_default()
}
