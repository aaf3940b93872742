//! The routes with the Internet's own prefixes, held against a walk from the longest prefix to the shortest.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use dataplane::packet::Address;
use dataplane::stages::route::{NextHop, Rib, Routes};
use dataplane::testing::internet::{self, Origin};
use ipnet::IpNet;

/// The prefixes, and which lengths there are.
struct Model {
    next_hops: HashMap<IpNet, NextHop>,
    lengths: Vec<u8>,
}

impl Model {
    fn of(routes: &[(IpNet, NextHop)]) -> Self {
        let lengths: HashSet<u8> = routes.iter().map(|(net, _)| net.prefix_len()).collect();
        let mut lengths = Vec::from_iter(lengths);
        lengths.sort_by(|one, other| other.cmp(one));
        Self { next_hops: routes.iter().copied().collect(), lengths }
    }

    fn lookup(&self, address: IpAddr) -> NextHop {
        let around = self.lengths.iter().filter_map(|len| IpNet::new(address, *len).ok());
        let found = around.map(|net| net.trunc()).find_map(|net| self.next_hops.get(&net));
        found.copied().unwrap_or(NextHop::None)
    }
}

/// A small generator, so that a run depends on nothing but the seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb) >> 16
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next()).unwrap() % count
    }

    fn address_in(&mut self, net: IpNet) -> IpAddr {
        match net {
            IpNet::V4(net) => {
                let random = u32::try_from(self.next() & 0xffff_ffff).unwrap();
                (net.network() | Ipv4Addr::from_bits(random) & net.hostmask()).into()
            }
            IpNet::V6(net) => {
                let random = u128::from(self.next()) << 80 ^ u128::from(self.next());
                (net.network() | Ipv6Addr::from_bits(random) & net.hostmask()).into()
            }
        }
    }
}

/// The addresses around the borders of a prefix.
fn borders(net: IpNet) -> [IpAddr; 4] {
    match net {
        IpNet::V4(net) => {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
                .map(|bits| Ipv4Addr::from_bits(bits).into())
        }
        IpNet::V6(net) => {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
                .map(|bits| Ipv6Addr::from_bits(bits).into())
        }
    }
}

/// Every autonomous system sends its traffic through one of a thousand next hops.
fn route((net, origin): Origin) -> (IpNet, NextHop) {
    (net, NextHop::Client(origin.wrapping_mul(2_654_435_761) >> 16 & 1023))
}

const SEED: u64 = 77;

fn agree(routes: &Routes, model: &Model, addresses: impl Iterator<Item = IpAddr>) {
    for address in addresses {
        let found = routes.lookup(Address::from(address));
        assert_eq!(found, model.lookup(address), "{address}, seed {SEED}");
    }
}

#[test]
fn borders_and_random_addresses_of_the_full_table_lead_where_a_walk_leads() {
    if !Path::new(internet::DATABASE).exists() {
        // Not `println`, which a test that passes keeps to itself.
        let missing =
            "skipped: full_table: libloc-database is not installed, so nothing was tested";
        writeln!(std::io::stderr(), "{missing}").unwrap();
        return;
    }
    let origins = internet::read(Path::new(internet::DATABASE)).unwrap();
    assert!(origins.len() > 1_000_000, "only {} prefixes", origins.len());
    let mut routes: Vec<_> = origins.into_iter().map(route).collect();
    let mut rib = Rib::new(SEED);
    rib.load(&routes).unwrap();
    let whole = rib.publish();
    let model = Model::of(&routes);
    // A third is enough to meet every kind of neighbourhood, and takes seconds.
    agree(&whole, &model, routes.iter().step_by(3).flat_map(|(net, _)| borders(*net)));
    let mut random = Random(SEED);
    let mut inside = Vec::new();
    for _ in 0..200_000 {
        let (net, _) = routes[random.below(routes.len())];
        inside.push(random.address_in(net));
    }
    agree(&whole, &model, inside.iter().copied());

    let changed = change_at_random(&mut rib, &mut routes, &mut random);
    agree(&whole, &model, inside.iter().copied());
    let model = Model::of(&routes);
    let version = rib.publish();
    agree(&version, &model, changed.iter().flat_map(|net| borders(*net)));
    agree(&version, &model, inside.iter().copied());
    // Building the same from nothing gives the same answers.
    let mut anew = Rib::new(SEED);
    anew.load(&routes).unwrap();
    let anew = anew.publish();
    let borders = routes.iter().flat_map(|(net, _)| borders(*net)).map(Address::from);
    borders.for_each(|address| assert_eq!(version.lookup(address), anew.lookup(address)));
}

/// Removals, insertions and other next hops all over the table, with versions published among them.
fn change_at_random(
    rib: &mut Rib,
    routes: &mut Vec<(IpNet, NextHop)>,
    random: &mut Random,
) -> Vec<IpNet> {
    let mut changed = Vec::new();
    let mut known: HashSet<IpNet> = routes.iter().map(|(net, _)| *net).collect();
    let mut version = rib.publish();
    for round in 0..6_000_u32 {
        let at = random.below(routes.len());
        let (net, next_hop) = routes[at];
        match round % 3 {
            0 => {
                assert_eq!(rib.remove(net), Some(next_hop), "{net}");
                routes.swap_remove(at);
                known.remove(&net);
            }
            1 => {
                assert_eq!(rib.insert(net, NextHop::Local), Ok(Some(next_hop)), "{net}");
                routes[at].1 = NextHop::Local;
            }
            _ => {
                let (shorter, longer) = (net.prefix_len() - 1, net.prefix_len() + 3);
                let len = if random.next().is_multiple_of(2) { shorter } else { longer };
                let Ok(other) = IpNet::new(net.addr(), len.min(net.max_prefix_len())) else {
                    continue;
                };
                if known.insert(other.trunc()) {
                    let next_hop = NextHop::Client(round);
                    assert_eq!(rib.insert(other.trunc(), next_hop), Ok(None), "{other}");
                    routes.push((other.trunc(), next_hop));
                }
                changed.push(other.trunc());
            }
        }
        changed.push(net);
        if round % 20 == 0 {
            version = rib.publish();
        }
    }
    drop(version);
    changed
}
