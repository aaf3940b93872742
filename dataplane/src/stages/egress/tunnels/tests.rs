//! Claims about the version of all tunnels, and the tunnels that the claims about GRE are made with.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

/// The ends between two addresses.
pub(in crate::stages) fn ends(local: &str, remote: &str, key: Option<u32>) -> Ends {
    let address = |text: &str| text.parse::<IpAddr>().unwrap().into();
    Ends { local: address(local), remote: address(remote), key }
}

/// A tunnel of tenant 7 by port 2, whose packets are up to 1500 octets long.
pub(in crate::stages) fn spec(ends: Ends) -> Spec {
    Spec {
        id: 70,
        tenant: 7,
        ends,
        port: 2,
        port_mtu: 1500,
        mtu: 0,
        checksum: false,
        clears_df: false,
        inside: None,
    }
}

#[test]
fn leaves_inner_packets_what_the_port_takes_less_the_headers() {
    let v4 = || ends("192.0.2.1", "198.51.100.2", None);
    let v6 = || ends("2001:db8::1", "2001:db8:9::2", None);
    for (ends, overhead) in [(v4(), 24), (v6(), 44)] {
        for (key, checksum, fields) in [(false, false, 0), (true, false, 4), (true, true, 8)] {
            let ends = Ends { key: key.then_some(9), ..ends };
            let spec = Spec { checksum, ..spec(ends) };
            let tunnel = Tunnel::new(&spec).unwrap();
            assert_eq!(tunnel.overhead(), overhead + fields);
            assert_eq!(tunnel.mtu, 1500 - overhead - fields);
        }
    }
}

#[test]
fn takes_a_smaller_size_that_was_asked_for_and_no_greater_one() {
    let of = |mtu, port_mtu| {
        let ends = ends("192.0.2.1", "198.51.100.2", None);
        Tunnel::new(&Spec { port_mtu, mtu, ..spec(ends) }).unwrap().mtu
    };
    assert_eq!((of(1400, 1500), of(1476, 1500), of(9000, 1500)), (1400, 1476, 1476));
    assert_eq!(of(0, 20), 0, "nothing fits");
}

#[test]
fn makes_no_tunnel_between_two_families() {
    assert!(Tunnel::new(&spec(ends("192.0.2.1", "2001:db8::2", None))).is_none());
    assert!(Tunnel::new(&spec(ends("2001:db8::2", "192.0.2.1", None))).is_none());
}

#[test]
fn finds_a_tunnel_by_its_exact_ends_only() {
    let remote = "198.51.100.2";
    let keys = [None, Some(0), Some(1), Some(u32::MAX)];
    let mut all = vec![None];
    all.extend(keys.map(|key| Tunnel::new(&spec(ends("192.0.2.1", remote, key)))));
    let tunnels = Tunnels::new(all, Vec::new(), 5);
    for (number, key) in (1..).zip(keys) {
        let found = tunnels.of(&ends("192.0.2.1", remote, key));
        assert_eq!(found.map(|(number, tunnel)| (number, tunnel.ends.key)), Some((number, key)));
        assert!(tunnels.of(&ends(remote, "192.0.2.1", key)).is_none(), "the ends are exchanged");
        assert!(tunnels.of(&ends("192.0.2.2", remote, key)).is_none());
    }
    assert!(tunnels.of(&ends("192.0.2.1", remote, Some(2))).is_none());
    assert!(tunnels.get(0).is_none() && tunnels.get(5).is_none());
}

#[test]
fn every_slot_of_a_group_is_chosen_by_as_many_hashes() {
    let slots = std::array::from_fn(|slot| u16::try_from(slot).unwrap() + 100);
    let tunnels = Tunnels::default().with_groups(vec![None, Some(Group::new(Box::new(slots)))]);
    for slot in 0..256_u32 {
        for hash in [slot << 24, slot << 24 | 0x00ff_ffff] {
            assert_eq!(tunnels.choose(1, hash).map(u32::from), Some(slot + 100));
        }
    }
    assert_eq!((tunnels.choose(0, 0), tunnels.choose(2, 0)), (None, None));
}

#[test]
fn other_groups_leave_the_tunnels_where_they_are() {
    let tunnel = Tunnel::new(&spec(ends("192.0.2.1", "198.51.100.2", None)));
    let tunnels = Tunnels::new(vec![tunnel], Vec::new(), 5);
    let other = tunnels.with_groups(vec![Some(Group::new(Box::new([0; CHOICES])))]);
    assert!(std::ptr::eq(tunnels.get(0).unwrap(), other.get(0).unwrap()));
    assert_eq!((tunnels.choose(0, 9), other.choose(0, 9)), (None, Some(0)));
    assert!(!other.is_empty() && Tunnels::default().is_empty());
}

proptest! {
    #[test]
    fn ends_that_differ_in_any_bit_have_other_hashes(
        local: u128, remote: u128, key: u32, bit in 0..288_u32, seed: u64,
    ) {
        let of = |local: u128, remote: u128, key| {
            Ends { local: local.into(), remote: remote.into(), key: Some(key) }.hash(seed)
        };
        let flipped = match bit {
            0..128 => of(local ^ 1 << bit, remote, key),
            128..256 => of(local, remote ^ 1 << (bit - 128), key),
            _ => of(local, remote, key ^ 1 << (bit - 256)),
        };
        prop_assert_ne!(of(local, remote, key), flipped);
    }
}
