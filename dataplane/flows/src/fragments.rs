//! Which flow the fragments of a datagram follow, from the first one on, for a short time (RFC 4787 REQ-14).

use crate::prefetch::prefetch;
use crate::time::Tick;

/// Datagrams in a set: a line of memory.
const WAYS: usize = 4;

/// A datagram in pieces.
#[derive(Clone, Copy)]
struct Datagram {
    /// The upper bits of its name.
    name: Name,
    /// The identification that its fragments have outside.
    identification: u16,
    /// The entry of the index of ends by which its first fragment was carried.
    entry: u32,
    until: Tick,
}

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Set([Datagram; WAYS]);

/// What is kept of a name besides its place: by chance two in a set are never the same.
type Name = [u16; 3];

const NOTHING: Datagram = Datagram { name: [0; 3], identification: 0, entry: 0, until: Tick(0) };
const _: () = assert!(size_of::<Set>() == 64);

/// The part of a name that is kept; its place is made of the other end.
fn kept(name: u64) -> Name {
    [0, 16, 32].map(|shift| u16::try_from(name >> shift & 0xffff).unwrap_or_default())
}

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

    /// What the first fragment of a datagram was carried by, and its identification outside.
    pub(crate) fn find(&self, name: u64, now: Tick) -> Option<(u32, u16)> {
        let set = self.0.get(self.place(name))?;
        let mut live = set.0.iter().filter(|datagram| datagram.until > now);
        let datagram = live.find(|datagram| datagram.name == kept(name))?;
        Some((datagram.entry, datagram.identification))
    }

    /// Remembers a datagram. Of too many the oldest is forgotten: its pieces have most likely come, and who sends first pieces alone
    /// takes nobody else's place for long.
    pub(crate) fn remember(&mut self, name: u64, (entry, identification): (u32, u16), until: Tick) {
        let place = self.place(name);
        let Some(set) = self.0.get_mut(place) else { return };
        let own = set.0.iter().position(|datagram| datagram.name == kept(name));
        let datagram = match own.and_then(|way| set.0.get_mut(way)) {
            Some(own) => Some(own),
            None => set.0.iter_mut().min_by_key(|datagram| datagram.until),
        };
        if let Some(datagram) = datagram {
            *datagram = Datagram { name: kept(name), identification, entry, until };
        }
    }
}
