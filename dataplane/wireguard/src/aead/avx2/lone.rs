//! One packet at a time, its own blocks in the lanes: for batches too small to fill them, and for long
//! packets, whose authentication passes unseen beside the key stream.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::Job;
use super::super::beside::{Beside, KEY_AT_END, KEY_KNOWN, KEY_SOON, SHORT};
use super::super::chunk::{bears_tag, write_tag};
use super::super::schedule::BLOCK_LEN;
use super::stream::{PASS_LEN, STREAM_LEN, Sink, Stream, pass, pass_len};

/// Opens or seals the jobs at these positions.
#[inline(never)]
#[target_feature(enable = "avx2,bmi2")]
pub(super) fn run<const SEAL: bool>(jobs: &mut [Job<'_>], order: &[u8]) {
    if SEAL {
        for position in order {
            let Some(job) = jobs.get_mut(usize::from(*position)) else { continue };
            seal(job);
        }
        return;
    }
    let mut rows = [MaybeUninit::uninit(); STREAM_LEN];
    let mut used = 0;
    for position in order {
        let Some(job) = jobs.get_mut(usize::from(*position)) else { continue };
        used = used.max(open(job, &mut rows));
    }
    for row in rows.iter_mut().take(used) {
        row.write([_mm256_setzero_si256(); 2]);
    }
    zeroize::optimization_barrier(&rows);
}

/// The key stream is added at once, and authenticated beside the next pass.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn seal(job: &mut Job<'_>) {
    let (text, len) = (job.octets.as_mut_ptr(), job.len);
    let blocks = len.div_ceil(BLOCK_LEN);
    let mut sink = Sink { text, blocks, rows: None };
    let mut beside = Beside::new(job);
    // SAFETY: each block of text and what follows it lie in the job's octets, and so does the tag;
    // what is planned was sealed in passes before.
    unsafe {
        if blocks == 0 {
            beside.make_key(job);
        } else {
            let mut done = pass_len(blocks);
            pass::<KEY_AT_END>(job, 0, done, &mut sink, &mut beside);
            while done < blocks {
                let next = pass_len(blocks - done);
                beside.plan(BLOCK_LEN * done, false);
                pass::<KEY_KNOWN>(job, done, next, &mut sink, &mut beside);
                done += next;
            }
        }
        write_tag(text, len, beside.tag());
    }
    beside.wipe();
    job.accepted = true;
}

/// The key stream is put by until the text is authenticated. Says how many rows it used.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn open(job: &mut Job<'_>, rows: &mut Stream) -> usize {
    let (text, len) = (job.octets.as_mut_ptr(), job.len);
    let blocks = len.div_ceil(BLOCK_LEN);
    let stashed = blocks.min(STREAM_LEN - PASS_LEN);
    let mut sink = Sink { text, blocks, rows: Some(rows) };
    let mut beside = Beside::new(job);
    // SAFETY: each block of text and what follows it lie in the job's octets, and so does the tag.
    unsafe {
        if blocks == 0 {
            beside.make_key(job);
        } else {
            put_by(job, stashed, &mut sink, &mut beside);
        }
        job.accepted = bears_tag(text, len, beside.tag());
        beside.wipe();
        if job.accepted {
            sink.add_rows(stashed);
            if stashed < blocks {
                add_rest(job, stashed, &mut sink);
            }
        }
    }
    stashed + PASS_LEN
}

/// Makes the first `count` blocks, and authenticates beside.
///
/// # Safety
///
/// The text can be read, and the sink puts the blocks by.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
unsafe fn put_by(job: &Job<'_>, count: usize, sink: &mut Sink<'_>, beside: &mut Beside) {
    // A short pass comes first, as there is no key yet.
    let mut left = (count - 1) / PASS_LEN;
    let mut done = count - PASS_LEN * left;
    // SAFETY: the caller's promises; a sealed text can be authenticated anywhere.
    unsafe {
        if job.len <= SHORT {
            return pass::<KEY_AT_END>(job, 0, pass_len(done), sink, beside);
        }
        beside.plan(job.len.min(FIRST_OCTETS), true);
        pass::<KEY_SOON>(job, 0, pass_len(done), sink, beside);
        while left > 0 {
            let share = (job.len - beside.at()).div_ceil(left).min(PASS_OCTETS);
            beside.plan(beside.at() + share, false);
            pass::<KEY_KNOWN>(job, done, PASS_LEN, sink, beside);
            done += PASS_LEN;
            left -= 1;
        }
    }
}

/// Adds the blocks from number `done` on to a text that is authenticated.
///
/// # Safety
///
/// They and what follows the text can be read and written.
#[inline(never)]
#[target_feature(enable = "avx2,bmi2")]
unsafe fn add_rest(job: &Job<'_>, mut done: usize, sink: &mut Sink<'_>) {
    let mut idle = Beside::new(job);
    while done < sink.blocks {
        let next = pass_len(sink.blocks - done);
        // SAFETY: the caller's promise; nothing is planned beside.
        unsafe { pass::<KEY_KNOWN>(job, done, next, sink, &mut idle) };
        done += next;
    }
}

/// How much is authenticated beside a first pass and a later one at most: what takes as long as they.
const FIRST_OCTETS: usize = 16 * 18;
const PASS_OCTETS: usize = 16 * 44;
