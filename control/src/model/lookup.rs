//! Which entry of the book decides about an address: the longest prefix, of a route or of a peer; and whose the address is.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{Book, NextHop, Peer, Route, Tenant};

/// What decides about an address.
#[derive(Clone, Debug)]
pub enum Decision {
    /// A peer that holds the prefix.
    Peer {
        /// The prefix.
        prefix: IpNet,
        /// The peer.
        peer: Arc<Peer>,
    },
    /// A route.
    Route {
        /// Its prefix.
        prefix: IpNet,
        /// The route.
        route: Route,
        /// Where it leads.
        next_hop: Arc<NextHop>,
    },
}

impl Book {
    /// What decides about an address; none when there is no route to it.
    pub fn lookup(&self, address: IpAddr) -> Option<Decision> {
        around(address).find_map(|prefix| self.decision(prefix))
    }

    /// Whose an address is, and of which of the tenant's prefixes.
    pub fn tenant_of(&self, address: IpAddr) -> Option<(IpNet, &Arc<Tenant>)> {
        around(address).find_map(|prefix| {
            let tenant = self.tenants.get(self.tenant_prefixes.get(&prefix)?)?;
            Some((prefix, tenant))
        })
    }

    fn decision(&self, prefix: IpNet) -> Option<Decision> {
        if let Some(peer) = self.holder(&prefix) {
            return Some(Decision::Peer { prefix, peer: Arc::clone(peer) });
        }
        let route = *self.route(&prefix)?;
        let next_hop = Arc::clone(self.next_hop(route.next_hop)?);
        Some(Decision::Route { prefix, route, next_hop })
    }
}

/// All prefixes that an address is in, the longest first.
fn around(address: IpAddr) -> impl Iterator<Item = IpNet> {
    let len_max = IpNet::from(address).max_prefix_len();
    (0..=len_max).rev().filter_map(move |len| Some(IpNet::new(address, len).ok()?.trunc()))
}
