//! Hints to the core that something will be read soon, so that waiting for memory overlaps with other work.
#![expect(unsafe_code, reason = "the instruction is an intrinsic that takes a pointer")]

/// Octets that come from memory at once.
const LINE_LEN: usize = 64;

/// Begins to fetch every line of it.
#[inline]
pub fn prefetch<T>(place: &T) {
    let first = core::ptr::from_ref(place).cast::<i8>();
    let mut offset = 0;
    while offset < size_of::<T>() {
        fetch(first.wrapping_add(offset));
        offset += LINE_LEN;
    }
    // What does not begin with a line may end in one more.
    if align_of::<T>() < LINE_LEN && size_of::<T>() > align_of::<T>() {
        fetch(first.wrapping_add(size_of::<T>() - 1));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn fetch(address: *const i8) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch reads nothing that the program could see and never faults, whatever the address; every x86-64
    // core has the instruction.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn fetch(_: *const i8) {}
