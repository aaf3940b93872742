//! Lists of prefixes, millions of them: which lists hold an address. Built aside by the keeper, read by workers.

mod blocks;
mod master;
mod sets;
mod tree;

use arrayvec::ArrayVec;

use super::super::route::prefixes::{Prefix, Walk, Word};
use crate::limits::BURST_LEN_MAX;
use crate::packet::Address;
use blocks::Blocks;
use sets::{Interner, Sets};
use tree::Tree;

pub use master::Master;
pub use sets::{SetId, TooManySets};

/// A finished version. Every address lies in one range, which has the set of the lists that hold it.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    v4: Option<Blocks>,
    v6: Option<Six>,
    sets: Sets,
}

/// The ranges of IPv6 addresses. Nearly all borders lie between /64s; where all do, high halves are enough.
#[derive(Clone, Debug)]
enum Six {
    Halves(Tree<u64, 6>),
    Whole(Tree<u128, 3>),
}

/// Longest prefix that a tree of high halves can hold.
const HALF: u8 = 64;

#[inline]
const fn half(bits: u128) -> u64 {
    (bits >> 64) as u64
}

impl Lists {
    /// Builds from prefixes with slots of lists, in order, so that those around a prefix stand before it.
    fn build(
        v4: impl ExactSizeIterator<Item = (Prefix<u32>, u16)>,
        v6: impl ExactSizeIterator<Item = (Prefix<u128>, u16)> + Clone,
    ) -> Result<Self, TooManySets> {
        let mut sets = Interner::default();
        let v4 = (v4.len() > 0).then(|| {
            let mut blocks = blocks::Draft::default();
            sweep(v4, &mut sets, |last, id| blocks.push(last, id));
            blocks.finish()
        });
        let v6 = (v6.len() > 0).then(|| {
            if v6.clone().all(|((_, len), _)| len <= HALF) {
                let mut tree = tree::Draft::default();
                sweep(v6, &mut sets, |last, id| tree.push(half(last), id));
                Six::Halves(tree.finish())
            } else {
                let mut tree = tree::Draft::default();
                sweep(v6, &mut sets, |last, id| tree.push(last, id));
                Six::Whole(tree.finish())
            }
        });
        Ok(Self { v4, v6, sets: sets.finish()? })
    }

    /// Whether no list holds anything.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }

    /// The lists that hold an address.
    #[inline]
    pub fn lookup(&self, address: Address) -> SetId {
        let id = if address.is_v4() {
            self.v4.as_ref().map(|blocks| blocks.lookup(address.low_bits()))
        } else {
            match &self.v6 {
                Some(Six::Halves(tree)) => Some(tree.lookup(half(address.bits()))),
                Some(Six::Whole(tree)) => Some(tree.lookup(address.bits())),
                None => None,
            }
        };
        SetId(id.unwrap_or(0))
    }

    /// The same for each address of a burst. All go down together, one level after the other, so that they
    /// wait for memory at the same time; what is behind [`BURST_LEN_MAX`] is left as it is.
    pub fn lookup_burst(&self, addresses: &[Address], ids: &mut [SetId]) {
        ids.fill(SetId::NONE);
        let mut v4 = ArrayVec::<(u32, u8), BURST_LEN_MAX>::new();
        let mut v6 = ArrayVec::<(u128, u8), BURST_LEN_MAX>::new();
        for (address, place) in addresses.iter().zip(0_u8..).take(BURST_LEN_MAX) {
            if address.is_v4() {
                v4.push((address.low_bits(), place));
            } else {
                v6.push((address.bits(), place));
            }
        }
        let mut found = |place: u8, id| {
            if let Some(slot) = ids.get_mut(usize::from(place)) {
                *slot = SetId(id);
            }
        };
        if let Some(blocks) = &self.v4 {
            blocks.lookup_burst(&v4, &mut found);
        }
        match &self.v6 {
            Some(Six::Halves(tree)) => tree.lookup_burst(&v6, half, &mut found),
            Some(Six::Whole(tree)) => tree.lookup_burst(&v6, |bits| bits, &mut found),
            None => {}
        }
    }

    /// The slots of the lists in a set, in order.
    #[inline]
    pub fn slots(&self, id: SetId) -> &[u16] {
        self.sets.slots(id)
    }

    /// How many sets there are; their ids are below.
    pub fn sets(&self) -> usize {
        self.sets.len()
    }

    /// Octets of memory.
    pub fn octets(&self) -> usize {
        let v6 = match &self.v6 {
            Some(Six::Halves(tree)) => tree.octets(),
            Some(Six::Whole(tree)) => tree.octets(),
            None => 0,
        };
        self.v4.as_ref().map_or(0, Blocks::octets) + v6 + self.sets.octets()
    }
}

/// Tells the ranges that the prefixes make of all addresses: the last address of each, and its set.
/// Neighbours with the same set are one range.
fn sweep<W: Word>(
    prefixes: impl Iterator<Item = (Prefix<W>, u16)>,
    sets: &mut Interner,
    mut emit: impl FnMut(W, u16),
) {
    let mut range: Option<(W, u16)> = None;
    let mut join = |_, last: W, id: u16| match &mut range {
        Some((end, open)) if *open == id => *end = last,
        _ => {
            if let Some((end, id)) = range.replace((last, id)) {
                emit(end, id);
            }
        }
    };
    let mut walk = Walk::through((W::FIRST, 0), 0);
    for (prefix, slot) in prefixes {
        walk.enter(prefix, &mut join, |around| sets.with(around, slot));
    }
    walk.leave(&mut join);
    if let Some((end, id)) = range {
        emit(end, id);
    }
}

#[cfg(test)]
mod tests;
