//! All routes of inner packets: clients' single addresses by hash, prefixes by longest match. Read-only
//! once built, shared by all workers.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::lpm4::{Lpm4, Unbuildable};
use super::lpm6::Lpm6;
use super::next_hop::NextHop;
use crate::packet::Address;
use crate::table::Table;

/// The finished routes.
#[derive(Debug)]
pub struct Routes {
    hosts4: Table<u32, NextHop>,
    hosts6: Table<u128, NextHop>,
    prefixes4: Lpm4,
    prefixes6: Lpm6,
    next_hops: Vec<NextHop>,
}

impl Routes {
    /// Builds from prefixes with their next hops. Single addresses go to hash tables, which take any number
    /// of clients; prefixes share 16-bit route ids.
    pub fn build(routes: &[(IpNet, NextHop)], seed: u64) -> Result<Self, Unbuildable> {
        let hosts =
            routes.iter().filter(|(net, _)| net.prefix_len() == net.max_prefix_len()).count();
        let mut table = Self {
            hosts4: Table::new(hosts, seed),
            hosts6: Table::new(hosts, seed),
            prefixes4: Lpm4::build(&[])?,
            prefixes6: Lpm6::default(),
            next_hops: vec![NextHop::None],
        };
        let (mut nets4, mut nets6) = (Vec::new(), Vec::new());
        for (net, next_hop) in routes {
            match net {
                IpNet::V4(net) if net.prefix_len() == 32 => {
                    // The capacity was counted above.
                    let _ = table.hosts4.insert(u32::from(net.addr()), *next_hop);
                }
                IpNet::V6(net) if net.prefix_len() == 128 => {
                    let _ = table.hosts6.insert(u128::from(net.addr()), *next_hop);
                }
                IpNet::V4(net) => nets4.push((net.trunc(), table.id_of(*next_hop)?)),
                IpNet::V6(net) => nets6.push((net.trunc(), table.id_of(*next_hop)?)),
            }
        }
        table.prefixes4 = Lpm4::build(&nets4)?;
        table.prefixes6 = Lpm6::build(&nets6);
        Ok(table)
    }

    fn id_of(&mut self, next_hop: NextHop) -> Result<u16, Unbuildable> {
        // Prefixes of one client stand together in the configuration, so the last id usually fits.
        if self.next_hops.last() != Some(&next_hop) {
            self.next_hops.push(next_hop);
        }
        u16::try_from(self.next_hops.len() - 1).map_err(|_| Unbuildable::TooManyNextHops)
    }

    /// The next hop of an address.
    #[inline]
    pub fn lookup(&self, address: Address) -> NextHop {
        match address.v4() {
            Some(address) => self.lookup4(address),
            None => self.lookup6(address.v6()),
        }
    }

    #[inline]
    fn lookup4(&self, address: Ipv4Addr) -> NextHop {
        self.hosts4
            .get(u32::from(address))
            .unwrap_or_else(|| self.next_hop(self.prefixes4.lookup(address)))
    }

    #[inline]
    fn lookup6(&self, address: Ipv6Addr) -> NextHop {
        self.hosts6
            .get(u128::from(address))
            .unwrap_or_else(|| self.next_hop(self.prefixes6.lookup(address)))
    }

    #[inline]
    fn next_hop(&self, id: u16) -> NextHop {
        self.next_hops.get(usize::from(id)).copied().unwrap_or(NextHop::None)
    }
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
