//! Which flow the fragments of a datagram follow, from the first one on, for a short time (RFC 4787 REQ-14).

use crate::prefetch::prefetch;
use crate::time::Tick;

/// Datagrams in a set: a line of memory.
const WAYS: usize = 4;

/// A datagram in pieces.
#[derive(Clone, Copy)]
struct Datagram {
    /// Its name; 0 of none.
    name: u64,
    /// The entry of the index of ends by which its first fragment was carried.
    entry: u32,
    until: Tick,
}

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Set([Datagram; WAYS]);

const NOTHING: Datagram = Datagram { name: 0, entry: 0, until: Tick(0) };

/// All datagrams that are in pieces.
pub(crate) struct Fragments(Box<[Set]>);

impl Fragments {
    /// A table for so many datagrams at least.
    pub(crate) fn new(datagrams: u32) -> Self {
        let sets = (datagrams as usize).div_ceil(WAYS).max(1);
        Self(vec![Set([NOTHING; WAYS]); sets].into_boxed_slice())
    }

    pub(crate) fn octets(&self) -> usize {
        size_of_val(&*self.0)
    }

    #[inline]
    fn place(&self, name: u64) -> usize {
        usize::try_from((u128::from(name) * self.0.len() as u128) >> 64).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn ahead(&self, name: u64) {
        self.0.get(self.place(name)).into_iter().for_each(prefetch);
    }

    /// What the first fragment of a datagram was carried by.
    pub(crate) fn find(&self, name: u64, now: Tick) -> Option<u32> {
        let set = self.0.get(self.place(name))?;
        let mut live = set.0.iter().filter(|datagram| datagram.until > now);
        live.find(|datagram| datagram.name == name).map(|datagram| datagram.entry)
    }

    /// Remembers a datagram; false when all its places are in use.
    pub(crate) fn remember(&mut self, name: u64, entry: u32, (now, until): (Tick, Tick)) -> bool {
        let place = self.place(name);
        let Some(set) = self.0.get_mut(place) else { return false };
        let own = set.0.iter().position(|datagram| datagram.name == name);
        let way = own.or_else(|| set.0.iter().position(|datagram| datagram.until <= now));
        let Some(datagram) = way.and_then(|way| set.0.get_mut(way)) else { return false };
        *datagram = Datagram { name, entry, until };
        true
    }
}
