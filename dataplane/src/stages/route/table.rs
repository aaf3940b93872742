//! All routes of inner packets as workers read them: single addresses by hash, prefixes by longest match.
//! A version never changes; versions share what is alike in both.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use super::centres::Centres;
use super::hosts::{Halves, Hosts};
use super::lpm4::Lpm4;
use super::lpm6::Lpm6;
use super::next_hop::NextHop;
use super::next_hops::Unbuildable;
use super::rib::Rib;
use crate::limits::BURST_LEN_MAX;
use crate::packet::Address;

/// One version of the routes.
#[derive(Clone, Debug)]
pub struct Routes {
    pub(super) hosts4: Hosts<u32>,
    pub(super) hosts6: Hosts<Halves>,
    pub(super) prefixes4: Lpm4,
    pub(super) prefixes6: Lpm6,
    /// Where the whole of either family leads: the prefix of length 0 is in no table, so it changes at once.
    pub(super) default4: NextHop,
    pub(super) default6: NextHop,
    pub(super) next_hops: Arc<Vec<NextHop>>,
    /// Where next hops lead that are data centres.
    pub(super) centres: Arc<Centres>,
    /// There are so many that the core's caches do not hold what lookups read.
    pub(super) are_many: bool,
}

impl Routes {
    /// Builds from prefixes with their next hops; of equal prefixes the last wins.
    pub fn build(routes: &[(IpNet, NextHop)], seed: u64) -> Result<Self, Unbuildable> {
        let mut rib = Rib::new(seed);
        rib.load(routes)?;
        Ok(rib.routes())
    }

    /// The data centres.
    pub fn centres(&self) -> &Centres {
        &self.centres
    }

    /// The next hop of an address.
    #[inline]
    pub fn lookup(&self, address: Address) -> NextHop {
        match address.v4() {
            Some(address) => self.lookup4(address),
            None => self.lookup6(address.v6()),
        }
    }

    /// The next hops of a burst's addresses, as [`Self::lookup`] has each; where there are more of the one than of the other, the
    /// rest is left. Most addresses are IPv4 and nobody's own: what is read for those is read for all of them before anything is
    /// asked of it, so that the waits for memory overlap, and a wrong guess costs no wait.
    pub fn lookup_burst(&self, addresses: &[Address], next_hops: &mut [NextHop]) {
        let bursts = addresses.chunks(BURST_LEN_MAX).zip(next_hops.chunks_mut(BURST_LEN_MAX));
        for (addresses, next_hops) in bursts {
            let mut keys = [0; BURST_LEN_MAX];
            let mut others = 0_u64;
            for ((address, key), lane) in addresses.iter().zip(&mut keys).zip(0..) {
                let is_v4 = address.is_v4();
                // What is no IPv4 reads one place again and again.
                *key = if is_v4 { address.low_bits() } else { 0 };
                others |= u64::from(!is_v4) << lane;
            }
            let keys = keys.get(..addresses.len()).unwrap_or_default();
            let mut entries = [0; BURST_LEN_MAX];
            // Nothing else stands in this loop: as many waits overlap as there are turns of it in the core's window.
            for (key, entry) in keys.iter().zip(&mut entries) {
                *entry = self.prefixes4.first(*key);
            }
            for (key, lane) in keys.iter().zip(0..) {
                others |= u64::from(self.hosts4.has_near(*key)) << lane;
            }
            for (address, _) in lanes(addresses, others) {
                self.prefetch(*address);
            }
            for ((key, entry), next_hop) in keys.iter().zip(&entries).zip(&mut *next_hops) {
                *next_hop = match self.prefixes4.resolve(*entry, *key) {
                    0 => self.default4,
                    id => self.next_hop(id),
                };
            }
            for (address, lane) in lanes(addresses, others) {
                if let Some(next_hop) = next_hops.get_mut(lane) {
                    *next_hop = self.lookup(*address);
                }
            }
        }
    }

    /// Whether it pays to look up many at once, as the core's caches do not hold what is read.
    #[inline]
    pub const fn are_many(&self) -> bool {
        self.are_many
    }

    /// Begins to fetch what a lookup of a single address reads.
    #[inline]
    fn prefetch(&self, address: Address) {
        match address.v4() {
            Some(address) => self.hosts4.prefetch(address.to_bits()),
            None => self.hosts6.prefetch(halves(address.v6())),
        }
    }

    #[inline]
    fn lookup4(&self, address: Ipv4Addr) -> NextHop {
        if let Some(next_hop) = self.hosts4.get(address.to_bits()) {
            return next_hop;
        }
        match self.prefixes4.lookup(address) {
            0 => self.default4,
            id => self.next_hop(id),
        }
    }

    #[inline]
    fn lookup6(&self, address: Ipv6Addr) -> NextHop {
        if let Some(next_hop) = self.hosts6.get(halves(address)) {
            return next_hop;
        }
        match self.prefixes6.lookup(address) {
            0 => self.default6,
            id => self.next_hop(id),
        }
    }

    #[inline]
    fn next_hop(&self, id: u16) -> NextHop {
        self.next_hops.get(usize::from(id)).copied().unwrap_or(NextHop::None)
    }
}

/// Those whose bits are set, with their places.
fn lanes(addresses: &[Address], mut bits: u64) -> impl Iterator<Item = (&Address, usize)> {
    std::iter::from_fn(move || {
        let lane = bits.trailing_zeros() as usize;
        bits &= bits.wrapping_sub(1);
        Some((addresses.get(lane)?, lane))
    })
}

/// An IPv6 address as the key of a host.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves are kept")]
pub(super) fn halves(address: Ipv6Addr) -> Halves {
    let bits = address.to_bits();
    [(bits >> 64) as u64, bits as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_own_address_wins_over_any_prefix() {
        let routes = Routes::build(
            &[
                ("0.0.0.0/0".parse().unwrap(), NextHop::Local),
                ("10.0.0.0/8".parse().unwrap(), NextHop::Client(1)),
                ("10.0.0.7/32".parse().unwrap(), NextHop::Client(2)),
                ("fd00::/8".parse().unwrap(), NextHop::Client(1)),
                ("fd00::7/128".parse().unwrap(), NextHop::Client(2)),
            ],
            1,
        )
        .unwrap();
        let next_hop = |text: &str| routes.lookup(text.parse::<std::net::IpAddr>().unwrap().into());
        assert_eq!(next_hop("10.0.0.7"), NextHop::Client(2));
        assert_eq!(next_hop("10.0.0.8"), NextHop::Client(1));
        assert_eq!(next_hop("11.0.0.8"), NextHop::Local);
        assert_eq!(next_hop("fd00::7"), NextHop::Client(2));
        assert_eq!(next_hop("fd00::8"), NextHop::Client(1));
        assert_eq!(next_hop("2001:db8::8"), NextHop::None);
    }

    #[test]
    fn bursts_of_any_length_lead_where_their_addresses_lead() {
        let mut routes = vec![("203.0.113.0/24".parse().unwrap(), NextHop::Reject)];
        for number in 0..200_u16 {
            let (high, low) = (number >> 4, number & 15);
            // With single addresses, prefixes beyond the first table, and nothing, side by side.
            let (prefix, len) =
                [("10", 32), ("10", 27), ("11", 24), ("fd00", 128)][usize::from(number % 4)];
            let text = if len == 128 {
                format!("{prefix}:{number:x}::1/{len}")
            } else {
                format!("{prefix}.{high}.{low}.0/{len}")
            };
            routes.push((text.parse().unwrap(), NextHop::Tunnel(number)));
        }
        for default in [None, Some(NextHop::Direct)] {
            routes.extend(default.map(|next_hop| ("0.0.0.0/0".parse().unwrap(), next_hop)));
            let table = Routes::build(&routes, 7).unwrap();
            let mut addresses: Vec<Address> = Vec::new();
            for (net, _) in &routes {
                addresses.push(net.network().into());
                addresses.push(net.broadcast().into());
                addresses.push(std::net::IpAddr::from([10, 0, 0, 1]).into());
            }
            let alone: Vec<NextHop> =
                addresses.iter().map(|address| table.lookup(*address)).collect();
            assert!(alone.iter().filter(|next_hop| **next_hop != NextHop::None).count() > 300);
            for len in [0, 1, 3, 63, 64, 65, addresses.len()] {
                let mut found = vec![NextHop::Local; len + 1];
                table.lookup_burst(&addresses[..len], &mut found);
                assert_eq!(found[..len], alone[..len], "{len}");
                assert_eq!(found[len], NextHop::Local, "what was not asked for is left");
            }
        }
    }
}
