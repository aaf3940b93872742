//! Which client ids this server holds: those of which a session lives here. Workers write, anybody reads.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use wireguard::message::ClientId;
use wireguard::time::Instant;
use zerocopy::FromZeros;

/// One moment for each client id: until then it is held. So nothing has to be taken out, whoever else has the same id,
/// and what lives longer than a session, such as a flow, only has to say so.
#[derive(Debug, Default)]
pub struct Holdings {
    /// In whole seconds of the workers' clock, rounded up; 0 for never.
    until: Box<[AtomicU32]>,
    /// From now on nothing is held any more.
    closed: AtomicBool,
}

/// Ids that are counted in one step, some ten microseconds of work.
pub const COUNT_STEP: usize = 1 << 16;

/// How many ids there are.
const IDS: usize = 1 << 24;

impl Holdings {
    /// Room for every id; 64 MiB, of which the system gives what is touched.
    pub fn new() -> Self {
        // Without memory for it the process cannot go on.
        let until = <[AtomicU32]>::new_box_zeroed_with_elems(IDS).unwrap_or_default();
        Self { until, closed: AtomicBool::new(false) }
    }

    /// Holds an id until then at least. A server without a fleet keeps no books.
    pub fn hold(&self, id: ClientId, until: Instant) {
        if let Some(place) = self.until.get(number(id)) {
            place.fetch_max(seconds(until), Ordering::Relaxed);
        }
    }

    /// Holds an id longer that is held already. One that was given up meanwhile is not taken back.
    pub fn extend(&self, id: ClientId, until: Instant, now: Instant) {
        let Some(place) = self.until.get(number(id)) else { return };
        let (held, until) = (place.load(Ordering::Relaxed), seconds(until));
        if is_later(held, now) && held < until {
            // Whoever has changed it meanwhile knows better; what lives longer will say so again.
            let _ = place.compare_exchange(held, until, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Whether it is held.
    pub fn is_held(&self, id: ClientId, now: Instant) -> bool {
        let until = self.until.get(number(id)).map_or(0, |place| place.load(Ordering::Relaxed));
        is_later(until, now) && !self.is_closed()
    }

    /// Gives everything up, as at the end of a drain's time. Whoever comes from now on is not held either.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Begins anew with nothing: what was given up may be held by another server since then, and is not taken back.
    pub fn open(&self) {
        // What was never touched is not touched now.
        for place in self.until.iter().filter(|until| until.load(Ordering::Relaxed) != 0) {
            place.store(0, Ordering::Relaxed);
        }
        self.closed.store(false, Ordering::Relaxed);
    }

    /// Whether everything was given up.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// How many of [`COUNT_STEP`] ids from number `from` on are held; none when there are no more.
    pub fn count(&self, from: usize, now: Instant) -> Option<u64> {
        let ids = self.until.get(from..)?.get(..COUNT_STEP)?;
        if self.is_closed() {
            return Some(0);
        }
        Some(ids.iter().filter(|until| is_later(until.load(Ordering::Relaxed), now)).count() as u64)
    }
}

const fn number(ClientId([a, b, c]): ClientId) -> usize {
    u32::from_le_bytes([a, b, c, 0]) as usize
}

/// The second that ends after this moment.
fn seconds(at: Instant) -> u32 {
    u32::try_from(at.since(Instant::ZERO).as_secs() + 1).unwrap_or(u32::MAX)
}

fn is_later(until: u32, now: Instant) -> bool {
    Duration::from_secs(until.into()) > now.since(Instant::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_id_is_held_until_its_last_session_ends() {
        let holdings = Holdings::new();
        let (id, start) = (ClientId([1, 2, 3]), Instant(1_500_000_000));
        assert!(!holdings.is_held(id, start));
        holdings.hold(id, start + SECOND * 180);
        holdings.hold(id, start + SECOND * 60);
        assert!(holdings.is_held(id, start + SECOND * 180), "the later of two counts");
        assert!(!holdings.is_held(id, start + SECOND * 182));
        assert!(!holdings.is_held(ClientId([3, 2, 1]), start));
    }

    #[test]
    fn everything_is_counted_once_and_nothing_after_the_end() {
        let holdings = Holdings::new();
        let now = Instant(5_000_000_000);
        for id in [[0, 0, 0], [255, 255, 255], [0, 0, 1], [9, 9, 9]] {
            holdings.hold(ClientId(id), now + SECOND);
        }
        let count = || (0..).map_while(|step| holdings.count(step * COUNT_STEP, now)).sum::<u64>();
        assert_eq!(count(), 4);
        holdings.close();
        assert!(!holdings.is_held(ClientId([9, 9, 9]), now));
        assert_eq!(count(), 0);
        holdings.open();
        assert_eq!(count(), 0, "others may have it");
        holdings.hold(ClientId([9, 9, 9]), now + SECOND);
        assert_eq!(count(), 1);
    }

    #[test]
    fn only_what_is_held_is_held_longer() {
        let holdings = Holdings::new();
        let start = Instant(1_000_000_000_000);
        let id = ClientId([1, 2, 3]);
        holdings.extend(id, start + SECOND * 60, start);
        assert!(!holdings.is_held(id, start));
        holdings.hold(id, start + SECOND * 10);
        holdings.extend(id, start + SECOND * 60, start + SECOND * 5);
        holdings.extend(id, start + SECOND * 20, start + SECOND * 6);
        assert!(holdings.is_held(id, start + SECOND * 60), "the later of two counts");
        holdings.open();
        holdings.extend(id, start + SECOND * 90, start + SECOND * 7);
        assert!(!holdings.is_held(id, start + SECOND * 7), "it was given up");
    }

    #[test]
    fn a_server_without_a_fleet_holds_nothing() {
        let holdings = Holdings::default();
        holdings.hold(ClientId([1, 1, 1]), Instant::NEVER);
        assert!(!holdings.is_held(ClientId([1, 1, 1]), Instant::ZERO));
        assert_eq!(holdings.count(0, Instant::ZERO), None);
    }
}
