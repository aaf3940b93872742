//! Transactions that no tables can be built from: each is refused for what is in the way, and changes nothing.

use std::net::IpAddr;

use dataplane::limits::COUNTED_RULES_MAX;
use dataplane::testing::client::Options as ClientOptions;
use dataplane::testing::fleet;
use dataplane::testing::server::Options;
use dataplane::testing::site::{self, Plan};
use dataplane::testing::transit;
use ipnet::IpNet;
use shm::limits::{
    CENTRES_MAX, PROGRAM_MAX, RULES_MAX, RULESET_LEN_MAX, RULESET_TEXT_PER_ITEM_MAX, TENANTS_MAX,
    TUNNELS_MAX,
};
use shm::message::{
    Centre, Check, Class, Event, Instruction, Item, Machine, Matter, Member, MemberState, Mode,
    NextHop, Per, PublicKey, Reach, Rule, Scope, SynGuard, Tenant, Tunnel, Unit,
};
use shm::transaction::{Obstacle, Reason};

use super::stage::{Stage, key, peer};

/// What stands before each transaction: peers 0 and 1, a next hop to peer 1 and a route there.
fn stage(obstacle: Obstacle) -> Stage {
    let mut plan = Plan { peers_max: Some(3), ..Plan::new(0) };
    let mut options = Options::default();
    match obstacle {
        Obstacle::Unreachable => plan.gateways.retain(IpAddr::is_ipv4),
        Obstacle::NoLocal => options.local = false,
        Obstacle::TooManyNextHops => plan.peers_max = Some(40_000),
        Obstacle::TooManyRoutes => plan.routes_max = Some(2),
        Obstacle::NotAMember
        | Obstacle::MemberAddress
        | Obstacle::Members
        | Obstacle::Generation => {
            plan.fleet = Some(fleet::SERVER);
        }
        _ => {}
    }
    let mut stage = Stage::with(&plan, options);
    stage.scene.join(false, ClientOptions::default());
    stage.scene.join(false, ClientOptions::default());
    stage.change(&[
        peer(0),
        peer(1),
        Item::NextHop { id: 1, hop: NextHop::Client(key(1)) },
        route("198.18.0.0/15", 1),
    ]);
    if obstacle == Obstacle::TenantInUse {
        let reach = Reach::Tenant(3);
        let rule = Rule { reach, ..bare_rule(5, Matter::Block) };
        stage.change(&[tenant(3, "203.0.113.0/24".parse().unwrap()), Item::Rule(Box::new(rule))]);
    }
    if plan.fleet.is_some() {
        stage.change(&[fleet::told(7, vec![fleet::member(fleet::SERVER, MemberState::Active)])]);
    }
    stage.connect();
    assert!(stage.scene.passes(0, 1));
    stage
}

fn route(prefix: &str, next_hop: u32) -> Item {
    Item::Route { prefix: prefix.parse().unwrap(), next_hop }
}

fn peer_with(number: u32, change: impl FnOnce(&mut shm::message::Peer)) -> Item {
    let mut peer = site::peer(number);
    change(&mut peer);
    Item::Peer(Box::new(peer))
}

/// Items that meet an obstacle, and the number of the item that does.
///
/// The match has no rest, so a new obstacle does not compile without a case.
#[expect(clippy::too_many_lines, reason = "a line for each obstacle")]
fn provoke(obstacle: Obstacle) -> (Vec<Item>, u64) {
    let hop = |hop| Item::NextHop { id: 2, hop };
    let net = |text: &str| text.parse::<IpNet>().unwrap();
    match obstacle {
        Obstacle::TooManyPeers => (vec![peer(2), peer(3)], 1),
        Obstacle::OwnKey => {
            let own =
                |peer: &mut shm::message::Peer| peer.public_key = PublicKey(site::server_public());
            (vec![route("203.0.113.0/24", 1), peer_with(2, own)], 1)
        }
        Obstacle::Unreachable => {
            let far = |peer: &mut shm::message::Peer| {
                peer.endpoint = Some("[2001:db8:f::9]:51820".parse().unwrap());
            };
            (vec![peer_with(2, far)], 0)
        }
        Obstacle::PrefixTaken => {
            let taken = IpAddr::from(site::inner_v4(1));
            (vec![peer_with(2, |peer| peer.allowed_ips.push(taken.into()))], 0)
        }
        Obstacle::NoNextHop => (vec![route("203.0.113.0/24", 7)], 0),
        Obstacle::NextHopInUse => (vec![peer(2), Item::NextHopRemove(1)], 1),
        Obstacle::NoPeer => (vec![hop(NextHop::Client(key(2)))], 0),
        Obstacle::NoEgress => {
            let remote = Some("198.51.100.9".parse().unwrap());
            let via = NextHop::Via { centre: 1, remote };
            (vec![hop(NextHop::Reject), hop(via)], 1)
        }
        Obstacle::NoLocal => (vec![hop(NextHop::Local), route("203.0.113.0/24", 2)], 1),
        Obstacle::TooManyLongPrefixes => {
            let nets = (0..=0x8000_u32).map(|at| {
                let base = u32::from_be_bytes([203, 0, 0, 0]) + (at << 8);
                IpNet::new(std::net::Ipv4Addr::from_bits(base).into(), 25).unwrap()
            });
            (nets.map(|prefix| Item::Route { prefix, next_hop: 1 }).collect(), 0x8001)
        }
        Obstacle::TooManyNextHops => {
            let peers = (0..0x8000_u32).map(|at| {
                let base = u32::from_be_bytes([203, 0, 0, 0]) + (at << 8);
                let net = IpNet::new(std::net::Ipv4Addr::from_bits(base).into(), 24).unwrap();
                let mut peer = site::peer(2);
                // No handshake is made with them: any octets are a key.
                peer.public_key.0[..4].copy_from_slice(&at.to_be_bytes());
                peer.allowed_ips = vec![net];
                Item::Peer(Box::new(peer))
            });
            (peers.collect(), 0x8000)
        }
        Obstacle::TooManyRoutes => {
            (vec![route("203.0.113.0/24", 1), route("198.51.100.0/24", 1)], 2)
        }
        Obstacle::TooManyCentres => {
            let numbers = 1..=u16::try_from(CENTRES_MAX + 1).unwrap();
            (numbers.map(centre).collect(), CENTRES_MAX as u64 + 1)
        }
        Obstacle::TooManyHops => {
            let hop = |id| Item::NextHop { id, hop: NextHop::Reject };
            ((1000..1000 + 0x1_0000).map(hop).collect(), 0x1_0000)
        }
        Obstacle::NoFleet
        | Obstacle::NotAMember
        | Obstacle::MemberAddress
        | Obstacle::Members
        | Obstacle::Generation => (vec![peer(2), fleet_with(obstacle)], 1),
        Obstacle::NoRule
        | Obstacle::NotAList
        | Obstacle::TooManyRules
        | Obstacle::TooManyPrefixes
        | Obstacle::BadProgram
        | Obstacle::TooManyInstructions
        | Obstacle::BadLimit
        | Obstacle::TooManyTenants
        | Obstacle::TenantPrefix
        | Obstacle::NoTenant
        | Obstacle::TenantInUse => rules(obstacle),
        Obstacle::TunnelEnds
        | Obstacle::TunnelTaken
        | Obstacle::TooManyTunnels
        | Obstacle::BadRules
        | Obstacle::TooManyCounters
        | Obstacle::RulesTooLong => transit(obstacle),
        Obstacle::NotThere => {
            let gone = Item::RouteRemove(net("198.18.0.0/15"));
            (vec![gone.clone(), gone], 1)
        }
    }
}

fn centre(number: u16) -> Item {
    let machine = Machine { address: [192, 0, 2, 7].into(), port: 443, weight: 100 };
    Item::Centre(Box::new(Centre { number, is_here: false, relay: 0, machines: vec![machine] }))
}

/// Tunnels and rules of a tenant that meet an obstacle.
fn transit(obstacle: Obstacle) -> (Vec<Item>, u64) {
    let mut items = vec![tenant(9, "203.0.113.0/24".parse().unwrap())];
    let ways = |count: u32| {
        let remote = |id: u32| IpAddr::from((0xc633_6400 + id).to_be_bytes());
        (1..=count).map(move |id| {
            Item::Tunnel(Box::new(Tunnel { remote: remote(id), ..transit::tunnel(id) }))
        })
    };
    match obstacle {
        // Its other end would be this server.
        Obstacle::TunnelEnds => {
            let tunnel = Tunnel { remote: site::SERVER_V4.into(), ..transit::tunnel(1) };
            items.push(Item::Tunnel(Box::new(tunnel)));
            (items, 1)
        }
        Obstacle::TunnelTaken => {
            items.extend([1, 2].map(|id| Item::Tunnel(Box::new(transit::tunnel(id)))));
            (items, 2)
        }
        Obstacle::TooManyTunnels => {
            items.extend(ways(u32::try_from(TUNNELS_MAX).unwrap() + 1));
            (items, TUNNELS_MAX as u64 + 1)
        }
        Obstacle::TooManyCounters => {
            let rules = "counter accept\n".repeat(COUNTED_RULES_MAX / 16);
            for id in 10..27 {
                let net = IpNet::from(IpAddr::from([198, 18, 200, u8::try_from(id).unwrap()]));
                items.push(tenant(id, net));
                items.extend(rules_of(id, &rules));
            }
            let count = |items: &[Item]| {
                items.iter().map(|item| item.message_count().unwrap() as u64).sum::<u64>()
            };
            let last = items.iter().rposition(|item| matches!(item, Item::Ruleset(_))).unwrap();
            let at = count(&items[..last]);
            (items, at)
        }
        Obstacle::RulesTooLong => {
            items.extend(rules_of(9, &"#".repeat(RULESET_LEN_MAX + 1)));
            let last = items.iter().map(|item| item.message_count().unwrap() as u64).sum::<u64>();
            (items, last - 1)
        }
        // Nothing is a rule that asks for what is not there.
        _ => {
            items.extend(rules_of(9, "ip saddr @77 drop"));
            (items, 1)
        }
    }
}

/// The rules of a tenant.
fn rules_of(tenant: u32, text: &str) -> Vec<Item> {
    let pieces = text.as_bytes().chunks(RULESET_TEXT_PER_ITEM_MAX);
    let pieces = pieces.map(|text| Item::RulesetText { tenant, text: text.into() });
    std::iter::once(Item::Ruleset(tenant)).chain(pieces).collect()
}

/// Rules and tenants that meet an obstacle.
fn rules(obstacle: Obstacle) -> (Vec<Item>, u64) {
    let listed = |rule, net: &str| Item::Listed { rule, prefixes: vec![net.parse().unwrap()] };
    match obstacle {
        Obstacle::NoRule => (vec![listed(5, "198.51.100.0/24")], 0),
        Obstacle::NotAList => {
            let check = rule(5, Matter::Check(Check::Land));
            (vec![check, listed(5, "198.51.100.0/24")], 1)
        }
        Obstacle::TooManyRules => {
            let rules =
                (1..=u32::try_from(RULES_MAX + 1).unwrap()).map(|id| rule(id, Matter::Block));
            (rules.collect(), RULES_MAX as u64)
        }
        Obstacle::TooManyPrefixes => entangled_lists(),
        Obstacle::BadProgram => {
            let endless = Instruction { code: 0, jt: 0, jf: 0, k: 0 };
            (vec![rule(5, Matter::Signature(vec![endless]))], 0)
        }
        Obstacle::TooManyInstructions => (dear_signatures(), 16 * 13),
        Obstacle::BadLimit => {
            let matter = Matter::Limit {
                per: Per::Whole,
                class: Class::Any,
                unit: Unit::Packets,
                per_second: 1,
                burst: 1 << 40,
            };
            (vec![rule(5, matter)], 0)
        }
        Obstacle::TooManyTenants => {
            let tenants = (1..=u32::try_from(TENANTS_MAX + 1).unwrap()).map(|id| {
                let net = std::net::Ipv4Addr::from_bits(0xcb00_0000 + id);
                tenant(id, IpNet::from(IpAddr::from(net)))
            });
            (tenants.collect(), TENANTS_MAX as u64)
        }
        Obstacle::TenantPrefix => {
            let outer = tenant(1, "203.0.113.0/24".parse().unwrap());
            (vec![outer, tenant(2, "203.0.113.128/25".parse().unwrap())], 1)
        }
        Obstacle::NoTenant => {
            let rule = Rule { reach: Reach::Tenant(8), ..bare_rule(5, Matter::Block) };
            (vec![Item::Rule(Box::new(rule))], 0)
        }
        // The other one is there before.
        _ => (vec![Item::TenantRemove(3)], 1),
    }
}

fn bare_rule(id: u32, matter: Matter) -> Rule {
    Rule { id, mode: Mode::Enforce, reach: Reach::All, expires: None, matter }
}

fn rule(id: u32, matter: Matter) -> Item {
    Item::Rule(Box::new(bare_rule(id, matter)))
}

fn tenant(id: u32, prefix: IpNet) -> Item {
    Item::Tenant(Box::new(Tenant {
        id,
        mode: Mode::Enforce,
        syn: SynGuard::Off,
        syn_above: 0,
        flows: false,
        out_of_state: 0,
        prefixes: vec![prefix],
    }))
}

/// Lists that share more than 65535 different sets of them: each address is on another three.
fn entangled_lists() -> (Vec<Item>, u64) {
    let mut lists = vec![Vec::new(); 75];
    let mut address = 0xcb00_0000_u32;
    for a in 0..75 {
        for b in 0..a {
            for c in 0..b {
                address += 1;
                for list in [a, b, c] {
                    lists[list].push(IpNet::from(IpAddr::from(address.to_be_bytes())));
                }
            }
        }
    }
    let items: Vec<Item> = (1..)
        .zip(lists)
        .flat_map(|(id, prefixes)| [rule(id, Matter::Block), Item::Listed { rule: id, prefixes }])
        .collect();
    let count = items.iter().map(|item| item.message_count().unwrap() as u64).sum();
    (items, count)
}

/// Signatures that every packet would have to be compared with.
fn dear_signatures() -> Vec<Item> {
    let load = Instruction { code: 0x30, jt: 0, jf: 0, k: 9 };
    let accept = Instruction { code: 0x06, jt: 0, jf: 0, k: 1 };
    let program: Vec<Instruction> =
        std::iter::repeat_n(load, PROGRAM_MAX - 1).chain([accept]).collect();
    (1..=40).map(|id| rule(id, Matter::Signature(program.clone()))).collect()
}

/// A fleet that meets an obstacle.
fn fleet_with(obstacle: Obstacle) -> Item {
    let own = fleet::member(fleet::SERVER, MemberState::Active);
    let other = fleet::member(2, MemberState::Active);
    if obstacle == Obstacle::MemberAddress {
        let v6 = Some("2001:db8::2".parse().unwrap());
        return fleet::told(8, vec![own, Member { v4: None, v6, ..other }]);
    }
    if obstacle == Obstacle::Members {
        return fleet::told(8, vec![fleet::member(fleet::SERVER, MemberState::Down)]);
    }
    if obstacle == Obstacle::Generation {
        return fleet::told(7, vec![own, other]);
    }
    fleet::told(8, vec![other])
}

#[test]
fn every_obstacle_is_told_with_its_item_and_changes_nothing() {
    for obstacle in Obstacle::ALL {
        let (items, at) = provoke(*obstacle);
        let mut stage = stage(*obstacle);
        let outcome = stage.tell(Scope::Delta, &items);
        let Event::Refused { reason, item, detail, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!((reason, detail), (Reason::Unbuildable, obstacle.code()), "{obstacle}");
        assert_eq!(item, at, "{obstacle}");
        assert!(stage.scene.passes(0, 1) && stage.scene.passes(1, 0), "{obstacle}");
        // Everything is as it was: the same changes can be made as before.
        stage.change(&[peer(2), Item::PeerRemove(key(2)), route("203.0.113.0/24", 1)]);
        stage.change(&[Item::RouteRemove("198.18.0.0/15".parse().unwrap()), peer(2)]);
        stage.is_whole();
    }
}

/// It would be taken for what comes back to clients, or what comes back to clients for it.
#[test]
fn what_the_internet_knows_clients_by_is_no_tenants_and_no_end_of_a_tunnel() {
    let nat = site::Nat { flows: 64, flows_per_client: 64, setups: 16 };
    let plan = Plan { nat: Some(nat), nat_v6: true, ..Plan::new(0) };
    let mut stage = Stage::with(&plan, Options::default());
    let mut tell = |items: &[Item]| match stage.tell(Scope::Delta, items) {
        Event::Refused { detail, item, .. } => Some((detail, item)),
        _ => None,
    };
    let outside = site::OUTSIDE_V4;
    let within = IpAddr::from((site::OUTSIDE_V6.to_bits() | 7 << 64).to_be_bytes());
    let around = IpNet::new(site::UNTRANSLATED.into(), 40).unwrap();
    for net in [IpNet::from(IpAddr::from(outside)), within.into(), around] {
        let items = [tenant(1, "203.0.113.0/24".parse().unwrap()), tenant(2, net)];
        assert_eq!(tell(&items), Some((Obstacle::TenantPrefix.code(), 1)), "{net}");
    }
    let tunnel = Tunnel { remote: outside.into(), ..transit::tunnel(1) };
    let items = [tenant(9, "203.0.113.0/24".parse().unwrap()), Item::Tunnel(Box::new(tunnel))];
    assert_eq!(tell(&items), Some((Obstacle::TunnelEnds.code(), 1)));
    assert_eq!(tell(&[tenant(9, "203.0.113.0/24".parse().unwrap())]), None);
}

#[test]
fn a_prefix_does_not_become_a_peers_and_a_routes_at_once() {
    let mut stage = stage(Obstacle::PrefixTaken);
    let shared = "203.0.113.0/24";
    let with_it = peer_with(1, |peer| peer.allowed_ips.push(shared.parse().unwrap()));
    let hop = Item::NextHop { id: 1, hop: NextHop::Client(key(1)) };
    for items in [[route(shared, 1), with_it.clone()], [with_it, route(shared, 1)]] {
        let outcome = stage.tell(Scope::Delta, &items);
        let Event::Refused { detail, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(detail, Obstacle::PrefixTaken.code());
    }
    let all = [peer(0), peer_with(1, |peer| peer.allowed_ips.push(shared.parse().unwrap()))];
    let all = [all.as_slice(), &[hop, route(shared, 1)]].concat();
    let outcome = stage.tell(Scope::Snapshot, &all);
    assert!(matches!(outcome, Event::Refused { .. }), "{outcome:?}");
}

#[test]
fn what_is_in_the_way_is_named_by_its_message_though_a_peer_takes_several() {
    let mut stage = stage(Obstacle::NoNextHop);
    let nets = (0..9).map(|net| format!("203.0.113.{net}/32").parse().unwrap());
    let many = peer_with(2, |peer| peer.allowed_ips = nets.collect());
    let outcome = stage.tell(Scope::Delta, &[many, route("192.0.2.0/24", 7)]);
    assert!(matches!(outcome, Event::Refused { item: 2, .. }), "{outcome:?}");
}
