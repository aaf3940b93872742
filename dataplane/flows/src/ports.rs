//! The egress addresses, and which of this worker's ports at each of them are free, in use, or at rest.

use core::net::IpAddr;
use core::ops::RangeInclusive;
use std::collections::VecDeque;

use crate::config::Spans;
use crate::line::NONE;
use crate::query::words_of;
use crate::time::Tick;

/// Protocols have spaces of their own: TCP, UDP, ICMP.
const SPACES: usize = 3;

/// Ports whose rest is ended when one is taken: more than one, so that all that are due become free in the end.
const WOKEN_AT_ONCE: usize = 16;

/// The port was taken for a flow that is not in the table yet.
pub(crate) const LEASED: u32 = NONE - 1;

/// A port of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: u16,
    pub(crate) protocol: u8,
    pub(crate) port: u16,
}

/// The ports of one protocol at one address. What they can hold is allocated at the making.
struct Space {
    /// The first flow of the mapping that has the port, [`LEASED`], or [`NONE`].
    owners: Box<[u32]>,
    /// Ports that are free, in no order.
    free: Vec<u16>,
    /// Ports that were in use, the longest ago first, and when they are free again.
    resting: VecDeque<(Tick, u16)>,
}

struct Pool {
    address: IpAddr,
    /// Whether its ports are only taken by who names it.
    is_reserved: bool,
    spaces: [Space; SPACES],
}

/// All addresses.
pub(crate) struct Ports {
    pools: Vec<Pool>,
    ports: RangeInclusive<u16>,
}

/// The space of a protocol; ICMP's for all others.
#[inline]
const fn space_of(protocol: u8) -> usize {
    match protocol {
        wire::tcp::PROTOCOL => 0,
        wire::udp::PROTOCOL => 1,
        _ => 2,
    }
}

impl Space {
    fn new(ports: &RangeInclusive<u16>) -> Self {
        let count = ports.len();
        Self {
            owners: vec![NONE; count].into_boxed_slice(),
            free: ports.clone().collect(),
            resting: VecDeque::with_capacity(count),
        }
    }

    /// Makes ports free whose rest is over, some at a time.
    fn wake(&mut self, now: Tick) {
        for _ in 0..WOKEN_AT_ONCE {
            let Some((until, port)) = self.resting.front().copied() else { break };
            if until > now {
                break;
            }
            self.resting.pop_front();
            self.free.push(port);
        }
    }

    /// One of the free ports, by the random word (RFC 6056 3.3.1).
    fn take(&mut self, random: u64, now: Tick) -> Option<u16> {
        self.wake(now);
        let place = (u128::from(random) * self.free.len() as u128) >> 64;
        let place = usize::try_from(place).ok().filter(|place| *place < self.free.len())?;
        Some(self.free.swap_remove(place))
    }
}

impl Pool {
    fn new((address, is_reserved): (IpAddr, bool), ports: &RangeInclusive<u16>) -> Self {
        let spaces = core::array::from_fn(|_| Space::new(ports));
        Self { address, is_reserved, spaces }
    }
}

impl Ports {
    pub(crate) fn new(addresses: &[IpAddr], ports: &RangeInclusive<u16>) -> Self {
        let pools = addresses.iter().map(|address| Pool::new((*address, false), ports)).collect();
        Self { pools, ports: ports.clone() }
    }

    /// One more address, which no client is given.
    pub(crate) fn reserve(&mut self, address: IpAddr) {
        self.pools.push(Pool::new((address, true), &self.ports));
    }

    pub(crate) fn octets(&self) -> usize {
        let space = |space: &Space| {
            space.owners.len() * (size_of::<u32>() + size_of::<u16>() + size_of::<(Tick, u16)>())
        };
        self.pools.iter().flat_map(|pool| &pool.spaces).map(space).sum()
    }

    /// The number of the pool that has an address.
    pub(crate) fn number(&self, address: [u32; 4], v6: bool) -> Option<u16> {
        let is_it = |pool: &Pool| pool.address.is_ipv6() == v6 && words_of(pool.address) == address;
        self.pools.iter().position(is_it).and_then(|number| u16::try_from(number).ok())
    }

    pub(crate) fn address(&self, number: u16) -> Option<IpAddr> {
        self.pools.get(usize::from(number)).map(|pool| pool.address)
    }

    /// Which address a new client gets: of two at random the one with more free ports.
    pub(crate) fn choose(&self, v6: bool, protocol: u8, random: u64) -> Option<u16> {
        let family = |pool: &&Pool| pool.address.is_ipv6() == v6 && !pool.is_reserved;
        let count = self.pools.iter().filter(family).count() as u64;
        if count == 0 {
            return None;
        }
        let nth = |number: u64| {
            let mut pools = self.pools.iter().enumerate().filter(|(_, pool)| family(pool));
            let (number, pool) = pools.nth(usize::try_from(number).ok()?)?;
            let free = pool.spaces.get(space_of(protocol))?.free.len();
            Some((free, u16::try_from(number).ok()?))
        };
        let (one, other) = (nth(random % count), nth((random >> 32) % count));
        one.max(other).map(|(_, number)| number)
    }

    fn space(&mut self, address: u16, protocol: u8) -> Option<&mut Space> {
        self.pools.get_mut(usize::from(address))?.spaces.get_mut(space_of(protocol))
    }

    /// Takes a free port at an address.
    pub(crate) fn take(
        &mut self,
        (address, protocol): (u16, u8),
        random: u64,
        now: Tick,
    ) -> Option<Place> {
        let port = self.space(address, protocol)?.take(random, now)?;
        Some(Place { address, protocol, port })
    }

    /// Gives a port back, to rest.
    pub(crate) fn give(&mut self, place: Place, spans: &Spans, now: Tick) {
        self.own(place, NONE);
        if let Some(space) = self.space(place.address, place.protocol) {
            space.resting.push_back((now.after(spans.rest), place.port));
        }
    }

    /// Writes down which flow is the first of the mapping that has the port.
    pub(crate) fn own(&mut self, place: Place, flow: u32) {
        let offset = usize::from(place.port.wrapping_sub(*self.ports.start()));
        let owner = self.space(place.address, place.protocol);
        if let Some(owner) = owner.and_then(|space| space.owners.get_mut(offset)) {
            *owner = flow;
        }
    }

    /// The first flow of the mapping that has a port, or [`LEASED`].
    pub(crate) fn owner(&self, place: Place) -> Option<u32> {
        let offset = usize::from(place.port.wrapping_sub(*self.ports.start()));
        let space =
            self.pools.get(usize::from(place.address))?.spaces.get(space_of(place.protocol))?;
        space.owners.get(offset).copied().filter(|flow| *flow != NONE)
    }

    /// Whether a port is this worker's.
    pub(crate) fn has(&self, place: Place) -> bool {
        let offset = usize::from(place.port.wrapping_sub(*self.ports.start()));
        let pool = self.pools.get(usize::from(place.address));
        let space = pool.and_then(|pool| pool.spaces.get(space_of(place.protocol)));
        space.is_some_and(|space| offset < space.owners.len())
    }
}
