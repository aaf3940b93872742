//! Longest-prefix match for IPv6: the prefixes flattened to disjoint ranges, found by binary search.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

/// A finished table: where each range begins, and the route id that holds from there on (0 is none).
#[derive(Debug, Default)]
pub struct Lpm6 {
    starts: Vec<u128>,
    ids: Vec<u16>,
}

impl Lpm6 {
    /// Builds the table from prefixes with their route ids, in any order; of equal prefixes the last wins.
    pub fn build(routes: &[(Ipv6Net, u16)]) -> Self {
        let mut sorted: Vec<_> = routes.to_vec();
        // By address, enclosing prefixes before enclosed ones: a walk over nested intervals.
        sorted.sort_by_key(|(net, _)| (u128::from(net.network()), net.prefix_len()));
        let mut table = Self::default();
        table.mark(0, 0);
        let mut open: Vec<(u128, u16)> = Vec::new();
        for (net, id) in sorted {
            let (first, last) = (u128::from(net.network()), u128::from(net.broadcast()));
            table.close(&mut open, Some(first));
            table.mark(first, id);
            open.push((last, id));
        }
        table.close(&mut open, None);
        table
    }

    /// Ends every open prefix that lies before `next`; what encloses it holds again behind it.
    fn close(&mut self, open: &mut Vec<(u128, u16)>, next: Option<u128>) {
        while let Some((last, _)) = open.last().copied() {
            if next.is_some_and(|next| last >= next) {
                return;
            }
            open.pop();
            if let Some(behind) = last.checked_add(1) {
                self.mark(behind, open.last().map_or(0, |(_, id)| *id));
            }
        }
    }

    fn mark(&mut self, start: u128, id: u16) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.ids.pop();
        }
        if self.ids.last() != Some(&id) {
            self.starts.push(start);
            self.ids.push(id);
        }
    }

    /// The route id of the longest prefix that holds the address; 0 when there is none.
    #[inline]
    pub fn lookup(&self, address: Ipv6Addr) -> u16 {
        let bits = u128::from(address);
        let behind = self.starts.partition_point(|start| *start <= bits);
        behind.checked_sub(1).and_then(|range| self.ids.get(range)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(routes: &[(Ipv6Net, u16)], address: Ipv6Addr) -> u16 {
        let mut best: Option<(u8, u16)> = None;
        for (net, id) in routes {
            if net.contains(&address) && best.is_none_or(|(len, _)| net.prefix_len() >= len) {
                best = Some((net.prefix_len(), *id));
            }
        }
        best.map_or(0, |(_, id)| id)
    }

    proptest! {
        #[test]
        fn finds_what_a_walk_over_all_prefixes_finds(
            routes in prop::collection::vec((0_u128..4, 0_u128..16, 0_u8..=128, 1_u16..100), 0..40),
            probes in prop::collection::vec((0_u128..4, 0_u128..16), 30),
        ) {
            let address = |high: u128, low: u128| Ipv6Addr::from(high << 126 | low);
            let routes: Vec<_> = routes.into_iter().map(|(high, low, len, id)| {
                (Ipv6Net::new(address(high, low), len).unwrap().trunc(), id)
            }).collect();
            let table = Lpm6::build(&routes);
            let random = probes.iter().map(|(high, low)| address(*high, *low));
            let borders = routes.iter().flat_map(|(net, _)| {
                let (first, last) = (u128::from(net.network()), u128::from(net.broadcast()));
                [first.wrapping_sub(1), first, last, last.wrapping_add(1)].map(Ipv6Addr::from)
            });
            for address in random.chain(borders) {
                prop_assert_eq!(table.lookup(address), naive(&routes, address), "{}", address);
            }
        }
    }
}
