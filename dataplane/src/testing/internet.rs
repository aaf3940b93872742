//! The Internet's prefixes with their origins, from the database that Debian packages as `libloc-database`.

use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Where the package puts it.
pub const DATABASE: &str = "/usr/share/libloc-location/location.db";

/// A prefix and the autonomous system that announces it.
pub type Origin = (IpNet, u32);

/// Why a database could not be read.
#[derive(Debug)]
pub enum Unreadable {
    /// The file.
    Io(io::Error),
    /// It is no location database of version 1, or breaks off.
    Format,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Format => f.write_str("is no whole location database of version 1"),
        }
    }
}

impl std::error::Error for Unreadable {}

/// Reads every prefix whose origin is known, in order.
pub fn read(path: &Path) -> Result<Vec<Origin>, Unreadable> {
    let octets = fs::read(path).map_err(Unreadable::Io)?;
    Database { octets: &octets }.origins().ok_or(Unreadable::Format)
}

/// A file of big-endian words: a header, a binary tree over address bits, and the networks that its nodes name.
struct Database<'a> {
    octets: &'a [u8],
}

const MAGIC: &[u8] = b"LOCDBXX\x01";
/// Where the header names the networks and the tree.
const NETWORKS: usize = 36;
const TREE: usize = 44;
/// Octets of a node: two children and a network.
const NODE_LEN: usize = 12;
/// Octets of a network; its autonomous system is the second word.
const NETWORK_LEN: usize = 12;
const NO_NETWORK: usize = 0xffff_ffff;

impl Database<'_> {
    fn word(&self, at: usize) -> Option<usize> {
        let octets = self.octets.get(at..at.checked_add(4)?)?;
        Some(u32::from_be_bytes(octets.try_into().ok()?) as usize)
    }

    fn origins(&self) -> Option<Vec<Origin>> {
        if !self.octets.starts_with(MAGIC) {
            return None;
        }
        let (networks, tree) = (self.word(NETWORKS)?, self.word(TREE)?);
        let mut origins = Vec::new();
        // Node, bits on the way to it, and their count. No way is longer than an address.
        let mut open = vec![(0, 0_u128, 0_u8)];
        // A tree has no more nodes than the file has room for; a file with a circle in it is none.
        let mut left = self.octets.len() / NODE_LEN;
        while let Some((node, bits, len)) = open.pop() {
            left = left.checked_sub(1)?;
            let at = tree + node * NODE_LEN;
            let network = self.word(at + 8)?;
            if network != NO_NETWORK {
                let origin = self.word(networks + network * NETWORK_LEN + 4)?;
                origins.extend(prefix(bits, len).zip(known(origin)));
            }
            for bit in [1_u8, 0] {
                let child = self.word(at + 4 * usize::from(bit))?;
                if child != 0 && len < 128 {
                    open.push((child, bits | u128::from(bit) << (127 - len), len + 1));
                }
            }
        }
        Some(origins)
    }
}

/// The autonomous system, if it is one.
fn known(origin: usize) -> Option<u32> {
    u32::try_from(origin).ok().filter(|origin| *origin != 0)
}

/// IPv4 stands where RFC 4291 2.5.5.2 maps it.
fn prefix(bits: u128, len: u8) -> Option<IpNet> {
    let address = Ipv6Addr::from_bits(bits);
    match (address.to_ipv4_mapped(), len.checked_sub(96)) {
        (Some(address), Some(len)) => mapped(address, len),
        _ => Ipv6Net::new(address, len).ok().map(IpNet::V6),
    }
}

fn mapped(address: Ipv4Addr, len: u8) -> Option<IpNet> {
    Ipv4Net::new(address, len).ok().map(IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database of the two prefixes 10.0.0.0/8 of AS 7 and `8000::/1` of AS 9, and one of no known origin.
    fn database() -> Vec<u8> {
        let mut octets = MAGIC.to_vec();
        octets.resize(1000, 0);
        let networks: [u32; 9] = [0, 7, 0, 0, 9, 0, 0, 0, 0];
        octets.extend(networks.iter().flat_map(|word| word.to_be_bytes()));
        octets[NETWORKS..NETWORKS + 4].copy_from_slice(&1000_u32.to_be_bytes());
        let tree = u32::try_from(octets.len()).unwrap();
        octets[TREE..TREE + 4].copy_from_slice(&tree.to_be_bytes());
        let way = u128::from(Ipv4Addr::new(10, 0, 0, 0).to_ipv6_mapped());
        for depth in 0..104_u32 {
            let next = depth + 1;
            let is_one = way >> (127 - depth) & 1 == 1;
            let other = if depth == 0 { 105 } else { 0 };
            let children = if is_one { [other, next] } else { [next, other] };
            octets.extend(children.iter().flat_map(|word| word.to_be_bytes()));
            octets.extend(u32::MAX.to_be_bytes());
        }
        for words in [[0, 0, 0], [0, 106, 1], [0, 0, 2_u32]] {
            octets.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        }
        octets
    }

    #[test]
    fn reads_both_families_and_leaves_out_what_nobody_announces() {
        let octets = database();
        let origins = Database { octets: &octets }.origins().unwrap();
        let wanted = [("10.0.0.0/8".parse().unwrap(), 7), ("8000::/1".parse().unwrap(), 9)];
        assert_eq!(origins, wanted);
    }

    #[test]
    fn refuses_what_breaks_off_anywhere() {
        let octets = database();
        assert!(
            (0..octets.len()).all(|len| Database { octets: &octets[..len] }.origins().is_none())
        );
    }
}
