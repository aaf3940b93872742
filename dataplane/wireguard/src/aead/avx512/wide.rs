//! Poly1305 of one packet with its own blocks in the lanes: for packets that stand alone, or are much
//! longer than their neighbours.

use core::arch::x86_64::*;

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

/// Where block `b` of eight goes when two rows of 64 octets are unpacked.
const PLACES: [i64; 8] = [0, 4, 1, 5, 2, 6, 3, 7];

/// The tag over one text with the one-time key `key`, eight or sixteen blocks at a time.
///
/// # Safety
///
/// The text can be read for its length, and 32 octets behind `key`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) unsafe fn wide(key: &[u64; 4], text: Text) -> [u64; 2] {
    let [r_low, r_high, pad @ ..] = *key;
    let r1 = clamped(splat(r_low), splat(r_high));
    let r2 = factor(carried(times(r1.r, &r1)));
    // Lane by lane the powers 8, 4, 7, 3, 6, 2, 5, 1; the highest is always in the first lane.
    let power = select(0b0011_0011, &r1, &r2);
    let power = select(0b0000_1111, &power, &factor(carried(times(power.r, &r2))));
    let power = select(0b0101_0101, &power, &factor(carried(times(power.r, &first_lane(&power)))));
    // Eight more, for the first half of a step.
    let eight_more = factor(carried(times(power.r, &first_lane(&power))));
    let r16 = first_lane(&eight_more);
    let blocks = text.len.div_ceil(16) + 1;
    // Empty blocks in front make it full steps of 16.
    let steps = blocks.div_ceil(16);
    let empty = steps * 16 - blocks;
    let zero = _mm512_setzero_si512();
    let mut sums = [[zero; 3]; 2];
    for step in 0..steps {
        let whole = step > 0 && step + 1 < steps;
        for (half, sum) in sums.iter_mut().enumerate() {
            // In octets from the start of the text, and before it by the empty blocks.
            let at = ((step * 16 + half * 8) * 16).cast_signed() - (empty * 16).cast_signed();
            let rows = if whole {
                let from = text.start.wrapping_offset(at);
                // SAFETY: a step that is neither the first nor the last lies in the text.
                unsafe {
                    [
                        _mm512_loadu_si512(from.cast()),
                        _mm512_loadu_si512(from.wrapping_add(64).cast()),
                    ]
                }
            } else {
                // SAFETY: the caller's promise.
                unsafe { [edge(text, at), edge(text, at + 64)] }
            };
            let low = _mm512_unpacklo_epi64(rows[0], rows[1]);
            let high = _mm512_unpackhi_epi64(rows[0], rows[1]);
            let fresh = if whole {
                plus(*sum, low, high)
            } else {
                let [h0, h1, h2] = plus(*sum, low, high);
                let place = _mm512_add_epi64(lane_places(), _mm512_set1_epi64((at >> 4) as i64));
                let absent = _mm512_cmplt_epi64_mask(place, zero);
                [h0, h1, _mm512_mask_sub_epi64(h2, absent, h2, splat(1 << 40))]
            };
            *sum = if step + 1 < steps { carried(times(fresh, &r16)) } else { carried(fresh) };
        }
    }
    let (first, second) = (product(sums[0], &eight_more), product(sums[1], &power));
    let mut halves = first;
    for limb in 0..3 {
        halves[limb].0 = folded(_mm512_add_epi64(first[limb].0, second[limb].0));
        halves[limb].1 = folded(_mm512_add_epi64(first[limb].1, second[limb].1));
    }
    let tag = finished(reduced(&halves), [splat(pad[0]), splat(pad[1])]);
    [lowest(tag[0]), lowest(tag[1])]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn lane_places() -> __m512i {
    let [a, b, c, d, e, f, g, h] = PLACES;
    _mm512_setr_epi64(a, b, c, d, e, f, g, h)
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
    let mut chosen = *no;
    for limb in 0..3 {
        chosen.r[limb] = _mm512_mask_mov_epi64(no.r[limb], mask, yes.r[limb]);
    }
    for limb in 0..2 {
        chosen.s[limb] = _mm512_mask_mov_epi64(no.s[limb], mask, yes.s[limb]);
    }
    chosen
}

/// The factor in the first lane, in every lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn first_lane(lanes: &Factor) -> Factor {
    let mut all = *lanes;
    for limb in all.r.iter_mut().chain(&mut all.s) {
        *limb = _mm512_broadcastq_epi64(_mm512_castsi512_si128(*limb));
    }
    all
}

/// 64 octets of a text from `at`, which may lie before its start: zeros outside, and the block of
/// lengths behind its end.
///
/// # Safety
///
/// The text can be read for its length.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn edge(text: Text, at: isize) -> __m512i {
    let before = at.min(0).unsigned_abs();
    let end = text.len.cast_signed() - at;
    let mask = first(end.max(0).unsigned_abs()) & !first(before);
    // SAFETY: octets without their bit in the mask are not touched, and those with it lie in the text.
    let row = unsafe { _mm512_maskz_loadu_epi8(mask, text.start.wrapping_offset(at).cast()) };
    let word = (text.len.div_ceil(16) * 16 + 8).cast_signed() - at;
    let here = if (0..64).contains(&word) { 1_u8 << (word >> 3) } else { 0 };
    _mm512_mask_mov_epi64(row, here, splat(text.len as u64))
}
