//! A hint to the core that a line of memory will be read soon, so that waiting for memory overlaps with other work.
#![expect(unsafe_code, reason = "the instruction is an intrinsic that takes a pointer")]

/// Begins to fetch the line that a place begins in. All places given here begin with a line and are one.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn prefetch<T>(place: &T) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    const { assert!(size_of::<T>() == 64 && align_of::<T>() == 64) };
    // SAFETY: a prefetch reads nothing that the program could see and never faults, whatever the address; every x86-64
    // core has the instruction.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(place).cast()) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(crate) fn prefetch<T>(_: &T) {}

/// Reads the line that a place begins in, for nothing but that it is there afterwards. Of many such reads behind each other a core
/// waits for several at once.
#[inline]
pub(crate) fn touch<T>(place: &T) {
    const { assert!(size_of::<T>() == 64 && align_of::<T>() == 64) };
    // SAFETY: the place is there to be read, and what the tables are made of has no padding at its beginning.
    let _first = unsafe { core::ptr::from_ref(place).cast::<u8>().read_volatile() };
}
