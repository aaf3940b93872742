//! One packet at a time, its own blocks in the lanes: for batches too small to fill them.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::Job;
use super::super::beside::{Beside, KEY_AT_END, KEY_KNOWN, KEY_SOON, SHORT};
use super::super::chunk::{bears_tag, write_tag};
use super::super::schedule::BLOCK_LEN;
use super::stream::{PASS_LEN, Sink, Stream, pass, pass_len};
use super::wide::{self, Powers};

/// Opens or seals the jobs at these positions.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn run<const SEAL: bool>(jobs: &mut [Job<'_>], order: &[u8]) {
    let mut powers = MaybeUninit::uninit();
    let mut rows = [MaybeUninit::uninit(); PASS_LEN];
    let (mut used, mut longest) = (0, 0);
    for position in order {
        let Some(job) = jobs.get_mut(usize::from(*position)) else { continue };
        longest = longest.max(job.len);
        if SEAL {
            seal(job, &mut powers);
        } else {
            used = used.max(open(job, &mut rows, &mut powers));
        }
    }
    for row in rows.iter_mut().take(used) {
        row.write(_mm512_setzero_si512());
    }
    zeroize::optimization_barrier(&rows);
    if longest >= wide_len(SEAL) {
        powers.write(Powers::start([0; 2])).wipe();
    }
}

/// The key stream is added at once, and authenticated beside the next pass.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn seal(job: &mut Job<'_>, powers: &mut MaybeUninit<Powers>) {
    let (text, len) = (job.octets.as_mut_ptr(), job.len);
    let blocks = len.div_ceil(BLOCK_LEN);
    let mut sink = Sink { text, blocks, rows: None };
    let mut beside = Beside::new(job);
    let wanted = (len >= wide_len(true)).then_some(&mut *powers);
    // SAFETY: each block of text and what follows it lie in the job's octets, and so does the tag;
    // what is planned was sealed in passes before.
    unsafe {
        if blocks == 0 {
            beside.make_key(job);
        } else {
            let mut done = pass_len(blocks);
            if wanted.is_some() {
                pass::<KEY_SOON>(job, 0, done, &mut sink, (&mut beside, wanted));
            } else {
                pass::<KEY_AT_END>(job, 0, done, &mut sink, (&mut beside, None));
            }
            while done < blocks {
                let next = pass_len(blocks - done);
                beside.plan(beside.at() + PASS_OCTETS.min(BLOCK_LEN * done - beside.at()), false);
                pass::<KEY_KNOWN>(job, done, next, &mut sink, (&mut beside, None));
                done += next;
            }
        }
        write_tag(text, len, tag::<true>(&mut beside, len, powers));
    }
    beside.wipe();
    job.accepted = true;
}

/// The key stream of the first pass is put by until the text is authenticated. Says how many rows
/// it used.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn open(job: &mut Job<'_>, rows: &mut Stream, powers: &mut MaybeUninit<Powers>) -> usize {
    let (text, len) = (job.octets.as_mut_ptr(), job.len);
    let blocks = len.div_ceil(BLOCK_LEN);
    let done = if blocks == 0 { 0 } else { pass_len(blocks) };
    let used = done;
    let mut sink = Sink { text, blocks, rows: Some(rows) };
    let mut beside = Beside::new(job);
    let wanted = (len >= wide_len(false)).then_some(&mut *powers);
    // SAFETY: each block of text and what follows it lie in the job's octets, and so does the tag.
    unsafe {
        if blocks == 0 {
            beside.make_key(job);
        } else if len <= SHORT {
            pass::<KEY_AT_END>(job, 0, done, &mut sink, (&mut beside, None));
        } else {
            beside.plan(first_octets(len), true);
            pass::<KEY_SOON>(job, 0, done, &mut sink, (&mut beside, wanted));
        }
        job.accepted = bears_tag(text, len, tag::<false>(&mut beside, len, powers));
        beside.wipe();
        if job.accepted {
            sink.add_rows(done.min(blocks));
            if done < blocks {
                add_rest(job, done, &mut sink);
            }
        }
    }
    used
}

/// Adds the blocks from number `done` on to a text that is authenticated.
///
/// # Safety
///
/// They and what follows the text can be read and written.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn add_rest(job: &Job<'_>, mut done: usize, sink: &mut Sink<'_>) {
    let mut idle = Beside::new(job);
    while done < sink.blocks {
        let next = pass_len(sink.blocks - done);
        // SAFETY: the caller's promise; nothing is planned beside.
        unsafe { pass::<KEY_KNOWN>(job, done, next, sink, (&mut idle, None)) };
        done += next;
    }
}

/// How much is authenticated beside a first pass and a later one at most: what takes as long as they.
const FIRST_OCTETS: usize = 16 * 20;
const PASS_OCTETS: usize = 16 * 44;

/// From how many octets on a text is authenticated in lanes. Opening, much is done beside the pass.
const fn wide_len(seal: bool) -> usize {
    if seal { 240 } else { 700 }
}

// Only a pass that makes the key soon makes the powers.
const _: () = assert!(SHORT < wide_len(true) && SHORT < wide_len(false));

/// How much of a text is authenticated beside the first pass, so that full lanes are left.
const fn first_octets(len: usize) -> usize {
    let most = if len < FIRST_OCTETS { len } else { FIRST_OCTETS };
    let uneven = (len.div_ceil(16) + 1) % wide::LANES;
    if len < wide_len(false) { most } else { 16 * uneven }
}

/// The tag over a text, of which a part was authenticated beside.
///
/// # Safety
///
/// The text can be read, and 15 octets behind it; powers of the factor are there if it is that long.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn tag<const SEAL: bool>(
    beside: &mut Beside,
    len: usize,
    powers: &MaybeUninit<Powers>,
) -> u128 {
    // SAFETY: the caller's promise.
    unsafe {
        if len >= wide_len(SEAL) && len - beside.at() >= LEAST {
            let (progress, pad) = beside.parts();
            wide::wide(progress, pad, powers.assume_init_ref())
        } else {
            beside.tag()
        }
    }
}

/// Octets that are authenticated in lanes at least.
const LEAST: usize = 16 * 10;
