//! The order of the work: which packets share a chunk, which blocks share a pass, and which packets
//! share the lanes of Poly1305. Only public things are looked at: lengths and counts.
#![expect(
    clippy::inline_always,
    reason = "only where it is inlined into code with vector features are lists copied by vectors"
)]

use super::Job;

/// Jobs that are looked at together; longer batches are cut.
pub(super) const SLICE_LEN: usize = 64;

/// The order of up to [`SLICE_LEN`] jobs that are all alike.
#[inline(always)]
pub(super) fn in_order(count: usize) -> &'static [u8] {
    IN_ORDER.get(..count).unwrap_or(&IN_ORDER)
}

static IN_ORDER: [u8; SLICE_LEN] = {
    let mut order = [0; SLICE_LEN];
    let mut position = 0;
    while position < SLICE_LEN {
        #[expect(clippy::cast_possible_truncation, clippy::indexing_slicing, reason = "below 64")]
        {
            order[position] = position as u8;
        }
        position += 1;
    }
    order
};

/// Packets whose keys are transposed together, and whose blocks share passes.
pub(super) const CHUNK_LEN: usize = 32;

/// Octets of a chunk, more or less: they are read twice or three times, so they shall stay in the
/// first-level cache, which has 32 KiB on most processors.
const CHUNK_OCTETS: usize = 24 * 1024;

/// Octets of a block of `ChaCha20`.
pub(super) const BLOCK_LEN: usize = 64;

/// The first words of the state of every block (RFC 8439 2.3): "expand 32-byte k".
pub(super) const CONSTANTS: [i32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// What jobs have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Likeness {
    /// All have the same length.
    pub(super) alike: bool,
    /// One is too long for lanes, see [`LEN_MAX`]: then they are done one by one.
    pub(super) too_long: bool,
}

/// Notes the lengths of up to [`SLICE_LEN`] jobs and says what they have in common.
// Not inlined, here and below: where AVX-512 is enabled the compiler would gather and scatter, which
// is slower than one access at a time.
#[inline(never)]
pub(super) fn lens(jobs: &[Job<'_>], lens: &mut [usize; SLICE_LEN]) -> Likeness {
    let first = jobs.first().map_or(0, |job| job.len);
    let (mut differences, mut longest) = (0, 0);
    for (len, job) in lens.iter_mut().zip(jobs) {
        *len = job.len;
        differences |= job.len ^ first;
        longest = longest.max(job.len);
    }
    Likeness { alike: differences == 0, too_long: longest > LEN_MAX }
}

/// Tells the jobs at these positions whether their bit is set.
#[inline(never)]
pub(super) fn judge(jobs: &mut [Job<'_>], order: &[u8], accepted: u32) {
    for (bit, position) in order.iter().enumerate() {
        if let Some(job) = jobs.get_mut(usize::from(*position)) {
            job.accepted = accepted >> (bit % 32) & 1 == 1;
        }
    }
}

/// The longest text that [`longest_first`] can tell from longer ones: far more than a datagram has.
const LEN_MAX: usize = 16 * 1021;

/// Positions of the longest texts first; a list of up to [`SLICE_LEN`], of at most [`LEN_MAX`] each.
#[inline(always)]
pub(super) fn longest_first(lens: &[usize; SLICE_LEN], count: usize) -> [u8; SLICE_LEN] {
    let mut order = [0; SLICE_LEN];
    // Blocks in the upper bits, the position below: all differ, so the number of greater ones is
    // the place. No branch depends on a comparison.
    let mut keys = [0_u16; SLICE_LEN];
    for ((position, key), len) in (0_u16..).zip(&mut keys).zip(lens).take(count) {
        let blocks = u16::try_from(len.div_ceil(16).min(1022)).unwrap_or(1022) + 1;
        *key = blocks << 6 | position;
    }
    let mut places = [0_u16; SLICE_LEN];
    for key in keys.iter().take(count) {
        for (place, other) in places.iter_mut().zip(&keys) {
            *place += u16::from(key > other);
        }
    }
    for ((position, place), _) in (0_u8..).zip(&places).zip(lens).take(count) {
        if let Some(entry) = order.get_mut(usize::from(*place)) {
            *entry = position;
        }
    }
    order
}

/// How many of the next packets make a chunk: at least one, and by 16 when octets are the limit, so
/// that lanes stay full. `lens` has the lengths of those that are left.
#[inline(always)]
pub(super) fn chunk_len(order: &[u8], lens: &[usize; SLICE_LEN]) -> usize {
    let count = order.len().min(CHUNK_LEN);
    let len_of = |position: &u8| lens.get(usize::from(*position)).copied().unwrap_or(0);
    // The first is the longest.
    let longest = order.first().map_or(0, len_of);
    if count <= CHUNK_LEN / 2 || longest <= CHUNK_OCTETS / CHUNK_LEN {
        return count;
    }
    let octets: usize = order.iter().take(count).map(len_of).sum();
    if octets > CHUNK_OCTETS { CHUNK_LEN / 2 } else { count }
}

/// Length of lists that are copied 16 entries at a time from any place of a chunk.
pub(super) const LIST_LEN: usize = CHUNK_LEN + 16;

/// Blocks of a chunk that are made in one pass: the packet, the number of the block in it, and where
/// its octets are.
#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) packet: [u32; LIST_LEN],
    pub(super) number: [u32; LIST_LEN],
    pub(super) place: [*mut u8; LIST_LEN],
}

impl Blocks {
    #[inline(always)]
    pub(super) const fn new() -> Self {
        Self {
            packet: [0; LIST_LEN],
            number: [0; LIST_LEN],
            place: [core::ptr::null_mut(); LIST_LEN],
        }
    }
}

/// The way through all blocks of a chunk: block 0 of every packet, then block 1 of those that have
/// one, and so on, so that neighbours in a pass belong to different packets where possible.
#[derive(Debug)]
pub(super) struct Walk {
    /// Packets, those with most blocks first.
    members: [u32; LIST_LEN],
    /// Where their texts begin.
    texts: [*mut u8; LIST_LEN],
    blocks: [u32; LIST_LEN],
    /// Where the blocks 0 go, one after the other.
    rows: *mut u8,
    /// How many members still have the block that is next.
    live: usize,
    number: usize,
    /// The next member.
    at: usize,
    left: usize,
    /// Whether members were left out.
    kept: bool,
}

/// Every packet in its place.
const IOTA: [u32; LIST_LEN] = {
    let mut iota = [0; LIST_LEN];
    let mut packet = 0;
    while packet < LIST_LEN {
        #[expect(clippy::cast_possible_truncation, clippy::indexing_slicing, reason = "below 48")]
        {
            iota[packet] = packet as u32;
        }
        packet += 1;
    }
    iota
};

impl Walk {
    /// A walk over nothing.
    #[inline(always)]
    pub(super) const fn new() -> Self {
        let null = core::ptr::null_mut();
        Self {
            members: IOTA,
            texts: [null; LIST_LEN],
            blocks: [0; LIST_LEN],
            rows: null,
            live: 0,
            number: 0,
            at: 0,
            left: 0,
            kept: false,
        }
    }

    /// Begins at block 0 of the first `count` packets with texts of such lengths, the longest first.
    #[inline(always)]
    pub(super) fn start(
        &mut self,
        texts: &[*mut u8; LIST_LEN],
        lens: &[usize; LIST_LEN],
        count: usize,
        rows: *mut u8,
    ) {
        if self.kept {
            self.members = IOTA;
            self.kept = false;
        }
        self.texts = *texts;
        let mut left = count;
        for (packet, (blocks, len)) in self.blocks.iter_mut().zip(lens).enumerate() {
            let all = if packet < count { 1 + len.div_ceil(BLOCK_LEN) } else { 0 };
            // 2^32 blocks are 256 GiB, which no datagram has.
            #[expect(clippy::cast_possible_truncation, reason = "no datagram has so many blocks")]
            {
                *blocks = all as u32;
            }
            left += all.saturating_sub(1);
        }
        let pairs = self.blocks.iter().zip(self.blocks.iter().skip(1));
        let ascends = pairs.fold(0, |found, (one, next)| found | u32::from(one < next));
        // Else blocks would be taken that a text does not have.
        assert!(ascends == 0, "the longest packets come first");
        (self.rows, self.live, self.number, self.at, self.left) = (rows, count, 0, 0, left);
    }

    /// Blocks that are not taken yet.
    #[inline(always)]
    pub(super) const fn left(&self) -> usize {
        self.left
    }

    /// Takes up to `wanted` blocks, at most a chunk's length, and says how many. What lies behind
    /// them in the lists has no place, and may be a packet that the chunk only has room for.
    #[inline(always)]
    pub(super) fn take(&mut self, wanted: usize, to: &mut Blocks) -> usize {
        let mut taken = 0;
        while taken < wanted && self.live > 0 {
            let run = 16.min(self.live - self.at).min(wanted - taken);
            self.copy(taken, to);
            taken += run;
            self.at += run;
            if self.at == self.live {
                self.next_number();
            }
        }
        self.left -= taken;
        taken
    }

    /// Copies the next 16 entries, of which not all need be meant.
    #[inline(always)]
    fn copy(&self, taken: usize, to: &mut Blocks) {
        let (from, to_end) = (self.at..self.at + 16, taken..taken + 16);
        let packets = self.members.get(from.clone()).zip(to.packet.get_mut(to_end.clone()));
        if let Some((members, packets)) = packets {
            packets.copy_from_slice(members);
        }
        if let Some(numbers) = to.number.get_mut(to_end.clone()) {
            #[expect(clippy::cast_possible_truncation, reason = "no datagram has so many blocks")]
            numbers.fill(self.number as u32);
        }
        let Some(places) = to.place.get_mut(to_end) else { return };
        if self.number == 0 {
            for (i, place) in places.iter_mut().enumerate() {
                *place = self.rows.wrapping_add(BLOCK_LEN * (self.at + i));
            }
        } else if let Some(texts) = self.texts.get(from) {
            let offset = BLOCK_LEN * (self.number - 1);
            for (place, text) in places.iter_mut().zip(texts) {
                *place = text.wrapping_add(offset);
            }
        }
    }

    #[inline(always)]
    fn next_number(&mut self) {
        self.at = 0;
        self.number += 1;
        let ended = |all: &u32| *all as usize <= self.number;
        // The first has most blocks: texts that are alike end together.
        if self.blocks.first().is_none_or(ended) {
            self.live = 0;
        }
        while self.blocks.get(self.live.wrapping_sub(1)).is_some_and(ended) {
            self.live -= 1;
        }
    }

    /// Leaves out the packets that are not wanted any more.
    #[inline(never)]
    pub(super) fn keep(&mut self, wanted: u32) {
        self.kept = true;
        let (mut kept, mut at, mut left) = (0, 0, 0);
        for position in 0..self.live {
            let packet = self.members.get(position).copied().unwrap_or_default();
            let all = self.blocks.get(position).copied().unwrap_or_default();
            let text = self.texts.get(position).copied().unwrap_or(self.rows);
            if wanted >> packet & 1 == 0 {
                continue;
            }
            let passed = usize::from(position < self.at);
            at += passed;
            left += all as usize - self.number - passed;
            if let Some(entry) = self.members.get_mut(kept) {
                *entry = packet;
            }
            if let Some(entry) = self.blocks.get_mut(kept) {
                *entry = all;
            }
            if let Some(entry) = self.texts.get_mut(kept) {
                *entry = text;
            }
            kept += 1;
        }
        (self.live, self.at, self.left) = (kept, at, left);
        if self.at == self.live {
            self.next_number();
        }
    }
}

/// How many blocks the next pass makes when so many are left: 32 or 16 in lanes, the others in rows.
#[inline(always)]
pub(super) const fn pass_len(left: usize) -> usize {
    match left {
        25.. => 32,
        21..=24 => 24,
        17..=20 => 20,
        13..=16 => 16,
        9..=12 => 12,
        5..=8 => 8,
        _ => 4,
    }
}
