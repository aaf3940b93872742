//! Tenants' tunnels as workers read them: one version of all of them, built by the keeper, never changed.

mod outer;

use std::sync::Arc;

use wireguard::prefetch::prefetch;

use crate::limits::{CHOICES, PREFETCH_FROM_TUNNELS};
use crate::packet::Address;
use crate::stages::dos::Subject;
use crate::stages::egress::probe::Inside;
use crate::table::{Key, Table};

pub(super) use outer::{Outer, Own};

/// What tells a tunnel from all others on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Our address, which all servers have.
    pub local: Address,
    /// The tenant's router, of the same family.
    pub remote: Address,
    /// The GRE key (RFC 2890 2.1); a tunnel without one is another than one with key 0.
    pub key: Option<u32>,
}

impl Key for Ends {
    #[inline]
    fn hash(self, seed: u64) -> u64 {
        // Of IPv4 each address stands in a half of its own.
        let addresses = self.remote.bits() ^ self.local.bits().rotate_left(64);
        let key = self.key.map_or(0, |key| 1 << 32 | u64::from(key));
        addresses.hash(seed ^ key)
    }
}

/// What a tunnel is made of.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Control's id.
    pub id: u32,
    /// The number of the tenant that has it.
    pub tenant: Subject,
    /// What tells it from all others.
    pub ends: Ends,
    /// The port (device) by which the router is reached.
    pub port: u8,
    /// Largest IP packet of that port.
    pub port_mtu: u16,
    /// Largest inner packet; 0 for what the port leaves.
    pub mtu: u16,
    /// Whether the GRE header bears a checksum.
    pub checksum: bool,
    /// Whether longer IPv4 packets are fragmented whatever they say, and outer packets may be.
    pub clears_df: bool,
    /// Where it is probed.
    pub inside: Option<Inside>,
}

/// A tunnel to a tenant's router.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// Control's id.
    pub id: u32,
    /// The number of the tenant that has it.
    pub tenant: Subject,
    /// What tells it from all others.
    pub ends: Ends,
    /// The port (device) by which the router is reached.
    pub port: u8,
    /// Largest inner packet.
    pub mtu: u16,
    /// Whether longer IPv4 packets are fragmented whatever they say, and outer packets may be.
    pub clears_df: bool,
    /// Where it is probed.
    pub inside: Option<Inside>,
    pub(super) outer: Outer,
}

impl Tunnel {
    /// The tunnel, with the headers of its packets; none when its ends are of two families. Inner packets may be as long
    /// as asked for, but never so long that an outer one does not leave by the port.
    pub fn new(spec: &Spec) -> Option<Self> {
        let Spec { id, tenant, ends, port, port_mtu, mtu, checksum, clears_df, inside } = *spec;
        let outer = Outer::new(&ends, checksum, clears_df)?;
        let fits = port_mtu.saturating_sub(outer.len());
        let mtu = if mtu == 0 { fits } else { mtu.min(fits) };
        Some(Self { id, tenant, ends, port, mtu, clears_df, inside, outer })
    }

    /// Octets that the outer headers take: 24 over IPv4, 44 over IPv6, and four each for key and checksum.
    #[inline]
    pub const fn overhead(&self) -> u16 {
        self.outer.len()
    }
}

/// Which of its tunnels each part of a tenant's flows takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group(Arc<[u16; CHOICES]>);

impl Group {
    /// From the number of the tunnel in each slot.
    pub fn new(slots: Box<[u16; CHOICES]>) -> Self {
        Self(slots.into())
    }

    /// The number of the tunnel in each slot.
    pub fn slots(&self) -> &[u16; CHOICES] {
        &self.0
    }

    /// Where the number of the tunnel stands that a flow takes. The hash's high bits choose; its low ones are told to routers, which
    /// choose by them once more.
    #[inline]
    fn slot(&self, hash: u32) -> Option<&u16> {
        let [slot, ..] = hash.to_be_bytes();
        self.0.get(usize::from(slot))
    }
}

/// One version of all tunnels. What does not change with the state of a tunnel is shared with the version before.
#[derive(Clone, Debug)]
pub struct Tunnels {
    known: Arc<Known>,
    /// By the numbers of the tenants.
    groups: Vec<Option<Group>>,
}

#[derive(Debug)]
struct Known {
    /// By number.
    all: Vec<Option<Tunnel>>,
    ends: Table<Ends, u16>,
    ids: Table<u32, u16>,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self::new(Vec::new(), Vec::new(), 0)
    }
}

impl Tunnels {
    /// From tunnels by number and groups by the numbers of their tenants; `seed` is secret. Of two tunnels with the same
    /// ends the one with the greater number is found.
    pub fn new(all: Vec<Option<Tunnel>>, groups: Vec<Option<Group>>, seed: u64) -> Self {
        let count = all.iter().flatten().count();
        let (mut ends, mut ids) = (Table::new(count, seed), Table::new(count, seed));
        for (number, tunnel) in (0..=u16::MAX).zip(&all) {
            if let Some(tunnel) = tunnel {
                // There is room for each.
                let _before = ends.insert(tunnel.ends, number);
                let _before = ids.insert(tunnel.id, number);
            }
        }
        Self { known: Arc::new(Known { all, ends, ids }), groups }
    }

    /// Whether it pays to look up many at once, as the core's first cache does not hold what is read.
    #[inline]
    pub fn are_many(&self) -> bool {
        self.known.all.len() > PREFETCH_FROM_TUNNELS
    }

    /// The same tunnels with other groups.
    #[must_use]
    pub fn with_groups(&self, groups: Vec<Option<Group>>) -> Self {
        Self { known: self.known.clone(), groups }
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.known.ends.is_empty()
    }

    /// All tunnels, by number.
    pub fn all(&self) -> &[Option<Tunnel>] {
        &self.known.all
    }

    /// The tunnel with a number.
    #[inline]
    pub fn get(&self, number: u16) -> Option<&Tunnel> {
        self.known.all.get(usize::from(number))?.as_ref()
    }

    /// Begins to fetch the tunnel with a number.
    #[inline]
    pub fn prefetch(&self, number: u16) {
        self.known.all.get(usize::from(number)).into_iter().for_each(prefetch);
    }

    /// The tunnel with these ends, and its number.
    #[inline]
    pub fn of(&self, ends: &Ends) -> Option<(u16, &Tunnel)> {
        let number = self.known.ends.get(*ends)?;
        Some((number, self.get(number)?))
    }

    /// The tunnel with control's id, and its number.
    pub fn with_id(&self, id: u32) -> Option<(u16, &Tunnel)> {
        let number = self.known.ids.get(id)?;
        Some((number, self.get(number)?))
    }

    /// The numbers of tunnels that name another one there, or none.
    pub fn others<'a>(&'a self, there: &'a Self) -> impl Iterator<Item = u16> + 'a {
        let is_same = Arc::ptr_eq(&self.known, &there.known);
        let all = if is_same { &[] } else { self.all() };
        (0..=u16::MAX).zip(all).filter_map(move |(number, tunnel)| {
            let way = |tunnel: &Tunnel| (tunnel.id, tunnel.ends, tunnel.port);
            let other = there.get(number).map(way);
            (other != Some(way(tunnel.as_ref()?))).then_some(number)
        })
    }

    /// The group of a tenant.
    #[inline]
    pub fn group(&self, tenant: Subject) -> Option<&Group> {
        self.groups.get(usize::from(tenant))?.as_ref()
    }

    /// Whether a tenant has tunnels to choose from.
    #[inline]
    pub fn has(&self, tenant: Subject) -> bool {
        !self.is_empty() && self.group(tenant).is_some()
    }

    /// Begins to fetch what [`Self::choose`] reads.
    #[inline]
    pub fn prefetch_choice(&self, tenant: Subject, hash: u32) {
        self.group(tenant).and_then(|group| group.slot(hash)).into_iter().for_each(prefetch);
    }

    /// The number of the tunnel that a tenant's flow takes, by a hash whose high bits are spread well.
    #[inline]
    pub fn choose(&self, tenant: Subject, hash: u32) -> Option<u16> {
        self.group(tenant)?.slot(hash).copied()
    }
}

#[cfg(test)]
pub(in crate::stages) mod tests;
