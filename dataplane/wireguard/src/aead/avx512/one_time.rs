//! The one-time keys of a chunk, as the lanes of Poly1305 want them.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::schedule::LIST_LEN;
use super::transpose;

/// The one-time keys of a chunk: their four words of 64 bits, each for all packets.
#[repr(align(64))]
pub(super) struct OneTimeKeys([[MaybeUninit<u64>; LIST_LEN]; 4]);

impl OneTimeKeys {
    pub(super) const fn new() -> Self {
        Self([[MaybeUninit::uninit(); LIST_LEN]; 4])
    }

    /// Word `word` of the keys of eight packets from `from` on.
    #[inline]
    fn place(&mut self, word: usize, from: usize) -> *mut u8 {
        self.0[word][from..from + 8].as_mut_ptr().cast()
    }

    /// Notes the keys of the 16 packets from `from` on, of which the first eight words of the first
    /// block of key stream are given.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn note_words(&mut self, from: usize, words: &[__m512i; 16]) {
        let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
        for word in 0..4 {
            let (even, odd) = (words[2 * word], words[2 * word + 1]);
            let one = _mm512_permutex2var_epi32(even, low, odd);
            let other = _mm512_permutex2var_epi32(even, high, odd);
            // SAFETY: 64 octets at each place.
            unsafe {
                _mm512_storeu_si512(self.place(word, from).cast(), one);
                _mm512_storeu_si512(self.place(word, from + 8).cast(), other);
            }
        }
    }

    /// Notes the keys of eight packets from `from` on, which lie 64 octets apart.
    ///
    /// # Safety
    ///
    /// They can be read.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) unsafe fn note_rows(&mut self, from: usize, keys: *const u8) {
        let mut pairs = [_mm512_setzero_si512(); 4];
        for (i, pair) in pairs.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            let (one, other) = unsafe {
                let at = keys.add(64 * i);
                (_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(256).cast()))
            };
            *pair = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(one), other);
        }
        for (word, eight) in transpose::one_time_keys(&pairs).into_iter().enumerate() {
            // SAFETY: 64 octets.
            unsafe { _mm512_storeu_si512(self.place(word, from).cast(), eight) };
        }
    }

    /// Overwrites the keys of eight packets from `from` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn clear(&mut self, from: usize) {
        for word in 0..4 {
            // SAFETY: 64 octets.
            unsafe { _mm512_storeu_si512(self.place(word, from).cast(), _mm512_setzero_si512()) };
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn eight(&self, from: usize) -> [__m512i; 4] {
        let mut words = [_mm512_setzero_si512(); 4];
        for (word, all) in words.iter_mut().zip(&self.0) {
            // SAFETY: 64 octets. Keys are noted, or cleared, before they are read.
            *word = unsafe { _mm512_loadu_si512(all[from..from + 8].as_ptr().cast()) };
        }
        words
    }

    /// The key of one packet.
    ///
    /// # Safety
    ///
    /// It was noted.
    #[inline]
    pub(super) unsafe fn one(&self, packet: usize) -> [u64; 4] {
        let [a, b, c, d] = &self.0;
        // SAFETY: the caller's promise.
        unsafe {
            [
                a[packet].assume_init(),
                b[packet].assume_init(),
                c[packet].assume_init(),
                d[packet].assume_init(),
            ]
        }
    }
}
