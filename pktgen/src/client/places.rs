//! Where the clients are: each has an outer address and port of its own, or one of each family, and may leave it for
//! another.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::plan::{Families, Plan, RoamKind};
use crate::link::Range;

/// Ports that one address offers at most, counted from the first.
const PORT_MAX: u16 = u16::MAX;

/// The outer addresses of every member.
#[derive(Debug)]
pub struct Places {
    ranges: Vec<Range>,
    first_port: u16,
    /// Places of one member.
    width: usize,
    /// The places of all members, a member's own side by side.
    of: Vec<SocketAddr>,
    /// Which of its places each member uses.
    used: Vec<u8>,
    by: HashMap<SocketAddr, u32>,
}

impl Places {
    /// The first places of a plan's clients: addresses of a family in turn, then the next port. A client has one in
    /// each row if the families race, else the rows are taken in turn.
    pub(super) fn new(plan: &Plan) -> Self {
        let rows = u32::try_from(plan.outer.len()).unwrap_or(1).max(1);
        let (width, members) = match plan.families {
            Families::Alternate => (1, rows),
            Families::Race(_) => (plan.outer.len().max(1), 1),
        };
        let place = |row: usize, nth: u32| {
            let range = plan.outer.get(row)?;
            let port = u32::from(plan.first_port) + nth / range.count.max(1);
            Some(SocketAddr::new(range.at(nth), u16::try_from(port).unwrap_or(PORT_MAX)))
        };
        let of: Vec<SocketAddr> = (0..plan.members())
            .flat_map(|number| {
                let first = (number % members) as usize;
                (first..first + width).filter_map(move |row| place(row, number / members))
            })
            .collect();
        let by = HashMap::with_capacity(of.len());
        let used = vec![0; plan.members() as usize];
        Self { ranges: plan.outer.clone(), first_port: plan.first_port, width, of, used, by }
    }

    /// The member begins to use its places.
    pub(super) fn settle(&mut self, number: u32) {
        let Self { of, by, width, .. } = self;
        let own = of.chunks(*width).nth(number as usize).unwrap_or_default();
        by.extend(own.iter().map(|&place| (place, number)));
    }

    /// Where a member is: from where it sends data.
    pub fn of(&self, number: u32) -> SocketAddr {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let used = self.used.get(number as usize).copied().unwrap_or(0);
        self.of.get(number as usize * self.width + usize::from(used)).copied().unwrap_or(nowhere)
    }

    /// From where a member sends to an address of this family.
    pub fn facing(&self, number: u32, is_ipv4: bool) -> SocketAddr {
        let own = self.own(number).iter().find(|place| place.is_ipv4() == is_ipv4);
        own.copied().unwrap_or_else(|| self.of(number))
    }

    /// Whether this is one of a member's places.
    pub fn holds(&self, number: u32, place: SocketAddr) -> bool {
        self.own(number).contains(&place)
    }

    /// Who is there.
    pub fn who(&self, place: SocketAddr) -> Option<u32> {
        self.by.get(&place).copied()
    }

    /// The member uses its place of this family from now on.
    pub(super) fn choose(&mut self, number: u32, is_ipv4: bool) {
        let own = self.own(number).iter().position(|place| place.is_ipv4() == is_ipv4);
        let place =
            own.and_then(|row| u8::try_from(row).ok()).zip(self.used.get_mut(number as usize));
        if let Some((row, used)) = place {
            *used = row;
        }
    }

    fn own(&self, number: u32) -> &[SocketAddr] {
        let first = number as usize * self.width;
        self.of.get(first..first + self.width).unwrap_or_default()
    }

    /// Moves a member to a place where nobody is; false when there is none near.
    pub(super) fn roam(&mut self, number: u32, kind: RoamKind) -> bool {
        let before = self.of(number);
        let Some(place) = self.vacant(before, kind) else { return false };
        self.by.remove(&before);
        self.by.insert(place, number);
        let used = self.used.get(number as usize).copied().unwrap_or(0);
        if let Some(slot) = self.of.get_mut(number as usize * self.width + usize::from(used)) {
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
