//! The receiver index names its owner: 32 bits = a keyed permutation of server, worker and slot.
//!
//! So a data packet finds its session without a table, on whichever server or queue it lands, and
//! an outsider can neither read nor forge structure into it. The permutation is the published
//! block cipher Speck32/64 (Beaulieu et al., 2013): it hides structure and authenticates nothing;
//! the AEAD does that.

use zeroize::Zeroize;

/// Rounds of Speck32/64.
const ROUNDS: usize = 22;
/// Lanes of the burst form: a whole burst. With 16 the compiler unrolls the lanes and then finds no
/// vectors in them.
const LANES: usize = 64;

/// Fewer indices than this are done one by one: a pass over all lanes costs as much as this many.
const SINGLE_BELOW: usize = 13;

/// How the 32 bits are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    // Widths in bits.
    server: u8,
    worker: u8,
    slot: u8,
}

impl Layout {
    /// Widths of server (at most 16), worker (at most 16) and slot (1 to 32); `None` when they do
    /// not sum to 32.
    pub const fn new(server: u8, worker: u8, slot: u8) -> Option<Self> {
        let fits = server <= 16 && worker <= 16 && slot >= 1 && slot <= 32;
        if fits && server + worker + slot == 32 {
            Some(Self { server, worker, slot })
        } else {
            None
        }
    }

    /// Servers that the layout tells apart.
    pub const fn server_count(self) -> u32 {
        1 << self.server
    }

    /// Workers of one server that the layout tells apart.
    pub const fn worker_count(self) -> u32 {
        1 << self.worker
    }

    /// Slots of one worker.
    pub const fn slot_count(self) -> u64 {
        1 << self.slot
    }

    fn pack(self, place: Place) -> u32 {
        let packed = u64::from(place.server) << (self.slot + self.worker)
            | u64::from(place.worker) << self.slot
            | u64::from(place.slot);
        assert!(self.unpack(low(packed)) == place, "a place outside the layout");
        low(packed)
    }

    fn unpack(self, packed: u32) -> Place {
        let packed = u64::from(packed);
        let field = |shift: u8, bits: u8| low(packed >> shift & ((1 << bits) - 1));
        Place {
            server: half(field(self.slot + self.worker, self.server)),
            worker: half(field(self.slot, self.worker)),
            slot: field(0, self.slot),
        }
    }
}

/// 256 servers, 16 workers each, 2^20 slots per worker.
impl Default for Layout {
    fn default() -> Self {
        Self { server: 8, worker: 4, slot: 20 }
    }
}

/// Where a session lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Server of the fleet.
    pub server: u16,
    /// Worker of the server.
    pub worker: u16,
    /// Slot of the worker's session table.
    pub slot: u32,
}

/// The permutation under one key. All servers of a fleet hold the same.
#[derive(Clone)]
pub struct Permutation {
    round_keys: [u16; ROUNDS],
    layout: Layout,
}

impl Permutation {
    /// Expands a key of 8 octets: the cipher's key words, little endian, `k0` first.
    pub fn new(key: [u8; 8], layout: Layout) -> Self {
        let words = u64::from_le_bytes(key);
        let mut word = half(low(words));
        let mut queue = [16, 32, 48].map(|shift| half(low(words >> shift)));
        let mut round_keys = [0; ROUNDS];
        for (round, key) in (0_u16..).zip(&mut round_keys) {
            *key = word;
            let [first, second, third] = queue;
            let next = word.wrapping_add(first.rotate_right(7)) ^ round;
            word = word.rotate_left(2) ^ next;
            queue = [second, third, next];
        }
        Self { round_keys, layout }
    }

    /// The layout that this permutation packs.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The index that names a place.
    ///
    /// # Panics
    /// When the place lies outside the layout: our own tables are larger than configured.
    pub fn index(&self, place: Place) -> u32 {
        self.encrypt(self.layout.pack(place))
    }

    /// The place that an index names. Every index names some place; whether a session lives there
    /// is for its owner to say.
    pub fn place(&self, index: u32) -> Place {
        self.layout.unpack(self.decrypt(index))
    }

    /// [`Permutation::place`] for a burst, a few times faster per index. The shorter of the two
    /// slices decides how many are done.
    pub fn places(&self, indices: &[u32], places: &mut [Place]) {
        for (indices, places) in indices.chunks(LANES).zip(places.chunks_mut(LANES)) {
            if indices.len() < SINGLE_BELOW {
                for (place, index) in places.iter_mut().zip(indices) {
                    *place = self.place(*index);
                }
            } else if indices.len() <= LANES / 2 {
                self.places_in_lanes::<{ LANES / 2 }>(indices, places);
            } else {
                self.places_in_lanes::<LANES>(indices, places);
            }
        }
    }

    /// At most `N` of them.
    fn places_in_lanes<const N: usize>(&self, indices: &[u32], places: &mut [Place]) {
        let mut lanes = [0; N];
        for (lane, index) in lanes.iter_mut().zip(indices) {
            *lane = *index;
        }
        for (place, packed) in places.iter_mut().zip(self.decrypt_lanes(&lanes)) {
            *place = self.layout.unpack(packed);
        }
    }

    fn encrypt(&self, block: u32) -> u32 {
        let (mut x, mut y) = (half(block >> 16), half(block));
        for key in &self.round_keys {
            x = x.rotate_right(7).wrapping_add(y) ^ key;
            y = y.rotate_left(2) ^ x;
        }
        u32::from(x) << 16 | u32::from(y)
    }

    fn decrypt(&self, block: u32) -> u32 {
        let (mut x, mut y) = (half(block >> 16), half(block));
        for key in self.round_keys.iter().rev() {
            y = (x ^ y).rotate_right(2);
            x = (x ^ key).wrapping_sub(y).rotate_left(7);
        }
        u32::from(x) << 16 | u32::from(y)
    }

    /// Rounds outside, lanes inside, over arrays of fixed length: the compiler turns each inner
    /// loop into a handful of vector instructions.
    fn decrypt_lanes<const N: usize>(&self, blocks: &[u32; N]) -> [u32; N] {
        let mut xs = blocks.map(|block| half(block >> 16));
        let mut ys = blocks.map(half);
        for key in self.round_keys.iter().rev() {
            for (x, y) in xs.iter_mut().zip(&mut ys) {
                *y = (*x ^ *y).rotate_right(2);
                *x = (*x ^ key).wrapping_sub(*y).rotate_left(7);
            }
        }
        let mut plain = [0; N];
        for ((plain, x), y) in plain.iter_mut().zip(xs).zip(ys) {
            *plain = u32::from(x) << 16 | u32::from(y);
        }
        plain
    }
}

impl Drop for Permutation {
    fn drop(&mut self) {
        self.round_keys.zeroize();
    }
}

impl core::fmt::Debug for Permutation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Permutation").field("layout", &self.layout).finish_non_exhaustive()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
const fn half(word: u32) -> u16 {
    word as u16
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
const fn low(word: u64) -> u32 {
    word as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn encrypts_the_published_vector() {
        let key = [0x00, 0x01, 0x08, 0x09, 0x10, 0x11, 0x18, 0x19];
        let permutation = Permutation::new(key, Layout::default());
        assert_eq!(permutation.encrypt(0x6574_694c), 0xa868_42f2);
        assert_eq!(permutation.decrypt(0xa868_42f2), 0x6574_694c);
    }

    #[test]
    fn only_widths_that_sum_to_32_make_a_layout() {
        assert_eq!(Layout::new(8, 4, 20), Some(Layout::default()));
        assert_eq!(Layout::new(8, 4, 19), None);
        assert_eq!(Layout::new(17, 0, 15), None);
        assert_eq!(Layout::new(16, 16, 0), None);
        assert!(Layout::new(0, 0, 32).is_some());
    }

    #[test]
    #[should_panic(expected = "outside the layout")]
    fn refuses_a_place_outside_the_layout() {
        let permutation = Permutation::new([1; 8], Layout::default());
        permutation.index(Place { server: 0, worker: 16, slot: 0 });
    }

    #[test]
    fn neighbouring_slots_have_unrelated_indices() {
        let permutation = Permutation::new([1; 8], Layout::default());
        let tops: HashSet<u32> = (0..4096)
            .map(|slot| permutation.index(Place { server: 3, worker: 2, slot }) >> 20)
            .collect();
        // 4096 balls in 4096 bins leave about 63 % of them hit.
        assert!(tops.len() > 2300, "{} distinct tops", tops.len());
    }

    proptest! {
        #[test]
        fn every_layout_gives_places_back(key: [u8; 8], server in 0_u8..=16, worker in 0_u8..=15, block: u32) {
            let layout = Layout::new(server, worker, 32 - server - worker).unwrap();
            let permutation = Permutation::new(key, layout);
            let place = permutation.place(block);
            prop_assert_eq!(permutation.index(place), block);
        }

        #[test]
        fn a_burst_agrees_with_single_indices(key: [u8; 8], indices in prop::collection::vec(any::<u32>(), 0..70)) {
            let permutation = Permutation::new(key, Layout::default());
            let mut places = vec![Place::default(); indices.len()];
            permutation.places(&indices, &mut places);
            let single: Vec<Place> = indices.iter().map(|&index| permutation.place(index)).collect();
            prop_assert_eq!(places, single);
        }
    }
}
