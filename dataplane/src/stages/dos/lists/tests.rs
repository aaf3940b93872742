//! Lists against a naive model: all prefixes of all lists, looked through one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

type Model = BTreeMap<u16, BTreeSet<IpNet>>;

fn covering(model: &Model, address: IpAddr) -> Vec<u16> {
    let holds = |nets: &BTreeSet<IpNet>| nets.iter().any(|net| net.contains(&address));
    model.iter().filter(|(_, nets)| holds(nets)).map(|(slot, _)| *slot).collect()
}

/// The address before, and the one behind; in a circle.
fn neighbours(address: IpAddr) -> [IpAddr; 2] {
    match address {
        IpAddr::V4(address) => [
            Ipv4Addr::from(address.to_bits().wrapping_sub(1)).into(),
            Ipv4Addr::from(address.to_bits().wrapping_add(1)).into(),
        ],
        IpAddr::V6(address) => [
            Ipv6Addr::from(address.to_bits().wrapping_sub(1)).into(),
            Ipv6Addr::from(address.to_bits().wrapping_add(1)).into(),
        ],
    }
}

/// The ends of the prefix and what lies beside them. A mapped address is IPv4, and no IPv6 packet bears one.
fn borders(net: &IpNet) -> Vec<IpAddr> {
    let ends = [net.network(), net.broadcast()];
    let all = ends.into_iter().chain(ends.into_iter().flat_map(neighbours));
    all.filter(|address| Address::from(*address).is_v4() == address.is_ipv4()).collect()
}

/// Looks each address up alone and in bursts.
fn check(lists: &Lists, model: &Model, addresses: &[IpAddr]) {
    for some in addresses.chunks(BURST_LEN_MAX) {
        let some_addresses: Vec<Address> = some.iter().map(|address| (*address).into()).collect();
        let mut ids = vec![SetId(9); some.len()];
        lists.lookup_burst(&some_addresses, &mut ids);
        for (address, id) in some.iter().zip(ids) {
            assert_eq!(lists.slots(id), covering(model, *address), "{address}");
            assert_eq!(lists.lookup((*address).into()), id, "{address}");
        }
    }
}

/// IPv4 prefixes in few places, so that they lie in and beside each other.
fn net4() -> impl Strategy<Value = IpNet> {
    let places = prop_oneof![Just(0_u32), Just(0x0a00_0000), Just(0xffff_0000), any::<u32>()];
    let len = prop_oneof![0..=32_u8, 14..=18_u8, 28..=32_u8];
    (places, 0..0x4_0000_u32, len).prop_map(|(place, offset, len)| {
        IpNet::from(Ipv4Net::new(place.wrapping_add(offset).into(), len).unwrap())
    })
}

/// The same of IPv6, for the most part with borders between /64s.
fn net6(lens: std::ops::RangeInclusive<u8>) -> impl Strategy<Value = IpNet> {
    let places =
        prop_oneof![Just(0_u128), Just(0x2001_0db8 << 96), Just(u128::MAX << 80), any::<u128>()];
    (places, 0..0x40_u128, 0..0x40_u128, lens).prop_map(|(place, high, low, len)| {
        let bits = place.wrapping_add(high << 64).wrapping_add(low);
        IpNet::from(Ipv6Net::new(bits.into(), len).unwrap())
    })
}

/// Comes or goes, with the slot of the list.
type Changes = Vec<(u16, bool, IpNet)>;

fn changes(net: impl Strategy<Value = IpNet>) -> impl Strategy<Value = Changes> {
    vec((0..4_u16, prop::bool::weighted(0.8), net), 0..80)
}

/// Makes the changes and checks; the slots are far apart.
fn follow(master: &mut Master, model: &mut Model, changes: &Changes, random: &[u128]) {
    for (slot, comes, net) in changes {
        let slot = slot * 1000;
        if *comes {
            master.add(slot, &[*net]);
            model.entry(slot).or_default().insert(net.trunc());
        } else {
            master.remove(slot, &[*net]);
            model.entry(slot).or_default().remove(&net.trunc());
        }
    }
    let lists = master.build().unwrap();
    let mut addresses: Vec<IpAddr> =
        changes.iter().flat_map(|(_, _, net)| borders(&net.trunc())).collect();
    addresses.extend(random.iter().map(|bits| IpAddr::from(bits.to_be_bytes())));
    addresses.extend(
        random.iter().map(|bits| IpAddr::from(Address::from(*bits).low_bits().to_be_bytes())),
    );
    addresses.extend(
        ["0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]
            .map(|text| text.parse::<IpAddr>().unwrap()),
    );
    check(&lists, model, &addresses);
    assert_eq!(master.len(), model.values().map(BTreeSet::len).sum::<usize>());
    for slot in [0, 1000, 2000, 3000, 4] {
        assert_eq!(master.count(slot), model.get(&slot).map_or(0, BTreeSet::len));
    }
}

proptest! {
    #[test]
    fn knows_all_lists_of_every_address_of_both_families(
        four in changes(net4()),
        halves in changes(net6(0..=64)),
        random in vec(any::<u128>(), 20),
    ) {
        let (mut master, mut model) = (Master::default(), Model::new());
        follow(&mut master, &mut model, &four, &random);
        follow(&mut master, &mut model, &halves, &random);
        let before = master.clone();
        master.clear(1000);
        model.remove(&1000);
        follow(&mut master, &mut model, &four, &random);
        prop_assert!(before.count(0) <= before.len());
    }

    #[test]
    fn knows_ipv6_prefixes_longer_than_64(
        whole in changes(prop_oneof![net6(0..=64), net6(65..=128), net6(120..=128)]),
        random in vec(any::<u128>(), 20),
    ) {
        follow(&mut Master::default(), &mut Model::new(), &whole, &random);
    }
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn slots(lists: &Lists, address: &str) -> Vec<u16> {
    lists.slots(lists.lookup(address.parse::<IpAddr>().unwrap().into())).to_vec()
}

#[test]
fn an_address_belongs_to_every_list_around_it() {
    let mut master = Master::default();
    master.add(1, &nets(&["0.0.0.0/0", "::/0"]));
    master.add(2, &nets(&["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"]));
    master.add(3, &nets(&["10.1.0.0/16", "10.1.2.3/32", "2001:db8::5/128"]));
    let lists = master.build().unwrap();
    assert_eq!(slots(&lists, "9.255.255.255"), [1]);
    assert_eq!(slots(&lists, "10.0.255.255"), [1, 2]);
    assert_eq!(slots(&lists, "10.1.2.3"), [1, 2, 3]);
    assert_eq!(slots(&lists, "11.0.0.0"), [1]);
    assert_eq!(slots(&lists, "2001:db8::4"), [1, 2]);
    assert_eq!(slots(&lists, "2001:db8::5"), [1, 2, 3]);
    assert_eq!(slots(&lists, "2001:db9::"), [1]);
    assert_eq!((master.len(), master.count(2), lists.sets()), (8, 3, 4));
}

#[test]
fn without_lists_nothing_is_held_and_nothing_kept() {
    let lists = Master::default().build().unwrap();
    assert!(lists.is_empty());
    assert_eq!(slots(&lists, "10.0.0.1"), []);
    assert_eq!(slots(&lists, "2001:db8::1"), []);
    assert!(lists.octets() < 100, "{}", lists.octets());
    let mut master = Master::default();
    master.add(1, &nets(&["10.0.0.0/8"]));
    master.remove(1, &nets(&["10.0.0.0/8", "11.0.0.0/8"]));
    assert!(master.build().unwrap().is_empty());
    assert!(master.is_empty());
}

#[test]
fn an_unbuildable_copy_is_dropped_and_the_master_stays_as_it_was() {
    let mut master = Master::default();
    master.add(1, &nets(&["10.0.0.0/8"]));
    master.settle();
    let mut next = master.clone();
    for slot in 0..4_000_u16 {
        next.add(slot, &nets(&["20.0.0.0/8", "0.0.0.0/0"]));
    }
    assert_eq!(next.build().unwrap_err(), TooManySets);
    assert_eq!(slots(&master.build().unwrap(), "10.9.9.9"), [1]);
    assert_eq!(master.len(), 1);
}

#[test]
fn many_prefixes_come_in_portions_in_any_order_and_go_again() {
    let mut master = Master::default();
    let net = |number: u32| {
        // An odd factor scatters the numbers, each to a place of its own.
        let bits = (number.wrapping_mul(0x9e37_79b1)) & !1;
        IpNet::from(Ipv4Net::new(bits.into(), 31).unwrap())
    };
    let all: Vec<IpNet> = (0..200_000).map(|number| net(number * 2)).collect();
    for part in all.chunks(1_000) {
        master.add(5, part);
    }
    let lists = master.build().unwrap();
    assert_eq!(master.count(5), all.len());
    for net in &all {
        assert_eq!(slots(&lists, &net.addr().to_string()), [5], "{net}");
    }
    master.remove(5, &all[1..]);
    let lists = master.build().unwrap();
    assert_eq!(master.len(), 1);
    assert_eq!(slots(&lists, &all[0].addr().to_string()), [5]);
    assert_eq!(slots(&lists, &all[77].addr().to_string()), []);
}
