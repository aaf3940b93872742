//! Fragments that wait for the rest of their datagrams: a chain for each, so that neither a place nor an end has to be searched
//! for while thousands wait.

use crate::table::Table;

/// No slot.
const NONE: u16 = u16::MAX;

struct Slot<P> {
    packet: Option<P>,
    /// The slot of the next packet of the chain, or the next free one.
    next: u16,
}

/// A chain's first and last slot.
type Ends = (u16, u16);

/// Packets in chains by the ids of their datagrams, oldest first.
pub(super) struct Chains<P> {
    slots: Box<[Slot<P>]>,
    ends: Table<u32, Ends>,
    free: u16,
    len: usize,
}

impl<P> Chains<P> {
    pub(super) fn new(capacity: u16, seed: u64) -> Self {
        let next = |slot| if slot + 1 < capacity { slot + 1 } else { NONE };
        let slots = (0..capacity).map(|slot| Slot { packet: None, next: next(slot) }).collect();
        let ends = Table::new(capacity.into(), seed);
        Self { slots, ends, free: if capacity > 0 { 0 } else { NONE }, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Keeps a packet; gives it back when there is no room.
    pub(super) fn push(&mut self, id: u32, packet: P) -> Result<(), P> {
        let place = self.free;
        let Some(slot) = self.slots.get_mut(usize::from(place)) else { return Err(packet) };
        let ends = self.ends.get(id);
        let first = ends.map_or(place, |(first, _)| first);
        if self.ends.insert(id, (first, place)).is_err() {
            return Err(packet);
        }
        self.free = std::mem::replace(&mut slot.next, NONE);
        slot.packet = Some(packet);
        self.len += 1;
        if let Some((_, last)) = ends
            && let Some(last) = self.slots.get_mut(usize::from(last))
        {
            last.next = place;
        }
        Ok(())
    }

    /// Takes the oldest packet of a datagram.
    pub(super) fn take(&mut self, id: u32) -> Option<P> {
        let (first, last) = self.ends.get(id)?;
        let slot = self.slots.get_mut(usize::from(first))?;
        let next = std::mem::replace(&mut slot.next, self.free);
        let packet = slot.packet.take();
        self.free = first;
        self.len -= 1;
        if first == last {
            self.ends.remove(id);
        } else {
            // The key is there, so nothing has to be added.
            let _ = self.ends.insert(id, (next, last));
        }
        packet
    }

    /// Takes any packet, when all go.
    pub(super) fn take_any(&mut self) -> Option<P> {
        let (id, _) = self.ends.iter().next()?;
        self.take(id)
    }
}
