//! Prefixes that change hands: each belongs to one peer, one route or this machine.

use ipnet::IpNet;
use shm::transaction::Obstacle;

use super::tables::{Refused, Tables};
use crate::stages::route::{Change, NextHop};

/// What changes hands.
#[derive(Default)]
pub(super) struct Claims {
    pub(super) made: Vec<Claim>,
    pub(super) given_up: Vec<IpNet>,
    /// Routes that lead elsewhere without having been told anew.
    pub(super) moved: Vec<Change>,
}

#[derive(Clone, Copy)]
pub(super) struct Claim {
    pub(super) net: IpNet,
    pub(super) at: u64,
    pub(super) value: NextHop,
    pub(super) is_peer: bool,
}

impl Claims {
    /// Removals first, so that what they free is there for the others; both in order, which tables like.
    pub(super) fn changes(mut self, tables: &Tables) -> Result<Vec<Change>, Refused> {
        self.made.sort_by_key(|claim| claim.net);
        self.given_up.sort_unstable();
        self.given_up.dedup();
        let claimed = |net: &IpNet| self.made.binary_search_by_key(net, |claim| claim.net).is_ok();
        let gone = self.given_up.iter().filter(|net| !claimed(net));
        let mut changes: Vec<Change> = gone.map(|net| (*net, None)).collect();
        let mut last: Option<Claim> = None;
        for claim in &self.made {
            let Claim { net, at, value, is_peer } = *claim;
            if let Some(before) = last.replace(*claim).filter(|before| before.net == net) {
                // A peer may name a prefix twice.
                if is_peer && before.is_peer && before.value == value {
                    continue;
                }
                return Err(Refused { item: at.max(before.at), obstacle: Obstacle::PrefixTaken });
            }
            let before = tables.rib.get(net);
            if before.is_some() && self.given_up.binary_search(&net).is_err() {
                return Err(Refused { item: at, obstacle: Obstacle::PrefixTaken });
            }
            if before != Some(value) {
                changes.push((net, Some(value)));
            }
        }
        changes.append(&mut self.moved);
        Ok(changes)
    }
}
