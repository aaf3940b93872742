//! Poly1305 of one packet with its own blocks in the lanes: for packets that stand alone, or are much
//! longer than their neighbours.

use core::arch::x86_64::*;

use super::super::poly1305::{Progress, joined};
use super::poly::{
    Factor, Limbs, M44, Text, clamped, factor, finished, first, plus, product, reduced, splat,
    times,
};

/// Carries from the first limb to the second, so that powers of `r`, which fill all their bits,
/// can be multiplied: the first limb is then below 2^44, the second below 2^44 + 2^8.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn carried([h0, h1, h2]: Limbs) -> Limbs {
    [_mm512_and_si512(h0, splat(M44)), _mm512_add_epi64(h1, _mm512_srli_epi64::<44>(h0)), h2]
}

/// The powers of a factor that 16 lanes need, those of the first eight blocks and of the second eight.
pub(super) struct Powers {
    first: Factor,
    second: Factor,
}

impl Powers {
    /// Steps from the factor to all powers.
    const STEPS: usize = 4;

    /// The factor alone; the powers are there after all steps.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn start([r_low, r_high]: [u64; 2]) -> Self {
        let r = clamped(splat(r_low), splat(r_high));
        Self { first: r, second: r }
    }

    /// One step; those after the last change nothing. Each waits for the one before, so they are best
    /// spread over other work.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn step(&mut self, number: usize) {
        // Lane by lane the powers become 8, 4, 7, 3, 6, 2, 5, 1; the highest is always in the first lane.
        const MASKS: [u8; Powers::STEPS - 1] = [0b0011_0011, 0b0000_1111, 0b0101_0101];
        if number >= Self::STEPS {
            return;
        }
        let lanes = &self.second;
        let product = factor(carried(times(lanes.r, &first_lane(lanes))));
        match MASKS.get(number) {
            Some(mask) => self.second = select(*mask, &self.second, &product),
            // Eight more.
            None => self.first = product,
        }
    }

    /// Overwrites them.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn wipe(&mut self) {
        *self = Self::start([0; 2]);
        zeroize::optimization_barrier(self);
    }

    /// All powers.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn new(r: [u64; 2]) -> Self {
        let mut powers = Self::start(r);
        for number in 0..Self::STEPS {
            powers.step(number);
        }
        powers
    }
}

/// Blocks that the lanes of a register hold.
pub(super) const LANES: usize = 8;

/// The tag over the rest of a text, in lanes. So many blocks that these are full are absorbed by
/// ordinary instructions before, while the powers are made if they are not known.
///
/// # Safety
///
/// The text can be read for its length and 15 octets more. At least as many blocks as there are lanes
/// are left, counting the block of lengths.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) unsafe fn wide(progress: &mut Progress, pad: [u64; 2], powers: &Powers) -> u128 {
    let (start, len) = progress.text();
    let text = Text { start, len };
    let blocks = len.div_ceil(16) + 1 - progress.at() / 16;
    let (groups, head) = (blocks / LANES, blocks % LANES);
    let mut at = progress.at() + 16 * head;
    // SAFETY: full lanes are left behind these blocks, so they are whole.
    unsafe { progress.go_to(at) };
    let r16 = first_lane(&powers.first);
    let zero = [_mm512_setzero_si512(); 3];
    // What was absorbed before goes with the first block. An odd group goes with the second ones.
    let mut sums = [before(progress), zero];
    let mut left = groups;
    if groups % 2 == 1 {
        sums.swap(0, 1);
        // SAFETY: the caller's promise.
        let [low, high] = unsafe { eight(text, at, left == 1) };
        let fresh = plus(sums[1], low, high);
        sums[1] = if left == 1 { carried(fresh) } else { carried(times(fresh, &r16)) };
        at += 16 * LANES;
        left -= 1;
    }
    while left > 0 {
        left -= 2;
        for (half, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's promise; only the last group may reach behind the end.
            let [low, high] = unsafe { eight(text, at + 16 * LANES * half, left == 0) };
            let fresh = plus(*sum, low, high);
            *sum = if left > 0 { carried(times(fresh, &r16)) } else { carried(fresh) };
        }
        at += 2 * 16 * LANES;
    }
    let (first, second) = (product(sums[0], &powers.first), product(sums[1], &powers.second));
    let mut halves = first;
    for limb in 0..3 {
        halves[limb].0 = folded(_mm512_add_epi64(first[limb].0, second[limb].0));
        halves[limb].1 = folded(_mm512_add_epi64(first[limb].1, second[limb].1));
    }
    let tag = finished(reduced(&halves), [splat(pad[0]), splat(pad[1])]);
    joined([lowest(tag[0]), lowest(tag[1])])
}

/// Eight blocks in words; the last may reach behind the text's end.
///
/// # Safety
///
/// The text can be read for its length, which covers all blocks that are not the last.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn eight(text: Text, at: usize, last: bool) -> [__m512i; 2] {
    // SAFETY: the caller's promise.
    let [one, other] = unsafe {
        if last {
            [edge(text, at), edge(text, at + 64)]
        } else {
            let from = text.start.add(at);
            [_mm512_loadu_si512(from.cast()), _mm512_loadu_si512(from.add(64).cast())]
        }
    };
    [_mm512_unpacklo_epi64(one, other), _mm512_unpackhi_epi64(one, other)]
}

/// What was absorbed so far, in the first lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn before(progress: &Progress) -> Limbs {
    let [h0, h1, h2] = if progress.at() == 0 { [0; 3] } else { progress.product() };
    let limbs = [h0 & M44, (h0 >> 44 | h1 << 20) & M44, h1 >> 24 | h2 << 40];
    limbs.map(|limb| _mm512_zextsi128_si512(_mm_cvtsi64_si128(limb.cast_signed())))
}

/// The sum of all lanes, in every lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn folded(lanes: __m512i) -> __m512i {
    let lanes = _mm512_add_epi64(lanes, _mm512_shuffle_i64x2::<0x4e>(lanes, lanes));
    let lanes = _mm512_add_epi64(lanes, _mm512_shuffle_i64x2::<0xb1>(lanes, lanes));
    _mm512_add_epi64(lanes, _mm512_shuffle_epi32::<0x4e>(lanes))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn lowest(lanes: __m512i) -> u64 {
    _mm_cvtsi128_si64(_mm512_castsi512_si128(lanes)).cast_unsigned()
}

/// `yes` in the lanes of the mask, else `no`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn select(mask: u8, no: &Factor, yes: &Factor) -> Factor {
    let one = |no, yes| _mm512_mask_mov_epi64(no, mask, yes);
    let r = [one(no.r[0], yes.r[0]), one(no.r[1], yes.r[1]), one(no.r[2], yes.r[2])];
    Factor { r, s: [one(no.s[0], yes.s[0]), one(no.s[1], yes.s[1])] }
}

/// The factor in the first lane, in every lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn first_lane(lanes: &Factor) -> Factor {
    let all = |limb| _mm512_broadcastq_epi64(_mm512_castsi512_si128(limb));
    let ([r0, r1, r2], [s1, s2]) = (lanes.r, lanes.s);
    Factor { r: [all(r0), all(r1), all(r2)], s: [all(s1), all(s2)] }
}

/// 64 octets of a text from `at`: zeros behind its end, and there the block of lengths.
///
/// # Safety
///
/// The text can be read for its length.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn edge(text: Text, at: usize) -> __m512i {
    // SAFETY: octets without their bit in the mask are not touched, and those with it lie in the text.
    let row = unsafe {
        let mask = first(text.len.saturating_sub(at));
        _mm512_maskz_loadu_epi8(mask, text.start.wrapping_add(at).cast())
    };
    let word = (text.len.div_ceil(16) * 16 + 8).wrapping_sub(at);
    let here = if word < 64 { 1_u8 << (word >> 3) } else { 0 };
    _mm512_mask_mov_epi64(row, here, splat(text.len as u64))
}
