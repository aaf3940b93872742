//! The events ring with its messages: the dataplane tells, control hears, and neither waits for the other.

use crate::memory::Memory;
use crate::message::{EVENT_WORDS, Event, Malformed};
use crate::ring::{Consumer, Corrupt, Producer};

/// Tells events. One that finds no room is lost and counted; the count is the next thing told.
#[derive(Debug)]
pub struct Teller<M> {
    ring: Producer<M, EVENT_WORDS>,
    /// Lost since the last one that was told.
    untold: u64,
    lost: u64,
}

impl<M: Memory> Teller<M> {
    /// Tells through this ring.
    pub fn new(ring: Producer<M, EVENT_WORDS>) -> Self {
        Self { ring, untold: 0, lost: 0 }
    }

    /// Tells an event; false when it is lost, because control does not read or has spoiled the ring.
    pub fn tell(&mut self, event: &Event) -> bool {
        if self.untold > 0 && self.ring.push(&Event::Lost(self.untold).encode()).is_ok() {
            self.untold = 0;
        }
        let told = self.untold == 0 && self.ring.push(&event.encode()).is_ok();
        if !told {
            self.untold = self.untold.wrapping_add(1);
            self.lost = self.lost.wrapping_add(1);
        }
        told
    }

    /// How many events there is room for now.
    pub fn room(&mut self) -> usize {
        let untold = usize::from(self.untold > 0);
        self.ring.free().map_or(0, |free| free.saturating_sub(untold))
    }

    /// Events lost so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The ring; its [`Producer::consumer_epoch`] tells whether there is another control than before.
    pub fn ring(&self) -> &Producer<M, EVENT_WORDS> {
        &self.ring
    }
}

/// Hears events.
#[derive(Debug)]
pub struct Listener<M> {
    ring: Consumer<M, EVENT_WORDS>,
}

impl<M: Memory> Listener<M> {
    /// Hears from this ring.
    pub fn new(ring: Consumer<M, EVENT_WORDS>) -> Self {
        Self { ring }
    }

    /// Gives up to `max` events to `each`, checked; tells how many. 0 means that there are none now.
    pub fn hear(
        &mut self,
        max: usize,
        mut each: impl FnMut(Result<Event, Malformed>),
    ) -> Result<usize, Corrupt> {
        self.ring.take(max, |taken| each(Event::decode(taken.message)))
    }

    /// Begins a new epoch at the present: the remedy when the ring is corrupt.
    pub fn restart(&mut self) {
        self.ring.restart();
    }

    /// The ring; with another [`Consumer::producer_epoch`] than before there is another dataplane.
    pub fn ring(&self) -> &Consumer<M, EVENT_WORDS> {
        &self.ring
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::private;
    use crate::ring::Geometry;

    fn heard<M: Memory>(listener: &mut Listener<M>) -> Vec<Event> {
        let mut all = Vec::new();
        while listener.hear(9, |event| all.push(event.unwrap())) != Ok(0) {}
        all
    }

    #[test]
    fn a_control_that_sleeps_is_told_how_much_it_has_missed() {
        let geometry = Geometry::new(4).unwrap();
        let memory = private(geometry.words());
        let mut teller = Teller::new(Producer::attach(memory.clone(), geometry).unwrap());
        let mut listener = Listener::new(Consumer::attach(memory, geometry).unwrap());
        let event = |id| Event::Applied { id, count: 0 };
        let told: Vec<bool> = (0..7).map(|id| teller.tell(&event(id))).collect();
        assert_eq!(told, [true, true, true, true, false, false, false]);
        assert_eq!(heard(&mut listener), [event(0), event(1), event(2), event(3)]);
        assert!(teller.tell(&event(7)));
        assert_eq!(heard(&mut listener), [Event::Lost(3), event(7)]);
        assert_eq!(teller.lost(), 3);
    }
}
