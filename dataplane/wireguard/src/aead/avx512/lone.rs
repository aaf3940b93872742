//! One packet at a time, its own blocks in the lanes: for batches too small to fill them.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::chunk::{bears_tag, write_tag};
use super::super::schedule::{BLOCK_LEN, lone_pass_len};
use super::super::{Job, poly1305};
use super::COSTS;
use super::chacha;
use super::poly::Text;
use super::stream::{self, LONE_LEN, Stream};
use super::wide::wide;

/// Opens or seals every job.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn run<const SEAL: bool>(jobs: &mut [Job<'_>]) {
    let mut rows = [MaybeUninit::uninit(); LONE_LEN];
    let mut used = 0;
    for job in jobs {
        used = used.max(one::<SEAL>(job, &mut rows));
    }
    for row in rows.iter_mut().take(used) {
        row.write(_mm512_setzero_si512());
    }
    zeroize::optimization_barrier(&rows);
}

/// Opens or seals one job and says how many rows it used.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn one<const SEAL: bool>(job: &mut Job<'_>, rows: &mut Stream) -> usize {
    let (text, len) = (job.octets.as_mut_ptr(), job.len);
    let key = job.key.octets().as_ptr();
    let all = 1 + len.div_ceil(BLOCK_LEN);
    let used = lone_pass_len(all);
    // SAFETY: the key has 32 octets. A pass writes as many rows as it makes, at least `used` of all;
    // each block of text and what follows it lie in the job's octets, and so does the tag.
    unsafe {
        stream::blocks(key, job.counter, 0, used, rows);
        let one_time = rows.as_ptr().cast::<[u64; 4]>().read();
        if SEAL {
            add(text, rows, 1..used.min(all));
            add_rest(job, used, all, rows);
            let tag = tag(&one_time, Text { start: text, len });
            write_tag(text, len, tag);
            job.accepted = true;
        } else {
            let tag = tag(&one_time, Text { start: text, len });
            job.accepted = bears_tag(text, len, tag);
            if job.accepted {
                add(text, rows, 1..used.min(all));
                add_rest(job, used, all, rows);
            }
        }
    }
    used
}

/// Makes the blocks from `number` on and adds them to the text.
///
/// # Safety
///
/// The text has these blocks.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn add_rest(job: &mut Job<'_>, mut number: usize, all: usize, rows: &mut Stream) {
    let text = job.octets.as_mut_ptr();
    while number < all {
        let len = lone_pass_len(all - number);
        #[expect(clippy::cast_possible_truncation, reason = "no datagram has so many blocks")]
        // SAFETY: the caller's promise.
        unsafe {
            stream::blocks(job.key.octets().as_ptr(), job.counter, number as u32, len, rows);
            add(text.add(BLOCK_LEN * (number - 1)), rows, 0..len.min(all - number));
        }
        number += len;
    }
}

/// Adds rows of key stream to blocks that lie one after the other from `text` on.
///
/// # Safety
///
/// The rows were written, and the blocks are those of a text.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn add(text: *mut u8, rows: &Stream, which: core::ops::Range<usize>) {
    for (block, row) in rows[which].iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { chacha::put(text.add(BLOCK_LEN * block), row.assume_init()) };
    }
}

/// The tag over a text.
///
/// # Safety
///
/// The text can be read.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn tag(key: &[u64; 4], text: Text) -> [u64; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        if COSTS.prefers_wide(text.len) {
            wide(key, text)
        } else {
            poly1305::tag(key, core::slice::from_raw_parts(text.start, text.len))
        }
    }
}
