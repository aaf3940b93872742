//! Longest-prefix match for IPv4: DIR-24-8. One read for prefixes up to /24, two for longer ones.
//!
//! After P. Gupta, S. Lin and N. `McKeown`, "Routing lookups in hardware at memory access speeds", INFOCOM 1998.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Set in a first-table entry whose low bits name a group of the second table.
const GROUP: u16 = 0x8000;

/// Highest route id that an entry can hold; 0 means no route.
pub(super) const ID_MAX: u16 = GROUP - 1;

/// Why a table could not be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbuildable {
    /// More than 32,768 different /24s have prefixes longer than /24 in them.
    TooManyLongPrefixes,
    /// A route id above [`ID_MAX`].
    TooManyNextHops,
}

/// A finished table: 2^24 entries for the first 24 bits, groups of 256 for the rest.
#[derive(Debug)]
pub struct Lpm4 {
    first: Vec<u16>,
    groups: Vec<[u16; 256]>,
}

impl Lpm4 {
    /// Builds the table from prefixes with their route ids, in any order; of equal prefixes the last wins.
    pub fn build(routes: &[(Ipv4Net, u16)]) -> Result<Self, Unbuildable> {
        // Zeroed pages come from the kernel untouched, so a small table costs little of its 32 MiB.
        let mut table = Self { first: vec![0; 1 << 24], groups: Vec::new() };
        let mut sorted: Vec<_> = routes.to_vec();
        sorted.sort_by_key(|(net, _)| net.prefix_len());
        for (net, id) in sorted {
            if id > ID_MAX {
                return Err(Unbuildable::TooManyNextHops);
            }
            table.insert(net, id)?;
        }
        Ok(table)
    }

    /// Shorter prefixes come first, so a range never covers a group of a longer one.
    fn insert(&mut self, net: Ipv4Net, id: u16) -> Result<(), Unbuildable> {
        let base = u32::from(net.network());
        if net.prefix_len() <= 24 {
            let from = (base >> 8) as usize;
            let count = 1_usize << (24 - net.prefix_len());
            if let Some(range) = self.first.get_mut(from..from + count) {
                range.fill(id);
            }
            return Ok(());
        }
        let group = self.group((base >> 8) as usize)?;
        let from = (base & 0xff) as usize;
        let count = 1_usize << (32 - net.prefix_len());
        if let Some(range) = self.groups.get_mut(group).and_then(|g| g.get_mut(from..from + count))
        {
            range.fill(id);
        }
        Ok(())
    }

    /// The group of a /24, made from its present id when it has none.
    fn group(&mut self, index: usize) -> Result<usize, Unbuildable> {
        let Some(entry) = self.first.get_mut(index) else { return Ok(0) };
        if *entry & GROUP != 0 {
            return Ok(usize::from(*entry & !GROUP));
        }
        let number = u16::try_from(self.groups.len())
            .ok()
            .filter(|number| number & GROUP == 0)
            .ok_or(Unbuildable::TooManyLongPrefixes)?;
        self.groups.push([*entry; 256]);
        *entry = GROUP | number;
        Ok(usize::from(number))
    }

    /// The route id of the longest prefix that holds the address; 0 when there is none.
    #[inline]
    pub fn lookup(&self, address: Ipv4Addr) -> u16 {
        let bits = u32::from(address);
        let entry = self.first.get((bits >> 8) as usize).copied().unwrap_or(0);
        if entry & GROUP == 0 {
            return entry;
        }
        self.groups
            .get(usize::from(entry & !GROUP))
            .and_then(|group| group.get((bits & 0xff) as usize))
            .copied()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(routes: &[(Ipv4Net, u16)], address: Ipv4Addr) -> u16 {
        let mut best: Option<(u8, u16)> = None;
        for (net, id) in routes {
            if net.contains(&address) && best.is_none_or(|(len, _)| net.prefix_len() >= len) {
                best = Some((net.prefix_len(), *id));
            }
        }
        best.map_or(0, |(_, id)| id)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn finds_what_a_walk_over_all_prefixes_finds(
            // Few high bits, so that prefixes nest and overlap.
            routes in prop::collection::vec((0_u32..4, any::<u16>(), 0_u8..=32, 1_u16..=ID_MAX), 0..60),
            probes in prop::collection::vec((0_u32..4, any::<u32>()), 50),
        ) {
            let routes: Vec<_> = routes.into_iter().map(|(high, low, len, id)| {
                let address = Ipv4Addr::from(high << 30 | u32::from(low));
                (Ipv4Net::new(address, len).unwrap().trunc(), id)
            }).collect();
            let table = Lpm4::build(&routes).unwrap();
            let random = probes.iter().map(|(high, low)| Ipv4Addr::from(high << 30 | low & 0xffff));
            let borders = routes.iter().flat_map(|(net, _)| {
                let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
                [first.wrapping_sub(1), first, last, last.wrapping_add(1)].map(Ipv4Addr::from)
            });
            for address in random.chain(borders) {
                prop_assert_eq!(table.lookup(address), naive(&routes, address), "{}", address);
            }
        }
    }

    #[test]
    fn refuses_an_id_that_an_entry_cannot_hold() {
        let net: Ipv4Net = "10.0.0.0/8".parse().unwrap();
        assert_eq!(Lpm4::build(&[(net, GROUP)]).unwrap_err(), Unbuildable::TooManyNextHops);
    }
}
