//! Which exit the pieces of a datagram have to do with: only the first one has a port by which its mapping is found.

use wireguard::time::Instant;

use crate::limits::{FRAGMENTS_TIME, NAT_PIECES};
use crate::packet::Address;

/// One place for each name modulo their number, and the newest datagram keeps it.
#[derive(Debug)]
pub struct Ways(Box<[Way]>);

#[derive(Clone, Copy, Debug)]
struct Way {
    name: u64,
    exit: Address,
    until: Instant,
}

impl Default for Ways {
    fn default() -> Self {
        let nothing = Way { name: 0, exit: Address::UNSPECIFIED, until: Instant::ZERO };
        Self(vec![nothing; NAT_PIECES].into_boxed_slice())
    }
}

impl Ways {
    fn place(&self, name: u64) -> usize {
        usize::try_from(name % self.0.len().max(1) as u64).unwrap_or(0)
    }

    /// The exit of a datagram whose first piece was here.
    pub fn find(&self, name: u64, now: Instant) -> Option<Address> {
        let way = self.0.get(self.place(name))?;
        (way.name == name && way.until > now).then_some(way.exit)
    }

    /// The first piece of a datagram has gone to this exit, or come from there.
    pub fn remember(&mut self, name: u64, exit: Address, now: Instant) {
        let place = self.place(name);
        if let Some(way) = self.0.get_mut(place) {
            *way = Way { name, exit, until: now + FRAGMENTS_TIME };
        }
    }
}
