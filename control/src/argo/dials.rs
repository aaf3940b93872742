//! T: how long destinations take to answer from each exit, as the dials of clients say.
//!
//! A few numbers stand for each prefix and exit, and beside them the last dials of those of which there were some of
//! late: quantiles are those of these, and a prefix of which little is heard has them as well.

use std::collections::VecDeque;

use super::rows::{EXITS_MAX, NONE, at};

/// Dials that are looked back on.
const WINDOW: usize = 32;

/// Dials that must have been answered before a prefix counts by itself.
pub const COUNT_MIN: u16 = 20;

/// Answered dials that are counted at most: so many halvings and they are forgotten.
const COUNT_MAX: u16 = 640;

/// Prefix and exit of which dials are remembered, at the same time: 20 MiB.
pub const WINDOWS_MAX: usize = 1 << 18;

/// Prefix and exit that are out of use at the same time.
const FAILED_MAX: usize = 1 << 16;

/// An exit is not used for a prefix when so many dials in a row have failed.
const FAILED_IN_ROW: u8 = 3;

/// For so many seconds.
const FAILED_S: u32 = 60;

/// Seconds after which dials are looked back on no more.
const STALE_S: u32 = 1800;

/// Stands in a cell for failures of an exit that is not used.
pub const FAILED: u16 = u16::MAX;

/// A dial in a window that has failed.
const LOST: u16 = u16::MAX;

/// Windows that are looked at for one that can be given away.
const LOOK_MAX: usize = 8;

/// What is known of a prefix from each of its exits, in their order: a cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Cells {
    /// Half of the dials take less, in ticks.
    pub p50: [u16; EXITS_MAX],
    /// Nine of ten take less.
    pub p90: [u16; EXITS_MAX],
    /// Dials that were answered.
    pub count: [u16; EXITS_MAX],
    /// Of the last 32, those that have failed; [`FAILED`] while the exit is not used.
    pub failures: [u16; EXITS_MAX],
}

impl Cells {
    /// Whether enough dials from an exit were answered.
    pub fn is_known(&self, lane: u8) -> bool {
        self.count.get(usize::from(lane)).is_some_and(|count| *count >= COUNT_MIN)
    }

    /// Whether an exit is not used for now.
    pub fn has_failed(&self, lane: u8) -> bool {
        self.failures.get(usize::from(lane)) == Some(&FAILED)
    }
}

/// A row and the place of an exit.
pub type Key = (u32, u8);

/// The last dials of one.
#[derive(Debug)]
struct Window {
    key: Key,
    /// Times in ticks, in a circle.
    dials: [u16; WINDOW],
    next: u8,
    len: u8,
    failed_in_row: u8,
    heard: u32,
}

const _: () = assert!(size_of::<Window>() * WINDOWS_MAX == 20 << 20);

impl Window {
    fn new(key: Key) -> Self {
        Self { key, dials: [0; WINDOW], next: 0, len: 0, failed_in_row: 0, heard: 0 }
    }

    fn put(&mut self, dial: u16, now: u32) {
        if let Some(place) = self.dials.get_mut(usize::from(self.next)) {
            *place = dial;
        }
        self.next = (self.next + 1) % 32;
        self.len = (self.len + 1).min(32);
        self.failed_in_row = if dial == LOST { self.failed_in_row.saturating_add(1) } else { 0 };
        self.heard = now;
    }

    /// The answered ones in order, and how many were not.
    fn sorted(&self) -> ([u16; WINDOW], usize, u16) {
        let mut dials = [LOST; WINDOW];
        let filled = self.dials.iter().take(self.len.into());
        for (to, dial) in dials.iter_mut().zip(filled) {
            *to = *dial;
        }
        dials.sort_unstable();
        let answered = dials.partition_point(|dial| *dial != LOST);
        let lost = usize::from(self.len) - answered;
        (dials, answered, u16::try_from(lost).unwrap_or(0))
    }
}

/// The windows, and which exits are not used for now.
#[derive(Debug, Default)]
pub struct Dials {
    windows: Vec<Window>,
    /// The window of each row and exit, or [`NONE`].
    places: Vec<[u32; EXITS_MAX]>,
    /// Where the search for one that can be given away goes on.
    hand: usize,
    /// Until when, the earliest first.
    failed: VecDeque<(u32, Key)>,
}

impl Dials {
    /// A dial was answered after so many ticks, or has failed; tells whether the exit is not used from now on.
    pub fn hear(&mut self, cells: &mut Cells, key: Key, dial: Option<u16>, now: u32) -> bool {
        let Some(window) = self.window(key) else { return false };
        if now.saturating_sub(window.heard) > STALE_S {
            *window = Window::new(key);
        }
        window.put(dial.unwrap_or(LOST), now);
        let (sorted, answered, lost) = window.sorted();
        let failed_in_row = window.failed_in_row;
        let lane = usize::from(key.1);
        let Some(count) = cells.count.get_mut(lane) else { return false };
        let was_known = *count >= COUNT_MIN;
        *count = count.saturating_add(u16::from(dial.is_some())).min(COUNT_MAX);
        // A window that has just begun says less than what was known before.
        if answered >= COUNT_MIN.into() || !was_known {
            set(&mut cells.p50, lane, quantile(&sorted, answered, 50));
            set(&mut cells.p90, lane, quantile(&sorted, answered, 90));
        }
        let Some(failures) = cells.failures.get_mut(lane) else { return false };
        if *failures == FAILED {
            return false;
        }
        let fails = failed_in_row >= FAILED_IN_ROW && self.failed.len() < FAILED_MAX;
        *failures = if fails { FAILED } else { lost };
        if fails {
            self.failed.push_back((now.saturating_add(FAILED_S), key));
        }
        fails
    }

    /// Exits whose time out of use is over. They begin with what was known before, and without a dial.
    pub fn revive(&mut self, cells: &mut [Cells], now: u32) {
        while let Some((_, key)) = self.failed.pop_front_if(|(until, _)| *until <= now) {
            if let Some(cells) = cells.get_mut(at(key.0)) {
                set(&mut cells.failures, key.1.into(), 0);
            }
            if let Some(window) = self.place(key).and_then(|at| self.windows.get_mut(at)) {
                *window = Window::new(key);
            }
        }
    }

    /// There are so many rows, and those of before have other places now.
    pub fn follow(&mut self, moved: &[u32], rows: usize) {
        let now_at = |(row, lane): Key| {
            let row = moved.get(at(row)).copied()?;
            (row != NONE).then_some((row, lane))
        };
        let old = std::mem::take(&mut self.windows);
        let kept = old.into_iter().filter_map(|w| Some(Window { key: now_at(w.key)?, ..w }));
        self.windows = kept.collect();
        self.places = vec![[NONE; EXITS_MAX]; rows];
        for place in 0..self.windows.len() {
            self.put(place, true);
        }
        self.hand = 0;
        let failed = std::mem::take(&mut self.failed).into_iter();
        self.failed = failed.filter_map(|(until, key)| Some((until, now_at(key)?))).collect();
    }

    fn window(&mut self, key: Key) -> Option<&mut Window> {
        if let Some(place) = self.place(key) {
            return self.windows.get_mut(place);
        }
        let place = if self.windows.len() < WINDOWS_MAX {
            self.windows.push(Window::new(key));
            self.windows.len() - 1
        } else {
            self.give_away(key)?
        };
        self.put(place, true);
        self.windows.get_mut(place)
    }

    /// Where the window of a row and exit is.
    fn place(&self, (row, lane): Key) -> Option<usize> {
        let place = *self.places.get(at(row))?.get(usize::from(lane))?;
        (place != NONE).then(|| at(place))
    }

    /// Says where a window is, or that it is nowhere.
    fn put(&mut self, place: usize, is_there: bool) {
        let Some((row, lane)) = self.windows.get(place).map(|window| window.key) else { return };
        let place = if is_there { u32::try_from(place).unwrap_or(NONE) } else { NONE };
        if let Some(to) =
            self.places.get_mut(at(row)).and_then(|row| row.get_mut(usize::from(lane)))
        {
            *to = place;
        }
    }

    /// A window that was heard of longest ago among those that come next.
    fn give_away(&mut self, key: Key) -> Option<usize> {
        let len = self.windows.len();
        let looked = (self.hand..self.hand + LOOK_MAX).map(|at| at % len);
        let oldest = looked.min_by_key(|at| self.windows.get(*at).map(|window| window.heard))?;
        self.hand = (self.hand + LOOK_MAX) % len;
        self.put(oldest, false);
        *self.windows.get_mut(oldest)? = Window::new(key);
        Some(oldest)
    }
}

/// Lets what is known of a row count half: what is not heard again is forgotten.
pub fn age(cells: &mut Cells) {
    for count in &mut cells.count {
        *count /= 2;
    }
    for failures in cells.failures.iter_mut().filter(|failures| **failures != FAILED) {
        *failures /= 2;
    }
}

fn set(to: &mut [u16; EXITS_MAX], lane: usize, value: u16) {
    if let Some(to) = to.get_mut(lane) {
        *to = value;
    }
}

/// The least of some sorted times that so many of a hundred do not exceed; 0 when there is none.
fn quantile(sorted: &[u16; WINDOW], count: usize, of_hundred: usize) -> u16 {
    let rank = (count * of_hundred).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().filter(|_| rank <= count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_rows(rows: usize) -> Dials {
        let mut dials = Dials::default();
        dials.follow(&[], rows);
        dials
    }

    #[test]
    fn quantiles_are_those_of_the_last_32_dials() {
        let (mut dials, mut cells) = (of_rows(1), Cells::default());
        let mut random = crate::argo::testing::Random::new(3);
        let mut all = Vec::new();
        for now in 0..500 {
            let dial = u16::try_from(100 + random.below(1000)).unwrap();
            all.push(dial);
            dials.hear(&mut cells, (0, 5), Some(dial), now);
            let mut last: Vec<u16> = all.iter().rev().take(32).copied().collect();
            last.sort_unstable();
            let naive = |q: usize| last[(last.len() * q).div_ceil(100) - 1];
            assert_eq!((cells.p50[5], cells.p90[5]), (naive(50), naive(90)), "dial {now}");
        }
        assert_eq!((cells.count[5], cells.failures[5]), (500, 0));
        assert_eq!(cells.count[4], 0);
    }

    #[test]
    fn three_failures_in_a_row_put_an_exit_out_of_use_for_a_minute() {
        let (mut dials, mut cells) = (of_rows(1), Cells::default());
        for now in 0..30 {
            dials.hear(&mut cells, (0, 1), Some(160), now);
        }
        let told: Vec<bool> = [None, None, Some(160), None, None, None, None]
            .into_iter()
            .zip(30..)
            .map(|(dial, now)| dials.hear(&mut cells, (0, 1), dial, now))
            .collect();
        assert_eq!(told, [false, false, false, false, false, true, false]);
        assert_eq!(cells.failures[1], FAILED);
        let mut rows = [cells];
        dials.revive(&mut rows, 94);
        assert_eq!(rows[0].failures[1], FAILED);
        dials.revive(&mut rows, 95);
        assert_eq!((rows[0].failures[1], rows[0].p50[1], rows[0].count[1]), (0, 160, 31));
        // It takes three again.
        assert!(!dials.hear(&mut rows[0], (0, 1), None, 96));
        assert_eq!(rows[0].failures[1], 1);
    }

    #[test]
    fn what_is_not_heard_again_is_forgotten_in_half_an_hour() {
        let (mut dials, mut cells) = (of_rows(1), Cells::default());
        for now in 0..2000 {
            dials.hear(&mut cells, (0, 1), Some(160), now);
        }
        let agings = (1..100).find(|_| {
            age(&mut cells);
            cells.count[1] < COUNT_MIN
        });
        assert_eq!(agings, Some(6));
    }

    #[test]
    fn windows_are_bounded_and_the_oldest_go_and_leave_what_is_known() {
        let (mut dials, mut cells) = (of_rows(1), Cells::default());
        for _ in 0..32 {
            dials.hear(&mut cells, (0, 0), Some(160), 0);
        }
        let mut others = Cells::default();
        dials.follow(&[0], WINDOWS_MAX + 1);
        let most = u32::try_from(WINDOWS_MAX).unwrap();
        for row in 1..=most {
            dials.hear(&mut others, (row, 0), Some(1), row);
        }
        assert_eq!(dials.windows.len(), WINDOWS_MAX);
        assert_eq!(dials.place((0, 0)), None);
        dials.hear(&mut cells, (0, 0), Some(1600), most);
        assert_eq!(cells.p50[0], 160, "one dial says less than 32");
        for _ in 0..19 {
            dials.hear(&mut cells, (0, 0), Some(1600), most);
        }
        assert_eq!(cells.p50[0], 1600);
    }

    #[test]
    fn windows_and_failures_move_with_their_rows() {
        let (mut dials, mut cells) = (of_rows(3), [Cells::default(); 3]);
        for row in 0..3 {
            for _ in 0..3 {
                dials.hear(&mut cells[row as usize], (row, 0), None, 0);
            }
        }
        dials.follow(&[NONE, 0, 2], 3);
        let are_there = [0, 1, 2].map(|row| dials.place((row, 0)).is_some());
        assert_eq!(are_there, [true, false, true]);
        let mut after = [cells[1], Cells::default(), cells[2]];
        dials.revive(&mut after, 60);
        assert_eq!(after.map(|cells| cells.failures[0]), [0; 3]);
    }
}
