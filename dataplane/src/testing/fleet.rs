//! A fleet for tests: its key, its memberships, and what its servers pass on to each other.
#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a test's packets fit")]

use std::net::{Ipv4Addr, Ipv6Addr};

use shm::message::{Fleet, Item, Member, MemberState};
use wire::fleet::{self, Header, Step};
use wireguard::index::{Layout, Permutation};
use wireguard::secret::Secret;

use super::packets::Ip;
use super::site;
use crate::fleet::Keys;

/// The octets of the fleet's key.
pub const KEY: [u8; 32] = [0xf1; 32];

/// The number of [`site`]'s server.
pub const SERVER: u8 = 1;

/// The keys that follow from it.
pub fn keys() -> Keys {
    Keys::new(&Secret::new(KEY), None)
}

/// How the fleet's receiver indices are made.
pub fn permutation() -> Permutation {
    Permutation::new(keys().permutation, Layout::default())
}

/// The fleet's address of a server, on the link of [`site`].
pub fn address(server: u8) -> Ipv4Addr {
    let [a, b, c, _] = site::SERVER_V4.octets();
    Ipv4Addr::new(a, b, c, server)
}

/// The same in IPv6.
pub fn address_v6(server: u8) -> Ipv6Addr {
    Ipv6Addr::from_bits(site::SERVER_V6.to_bits() & !0xff | u128::from(server))
}

/// A member that takes new clients as the others do.
pub fn member(server: u8, state: MemberState) -> Member {
    Member { server, weight: 100, state, v4: Some(address(server)), v6: None }
}

/// What tells a server of these members.
pub fn told(generation: u16, members: Vec<Member>) -> Item {
    Item::Fleet(Box::new(Fleet { generation, members, past: Vec::new() }))
}

/// A header that asks for nothing but delivery.
pub const DIRECT: Header = Header {
    generation: 0,
    hops: 0,
    step: Step::Direct,
    inner: false,
    named: false,
    position: 0,
    proof: 0,
};

/// An IP packet as server `from` passes it on to server `to`; its proof is right, unless `spoil` changes it.
pub fn passed_on(
    (from, to): (u8, u8),
    header: &Header,
    carried: &[u8],
    spoil: impl FnOnce(&mut Header),
) -> Vec<u8> {
    let proof = keys().proof(header.key(), (from, to), carried);
    let mut header = Header { proof, ..*header };
    spoil(&mut header);
    let mut datagram = vec![0; fleet::HEADER_LEN];
    datagram.extend(carried);
    fleet::emit(&mut datagram, 50_000, &header).expect("it fits");
    Ip::new(address(from), address(to)).packet(wire::udp::PROTOCOL, &datagram)
}
