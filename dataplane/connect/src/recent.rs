//! What was learnt of ends of connections, for a while: of each address the last word. It has a fixed size and allocates once; where
//! it is full, what was learnt the longest ago goes.

use core::net::SocketAddr;
use core::time::Duration;

use crate::table::Key;
use crate::time::Instant;

/// Rows among which an address has its place.
const ROWS_PER_SET: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Row<V> {
    address: SocketAddr,
    value: V,
    learnt: Instant,
}

/// The last words.
#[derive(Debug)]
pub(crate) struct Recent<V> {
    sets: Vec<[Option<Row<V>>; ROWS_PER_SET]>,
    seed: u64,
    age_max: Duration,
}

impl<V: Copy> Recent<V> {
    /// Room for so many addresses or a few more, each of which is known for so long. The seed is secret, so that nobody picks
    /// addresses that drive out another.
    pub(crate) fn new(count: u32, age_max: Duration, seed: u64) -> Self {
        let sets = (count as usize).div_ceil(ROWS_PER_SET).max(1).next_power_of_two();
        Self { sets: vec![[None; ROWS_PER_SET]; sets], seed, age_max }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the mask keeps the low bits only")]
    fn set(&mut self, address: &SocketAddr) -> &mut [Option<Row<V>>] {
        let at = address.hash(self.seed) as usize & (self.sets.len() - 1);
        self.sets.get_mut(at).map(<[_; ROWS_PER_SET]>::as_mut_slice).unwrap_or_default()
    }

    /// What is known of an address.
    pub(crate) fn get(&mut self, address: &SocketAddr, now: Instant) -> Option<V> {
        let age_max = self.age_max;
        let row = self.set(address).iter().flatten().find(|row| row.address == *address)?;
        (now.since(row.learnt) < age_max).then_some(row.value)
    }

    /// Takes a word in the place of the last one.
    pub(crate) fn learn(&mut self, address: SocketAddr, value: V, now: Instant) {
        self.forget(&address);
        let learnt = |row: &Option<Row<V>>| row.map(|row| row.learnt);
        // None comes before any moment.
        if let Some(place) = self.set(&address).iter_mut().min_by_key(|row| learnt(row)) {
            *place = Some(Row { address, value, learnt: now });
        }
    }

    /// Knows nothing of an address any more.
    pub(crate) fn forget(&mut self, address: &SocketAddr) {
        for row in self.set(address) {
            row.take_if(|row| row.address == *address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> SocketAddr {
        (core::net::Ipv4Addr::from_bits(number), 443).into()
    }

    #[test]
    fn the_last_word_counts_for_a_while() {
        let mut recent = Recent::new(64, Duration::from_nanos(100), 7);
        assert_eq!(recent.get(&address(1), Instant(0)), None);
        recent.learn(address(1), 'a', Instant(10));
        recent.learn(address(1), 'b', Instant(20));
        recent.learn(address(2), 'c', Instant(20));
        assert_eq!(recent.get(&address(1), Instant(119)), Some('b'));
        assert_eq!(recent.get(&address(1), Instant(120)), None);
        recent.forget(&address(2));
        assert_eq!(recent.get(&address(2), Instant(20)), None);
    }

    #[test]
    fn what_was_learnt_last_drives_out_what_was_learnt_first() {
        let mut recent = Recent::new(4, Duration::MAX, 7);
        for number in 0..100 {
            recent.learn(address(number), number, Instant(number.into()));
            let known: Vec<_> =
                (0..100).filter_map(|of| recent.get(&address(of), Instant(100))).collect();
            let last: Vec<_> = (number.saturating_sub(3)..=number).collect();
            assert_eq!(known, last);
        }
    }
}
