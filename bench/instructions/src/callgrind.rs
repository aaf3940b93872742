//! What callgrind is told from inside: when to count, and to write down what it has counted. Outside of valgrind nothing happens.
#![expect(unsafe_code, reason = "valgrind is spoken to by instructions that do nothing without it")]

#[cfg(target_arch = "x86_64")]
use std::arch::asm;
use std::ffi::CStr;

/// Requests of callgrind's own begin here: its letters C and T.
const TOOL: usize = 0x4354_0000;
const ZERO: usize = TOOL + 1;
const WRITE: usize = TOOL + 3;
const START: usize = TOOL + 4;
const STOP: usize = TOOL + 5;

/// Counts from here on.
pub(crate) fn start() {
    request(START, 0);
    request(ZERO, 0);
}

/// Writes down what was counted since the last time, under this name, and begins again.
#[inline]
pub(crate) fn write_down(name: &CStr) {
    request(WRITE, name.as_ptr().addr());
}

/// Counts no longer.
pub(crate) fn stop() {
    request(STOP, 0);
}

/// Counts are of one kind of processor; others are asked nothing.
#[cfg(not(target_arch = "x86_64"))]
fn request(_: usize, _: usize) {}

#[cfg(target_arch = "x86_64")]
#[inline]
fn request(code: usize, argument: usize) {
    let words = [code, argument, 0, 0, 0, 0];
    // SAFETY: without valgrind four turns of a register by 128 bits in all, and an exchange of one with itself, change nothing. With
    // it, a request reads the six words, and no more of our memory than the name that they point to, and its answer is in `rdx`.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") &raw const words,
            inlateout("rdx") 0_usize => _,
            options(nostack),
        );
    }
}
