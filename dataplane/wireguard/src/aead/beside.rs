//! What ordinary instructions do for one packet while vector instructions make its key stream: block
//! 0 with the one-time key, and the authentication of octets that are sealed already. Each kind of
//! instruction has units of its own, so one runs in the shadow of the other where both are in the
//! processor's window at once: a few steps of this after each round of the vectors.
#![expect(unsafe_code, reason = "reads texts that are known by pointers")]
#![expect(
    clippy::inline_always,
    reason = "only inside the code for vectors does it run while vectors are busy"
)]

use super::one_block::OneBlock;
use super::poly1305::Progress;
use super::{Job, TAG_LEN};

/// Rounds of `ChaCha20`.
const ROUNDS: usize = 20;

/// Texts of up to so many octets are authenticated behind their one pass, and their key is made all through
/// it: made in the first half of the rounds, it would hold these up for longer than is won in the other.
pub(super) const SHORT: usize = 128;

/// The work beside vectors for one packet.
pub(super) struct Beside {
    progress: Progress,
    pad: [u64; 2],
    /// Blocks to authenticate in each round, in parts of [`WHOLE`].
    rate: usize,
    due: usize,
    /// Blocks that are planned.
    left: usize,
}

/// When a pass makes the one-time key: never, as it is known; in its first half, where there is something
/// to authenticate in the second; or all the time.
pub(super) const KEY_KNOWN: u8 = 0;
pub(super) const KEY_SOON: u8 = 1;
pub(super) const KEY_AT_END: u8 = 2;

const WHOLE: usize = 64;

impl Beside {
    #[inline(always)]
    pub(super) fn new(job: &Job<'_>) -> Self {
        Self {
            progress: Progress::new(job.octets.as_ptr(), job.len),
            pad: [0; 2],
            rate: 0,
            due: 0,
            left: 0,
        }
    }

    /// Octets that were authenticated.
    #[inline(always)]
    pub(super) const fn at(&self) -> usize {
        self.progress.at()
    }

    /// Plans to authenticate whole blocks up to about `end` in the next pass. In the first one there
    /// is a key for half of the rounds only.
    ///
    /// # Safety
    ///
    /// The text is sealed up to there, and can be read.
    #[inline(always)]
    pub(super) unsafe fn plan(&mut self, end: usize, first: bool) {
        let rounds = if first { ROUNDS / 2 } else { ROUNDS };
        if self.progress.at() == 0 && end >= TAG_LEN {
            // SAFETY: the caller's promise.
            unsafe { self.progress.begin() };
        }
        let blocks = end.saturating_sub(self.progress.at()) / TAG_LEN;
        // Few go with the first rounds, one with each.
        self.rate = (blocks * WHOLE / rounds).max(WHOLE);
        (self.due, self.left) = (0, blocks);
    }

    /// Notes the key, once all double rounds of block 0 are done.
    #[inline(always)]
    pub(super) fn note_key(&mut self, block: &OneBlock) {
        let [r0, r1, pad @ ..] = block.one_time_key();
        self.progress.set_factor([r0, r1]);
        self.pad = pad;
    }

    /// The factor of the authentication.
    #[inline(always)]
    pub(super) const fn factor(&self) -> [u64; 2] {
        self.progress.factor()
    }

    /// The key alone, beside nothing.
    #[inline(always)]
    pub(super) fn make_key(&mut self, job: &Job<'_>) {
        let mut block = OneBlock::new(job);
        for _ in 0..ROUNDS / 2 {
            block.columns();
            block.diagonals();
        }
        self.note_key(&block);
    }

    /// What goes with one of the first ten rounds, on the columns or the diagonals.
    ///
    /// # Safety
    ///
    /// As for the last `plan`.
    #[inline(always)]
    pub(super) unsafe fn early_round<const KEY: u8, const COLUMNS: bool>(
        &mut self,
        block: &mut OneBlock,
    ) {
        match KEY {
            KEY_SOON => {
                block.columns();
                block.diagonals();
            }
            KEY_AT_END if COLUMNS => block.columns(),
            KEY_AT_END => block.diagonals(),
            // SAFETY: the caller's promise.
            _ => unsafe { self.authenticate() },
        }
    }

    /// What goes with one of the last ten.
    ///
    /// # Safety
    ///
    /// As for the last `plan`.
    #[inline(always)]
    pub(super) unsafe fn late_round<const KEY: u8, const COLUMNS: bool>(
        &mut self,
        block: &mut OneBlock,
    ) {
        match KEY {
            KEY_AT_END if COLUMNS => block.columns(),
            KEY_AT_END => block.diagonals(),
            // SAFETY: the caller's promise.
            _ => unsafe { self.authenticate() },
        }
    }

    /// The authentication that is due after a round.
    #[inline(always)]
    unsafe fn authenticate(&mut self) {
        if self.left == 0 {
            return;
        }
        self.due += self.rate;
        while self.due >= WHOLE {
            self.due -= WHOLE;
            self.left -= 1;
            // SAFETY: the caller's promise; `plan` began.
            unsafe { self.progress.step() };
        }
    }

    /// What was authenticated, and what is added at the end.
    #[inline(always)]
    pub(super) const fn parts(&mut self) -> (&mut Progress, [u64; 2]) {
        (&mut self.progress, self.pad)
    }

    /// The tag, when all is sealed.
    ///
    /// # Safety
    ///
    /// The text can be read for its length and 15 octets more.
    #[inline(always)]
    pub(super) unsafe fn tag(&mut self) -> u128 {
        // SAFETY: the caller's promise.
        unsafe { self.progress.finish(self.pad) }
    }

    /// Overwrites what is secret.
    #[inline(always)]
    pub(super) fn wipe(&mut self) {
        self.pad = [0; 2];
        self.progress.wipe();
    }
}
