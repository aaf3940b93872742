//! How clients' connections came about is passed on from workers to control, several to an event.

use arrayvec::ArrayVec;
use shm::events::Teller;
use shm::memory::Memory;
use shm::message::{DIALS_PER_EVENT, Dial, Event, run};

use super::Keeper;
use crate::limits::{DIALS_TOLD_PER_TURN, SEEN_ROOM};

impl Keeper {
    /// Tells control, as fast as it hears; gives how much was told. What workers have no room for meanwhile they count.
    pub(super) fn tell_dials<M: Memory>(&self, events: &mut Teller<M>) -> usize {
        for done in 0..DIALS_TOLD_PER_TURN {
            if events.room() <= SEEN_ROOM {
                return done;
            }
            let dials: ArrayVec<Dial, DIALS_PER_EVENT> =
                self.next_dials().take(DIALS_PER_EVENT).collect();
            if dials.is_empty() {
                return done;
            }
            events.tell(&Event::Dials(run(&dials)));
        }
        DIALS_TOLD_PER_TURN
    }

    fn next_dials(&self) -> impl Iterator<Item = Dial> {
        let exchange = &self.exchange;
        let workers = 0..exchange.workers();
        workers.flat_map(move |worker| std::iter::from_fn(move || exchange.next_dial(worker)))
    }
}
