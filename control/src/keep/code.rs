//! How peers, next hops, routes, the fleet, rules and tenants stand in the file: octets in a fixed order, each value with a version before it.

mod centres;
mod fleet;
mod rules;
mod tenants;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use wireguard::message::ClientId;
use wireguard::secret::Secret;

use crate::model::{
    DIRECT, Hop, HopNamed, NextHop, Origin, Peer, Place, PublicKey, Route, RouteTo,
};

pub(super) use centres::{read_centre, write_centre};
pub(super) use fleet::{read_fleet, write_fleet};
pub(super) use rules::{
    read_detect, read_prefixes, read_rule, write_detect, write_prefixes, write_rule,
};
pub(super) use tenants::{read_tenant, write_tenant};

const VERSION: u8 = 1;

pub(super) fn write_peer(peer: &Peer, to: &mut Vec<u8>) {
    zeroize::Zeroize::zeroize(to);
    to.push(VERSION);
    write_origin(peer.origin, to);
    write_text(peer.name.as_deref().unwrap_or_default(), to);
    to.extend(peer.client_id.0);
    to.extend(peer.persistent_keepalive.to_le_bytes());
    match &peer.preshared_key {
        Some(key) => {
            to.push(1);
            to.extend(key.octets());
        }
        None => to.push(0),
    }
    match peer.endpoint {
        Some(endpoint) => {
            to.push(1);
            write_address(endpoint.ip(), to);
            to.extend(endpoint.port().to_le_bytes());
        }
        None => to.push(0),
    }
    for net in &peer.allowed_ips {
        write_net(net, to);
    }
}

pub(super) fn read_peer(key: &[u8], octets: &[u8]) -> Option<Peer> {
    let mut from = Reading(octets);
    (from.octet()? == VERSION).then_some(())?;
    let origin = from.origin()?;
    let name = from.text()?;
    let client_id = ClientId(from.take()?);
    let persistent_keepalive = u16::from_le_bytes(from.take()?);
    let preshared_key =
        if from.octet()? == 1 { Some(Box::new(Secret::new(from.take()?))) } else { None };
    let endpoint = if from.octet()? == 1 {
        Some(SocketAddr::new(from.address()?, u16::from_le_bytes(from.take()?)))
    } else {
        None
    };
    let mut allowed_ips = Vec::new();
    while !from.0.is_empty() {
        allowed_ips.push(from.net()?);
    }
    Some(Peer {
        public_key: PublicKey(key.try_into().ok()?),
        name: (!name.is_empty()).then(|| name.into()),
        preshared_key,
        client_id,
        endpoint,
        persistent_keepalive,
        allowed_ips: allowed_ips.into(),
        origin,
    })
}

/// Exits are written by their numbers: names change without the next hop.
pub(super) fn write_next_hop(hop: &NextHop, to: &mut Vec<u8>) {
    to.clear();
    to.push(VERSION);
    write_origin(hop.origin, to);
    write_text(&hop.name, to);
    if !hop.exits.is_empty() {
        to.push(7);
        let named = |exit: u16| if exit == 0 { DIRECT.to_owned() } else { exit.to_string() };
        hop.exits.iter().for_each(|exit| write_text(&named(*exit), to));
        return;
    }
    match hop.hop {
        Hop::Reject => to.push(0),
        Hop::Local => to.push(1),
        Hop::Client(key) => {
            to.push(2);
            to.extend(key.0);
        }
        Hop::Gre { local, remote, key, checksum } => {
            to.extend([3, u8::from(key.is_some()), u8::from(checksum)]);
            to.extend(key.unwrap_or_default().to_le_bytes());
            write_address(local, to);
            write_address(remote, to);
        }
        Hop::Direct => to.push(4),
        Hop::Via { centre, remote: Some(remote) } => {
            to.push(5);
            to.extend(centre.to_le_bytes());
            write_address(remote, to);
        }
        Hop::Via { centre, remote: None } => {
            to.push(6);
            to.extend(centre.to_le_bytes());
        }
    }
}

pub(super) fn read_next_hop(octets: &[u8]) -> Option<HopNamed> {
    let mut from = Reading(octets);
    (from.octet()? == VERSION).then_some(())?;
    let origin = from.origin()?;
    let name: Arc<str> = from.text()?.into();
    let hop = match from.octet()? {
        0 => Hop::Reject,
        1 => Hop::Local,
        2 => Hop::Client(PublicKey(from.take()?)),
        3 => {
            let [has_key, checksum] = from.take()?;
            let key = u32::from_le_bytes(from.take()?);
            let key = (has_key == 1).then_some(key);
            Hop::Gre {
                local: from.address()?,
                remote: from.address()?,
                key,
                checksum: checksum == 1,
            }
        }
        4 => Hop::Direct,
        5 => {
            let centre = u32::from_le_bytes(from.take()?);
            Hop::Via { centre, remote: Some(from.address()?) }
        }
        6 => Hop::Via { centre: u32::from_le_bytes(from.take()?), remote: None },
        7 => {
            let mut exits = Vec::new();
            while !from.0.is_empty() {
                exits.push(from.text()?.into());
            }
            return Some(HopNamed::of_exits(name, exits.into(), origin));
        }
        _ => return None,
    };
    from.0.is_empty().then_some(HopNamed::new(name, hop, origin))
}

pub(super) fn write_prefix(prefix: &IpNet, to: &mut Vec<u8>) {
    to.clear();
    write_net(prefix, to);
}

pub(super) fn write_route(route: &Route, to: &mut Vec<u8>) {
    to.clear();
    to.push(VERSION);
    write_origin(route.origin, to);
    to.extend(route.next_hop.to_le_bytes());
    if route.exit != 0 {
        to.extend(route.exit.to_le_bytes());
    }
}

/// The route, and the exit to which Argo leads it.
pub(super) fn read_route(
    prefix: &[u8],
    octets: &[u8],
    names: &HashMap<u32, Arc<str>>,
) -> Option<(RouteTo, u16)> {
    let prefix = Reading(prefix).net()?;
    let mut from = Reading(octets);
    (from.octet()? == VERSION).then_some(())?;
    let origin = from.origin()?;
    let next_hop = Arc::clone(names.get(&u32::from_le_bytes(from.take()?))?);
    let exit = if from.0.is_empty() { 0 } else { u16::from_le_bytes(from.take()?) };
    from.0.is_empty().then_some((RouteTo { prefix, next_hop, origin }, exit))
}

fn write_origin(origin: Origin, to: &mut Vec<u8>) {
    match origin {
        Origin::Declared(Place { file, line }) => {
            to.push(0);
            to.extend(file.to_le_bytes());
            to.extend(line.to_le_bytes());
        }
        Origin::Cli => to.push(1),
        Origin::Uapi => to.push(2),
        Origin::Registration => to.push(3),
        Origin::Detection => to.push(4),
    }
}

/// At most 255 octets; longer names are refused before.
fn write_text(text: &str, to: &mut Vec<u8>) {
    let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
    to.push(len);
    to.extend(text.bytes().take(len.into()));
}

fn write_address(address: IpAddr, to: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => {
            to.push(4);
            to.extend(v4.octets());
        }
        IpAddr::V6(v6) => {
            to.push(6);
            to.extend(v6.octets());
        }
    }
}

fn write_net(net: &IpNet, to: &mut Vec<u8>) {
    write_address(net.addr(), to);
    to.push(net.prefix_len());
}

/// Octets that are still to be read.
struct Reading<'a>(&'a [u8]);

impl<'a> Reading<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn octet(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = self.octet()?;
        let (text, rest) = self.0.split_at_checked(len.into())?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn origin(&mut self) -> Option<Origin> {
        Some(match self.octet()? {
            0 => Origin::Declared(Place {
                file: u16::from_le_bytes(self.take()?),
                line: u32::from_le_bytes(self.take()?),
            }),
            1 => Origin::Cli,
            2 => Origin::Uapi,
            3 => Origin::Registration,
            4 => Origin::Detection,
            _ => return None,
        })
    }

    fn address(&mut self) -> Option<IpAddr> {
        match self.octet()? {
            4 => Some(Ipv4Addr::from(self.take::<4>()?).into()),
            6 => Some(Ipv6Addr::from(self.take::<16>()?).into()),
            _ => None,
        }
    }

    fn net(&mut self) -> Option<IpNet> {
        IpNet::new(self.address()?, self.octet()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_with_everything_and_one_with_nothing_come_back() {
        let place = Place { file: 3, line: 70_000 };
        let full = Peer {
            name: Some("alice".into()),
            preshared_key: Some(Box::new(Secret::new([5; 32]))),
            client_id: ClientId([1, 2, 3]),
            endpoint: Some("[2001:db8::1]:51820".parse().unwrap()),
            persistent_keepalive: 25,
            allowed_ips: ["10.0.0.1/32", "fd00::/64"].map(|net| net.parse().unwrap()).into(),
            origin: Origin::Declared(place),
            ..Peer::new(PublicKey([7; 32]))
        };
        for peer in [full, Peer::new(PublicKey([8; 32]))] {
            let mut octets = Vec::new();
            write_peer(&peer, &mut octets);
            assert_eq!(read_peer(&peer.public_key.0, &octets).as_ref(), Some(&peer));
            octets[0] += 1;
            assert_eq!(read_peer(&peer.public_key.0, &octets), None);
        }
    }

    #[test]
    fn every_kind_of_next_hop_comes_back_and_no_shorter_one() {
        let address = |text: &str| text.parse().unwrap();
        let gre = Hop::Gre {
            local: address("192.0.2.1"),
            remote: address("192.0.2.2"),
            key: Some(9),
            checksum: true,
        };
        let via = Hop::Via { centre: 7, remote: Some(address("2001:db8::7")) };
        let client = Hop::Client(PublicKey([1; 32]));
        for hop in [Hop::Reject, Hop::Local, client, gre, Hop::Direct, via] {
            let exits = Arc::default();
            let entry = NextHop { name: "out".into(), id: 5, hop, exits, origin: Origin::Uapi };
            let mut octets = Vec::new();
            write_next_hop(&entry, &mut octets);
            let read = read_next_hop(&octets).unwrap();
            assert_eq!((&*read.name, read.hop, read.origin), ("out", hop, Origin::Uapi));
            assert!(read_next_hop(&octets[..octets.len() - 1]).is_none());
        }
    }
}
