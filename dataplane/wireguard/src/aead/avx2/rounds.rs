//! The twenty rounds of `ChaCha20` (RFC 8439 2.3) over eight blocks in lanes, or over two, four or six
//! in rows.

use core::arch::asm;
use core::arch::x86_64::*;

/// The shuffles that turn each word by 16 and by 8 bits.
pub(super) type Turns = (__m256i, __m256i);

/// Makes them behind the compiler's back, which would put two shuffles of halves in place of one that
/// it knows.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
pub(super) fn turns() -> Turns {
    let by_16 = _mm_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    let by_8 = _mm_setr_epi8(3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14);
    let mut all = (_mm256_broadcastsi128_si256(by_16), _mm256_broadcastsi128_si256(by_8));
    // SAFETY: no instruction at all.
    unsafe {
        asm!(
            "/* {0} {1} */",
            inout(ymm_reg) all.0,
            inout(ymm_reg) all.1,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    all
}

/// Two quarter rounds, whose instructions alternate; the third row's words are in registers 8 and 9, and
/// 10 and 11 are free.
macro_rules! two_quarters {
    ($a:literal $b:literal $d:literal, $e:literal $f:literal $h:literal) => {
        concat!(
            add_xor!($a $b $d, $e $f $h),
            shuffle!($d, $h, 128),
            add_xor!(8 $d $b, 9 $h $f),
            rotate!($b, $f, 12, 20),
            add_xor!($a $b $d, $e $f $h),
            shuffle!($d, $h, 160),
            add_xor!(8 $d $b, 9 $h $f),
            rotate!($b, $f, 7, 25),
        )
    };
}

/// Adds the second register to the first, and that to the third without carry.
macro_rules! add_xor {
    ($a:literal $b:literal $d:literal, $e:literal $f:literal $h:literal) => {
        concat!(
            "vpaddd ymm",
            $a,
            ", ymm",
            $a,
            ", ymm",
            $b,
            "\n",
            "vpaddd ymm",
            $e,
            ", ymm",
            $e,
            ", ymm",
            $f,
            "\n",
            "vpxor ymm",
            $d,
            ", ymm",
            $d,
            ", ymm",
            $a,
            "\n",
            "vpxor ymm",
            $h,
            ", ymm",
            $h,
            ", ymm",
            $e,
            "\n",
        )
    };
}

macro_rules! shuffle {
    ($d:literal, $h:literal, $mask:literal) => {
        concat!(
            "vpshufb ymm",
            $d,
            ", ymm",
            $d,
            ", [{aside} + ",
            $mask,
            "]\n",
            "vpshufb ymm",
            $h,
            ", ymm",
            $h,
            ", [{aside} + ",
            $mask,
            "]\n",
        )
    };
}

macro_rules! rotate {
    ($b:literal, $f:literal, $left:literal, $right:literal) => {
        concat!(
            "vpslld ymm10, ymm",
            $b,
            ", ",
            $left,
            "\n",
            "vpslld ymm11, ymm",
            $f,
            ", ",
            $left,
            "\n",
            "vpsrld ymm",
            $b,
            ", ymm",
            $b,
            ", ",
            $right,
            "\n",
            "vpsrld ymm",
            $f,
            ", ymm",
            $f,
            ", ",
            $right,
            "\n",
            "vpor ymm",
            $b,
            ", ymm",
            $b,
            ", ymm10\n",
            "vpor ymm",
            $f,
            ", ymm",
            $f,
            ", ymm11\n",
        )
    };
}

/// Puts the two words of the third row aside that are in registers, and takes the other two.
macro_rules! swap {
    ($to:literal, $from:literal) => {
        concat!(
            "vmovdqa [{aside} + ",
            $to,
            "], ymm8\n",
            "vmovdqa [{aside} + 32 + ",
            $to,
            "], ymm9\n",
            "vmovdqa ymm8, [{aside} + ",
            $from,
            "]\n",
            "vmovdqa ymm9, [{aside} + 32 + ",
            $from,
            "]\n",
        )
    };
}

/// A round over eight blocks in lanes.
macro_rules! round {
    ($lanes:expr, $aside:expr, $($text:expr),+) => {
        let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, d0, d1, d2, d3] = $lanes;
        // SAFETY: the instructions touch the named registers and what is put aside, and the features
        // they need are enabled for this function. In asm because only two of the sixteen words need
        // to leave the registers, and the compiler's allocator moves many more.
        unsafe {
            asm!(
                $($text),+,
                aside = in(reg) $aside,
                inout("ymm0") *a0, inout("ymm1") *a1, inout("ymm2") *a2, inout("ymm3") *a3,
                inout("ymm4") *b0, inout("ymm5") *b1, inout("ymm6") *b2, inout("ymm7") *b3,
                inout("ymm8") *c0, inout("ymm9") *c1, out("ymm10") _, out("ymm11") _,
                inout("ymm12") *d0, inout("ymm13") *d1, inout("ymm14") *d2, inout("ymm15") *d3,
                options(nostack),
            );
        }
    };
}

/// What the rounds over eight blocks keep in memory: the third row's second half, its first half in
/// turn, and the shuffles.
#[repr(align(32))]
struct Aside {
    words: [__m256i; 4],
    #[expect(dead_code, reason = "read by the instructions")]
    turns: [__m256i; 2],
}

/// The words of eight blocks in lanes, between rounds.
pub(super) struct Lanes {
    registers: [__m256i; 14],
    aside: Aside,
}

impl Lanes {
    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    pub(super) fn new(state: &[__m256i; 16]) -> Self {
        let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3] = *state;
        let (by_16, by_8) = turns();
        Self {
            registers: [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, d0, d1, d2, d3],
            aside: Aside { words: [c2, c3, c0, c1], turns: [by_16, by_8] },
        }
    }

    /// A round on the columns; one on the diagonals must follow.
    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    pub(super) fn columns(&mut self) {
        let aside = core::ptr::from_mut(&mut self.aside);
        round!(
            &mut self.registers,
            aside,
            two_quarters!(0 4 12, 1 5 13),
            swap!(64, 0),
            two_quarters!(2 6 14, 3 7 15)
        );
    }

    /// A round on the diagonals.
    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    pub(super) fn diagonals(&mut self) {
        let aside = core::ptr::from_mut(&mut self.aside);
        round!(
            &mut self.registers,
            aside,
            two_quarters!(0 5 15, 1 6 12),
            swap!(0, 64),
            two_quarters!(2 7 13, 3 4 14)
        );
    }

    /// Takes the words out.
    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    pub(super) fn take(&mut self) -> [__m256i; 16] {
        let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, d0, d1, d2, d3] = self.registers;
        let [c2, c3, ..] = self.aside.words;
        self.aside.words = [_mm256_setzero_si256(); 4];
        zeroize::optimization_barrier(&self.aside);
        [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3]
    }
}

/// Twenty rounds over eight blocks in lanes.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
pub(super) fn lane_rounds(words: &mut [__m256i; 16]) {
    let mut lanes = Lanes::new(words);
    for _ in 0..10 {
        lanes.columns();
        lanes.diagonals();
    }
    *words = lanes.take();
}

/// Twenty rounds over sets of two blocks, which lie in the halves of four registers.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
pub(super) fn row_rounds<const SETS: usize>(sets: &mut [[__m256i; 4]; SETS]) {
    let turns = turns();
    for _ in 0..10 {
        row_columns(sets, turns);
        row_diagonals(sets, turns);
    }
}

/// A round on the columns of sets in rows.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
pub(super) fn row_columns<const SETS: usize>(sets: &mut [[__m256i; 4]; SETS], turns: Turns) {
    for set in sets.iter_mut() {
        row_quarter(set, turns);
        // Row b is the last to be known, so the others move.
        let [a, _, c, d] = set;
        *a = _mm256_shuffle_epi32::<0x93>(*a);
        *c = _mm256_shuffle_epi32::<0x39>(*c);
        *d = _mm256_shuffle_epi32::<0x4e>(*d);
    }
}

/// And one on their diagonals.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
pub(super) fn row_diagonals<const SETS: usize>(sets: &mut [[__m256i; 4]; SETS], turns: Turns) {
    for set in sets.iter_mut() {
        row_quarter(set, turns);
        let [a, _, c, d] = set;
        *a = _mm256_shuffle_epi32::<0x39>(*a);
        *c = _mm256_shuffle_epi32::<0x93>(*c);
        *d = _mm256_shuffle_epi32::<0x4e>(*d);
    }
}

/// Turns words by `LEFT` bits; `RIGHT` is what is missing to 32.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn turn<const LEFT: i32, const RIGHT: i32>(words: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_slli_epi32::<LEFT>(words), _mm256_srli_epi32::<RIGHT>(words))
}

#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn row_quarter(row: &mut [__m256i; 4], (by_16, by_8): Turns) {
    let [mut a, mut b, mut c, mut d] = *row;
    a = _mm256_add_epi32(a, b);
    d = _mm256_shuffle_epi8(_mm256_xor_si256(d, a), by_16);
    c = _mm256_add_epi32(c, d);
    b = turn::<12, 20>(_mm256_xor_si256(b, c));
    a = _mm256_add_epi32(a, b);
    d = _mm256_shuffle_epi8(_mm256_xor_si256(d, a), by_8);
    c = _mm256_add_epi32(c, d);
    b = turn::<7, 25>(_mm256_xor_si256(b, c));
    *row = [a, b, c, d];
}
