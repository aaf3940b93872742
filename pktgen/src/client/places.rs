//! Where the clients are: each has an outer address and port of its own, and may leave it for another.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::plan::{Plan, RoamKind};
use crate::link::Range;

/// Ports that one address offers at most, counted from the first.
const PORT_MAX: u16 = u16::MAX;

/// The outer address of every member.
#[derive(Debug)]
pub struct Places {
    ranges: Vec<Range>,
    first_port: u16,
    of: Vec<SocketAddr>,
    by: HashMap<SocketAddr, u32>,
}

impl Places {
    /// The first places of a plan's clients: families in turn, addresses of a family in turn, then the next port.
    pub(super) fn new(plan: &Plan) -> Self {
        let families = u32::try_from(plan.outer.len()).unwrap_or(1).max(1);
        let place = |number: u32| {
            let range = plan.outer.get((number % families) as usize)?;
            let nth = number / families;
            let port = u32::from(plan.first_port) + nth / range.count.max(1);
            Some(SocketAddr::new(range.at(nth), u16::try_from(port).unwrap_or(PORT_MAX)))
        };
        let of: Vec<SocketAddr> = (0..plan.members()).filter_map(place).collect();
        let by = HashMap::with_capacity(of.len());
        Self { ranges: plan.outer.clone(), first_port: plan.first_port, of, by }
    }

    /// The member begins to use its place.
    pub(super) fn settle(&mut self, number: u32) {
        let place = self.of(number);
        self.by.insert(place, number);
    }

    /// Where a member is.
    pub fn of(&self, number: u32) -> SocketAddr {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        self.of.get(number as usize).copied().unwrap_or(nowhere)
    }

    /// Who is there.
    pub fn who(&self, place: SocketAddr) -> Option<u32> {
        self.by.get(&place).copied()
    }

    /// Moves a member to a place where nobody is; false when there is none near.
    pub(super) fn roam(&mut self, number: u32, kind: RoamKind) -> bool {
        let before = self.of(number);
        let Some(place) = self.vacant(before, kind) else { return false };
        self.by.remove(&before);
        self.by.insert(place, number);
        if let Some(slot) = self.of.get_mut(number as usize) {
            *slot = place;
        }
        true
    }

    fn vacant(&self, from: SocketAddr, kind: RoamKind) -> Option<SocketAddr> {
        let range = self.ranges.iter().find(|range| range.position(from.ip()).is_some())?;
        let position = range.position(from.ip())?;
        // Every client holds one place, so one of this many is free if any is near.
        let tries = u32::try_from(self.by.len()).unwrap_or(u32::MAX).saturating_add(1);
        (1..=tries)
            .map(|step| match kind {
                RoamKind::Port => SocketAddr::new(from.ip(), self.port_after(from.port(), step)),
                RoamKind::Address => {
                    let around = step / range.count.max(1);
                    let address = range.at((position + step) % range.count.max(1));
                    SocketAddr::new(address, self.port_after(from.port(), around))
                }
            })
            // A move to another address has to change the address.
            .filter(|place| kind == RoamKind::Port || place.ip() != from.ip())
            .find(|place| *place != from && !self.by.contains_key(place))
    }

    fn port_after(&self, port: u16, step: u32) -> u16 {
        let width = u32::from(PORT_MAX - self.first_port) + 1;
        let offset = u32::from(port.saturating_sub(self.first_port));
        let moved = (offset + step % width) % width;
        self.first_port.saturating_add(u16::try_from(moved).unwrap_or(0))
    }
}
