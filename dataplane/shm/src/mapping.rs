//! A file in memory, seen by several processes: the only unsafe code of this crate.

#![expect(unsafe_code, reason = "mappings are raw memory; each block says why it is sound")]

use std::fmt;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::memory::{Memory, WORD_LEN};

/// A mapped file as words. It is unmapped when dropped.
pub struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: the memory is reached through atomics alone, from whichever thread, and `munmap` may be called by
// any thread.
unsafe impl Send for Mapping {}
// SAFETY: as above; nothing of the value itself changes between `map` and `drop`.
unsafe impl Sync for Mapping {}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping").field("words", &self.words).finish_non_exhaustive()
    }
}

/// What may be done with a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Relaxed loads only.
    Read,
    /// Everything.
    Write,
}

impl Mapping {
    /// Maps the first `words` words of a file, which must have them.
    pub(crate) fn map(file: BorrowedFd<'_>, words: usize, access: Access) -> Result<Self, Errno> {
        let protection = match access {
            Access::Read => ProtFlags::READ,
            Access::Write => ProtFlags::READ | ProtFlags::WRITE,
        };
        let len = words.checked_mul(WORD_LEN).ok_or(Errno::INVAL)?;
        // SAFETY: the kernel chooses a place that nothing else uses, so no memory of this process changes its
        // meaning. The descriptor is open for the time of the call.
        let start =
            unsafe { mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { start, words })
    }
}

impl Memory for Arc<Mapping> {
    type Word = AtomicU64;

    #[inline]
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: `start` is what mmap gave for `words` words: aligned to a page, not null, mapped until
        // `drop`, which needs the last Arc while the slice borrows from one. An AtomicU64 may have any bits,
        // and others, in this process and elsewhere, reach the words by atomic accesses of the same size. On
        // a read-only mapping a store would end the process by a signal; who maps so (`counters::Reader`)
        // makes relaxed loads only, which are sound on memory that cannot be written.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is the one that mmap gave, and no slice of it outlives the last Arc. That a part
        // of the file is gone does not matter to munmap; it fails only for ranges that are no pages.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.words * WORD_LEN) };
        debug_assert!(unmapped.is_ok());
    }
}
