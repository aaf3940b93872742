//! Prefixes into a list and out of it, close together: lists have millions of them.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use zerocopy::transmute;

use super::super::address::prefix;
use super::super::command::{COMMAND_WORDS, Item, LISTED, TooMany};
use super::super::{Malformed, reserved};
use crate::layout::wire;
use crate::limits::LISTED_PER_ITEM_MAX;

/// Octets for the prefixes of a message.
const ROOM: usize = 168;
/// Octets of a prefix of each family: its address, then its length.
const V4_LEN: usize = 5;
const V6_LEN: usize = 17;
/// How many prefixes of each family fit a message.
const V4_MAX: usize = ROOM / V4_LEN;
const V6_MAX: usize = ROOM / V6_LEN;

wire! {
    /// Prefixes of one family, into a list or out of it.
    struct ListedWire {
        kind: u16,
        /// 4 or 6.
        family: u8,
        count: u8,
        rule: u32,
        prefixes: [u8; ROOM],
    }
}

/// How many messages these prefixes take.
pub(crate) fn message_count(prefixes: &[IpNet]) -> Result<usize, TooMany> {
    if prefixes.len() > LISTED_PER_ITEM_MAX {
        return Err(TooMany::Listed(prefixes.len()));
    }
    let v4 = prefixes.iter().filter(|prefix| matches!(prefix, IpNet::V4(_))).count();
    Ok(v4.div_ceil(V4_MAX) + (prefixes.len() - v4).div_ceil(V6_MAX))
}

/// Appends the messages: those of IPv4 first, for a list has no order.
pub(crate) fn list(kind: u16, rule: u32, prefixes: &[IpNet], into: &mut Vec<[u64; COMMAND_WORDS]>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for prefix in prefixes {
        match prefix {
            IpNet::V4(net) => v4.push(v4_octets(*net)),
            IpNet::V6(net) => v6.push(v6_octets(*net)),
        }
    }
    into.extend(v4.chunks(V4_MAX).map(|some| ListedWire::words(kind, 4, rule, some)));
    into.extend(v6.chunks(V6_MAX).map(|some| ListedWire::words(kind, 6, rule, some)));
}

fn v4_octets(net: Ipv4Net) -> [u8; V4_LEN] {
    let [a, b, c, d] = net.network().octets();
    [a, b, c, d, net.prefix_len()]
}

fn v6_octets(net: Ipv6Net) -> [u8; V6_LEN] {
    let mut octets = [net.prefix_len(); V6_LEN];
    octets[..16].copy_from_slice(&net.network().octets());
    octets
}

impl ListedWire {
    fn words<const N: usize>(
        kind: u16,
        family: u8,
        rule: u32,
        some: &[[u8; N]],
    ) -> [u64; COMMAND_WORDS] {
        let mut wire = Self { kind, family, count: 0, rule, prefixes: [0; ROOM] };
        for (place, prefix) in wire.prefixes.chunks_exact_mut(N).zip(some) {
            place.copy_from_slice(prefix);
            wire.count += 1;
        }
        transmute!(wire)
    }

    /// The prefixes into a list, or out of it.
    pub(crate) fn read(&self) -> Result<Item, Malformed> {
        let prefixes = match self.family {
            4 => self.each(|[a, b, c, d, len]: [u8; V4_LEN]| {
                prefix(Ipv4Addr::new(a, b, c, d).into(), len)
            }),
            6 => self.each(|[address @ .., len]: [u8; V6_LEN]| {
                prefix(Ipv6Addr::from(address).into(), len)
            }),
            other => Err(Malformed::Family(other)),
        }?;
        match self.rule {
            0 => Err(Malformed::RuleId),
            rule if self.kind == LISTED => Ok(Item::Listed { rule, prefixes }),
            rule => Ok(Item::Unlisted { rule, prefixes }),
        }
    }
    /// Reads each prefix that is counted; what is not must be zero.
    fn each<const N: usize>(
        &self,
        read: impl Fn([u8; N]) -> Result<IpNet, Malformed>,
    ) -> Result<Vec<IpNet>, Malformed> {
        let wrong = Malformed::AddressCount(self.count);
        let split = self.prefixes.split_at_checked(usize::from(self.count) * N);
        let (used, unused) = split.filter(|(used, _)| !used.is_empty()).ok_or(wrong)?;
        reserved(unused)?;
        used.as_chunks().0.iter().map(|octets| read(*octets)).collect()
    }
}
