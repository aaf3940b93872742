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

    /// Whether it pays to fetch ahead what lookups read.
    #[inline]
    pub const fn are_many(&self) -> bool {
        self.are_many
    }

    /// Begins to fetch what a lookup of this address reads first, while others are looked up.
    #[inline]
    pub fn prefetch(&self, address: Address) {
        match address.v4() {
            Some(address) if self.hosts4.prefetch(address.to_bits()) => {}
            Some(address) => self.prefixes4.prefetch(address),
            None => {
                self.hosts6.prefetch(halves(address.v6()));
            }
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
}
